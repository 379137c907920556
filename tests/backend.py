"""ONNX's own tests of its operators as judges of gradients: each is run, differentiated and compared."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from evaluation import PYTHON_OPERATORS, SETTINGS, Array
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad.graph import Graph, Leaf, Value
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

    def __init__(self, model: onnx.ModelProto) -> None:
        self.names = [i.name for i in model.graph.input]
        self.place = "onnxruntime"
        try:
            self.run = onnxruntime.InferenceSession(model.SerializeToString(), SETTINGS, ["CPUExecutionProvider"]).run
        except Exception:
            self.place = "onnx.reference"
            self.run = onnx.reference.ReferenceEvaluator(model, new_ops=PYTHON_OPERATORS).run

    def __call__(self, feeds: Arrays) -> list[Any]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found: list[Any] = self.run(None, {name: feeds[name] for name in self.names if name in feeds})
            return found


def doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float64: its inputs, initializers and literals, and what it casts to."""
    wide = copy.deepcopy(model)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type in floats:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))

    def retype(type: onnx.TypeProto) -> None:
        kind = type.WhichOneof("value")
        if kind == "tensor_type" and type.tensor_type.elem_type in floats:
            type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
        elif kind in ("sequence_type", "optional_type"):
            retype(getattr(type, kind).elem_type)

    def nodes(listed: Any) -> None:
        for node in listed:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in floats:
                    attribute.i = onnx.TensorProto.DOUBLE
                if attribute.name in ("stash_type", "softmax_precision") and attribute.i in floats:
                    attribute.i = onnx.TensorProto.DOUBLE
                widen(attribute.t)
                if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                    value = np.array(onnx.helper.get_attribute_value(attribute), np.float64)
                    name = attribute.name
                    attribute.CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(value, name)))
                if attribute.HasField("g"):
                    graph(attribute.g)

    def graph(g: onnx.GraphProto) -> None:
        for info in (*g.input, *g.output):
            retype(info.type)
        del g.value_info[:]
        for tensor in g.initializer:
            widen(tensor)
        nodes(g.node)

    graph(wide.graph)
    for function in wide.functions:
        nodes(function.node)
    return wide


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
    return float((np.asarray(a, np.float64) * np.asarray(b, np.float64)).sum())


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
            found -= ALWAYS_DIFFERENTIABLE.get(proto.graph.node[0].op_type, set())
    return found


# What has a derivative though ONNX does not tag it.
ALWAYS_DIFFERENTIABLE: dict[str, set[str]] = {}


def judge(case: Any, seed: int = 0) -> Verdict:
    """Differentiate a case by all its differentiable inputs at once and compare with central differences."""
    model = case.model
    names = [i.name for i in model.graph.input]
    if not case.data_sets:
        return Verdict("none", "no data")
    feeds = _feeds(case)
    outputs = [o.name for o, y in zip(model.graph.output, case.data_sets[0][1], strict=False) if is_float(y)]
    fixed = fixed_inputs(case)
    wrt = [name for name in names if is_float(feeds.get(name)) and name not in fixed]
    if not wrt or not outputs:
        return Verdict("none", "no floating input and output")
    try:
        found = sg.gradient_model(model, of=outputs, wrt=wrt)
    except sg.UnsupportedOperatorError as error:
        return Verdict("refused", str(error))
    generator = np.random.default_rng(seed)
    moved = {n: mapped(lambda a: _moved(a, generator), x) if n in wrt else x for n, x in feeds.items()}
    for given in (moved, feeds):
        verdict = _compared(model, found, given, outputs, wrt, generator)
        if verdict.kind == "right" or given is feeds:
            return verdict
        if verdict.kind == "wrong" and "not finite" not in verdict.detail and "run" not in verdict.detail:
            return verdict
    return verdict


def _feeds(case: Any) -> dict[str, Any]:
    names = [i.name for i in case.model.graph.input]
    given = zip(names, case.data_sets[0][0], strict=False)
    return {n: np.asarray(x) if isinstance(x, np.generic) else x for n, x in given}


def _moved(array: Array, generator: np.random.Generator) -> Array:
    """Numbers a little apart from those of the case, so that none stands on a kink or equals another."""
    wide = array.astype(np.float64)
    return (wide * (1 - 0.02 * generator.random(wide.shape)) + 1e-3 * generator.random(wide.shape)).astype(array.dtype)


