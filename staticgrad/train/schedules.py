"""Schedules: numbers that depend on the step, in the graph from the step counter, outside it from ints and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite, pi
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.registry import literal
from staticgrad.origin import SourceLine, source_line
from staticgrad.types import DType


def number(value: Any, name: str, least: float = -inf, below: float = inf) -> float:
    """`value` as a float; DeclarationError unless it is a finite number in [least, below)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise DeclarationError(f"{name} must be a number, {shown(value)} came ({source_line()})")
    if not isfinite(value):
        raise DeclarationError(f"{name} must be finite, {value} came ({source_line()})")
    if not least <= value < below:
        wanted = f"{least:g} or more" + (f" and below {below:g}" if below < inf else "")
        raise DeclarationError(f"{name} must be {wanted}, {value} came ({source_line()})")
    return float(value)


def steps(value: Any, name: str) -> int:
    """`value` as a number of steps; DeclarationError unless it is an int."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise DeclarationError(f"{name} must be a whole number of steps, {shown(value)} came ({source_line()})")
    return int(value)


class _InGraph:
    """numpy's names for the operators that schedules need, on Values of one element type."""

    minimum = staticmethod(ops.min)
    maximum = staticmethod(ops.max)
    floor = staticmethod(ops.floor)
    cos = staticmethod(ops.cos)

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def where(self, condition: Value, x: Any, y: Any) -> Value:
        # A choice between two Python numbers would be float32.
        x, y = (v if isinstance(v, Value) else literal(v, self.dtype) for v in (x, y))
        return ops.where(condition, x, y)


class Schedule:
    """A number for every step: `schedule(count)` for the step counter, or for an int or an array of them, to plot.

    `formula(t, math)` gives the number at `t`, a floating Value or array; `math` has numpy's functions for either.
    """

    def __init__(self, formula: Callable[[Any, Any], Any]) -> None:
        self.formula = formula

    def __call__(self, count: Any) -> Any:
        return self.at(count, DType.float32)

    def at(self, count: Any, dtype: DType) -> Any:
        """The number at `count`, computed in `dtype` where `count` is a Value, else in float64."""
        if isinstance(count, Value):
            result = self.formula(ops.cast(count, to=dtype), _InGraph(dtype))
            return result if isinstance(result, Value) else literal(result, dtype)
        t = np.asarray(count, np.float64)
        return np.broadcast_to(self.formula(t, np), t.shape)[()]


class _Joined(Schedule):
    """Schedules one after another; see `join_schedules`."""

    def __init__(self, schedules: Sequence[Callable[[Any], Any]], boundaries: Sequence[int]) -> None:
        self.schedules = schedules
        self.boundaries = boundaries
        self.source = source_line()

    def at(self, count: Any, dtype: DType) -> Any:
        """The number that the schedule in force gives at `count`."""
        if isinstance(count, Value):
            parts = [
                in_graph(schedule, count - start, dtype, self.source)
                for schedule, start in zip(self.schedules, (0, *self.boundaries), strict=True)
            ]
            result = parts[0]
            for boundary, part in zip(self.boundaries, parts[1:], strict=True):
                result = ops.where(ops.less(count, boundary), result, part)
            return result
        count = np.asarray(count)
        result = self.schedules[0](count)
        for boundary, schedule in zip(self.boundaries, self.schedules[1:], strict=True):
            result = np.where(count < boundary, result, schedule(count - boundary))
        return result[()]


def in_graph(schedule: Callable[[Any], Any], count: Value, dtype: DType, source: SourceLine) -> Value:
    """The number of a schedule at `count`, in `dtype`; what users' functions give is checked."""
    result = schedule.at(count, dtype) if isinstance(schedule, Schedule) else schedule(count)
    if not isinstance(result, Value):
        result = literal(number(result, "the result of a schedule"), dtype)
    return rate_value(result, f"the result of the schedule declared at {source}", dtype)


def rate_value(value: Value, name: str, dtype: DType) -> Value:
    """A Value as one number of type `dtype`."""
    if value.type.shape != ():
        raise ShapeError(f"{name} must be one number, it is {value.type}; reduce it ({value.source})")
    if not value.type.dtype.is_float:
        raise DTypeError(f"{name} must be floating, it is {value.type}; cast it with .float() ({value.source})")
    return value if value.type.dtype is dtype else ops.cast(value, to=dtype)


def constant_schedule(value: float) -> Schedule:
    """`value` at every step."""
    value = number(value, "value")
    return Schedule(lambda t, math: value)


