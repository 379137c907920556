"""ONNX's own tests of its operators as judges of gradients: each is run, differentiated and compared."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import onnx.reference
import onnxruntime
from evaluation import PYTHON_OPERATORS, SETTINGS, Array
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad.graph import Graph, Leaf, Value
from staticgrad.models.widening import doubled
from staticgrad.optimise import optimise

DIFFERENTIATION = onnx.defs.OpSchema.DifferentiationCategory
Arrays = Mapping[str, Any]


class Verdict(NamedTuple):
    """What became of a case: right, wrong, refused, or none where there is no derivative to judge."""

    kind: str
    detail: str = ""


@lru_cache(maxsize=1)
def cases() -> tuple[Any, ...]:
    """All node tests of the installed onnx."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(collect_testcases(None))


class Runner:
    """A model on onnxruntime, or in Python where onnxruntime has no kernel or does not know the opset."""

    def __init__(self, model: onnx.ModelProto, python: bool = False, original: bool = False) -> None:
        self.names = [i.name for i in model.graph.input]
        self.place = "onnx.reference"
        self.model = model
        self.session: Any = None
        for make in () if python else (lambda: model, lambda: rewritten(model))[: 1 if original else 2]:
            try:
                settings = (make().SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
                self.session = onnxruntime.InferenceSession(*settings)
                self.place = "onnxruntime"
                break
            except Exception:
                continue

    def __call__(self, feeds: Arrays) -> list[Any]:
        given = {name: feeds[name] for name in self.names if name in feeds}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if self.session is not None:
                try:
                    found: list[Any] = self.session.run(None, given)
                    return found
                except Exception:
                    # Element types that it takes from no array, and cases that its kernel refuses.
                    self.session, self.place = None, "onnx.reference"
            result: list[Any] = onnx.reference.ReferenceEvaluator(self.model, new_ops=PYTHON_OPERATORS).run(None, given)
            return result


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model read and written again: in an opset that onnxruntime knows."""
    read = sg.from_onnx(model)
    return to_model(read.graph, {}, {n: p.node.initial for n, p in read.parameters.items() if isinstance(p.node, Leaf)})  # type: ignore[misc]


def is_float(value: Any) -> bool:
    """Whether a fed value is a floating tensor, or a sequence of them."""
    if isinstance(value, list):
        return bool(value) and all(is_float(v) for v in value)
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV" and value.dtype.itemsize > 1


def mapped(function: Any, *values: Any) -> Any:
    """A function of arrays applied to tensors, or to each of a sequence."""
    if isinstance(values[0], list):
        return [mapped(function, *each) for each in zip(*values, strict=True)]
    return function(*values)


def inner(a: Any, b: Any) -> float:
    if isinstance(a, list):
        return sum(inner(x, y) for x, y in zip(a, b, strict=True))
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.where(left == 0, 0, left * np.where(left == 0, 0, right)).sum())


def fixed_inputs(case: Any) -> set[str]:
    """Inputs that ONNX says have no derivative, such as the scales of Resize."""
    base = case.name.split("_expanded")[0]
    found: set[str] = set()
    for model in {case.name: case.model} | {c.name: c.model for c in cases() if c.name == base}:
        proto = next(c.model for c in cases() if c.name == model)
        for node in proto.graph.node:
            try:
                opset = next(o.version for o in proto.opset_import if o.domain == node.domain)
                schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
            except (onnx.defs.SchemaError, StopIteration):
                continue
            for position, name in enumerate(node.input):
                formal = schema.inputs[min(position, len(schema.inputs) - 1)]
                if formal.differentiation_category == DIFFERENTIATION.NonDifferentiable:
                    found.add(name)
        if len(proto.graph.node) == 1:
            found |= NEVER_DIFFERENTIABLE.get(proto.graph.node[0].op_type, set())
            found -= ALWAYS_DIFFERENTIABLE.get(proto.graph.node[0].op_type, set())
    return found


# What has a derivative though ONNX does not tag it, and what has none though its schema does not say so.
ALWAYS_DIFFERENTIABLE: dict[str, set[str]] = {}
NEVER_DIFFERENTIABLE = {"Upsample": {"scales"}}
DIRECTIONS = 2


class Question(NamedTuple):
    """A case, the outputs that are differentiated, and the inputs that they are differentiated by."""

    case: Any
    feeds: dict[str, Any]
    expected: list[Any]
    outputs: list[str]
    wrt: list[str]


def question_of(case: Any) -> Question | None:
    """What there is to differentiate in a case; None where nothing is."""
    if not case.data_sets:
        return None
    given, expected = case.data_sets[0]
    names = [i.name for i in case.model.graph.input]
    feeds = {n: plain(x) for n, x in zip(names, given, strict=False)}
    outputs = [o.name for o, y in zip(case.model.graph.output, expected, strict=False) if is_float(plain(y))]
    fixed = fixed_inputs(case)
    wrt = [name for name in names if is_float(feeds.get(name)) and name not in fixed]
    return Question(case, feeds, [plain(y) for y in expected], outputs, wrt) if wrt and outputs else None


def plain(x: Any) -> Any:
    if isinstance(x, onnx.TensorProto):
        return onnx.numpy_helper.to_array(x)
    return np.asarray(x) if isinstance(x, (np.generic, float, int)) else x


def judge(case: Any, seed: int = 0) -> Verdict:
    """Differentiate a case by all its differentiable inputs at once and compare with central differences."""
    question = question_of(case)
    if question is None:
        return Verdict("none", "no floating input and output")
    try:
        found = sg.gradient_model(case.model, of=question.outputs, wrt=question.wrt)
    except sg.UnsupportedOperatorError as error:
        return Verdict("refused", str(error))
    onnx.checker.check_model(found, full_check=True)
    generator = np.random.default_rng(seed)
    if _is_random(case.model, question.feeds):
        return _judge_random(question, found, generator)
    details = []
    # Numbers of a case may stand on a kink, and may be the only ones that make sense.
    for attempt in range(3):
        feeds = {
            n: mapped(lambda a: _moved(a, generator), x) if n in question.wrt and attempt < 2 else x
            for n, x in question.feeds.items()
        }
        verdict = _compared(question, found, feeds, generator)
        if verdict.kind == "right":
            return verdict
        details.append(verdict.detail)
    return Verdict("wrong", "; then ".join(details))


def _is_random(model: onnx.ModelProto, feeds: Arrays) -> bool:
    """Whether a model draws numbers."""
    kinds = {node.op_type for node in model.graph.node}
    drops = "Dropout" in kinds and any(np.size(x) == 1 and np.asarray(x).dtype == bool and x for x in feeds.values())
    return drops or bool(kinds & {"Bernoulli", "RandomUniformLike"})


def _judge_random(question: Question, found: onnx.ModelProto, generator: np.random.Generator) -> Verdict:
    """Bernoulli has no derivative; what dropout leaves is a multiple of its input, and so is its gradient."""
    runner = Runner(found)
    x = question.feeds[question.wrt[0]]
    seed = generator.standard_normal(np.shape(x)).astype(x.dtype)
    y, *_, g = runner({**question.feeds, f"cotangent.{question.outputs[0]}": seed})
    if "Dropout" in {node.op_type for node in question.case.model.graph.node}:
        right = np.allclose(g * x, seed * y, 1e-5, 1e-6) and bool(np.any(g == 0) or np.all(y == x))
        return Verdict("right" if right else "wrong", "its own draw")
    return Verdict("right" if not np.any(g) else "wrong", "no derivative")


def _moved(array: Array, generator: np.random.Generator) -> Array:
    """Numbers a little apart from those of the case, so that none stands on a kink or equals another."""
    wide = array.astype(np.float64)
    moved = wide * (1 - 0.02 * generator.random(wide.shape)) + 5e-3 * generator.random(wide.shape)
    return np.asarray(moved).astype(array.dtype)


def _compared(question: Question, found: onnx.ModelProto, feeds: Arrays, generator: np.random.Generator) -> Verdict:
    model, outputs, wrt = question.case.model, question.outputs, question.wrt
    positions = [i for i, o in enumerate(model.graph.output) if o.name in outputs]
    count = len(model.graph.output)

    def normal(x: Any) -> Any:
        return mapped(lambda a: np.asarray(generator.standard_normal(np.shape(a))), x)

    try:
        runner = Runner(found)
        zeros = {name: None for name in runner.names if name.startswith("cotangent.")}
        own = [y for i, y in enumerate(Runner(model)(feeds)) if i in positions]
        seeds = [
            mapped(lambda s, y: np.where(np.abs(np.asarray(y, np.float64)) < 1e30, s, 0), normal(y), y) for y in own
        ]
        if zeros:
            given = dict(zip(zeros, [mapped(_typed, s, y) for s, y in zip(seeds, own, strict=True)], strict=True))
        else:
            seeds, given = [np.ones(())], {}
        results = runner({**feeds, **given})
    except Exception as error:
        return Verdict("wrong", f"does not run: {type(error).__name__} {str(error)[:300]}")
    gradients = dict(zip(wrt, results[count:], strict=True))
    for name, g in gradients.items():
        if mapped(np.shape, g) != mapped(np.shape, feeds[name]):
            return Verdict("wrong", f"grad.{name} has another shape")
    tangents = [{name: normal(feeds[name]) for name in wrt} for _ in range(DIRECTIONS)]
    pulled = [sum(inner(g, t[n]) for n, g in gradients.items()) for t in tangents]
    if not np.isfinite(pulled).all():
        return Verdict("wrong", "not finite")
    if all(inner(x, x) == 0 for x in tangents[0].values()):
        return Verdict("right", "nothing to move")
    size = sum(np.sqrt(inner(g, g) * inner(tangents[0][n], tangents[0][n])) for n, g in gradients.items())
    rounding = 2e-5 if min(_precision(x) for x in [*(feeds[n] for n in wrt), *own]) > 20 else 2e-2
    details = []
    for reference in _references(question):
        slopes = [reference.slope(feeds, t, positions, seeds) for t in tangents]
        if all(
            abs(p - slope) <= error + rounding * (abs(slope) + 0.1 * size) + 1e-9
            for p, (slope, error) in zip(pulled, slopes, strict=True)
        ):
            return Verdict("right", reference.name)
        details.append(f"{slopes[0][0]:.8g} +- {slopes[0][1]:.1g} ({reference.name})")
    return Verdict("wrong", f"vjp gives {pulled[0]:.8g}, differences {', '.join(details) or 'none'}")


def _where_finite(s: Array, y: Any) -> Array:
    return np.where(np.abs(np.asarray(y, np.float64)) < 1e30, s, 0)


def _typed(s: Array, y: Any) -> Array:
    return np.asarray(s).astype(np.asarray(y).dtype)


def _precision(x: Any) -> int:
    if isinstance(x, list):
        return min((_precision(v) for v in x), default=52)
    return int(ml_dtypes.finfo(x.dtype).nmant)


class Reference:
    """A way to run a case for differences: in float64 or as it is, by onnxruntime or by onnx.reference."""

    def __init__(self, model: onnx.ModelProto, wide: bool, python: bool) -> None:
        self.run = Runner(doubled(model) if wide else model, python)
        self.dtype = np.float64 if wide else None
        self.name = f"{'float64' if wide else 'own type'}, {self.run.place}"

    def point(self, feeds: Arrays, tangents: Arrays, step: float) -> dict[str, Any]:
        def moved(a: Array, t: Array) -> Array:
            return np.asarray(np.asarray(a, np.float64) + step * t).astype(self.dtype or a.dtype)

        found = dict(feeds)
        for name, x in feeds.items():
            if name in tangents:
                found[name] = mapped(moved, x, tangents[name])
            elif is_float(x) and self.dtype is not None:
                found[name] = mapped(lambda a: np.asarray(a).astype(self.dtype), x)
        return found

    def gives(self, question: Question) -> bool:
        """Whether it computes what the case expects: else its differences say nothing."""
        found = self.run(self.point(question.feeds, {}, 0))
        return all(
            mapped_all(lambda a, b: np.allclose(np.float64(a), np.float64(b), 1e-2, 1e-3, equal_nan=True), y, e)
            for y, e in zip(found, question.expected, strict=False)
            if is_float(e)
        )

    def slope(
        self, feeds: Arrays, tangents: Arrays, positions: Sequence[int], seeds: Sequence[Any]
    ) -> tuple[float, float]:
        """The derivative of the seeded outputs along the tangents, and how sure that is."""

        def along(step: float) -> float:
            there = []
            for sign in (1, -1):
                found = [y for i, y in enumerate(self.run(self.point(feeds, tangents, sign * step))) if i in positions]
                there.append(sum(inner(s, y) for s, y in zip(seeds, found, strict=True)))
            return (there[0] - there[1]) / (2 * step)

        try:
            if self.dtype is not None:
                near, far = along(1e-6), along(3e-6)
                return near, min(abs(near - far), 1e-4 * (abs(near) + 1))
            near, far = along(2e-3), along(5e-3)
            return near, min(2 * abs(near - far) + 5e-3 * abs(near), 0.05 * (abs(near) + 1))
        except Exception:
            return np.nan, np.nan


def mapped_all(function: Any, a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return (
            isinstance(a, list) and len(a) == len(b) and all(mapped_all(function, *p) for p in zip(a, b, strict=True))
        )
    return np.shape(a) == np.shape(b) and bool(function(a, b))


def _references(question: Question) -> Iterator[Reference]:
    """Those that compute what the case expects, the surest first; then what users run, be it as expected or not."""
    model = question.case.model
    for wide, python in ((True, False), (True, True), (False, False), (False, True)):
        try:
            reference = Reference(model, wide, python)
            if reference.gives(question) or (not wide and not python):
                yield reference
        except Exception:
            continue


def adjoint(case: Any, seed: int = 0) -> Verdict:
    """Whether `<g, jvp t> = <vjp g, t>` for a case that is differentiated right."""
    question = question_of(case)
    assert question is not None
    model, feeds, outputs, wrt = case.model, dict(question.feeds), question.outputs, question.wrt
    read = sg.from_onnx(model)
    inputs = [read.inputs[name] for name in wrt]
    results = [read.outputs[name] for name in outputs]
    tangents = [Leaf("input", f"tangent.{x.name}", x.type).outputs[0] for x in inputs]
    cotangents = [Leaf("input", f"cotangent.{n}", y.type).outputs[0] for n, y in zip(outputs, results, strict=True)]
    try:
        pushed = sg.jvp(results, inputs, tangents)
        pulled = sg.vjp(results, inputs, cotangents)
    except sg.UnsupportedOperatorError as error:
        return Verdict("refused", str(error))
    values: dict[str, Value] = {**read.inputs, **{t.name or "": t for t in [*tangents, *cotangents]}}
    graph = optimise(
        Graph(
            "adjoint",
            {**values, **read.parameters},
            {f"out{i}": y for i, y in enumerate([*results, *pushed, *pulled])},
        )
    )
    initial = {n: p.node.initial for n, p in read.parameters.items() if isinstance(p.node, Leaf)}
    runner = Runner(to_model(graph, {}, initial))  # type: ignore[arg-type]
    generator = np.random.default_rng(seed)
    for name in wrt:
        feeds[name] = mapped(lambda a: _moved(a, generator), feeds[name])
    if all(np.size(x) == 0 for name in wrt for x in (feeds[name] if isinstance(feeds[name], list) else [feeds[name]])):
        return Verdict("right", "nothing to move")
    own = Runner(model)(feeds)
    for name in wrt:
        feeds[f"tangent.{name}"] = mapped(lambda a: generator.standard_normal(np.shape(a)).astype(a.dtype), feeds[name])
    for name in outputs:
        y = own[[o.name for o in model.graph.output].index(name)]
        feeds[f"cotangent.{name}"] = mapped(
            lambda a: np.asarray(generator.standard_normal(np.shape(a))).astype(np.asarray(a).dtype), y
        )
    found = runner(feeds)
    forward = sum(inner(feeds[f"cotangent.{n}"], y) for n, y in zip(outputs, found[len(outputs) :], strict=False))
    backward = sum(inner(feeds[f"tangent.{n}"], g) for n, g in zip(wrt, found[2 * len(outputs) :], strict=True))
    size = sum(
        abs(inner(np.abs(feeds[f"tangent.{n}"]), np.abs(g)))
        for n, g in zip(wrt, found[2 * len(outputs) :], strict=True)
        if not isinstance(g, list)
    )
    narrow = min(_precision(x) for x in [*(feeds[n] for n in wrt), *(feeds[f"cotangent.{n}"] for n in outputs)])
    if not abs(forward - backward) <= (1e-5 if narrow > 20 else 3e-2) * (size + abs(forward)) + 1e-6:
        return Verdict("wrong", f"<g, jvp t> = {forward:.8g}, <vjp g, t> = {backward:.8g}")
    return Verdict("right")
