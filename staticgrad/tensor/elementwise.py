"""PyTorch's elementwise functions of one operand."""

from __future__ import annotations

import math

import ml_dtypes

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative, without_derivative
from staticgrad.ops.registry import literal, plain
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.types import DType

Operand = Value | float


def value(x: Operand) -> Value:
    """A number as a literal, a Value as it is."""
    return x if isinstance(x, Value) else literal(plain(x))


def floating(x: Operand) -> Value:
    """`x`, cast to float32 if it holds integers or bools."""
    x = value(x)
    return x if x.type.dtype.is_float else ops.cast(x, to=DType.float32)


@function
def abs(x: Value) -> Value:
    """`|x|`; the derivative at 0 is 0."""
    return ops.abs(x)


@function
def neg(x: Value) -> Value:
    """`-x`."""
    return ops.neg(x)


@function
def sign(x: Value) -> Value:
    """-1, 0 or 1; bools stay."""
    return ops.identity(x) if x.type.dtype is DType.bool else ops.sign(x)


@function
def exp(x: Value) -> Value:
    """`e ** x`."""
    return ops.exp(floating(x))


@function
def exp2(x: Value) -> Value:
    """`2 ** x`."""
    return ops.exp(floating(x) * math.log(2))


@function
def expm1(x: Value) -> Value:
    """`exp(x) - 1`, exact near 0: `tanh(x / 2) * (exp(x) + 1)`."""
    x = floating(x)
    # exp overflows long before this matters, and inf * 1 is the right answer there.
    y = ops.tanh(x * 0.5) * (ops.exp(x) + 1)
    return with_derivative(y, [x], lambda g, y, x: g * ops.exp(x))


@function
def log(x: Value) -> Value:
    """The natural logarithm."""
    return ops.log(floating(x))


@function
def log2(x: Value) -> Value:
    """The logarithm to base 2."""
    return ops.log(floating(x)) / math.log(2)


@function
def log10(x: Value) -> Value:
    """The logarithm to base 10."""
    return ops.log(floating(x)) / math.log(10)


@function
def log1p(x: Value) -> Value:
    """`log(1 + x)`, exact near 0 (Kahan's correction by the rounding error of 1 + x)."""
    x = floating(x)
    u = x + 1
    endless = ops.isinf(u, detect_negative=False)
    tiny = ops.logical_or(ops.equal(u, 1), endless)
    corrected = ops.log(u) * (x / ops.where(tiny, 1, u - 1))
    y = ops.where(ops.equal(u, 1), x, ops.where(endless, u, corrected))
    return with_derivative(y, [x], lambda g, y, x: g / (1 + x))


@function
def sqrt(x: Value) -> Value:
    """The square root."""
    return ops.sqrt(floating(x))


@function
def rsqrt(x: Value) -> Value:
    """`1 / sqrt(x)`."""
    return ops.reciprocal(ops.sqrt(floating(x)))


@function
def reciprocal(x: Value) -> Value:
    """`1 / x`."""
    return ops.reciprocal(floating(x))


@function
def square(x: Value) -> Value:
    """`x * x`."""
    return ops.mul(x, x)


@function
def sin(x: Value) -> Value:
    """The sine of `x` in radians."""
    return ops.sin(floating(x))


@function
def cos(x: Value) -> Value:
    """The cosine of `x` in radians."""
    return ops.cos(floating(x))


@function
def tan(x: Value) -> Value:
    """The tangent of `x` in radians."""
    return ops.tan(floating(x))


@function
def asin(x: Value) -> Value:
    """The inverse sine, in radians."""
    return ops.asin(floating(x))


@function
def acos(x: Value) -> Value:
    """The inverse cosine, in radians."""
    return ops.acos(floating(x))


@function
def atan(x: Value) -> Value:
    """The inverse tangent, in radians."""
    return ops.atan(floating(x))


@function
def sinh(x: Value) -> Value:
    """The hyperbolic sine."""
    return ops.sinh(floating(x))


@function
def cosh(x: Value) -> Value:
    """The hyperbolic cosine."""
    return ops.cosh(floating(x))


@function
def tanh(x: Value) -> Value:
    """The hyperbolic tangent."""
    return ops.tanh(floating(x))


@function
def asinh(x: Value) -> Value:
    """The inverse hyperbolic sine."""
    return ops.asinh(floating(x))


@function
def acosh(x: Value) -> Value:
    """The inverse hyperbolic cosine."""
    return ops.acosh(floating(x))


