"""PyTorch's elementwise functions of one operand."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative, without_derivative
from staticgrad.ops.registry import literal, plain
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
    """-1, 0 or 1."""
    return ops.sign(x)


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
def round(x: Value) -> Value:
    """The nearest whole number, halves to even; the derivative is 0."""
    return ops.round(x) if x.type.dtype.is_float else x


@function
def detach(x: Value) -> Value:
    """The same value, through which no derivative flows."""
    return without_derivative(x)
