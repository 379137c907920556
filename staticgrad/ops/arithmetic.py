"""Arithmetic, element by element, with ONNX's multidirectional broadcasting."""

from __future__ import annotations

from functools import reduce

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value, constant_of
from staticgrad.ops.kinds import (
    broadcast,
    common_dtype,
    elementwise_content,
    floating,
    full_like,
    numeric,
    subtract_dims,
)
from staticgrad.ops.logic import equal, greater, greater_or_equal, less, less_or_equal, logical_and, where
from staticgrad.ops.math import log
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.types import DType, TensorType, add_dims, divide_dims, multiply_dims


@onnx_op("Add", type=broadcast, content=elementwise_content(add_dims), numpy=np.add, promotes=True)
def add(a: Input, b: Input) -> Value:
    """`a + b`."""


@add.vjp
def _(g, y, a, b):
    return g, g


@onnx_op("Sub", type=broadcast, content=elementwise_content(subtract_dims), numpy=np.subtract, promotes=True)
def sub(a: Input, b: Input) -> Value:
    """`a - b`."""


@sub.vjp
def _(g, y, a, b):
    return g, -g


@onnx_op("Mul", type=broadcast, content=elementwise_content(multiply_dims), numpy=np.multiply, promotes=True)
def mul(a: Input, b: Input) -> Value:
    """`a * b`."""


@mul.vjp
def _(g, y, a, b):
    return g * b, g * a


def _divided(a, b):
    return np.divide(a, b) if a.dtype.kind not in "iu" else None


@onnx_op("Div", type=broadcast, content=elementwise_content(divide_dims), numpy=_divided, promotes=True)
def div(a: Input, b: Input) -> Value:
    """`a / b`; of integers the quotient rounded towards zero."""


@div.vjp
def _(g, y, a, b):
    g = g / b
    return g, -(g * y)


def _remainder(a, b, *, fmod):
    type = broadcast(a, b)
    if type.dtype.is_float and not fmod:
        raise DTypeError("Mod of floating numbers needs fmod=True; sg.remainder has the sign of the divisor")
    return type


def _remainder_of_dims(a, b):
    """The remainder of two sizes; that of negative numbers depends on an attribute."""
    return a % b if isinstance(a, int) and isinstance(b, int) and a >= 0 and b > 0 else None


@onnx_op("Mod", type=_remainder, content=elementwise_content(_remainder_of_dims), promotes=True)
def mod(a: Input, b: Input, *, fmod: bool = False) -> Value:
    """The remainder of `a / b`: with the sign of `b`, or with `fmod=True` (needed for floats) with the sign of `a`."""


@mod.vjp
def _(g, y, a, b, *, fmod):
    # The quotient is locally constant; (a - y) / b is that whole number up to rounding.
    return g, -(g * round((a - y) / b))


@onnx_op("Neg", type=numeric, numpy=np.negative)
def neg(x: Input) -> Value:
    """`-x`."""


@neg.vjp
def _(g, y, x):
    return -g


@onnx_op("Abs", type=numeric, numpy=np.abs)
def abs(x: Input) -> Value:
    """`|x|`; the derivative at 0 is 0."""


@abs.vjp
def _(g, y, x):
    return g * sign(x)


@onnx_op("Sign", type=numeric, differentiable=False)
def sign(x: Input) -> Value:
    """-1, 0 or 1."""


@onnx_op("Reciprocal", type=floating, numpy=np.reciprocal)
def reciprocal(x: Input) -> Value:
    """`1 / x`."""


@reciprocal.vjp
def _(g, y, x):
    return -(g * y * y)


@onnx_op("Sqrt", type=floating, numpy=np.sqrt)
def sqrt(x: Input) -> Value:
    """The square root."""


@sqrt.vjp
def _(g, y, x):
    return g * 0.5 / y


def _powered(x, exponent):
    return np.power(x, exponent) if x.dtype.kind not in "iu" or (exponent >= 0).all() else None


@onnx_op("Pow", type=broadcast, numpy=_powered, promotes=True)
def pow(x: Input, exponent: Input) -> Value:
    """`x ** exponent`; by the exponent the derivative at x = 0 is 0 where the exponent is not negative."""


@pow.vjp
def _(g, y, x, exponent):
    number = constant_of(exponent)
    origin = equal(x, 0)
    if number is None:
        less_by_one = exponent - 1
    else:
        # A literal, so that higher derivatives see the number too.
        less_by_one = constant(number - number.dtype.type(1))
    base = x
    if number is None or not number.all():
        # 0 * 0**-1 would be NaN where the derivative of x**0 is 0.
        base = where(logical_and(origin, equal(exponent, 0)), 1, x)
    slope = exponent * pow(base, less_by_one)
    flat = logical_and(origin, greater_or_equal(exponent, 0))
    return g * slope, g * where(flat, 0, y * log(where(flat, 1, x)))


