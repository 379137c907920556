"""Compare the gradient of a model with differences of what it computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx

from staticgrad.errors import DeclarationError, FeedError, GradientError, RunError, shown
from staticgrad.graph import Array, Value
from staticgrad.models.columns import aligned, type_text
from staticgrad.models.gradient import gradient_model, initial_of
from staticgrad.models.model import ModelLike, chosen
from staticgrad.models.running import Runner, opened_at
from staticgrad.models.widening import doubled
from staticgrad.onnx_reader import Source, load, read
from staticgrad.origin import source_line
from staticgrad.types import OpaqueType, TensorType

RIGHT, WRONG, KINK, UNSURE = "right", "wrong", "kink", "unsure"
_POINTS = 4
_SIZE = 3
_PREFIX = "checked"


@dataclass(frozen=True)
class Check:
    """The derivative along a random direction of one input or parameter, by the gradient and by differences.

    `error` is their distance, `uncertainty` how far the differences can be trusted. The verdict is "right", "wrong",
    "kink" (no point was found where the model is smooth) or "unsure" (the differences say too little).
    """

    name: str
    type: str
    gradient: float
    difference: float
    error: float
    uncertainty: float
    verdict: str


@dataclass(frozen=True)
class GradientCheck:
    """The checks of all inputs and parameters; printed, a table."""

    model: str
    precision: str
    checks: tuple[Check, ...]

    @property
    def right(self) -> bool:
        """Whether no gradient is wrong."""
        return all(check.verdict != WRONG for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers."""
        return {**asdict(self), "right": self.right}

    def __str__(self) -> str:
        rows = [
            (c.name, c.type, f"{c.gradient:.7g}", f"{c.difference:.7g}", f"{c.error:.1e}", c.verdict)
            for c in self.checks
        ]
        table = aligned([("name", "type", "gradient", "difference", "error", "verdict"), *rows])
        return f"{self.model}: derivatives along random directions; differences in {self.precision}\n{table}"


class _Point(NamedTuple):
    """Where a model is differentiated, in which directions, and what its outputs are weighted with."""

    feeds: dict[str, Array]
    tangents: dict[str, Array]
    seeds: list[Array]