def _compared(
    model: onnx.ModelProto,
    found: onnx.ModelProto,
    feeds: Arrays,
    outputs: Sequence[str],
    wrt: Sequence[str],
    generator: np.random.Generator,
) -> Verdict:
    positions = [i for i, o in enumerate(model.graph.output) if o.name in outputs]
    count = len(model.graph.output)

    def normal(x: Any) -> Any:
        return mapped(lambda a: generator.standard_normal(np.shape(a)), x)

    onnx.checker.check_model(found, full_check=True)
    try:
        runner = Runner(found)
        own = [y for i, y in enumerate(Runner(model)(feeds)) if i in positions]
    except Exception as error:
        return Verdict("wrong", f"does not run: {type(error).__name__} {str(error)[:200]}")
    seeds = [normal(y) for y in own]
    tangents = {name: normal(feeds[name]) for name in wrt}
    given = {
        f"cotangent.{n}": mapped(lambda a, y: a.astype(np.asarray(y).dtype), s, y)
        for n, s, y in zip(outputs, seeds, own, strict=True)
    }
    if len(outputs) == 1 and f"cotangent.{outputs[0]}" not in runner.names:
        seeds = [np.ones(())]
    try:
        results = runner({**feeds, **given})
    except Exception as error:
        return Verdict("wrong", f"gradient does not run: {type(error).__name__} {str(error)[:300]}")
    for name, g in zip(wrt, results[count:], strict=True):
        if mapped(np.shape, g) != mapped(np.shape, feeds[name]):
            return Verdict("wrong", f"grad.{name} has another shape")
    pulled = sum(inner(g, tangents[n]) for n, g in zip(wrt, results[count:], strict=True))
    if not np.isfinite(pulled):
        return Verdict("wrong", "not finite")
    narrow = min(_precision(feeds[n]) for n in wrt)
    if all(inner(tangents[n], tangents[n]) == 0 for n in wrt):
        return Verdict("right", "nothing to move")
    slope, error, place = _slope(model, feeds, tangents, positions, seeds)
    size = sum(
        np.sqrt(inner(g, g)) * np.sqrt(inner(tangents[n], tangents[n]))
        for n, g in zip(wrt, results[count:], strict=True)
    )
    bound = error + (2e-5 if narrow > 20 else 2e-2) * (abs(slope) + 0.1 * size) + 1e-9
    if not abs(pulled - slope) <= bound:
        return Verdict("wrong", f"vjp gives {pulled:.8g}, differences {slope:.8g} +- {error:.1g} ({place})")
    return Verdict("right", place)


def _precision(x: Any) -> int:
    if isinstance(x, list):
        return min((_precision(v) for v in x), default=52)
    import ml_dtypes

    return int(ml_dtypes.finfo(x.dtype).nmant)


def _slope(
    model: onnx.ModelProto, feeds: Arrays, tangents: Arrays, positions: Sequence[int], seeds: Sequence[Any]
) -> tuple[float, float, str]:
    """The derivative of the seeded outputs along the tangents by central differences, and how sure that is."""

    def at(dtype: Any, step: float) -> dict[str, Any]:
        def moved(a: Array, t: Array) -> Array:
            return np.asarray(np.asarray(a, np.float64) + step * t).astype(dtype or a.dtype)

        point = dict(feeds)
        for name, x in feeds.items():
            if name in tangents:
                point[name] = mapped(moved, x, tangents[name])
            elif is_float(x) and dtype is not None:
                point[name] = mapped(lambda a: a.astype(dtype), x)
        return point

    def along(run: Runner, dtype: Any, step: float) -> float:
        def seeded(point: Arrays) -> float:
            found = [y for i, y in enumerate(run(point)) if i in positions]
            return sum(inner(s, y) for s, y in zip(seeds, found, strict=True))

        return (seeded(at(dtype, step)) - seeded(at(dtype, -step))) / (2 * step)

    try:
        run = Runner(doubled(model))
        near, far = along(run, np.float64, 1e-6), along(run, np.float64, 3e-6)
        if np.isfinite(near) and abs(near - far) <= 1e-4 * (abs(near) + 1):
            return near, abs(near - far), f"float64, {run.place}"
    except Exception:
        pass
    run = Runner(model)
    near, far = along(run, None, 2e-3), along(run, None, 5e-3)
    return near, 2 * abs(near - far) + 5e-3 * abs(near), f"own type, {run.place}"


def adjoint(case: Any, seed: int = 0) -> Verdict:
    """Whether `<g, jvp t> = <vjp g, t>` for a case that is differentiated right."""
    model = case.model
    names = [i.name for i in model.graph.input]
    feeds = _feeds(case)
    outputs = [o.name for o, y in zip(model.graph.output, case.data_sets[0][1], strict=False) if is_float(y)]
    fixed = fixed_inputs(case)
    wrt = [name for name in names if is_float(feeds.get(name)) and name not in fixed]
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
    narrow = min(_precision(feeds[n]) for n in wrt)
    if not abs(forward - backward) <= (1e-5 if narrow > 20 else 3e-2) * (size + abs(forward)) + 1e-6:
        return Verdict("wrong", f"<g, jvp t> = {forward:.8g}, <vjp g, t> = {backward:.8g}")
    return Verdict("right")