def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """From `init_value` I to `end_value` E in `transition_steps` T steps after the first `transition_begin` B.

    (I - E) (1 - clamp(t - B, 0, T) / T)^power + E; I at every step where T is not positive.
    """
    first, last, power = number(init_value, "init_value"), number(end_value, "end_value"), number(power, "power", 0)
    length = steps(transition_steps, "transition_steps")
    begin = max(steps(transition_begin, "transition_begin"), 0)
    if length <= 0:
        return Schedule(lambda t, math: first)

    def formula(t: Any, math: Any) -> Any:
        left = 1 - math.minimum(math.maximum(t - begin, 0), length) / length
        return left**power * (first - last) + last

    return Schedule(formula)


def linear_schedule(init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Schedule:
    """`polynomial_schedule` of power 1."""
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


def cosine_decay_schedule(init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0) -> Schedule:
    """Half a cosine from `init_value` I to `alpha` I in `decay_steps` T steps (Loshchilov and Hutter 2017, SGDR).

    I ((1 - alpha) (1/2 + 1/2 cos(pi min(t, T) / T))^exponent + alpha)
    """
    first, alpha, exponent = number(init_value, "init_value"), number(alpha, "alpha"), number(exponent, "exponent", 0)
    length = number(decay_steps, "decay_steps")
    if length <= 0:
        raise DeclarationError(f"decay_steps must be positive, {decay_steps} came ({source_line()})")

    def formula(t: Any, math: Any) -> Any:
        fall = math.cos(math.minimum(t, length) * (pi / length)) * 0.5 + 0.5
        return fall**exponent * (first * (1 - alpha)) + first * alpha

    return Schedule(formula)


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """`init_value` decay_rate^(max(t - B, 0) / T) with T = `transition_steps` and B = `transition_begin`.

    `staircase` rounds the exponent down; the result stops at `end_value`. `init_value` at every step where
    `transition_steps` is not positive or `decay_rate` is 0.
    """
    first, rate = number(init_value, "init_value"), number(decay_rate, "decay_rate", 0)
    length = steps(transition_steps, "transition_steps")
    begin = max(steps(transition_begin, "transition_begin"), 0)
    last = None if end_value is None else number(end_value, "end_value")
    if length <= 0 or rate == 0:
        return Schedule(lambda t, math: first)

    def formula(t: Any, math: Any) -> Any:
        exponent = math.maximum(t - begin, 0) / length
        result = first * rate ** (math.floor(exponent) if staircase else exponent)
        if last is None:
            return result
        return math.maximum(result, last) if rate < 1 else math.minimum(result, last)

    return Schedule(formula)


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """`init_value` times the scales of all boundaries b <= t."""
    value = number(init_value, "init_value")
    pieces: list[tuple[int, float]] = []
    for boundary, scale in sorted((boundaries_and_scales or {}).items()):
        pieces.append((steps(boundary, "a boundary"), number(scale, "a scale", 0)))

    def formula(t: Any, math: Any) -> Any:
        result: Any = value
        product = value
        for boundary, scale in pieces:
            product *= scale
            result = math.where(t < boundary, result, product)
        return result

    return Schedule(formula)


def join_schedules(schedules: Sequence[Callable[[Any], Any]], boundaries: Sequence[int]) -> Schedule:
    """`schedules` one after another, the next from each of `boundaries` on; each counts from where it begins."""
    parts = list(schedules)
    for part in parts:
        if not callable(part):
            raise DeclarationError(f"schedules must be functions of the step, {shown(part)} came ({source_line()})")
    limits = [steps(boundary, "a boundary") for boundary in boundaries]
    if len(parts) != len(limits) + 1:
        raise DeclarationError(
            f"{len(parts)} schedules need {len(parts) - 1} boundaries between them, {len(limits)} came "
            f"({source_line()})"
        )
    return _Joined(parts, limits)


def warmup_constant_schedule(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    """Linear from `init_value` to `peak_value` in `warmup_steps`, which then stays."""
    return linear_schedule(init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    """Linear from `init_value` to `peak_value` in `warmup_steps`, then half a cosine to `end_value`.

    `decay_steps` is the length of the whole, warm-up included.
    """
    peak, last = number(peak_value, "peak_value"), number(end_value, "end_value")
    warmup, whole = steps(warmup_steps, "warmup_steps"), steps(decay_steps, "decay_steps")
    if whole <= warmup:
        raise DeclarationError(
            f"decay_steps must be more than warmup_steps, which it includes; {whole} and {warmup} came "
            f"({source_line()})"
        )
    cosine = cosine_decay_schedule(peak, whole - warmup, last / peak if peak else 0.0, exponent)
    return join_schedules([linear_schedule(init_value, peak, warmup), cosine], [warmup])