def check_gradient(
    model: ModelLike,
    of: str | Iterable[str] | None = None,
    wrt: str | Iterable[str] | None = None,
    *,
    feeds: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient of a model with central differences, along a random direction of each input and parameter.

    The gradient is that of `gradient_model`, in the model's own types; the differences are in float64 where the model
    runs in it. Inputs that `feeds` does not give are random if they are floating, and 0 or False otherwise; `sizes`
    are those of named dimensions (default: 3). Where a random point turns out to lie on a kink, another is taken.
    """
    source = load(model)
    reading = read(source)
    names = {**reading.inputs, **reading.parameters}
    if wrt is None:
        states = {n for n, x in reading.parameters.items() if getattr(x.node, "kind", "") == "state"}
        wanted = [n for n, x in names.items() if x.type.dtype.is_float and n not in states]
        wanted = [n for n in wanted if not isinstance(names[n].type, OpaqueType)]
        if not wanted:
            raise GradientError(f"{source.name} has neither floating inputs nor parameters ({source_line()})")
    else:
        wanted = list(chosen(wrt, names, "wrt", source.name))
    if of is None:
        outputs = [n for n, y in reading.outputs.items() if y.type.dtype.is_float]
    else:
        outputs = list(chosen(of, reading.outputs, "of", source.name))
    if not outputs:
        raise GradientError(f"{source.name} has no floating output, so it has no gradient ({source_line()})")
    gradient = _gradient(source, model, outputs, wanted)
    generator = np.random.default_rng(seed)
    base = _feeds(reading.inputs, feeds or {}, sizes or {}, generator, source.name)
    opened = opened_at(source, [n for n in wanted if n in reading.parameters])
    base |= initial_of({n: reading.parameters[n] for n in wanted if n in reading.parameters})
    question = _Question(source.name, opened, gradient, outputs, wanted, list(reading.outputs))
    random = [n for n in wanted if n in reading.inputs and n not in (feeds or {})]
    return question.answered(base, random, generator, names)


def _gradient(source: Source, model: ModelLike, of: Sequence[str], wrt: Sequence[str]) -> onnx.ModelProto:
    """The gradient of a model, that of a gradient by its cotangents too: names of these would clash with others."""
    if not any(f"cotangent.{name}" in wrt for name in of):
        return gradient_model(model, of, wrt, _PREFIX)
    renamed = opened_at(source, [])
    named = {o.name: o for o in source.proto.graph.output}
    for number, name in enumerate(of):
        renamed.graph.node.add(op_type="Identity", input=[name], output=[f"{_PREFIX}.{number}"])
        output = renamed.graph.output.add(name=f"{_PREFIX}.{number}")
        output.type.CopyFrom(named[name].type)
    return gradient_model(renamed, [f"{_PREFIX}.{number}" for number in range(len(of))], wrt, _PREFIX)


class _Question:
    """A model and its gradient, and ways to run them."""

    def __init__(
        self,
        name: str,
        model: onnx.ModelProto,
        gradient: onnx.ModelProto,
        outputs: Sequence[str],
        wrt: Sequence[str],
        all_outputs: Sequence[str],
    ) -> None:
        self.name = name
        self.outputs = outputs
        self.wrt = wrt
        self.positions = [all_outputs.index(n) for n in outputs]
        # What is in front of the gradients.
        self.count = len(gradient.graph.output) - len(wrt)
        self.own = Runner(model)
        inside = [n for n in wrt if n in _names(gradient)]
        opened = opened_at(Source(gradient, name, None), inside)
        self.gradient = Runner(opened, faster=True)
        self.wide = _runner_in_float64(model)
        self.wide_gradient = _runner_in_float64(opened)

    def answered(
        self,
        base: dict[str, Array],
        random: Sequence[str],
        generator: np.random.Generator,
        names: Mapping[str, Value],
    ) -> GradientCheck:
        """The checks at the point, or at further ones where the model has kinks."""
        results: dict[str, Check] = {}
        wide = self._trusted(base)
        for attempt in range(_POINTS):
            feeds = dict(base)
            for name in self.wrt if attempt else ():
                feeds[name] = _moved(base[name], generator, name in random)
            for check in self._at(feeds, generator, names, wide):
                if results.get(check.name) is None or results[check.name].verdict in (KINK, UNSURE):
                    results[check.name] = check
            if all(c.verdict not in (KINK, UNSURE) for c in results.values()):
                break
        precision = "float64" if wide else "the types of the model"
        return GradientCheck(self.name, precision, tuple(results[n] for n in self.wrt))

    def _trusted(self, feeds: Mapping[str, Array]) -> bool:
        """Whether the model in float64 computes what the model computes."""
        try:
            own = [self.own(feeds)[i] for i in self.positions]
        except RunError as error:
            raise RunError(
                f"{self.name} does not run on these numbers; give feeds that it takes: {error} ({source_line()})"
            ) from error
        again = [self.own(feeds)[i] for i in self.positions]
        if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(own, again, strict=True)):
            raise GradientError(
                f"{self.name} draws other numbers in every run, so differences say nothing ({source_line()})"
            )
        if any(not np.isfinite(np.asarray(y, np.float64)).all() for y in own):
            raise GradientError(
                f"{self.name} gives numbers that are not finite here; give other feeds ({source_line()})"
            )
        if self.wide is None:
            return False
        try:
            found = [self.wide(_widened(feeds))[i] for i in self.positions]
        except RunError:
            return False
        return all(
            a.shape == b.shape and np.allclose(np.asarray(a, np.float64), b, 2e-2, 2e-3)
            for a, b in zip(own, found, strict=True)
        )

    def _at(
        self, feeds: dict[str, Array], generator: np.random.Generator, names: Mapping[str, Value], wide: bool
    ) -> list[Check]:
        own = [self.own(feeds)[i] for i in self.positions]
        seeds = [np.asarray(generator.standard_normal(y.shape)).astype(y.dtype) for y in own]
        formal = [n for n in self.gradient.names if n.startswith(f"{_PREFIX}.cotangent.")]
        given = dict(zip(formal, seeds, strict=bool(formal)))
        if not formal:
            seeds = [np.ones((), own[0].dtype)]
        try:
            found = self.gradient({**feeds, **given})[self.count :]
        except RunError as error:
            raise RunError(f"the gradient of {self.name} does not run: {error} ({source_line()})") from error
        checks = []
        for name, g in zip(self.wrt, found, strict=True):
            tangent = generator.standard_normal(g.shape)
            point = _Point(feeds, {name: tangent}, seeds)
            pulled = float((np.asarray(g, np.float64) * tangent).sum())
            size = float(np.linalg.norm(np.asarray(g, np.float64)) * np.linalg.norm(tangent))
            slope = self._slope(point, wide)
            precise = min(_digits(x.dtype) for x in (feeds[name], *own)) > 20
            check = _judged(name, names[name].type, pulled, size, slope, precise)
            if check.verdict == WRONG and wide and self._is_right_in_float64(name, {**feeds, **given}, tangent, slope):
                # Where large numbers cancel, the types of the model hold too few digits.
                check = replace(check, verdict=RIGHT)
            checks.append(check)
        return checks

    def _is_right_in_float64(self, name: str, feeds: Mapping[str, Array], tangent: Array, slope: _Slope) -> bool:
        """Whether the same gradient in float64 is that of the differences."""
        if self.wide_gradient is None:
            return False
        try:
            g = self.wide_gradient(_widened(feeds))[self.count + list(self.wrt).index(name)]
        except RunError:
            return False
        pulled = float((np.asarray(g, np.float64) * tangent).sum())
        return abs(pulled - slope.value) <= 1e-4 * abs(slope.value) + slope.uncertainty

    def _along(self, point: _Point, step: float, wide: bool) -> float:
        """What the weighted outputs add up to, a step away from the point."""
        run = self.own if self.wide is None or not wide else self.wide
        feeds = _widened(point.feeds) if wide else dict(point.feeds)
        for name, t in point.tangents.items():
            moved = np.asarray(point.feeds[name], np.float64) + step * t
            feeds[name] = np.asarray(moved if wide else moved.astype(point.feeds[name].dtype))
        found = [run(feeds)[i] for i in self.positions]
        pairs = zip(point.seeds, found, strict=True)
        return sum(float((np.asarray(s, np.float64) * np.asarray(y, np.float64)).sum()) for s, y in pairs)

    def _slope(self, point: _Point, wide: bool) -> _Slope:
        """The derivative by differences, with the steps that give it most surely."""
        best: _Slope | None = None
        here = self._along(point, 0, wide)
        # Kernels that compute in float32 all the same need long steps.
        for step in (1e-6, 1e-4, 2e-3) if wide else (2e-3, 1e-2):
            low, high, far_low, far_high = (self._along(point, factor * step, wide) for factor in (-1, 1, -2.5, 2.5))
            near, far = (high - low) / (2 * step), (far_high - far_low) / (5 * step)
            rounding = 1e-15 * abs(here) / step if wide else 0.0
            bend = abs((high - here) - (here - low)) / step
            smooth = bend <= max(1e-3, 50 * step) * abs(near) + 10 * rounding + 1e-5
            found = _Slope(near, 2 * abs(near - far) + rounding, smooth)
            if best is None or found.uncertainty < best.uncertainty:
                best = found
            if found.uncertainty <= 1e-6 * abs(near) + 1e-9:
                break
        assert best is not None
        return best


def _runner_in_float64(model: onnx.ModelProto) -> Runner | None:
    """The model in float64; None where it does not run in it."""
    try:
        return Runner(doubled(model), approximate=True)
    except RunError:
        return None


class _Slope(NamedTuple):
    """A derivative by differences, how sure it is, and whether the model is smooth there."""

    value: float
    uncertainty: float
    smooth: bool


def _judged(name: str, type: TensorType, pulled: float, size: float, slope: _Slope, precise: bool) -> Check:
    error = abs(pulled - slope.value)
    rounding = (2e-5 if precise else 2e-2) * (abs(slope.value) + 0.1 * size) + 1e-9
    near = error <= rounding + slope.uncertainty
    if not np.isfinite(pulled):
        verdict = WRONG
    elif error <= rounding or (near and slope.uncertainty <= 0.05 * (abs(pulled) + 0.1 * size)):
        verdict = RIGHT
    elif not slope.smooth:
        verdict = KINK
    elif near:
        verdict = UNSURE
    else:
        verdict = WRONG
    return Check(name, type_text(type), pulled, slope.value, error, slope.uncertainty, verdict)


def _names(model: onnx.ModelProto) -> set[str]:
    return {t.name for t in model.graph.initializer}


def _feeds(
    inputs: Mapping[str, Value],
    given: Mapping[str, Any],
    sizes: Mapping[str, int],
    generator: np.random.Generator,
    model: str,
) -> dict[str, Array]:
    """An array for every input."""
    for name in given:
        if name not in inputs:
            raise DeclarationError(f"{model} has no input {shown(name)}; it has {', '.join(inputs)} ({source_line()})")
    found = {}
    for name, value in inputs.items():
        type = value.type
        initial = getattr(value.node, "initial", None)
        if name in given:
            array = np.asarray(given[name])
            if array.dtype != type.dtype.numpy or len(array.shape) != len(type.shape):
                raise FeedError(
                    f"the input {name!r} is {type_text(type)}, the feed {array.dtype}{list(array.shape)} "
                    f"({source_line()})"
                )
            found[name] = array
        elif initial is not None:
            found[name] = np.asarray(initial)
        elif isinstance(type, OpaqueType):
            raise DeclarationError(f"the input {name!r} is {type}, which cannot be made up ({source_line()})")
        else:
            shape = [d if isinstance(d, int) else sizes.get(str(d).removeprefix("?"), _SIZE) for d in type.shape]
            made = generator.standard_normal(shape) if type.dtype.is_float else np.zeros(shape)
            found[name] = np.asarray(made).astype(type.dtype.numpy)
    return found


def _moved(array: Array, generator: np.random.Generator, random: bool) -> Array:
    """Another point: anywhere for a random input, nearby for numbers that mean something."""
    if random:
        return np.asarray(generator.standard_normal(array.shape)).astype(array.dtype)
    wide = np.asarray(array, np.float64)
    moved = wide * (1 + 0.02 * generator.random(wide.shape)) + 5e-3 * generator.random(wide.shape)
    return np.asarray(moved).astype(array.dtype)


def _widened(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {n: x.astype(np.float64) if _is_float(x.dtype) else x for n, x in feeds.items()}


def _is_float(dtype: Any) -> bool:
    return bool(dtype.kind == "f" or dtype == ml_dtypes.bfloat16)


def _digits(dtype: Any) -> int:
    return int(ml_dtypes.finfo(dtype).nmant)  # type: ignore[no-untyped-call]