@onnx_op("Max", type=broadcast, numpy=lambda *xs: reduce(np.maximum, xs), promotes=True)
def max(*xs: Input) -> Value:
    """The elementwise maximum; ties share the derivative evenly."""


@max.vjp
def _(g, y, *xs):
    return _shared_by_ties(g, y, xs, less)


@onnx_op("Min", type=broadcast, numpy=lambda *xs: reduce(np.minimum, xs), promotes=True)
def min(*xs: Input) -> Value:
    """The elementwise minimum; ties share the derivative evenly."""


@min.vjp
def _(g, y, *xs):
    return _shared_by_ties(g, y, xs, greater)


def _shared_by_ties(g, y, xs, loses):
    if len(xs) == 1:
        return (g,)
    if len(xs) == 2:
        # By the operands alone: a runtime may round the result and not them.
        a, b = xs
        zero, half = full_like(y, 0), g * full_like(y, 0.5)
        return tuple(
            where(loses(mine, other), zero, where(equal(mine, other), half, g)) for mine, other in ((a, b), (b, a))
        )
    hits = [where(equal(x, y), full_like(y, 1), full_like(y, 0)) for x in xs]
    count = hits[0]
    for hit in hits[1:]:
        count = count + hit
    return tuple(g * (hit / count) for hit in hits)


def _floating_broadcast(*xs):
    for x in xs:
        floating(x)
    return broadcast(*xs)


@onnx_op("Sum", type=_floating_broadcast, promotes=True)
def sum(*xs: Input) -> Value:
    """The elementwise sum of all `xs`, which broadcast."""


@sum.vjp
def _(g, y, *xs):
    return tuple(g for _ in xs)


@onnx_op("Mean", type=_floating_broadcast, promotes=True)
def mean(*xs: Input) -> Value:
    """The elementwise mean of all `xs`, which broadcast."""


@mean.vjp
def _(g, y, *xs):
    return tuple(g / len(xs) for _ in xs)


def _clipped(x, low=None, high=None):
    common_dtype(x, low, high)
    for bound in (low, high):
        require(bound is None or bound.type.shape in ((), (1,)), "a bound is one number; sg.clamp takes tensors")
    return numeric(x)


@onnx_op("Clip", type=_clipped, weak=True)
def clip(x: Input, min: Input | None = None, max: Input | None = None) -> Value:
    """`x` limited to [min, max] (numbers); the derivative passes at the bounds; where min > max the result is max."""


@clip.vjp
def _(g, y, x, low, high):
    # A literal infinity bounds nothing.
    low, high = (None if _is_literally(b, e) else b for b, e in ((low, -np.inf), (high, np.inf)))
    inside = None
    for bound, compare in ((low, greater_or_equal), (high, less_or_equal)):
        if bound is not None:
            held = compare(x, bound)
            inside = held if inside is None else logical_and(inside, held)
    to_low = to_high = None
    if low is not None:
        held = less(x, low) if high is None else logical_and(less(x, low), less_or_equal(low, high))
        to_low = where(held, g, 0)
    if high is not None:
        held = greater(x if low is None else max(x, low), high)
        to_high = where(held, g, 0)
    return g if inside is None else where(inside, g, 0), to_low, to_high


def _is_literally(value, number):
    array = constant_of(value)
    return array is not None and bool((array == number).all())


@onnx_op("Floor", type=floating, numpy=np.floor, differentiable=False)
def floor(x: Input) -> Value:
    """The largest whole number not above `x`."""


@onnx_op("Ceil", type=floating, numpy=np.ceil, differentiable=False)
def ceil(x: Input) -> Value:
    """The smallest whole number not below `x`."""


@onnx_op("Round", type=floating, differentiable=False)
def round(x: Input) -> Value:
    """The nearest whole number, halves to even."""


def _cast_type(x, *, to, **_):
    return TensorType(to, x.type.shape)


def _cast_content(x, **_):
    return x.content if x.type.dtype.is_integer else None


@onnx_op("Cast", type=_cast_type, content=_cast_content)
def cast(x: Input, *, to: DType, round_mode: str = "up", saturate: bool = True) -> Value:
    """`x` with another element type; `round_mode` and `saturate` are for types of 8 bits, which are not here."""


@cast.vjp
def _(g, y, x, *, to, **_):
    if not (to.is_float and x.type.dtype.is_float):
        return None
    return cast(g, to=x.type.dtype)


def _cast_like_type(x, like, *, round_mode, saturate):
    return TensorType(like.type.dtype, x.type.shape)


@onnx_op("CastLike", type=_cast_like_type)
def cast_like(x: Input, like: Input, *, round_mode: str = "up", saturate: bool = True) -> Value:
    """`x` with the element type of `like`."""


@cast_like.vjp
def _(g, y, x, like, **_):
    return (cast(g, to=x.type.dtype) if y.type.dtype.is_float and x.type.dtype.is_float else None), None