@function
def atanh(x: Value) -> Value:
    """The inverse hyperbolic tangent."""
    return ops.atanh(floating(x))


@function
def erf(x: Value) -> Value:
    """The error function."""
    return ops.erf(floating(x))


@function
def floor(x: Value) -> Value:
    """The largest whole number not above `x`; the derivative is 0."""
    return ops.floor(x) if x.type.dtype.is_float else x


@function
def ceil(x: Value) -> Value:
    """The smallest whole number not below `x`; the derivative is 0."""
    return ops.ceil(x) if x.type.dtype.is_float else x


@function
def round(x: Value, decimals: int = 0) -> Value:
    """The nearest multiple of `10 ** -decimals`, halves to even; the derivative is 0."""
    if not isinstance(decimals, int):
        raise DeclarationError(f"round takes an int for decimals, {shown(decimals)} came ({source_line()})")
    if not x.type.dtype.is_float:
        return x
    if decimals == 0:
        return ops.round(x)
    scale = 10.0**decimals if decimals > 0 else 10.0**-decimals
    if decimals > 0:
        return ops.div(ops.round(ops.mul(x, scale)), scale)
    return ops.mul(ops.round(ops.div(x, scale)), scale)


@function
def trunc(x: Value) -> Value:
    """`x` without its fraction, rounded towards zero; the derivative is 0."""
    if not x.type.dtype.is_float:
        return x
    return ops.where(ops.less(x, 0), ops.ceil(x), ops.floor(x))


@function
def frac(x: Value) -> Value:
    """The fraction of `x`, `x - trunc(x)`, with its sign; the derivative is 1."""
    return ops.sub(x, trunc(x))


@function
def positive(x: Value) -> Value:
    """`x` as it is; bools are refused."""
    if x.type.dtype is DType.bool:
        raise DTypeError(f"positive takes numbers, bool came ({source_line()})")
    return ops.identity(x)


@function
def sgn(x: Value) -> Value:
    """-1, 0 or 1, as `sign`."""
    return sign(x)


@function
def sinc(x: Value) -> Value:
    """`sin(pi x) / (pi x)`, and 1 at 0."""
    x = floating(x) * math.pi
    square_of_x = x * x
    # Near 0 the quotient and its derivatives cancel; the series has them all.
    near = ops.less(square_of_x, 0.1)
    small = ops.where(near, square_of_x, 0)
    series = 1 - small / 210 * (1 - small / 272)
    for divisor in (156, 110, 72, 42, 20, 6):
        series = 1 - small / divisor * series
    away = ops.where(near, 1, x)
    return ops.where(near, series, ops.sin(away) / away)


@function
def logit(x: Value, eps: float | None = None) -> Value:
    """`log(x / (1 - x))`, of `x` limited to [eps, 1 - eps] where eps is given."""
    x = floating(x)
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    limited = x if eps is None else ops.clip(x, low, high)

    def rule(g: Value, _: Value, x: Value) -> Value:
        beyond = ops.logical_or(ops.less(x, low), ops.greater(x, high))
        inside = ops.where(beyond, 0.5, x)
        return ops.where(beyond, math.nan if eps is None else 0.0, ops.div(g, inside * (1 - inside)))

    return with_derivative(ops.log(ops.div(limited, 1 - limited)), [x], rule)


@function
def nan_to_num(x: Value, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Value:
    """`x` with numbers for NaN and the infinities: the largest and smallest of the type where none is given."""
    if not x.type.dtype.is_float:
        return x
    largest = float(ml_dtypes.finfo(x.type.dtype.numpy).max)  # type: ignore[no-untyped-call]
    high = largest if posinf is None else posinf
    low = -largest if neginf is None else neginf
    endless = ops.isinf(x)
    replaced = ops.where(ops.greater(x, 0), _number_like(x, high), _number_like(x, low))
    return ops.where(ops.isnan(x), 0.0 if nan is None else nan, ops.where(endless, replaced, x))


def _number_like(x: Value, number: float) -> Value:
    return literal(plain(number), x.type.dtype)


@function
def detach(x: Value) -> Value:
    """The same value, through which no derivative flows."""
    return without_derivative(x)


@function
def clone(x: Value) -> Value:
    """The same value; the derivative passes."""
    return ops.identity(x)


@function
def contiguous(x: Value) -> Value:
    """The same value: how it lies in memory is the runtime's business."""
    return ops.identity(x)
