"""PyTorch's elementwise functions over the operators."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import DeclarationError
from staticgrad.graph import Value, source_line
from staticgrad.ops.kinds import with_derivative, without_derivative
from staticgrad.ops.registry import literal, plain, promote
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
def add(x: Operand, other: Operand, alpha: float = 1) -> Value:
    """`x + alpha * other`."""
    return ops.add(x, _scaled(other, alpha))


@function
def sub(x: Operand, other: Operand, alpha: float = 1) -> Value:
    """`x - alpha * other`."""
    return ops.sub(x, _scaled(other, alpha))


def _scaled(other: Operand, alpha: float) -> Operand:
    if alpha == 1:
        return other
    return ops.mul(other, alpha) if isinstance(other, Value) else other * alpha


@function
def mul(x: Operand, other: Operand) -> Value:
    """`x * other`."""
    return ops.mul(x, other)


@function
def div(x: Operand, other: Operand) -> Value:
    """`x / other`; the quotient of integers is floating."""
    if isinstance(x, Value) and x.type.dtype.is_float:
        return ops.div(x, other)
    if isinstance(other, Value) and other.type.dtype.is_float:
        return ops.div(x, other)
    return ops.div(floating(x), floating(other))


@function
def floor_divide(x: Operand, other: Operand) -> Value:
    """`x / other` rounded down; the derivative is 0."""
    a, b = promote(_operands(x, other))
    if a.type.dtype.is_float:
        # The exact quotient is rounded down, not the rounded one: 1.0 // 0.1 is 9. Division by 0 gives what / gives.
        rest = ops.mod(a, b, fmod=True)
        towards_zero = ops.round(ops.div(ops.sub(a, rest), b))
        exact = ops.where(_of_wrong_sign(rest, b), ops.sub(towards_zero, 1), towards_zero)
        return without_derivative(ops.where(ops.equal(b, 0), ops.div(a, b), exact))
    return ops.div(ops.sub(a, ops.mod(a, b)), b)


@function
def remainder(x: Operand, other: Operand) -> Value:
    """`x - other * floor(x / other)`, with the sign of `other`."""
    a, b = promote(_operands(x, other))
    if not a.type.dtype.is_float:
        return ops.mod(a, b)
    rest = ops.mod(a, b, fmod=True)
    # fmod is exact and has the sign of a; where that is the wrong one the divisor is added once.
    return ops.where(_of_wrong_sign(rest, b), ops.add(rest, b), rest)


def _of_wrong_sign(rest: Value, divisor: Value) -> Value:
    opposite = ops.logical_xor(ops.less(rest, 0), ops.less(divisor, 0))
    return ops.logical_and(opposite, ops.logical_not(ops.equal(rest, 0)))


@function
def fmod(x: Operand, other: Operand) -> Value:
    """The remainder of `x / other` with the sign of `x`."""
    x, other = promote(_operands(x, other))
    return ops.mod(x, other, fmod=True)


def _operands(x: Operand, other: Operand) -> list[Value]:
    like = next((v.type.dtype for v in (x, other) if isinstance(v, Value)), None)
    return [v if isinstance(v, Value) else literal(v, like) for v in (x, other)]


@function
def pow(x: Operand, exponent: Operand) -> Value:
    """`x ** exponent`."""
    exponent = plain(exponent)
    if isinstance(exponent, (int, float)) and isinstance(x, Value):
        if exponent < 0 or isinstance(exponent, float):
            x = floating(x)
        if exponent == 2:
            return ops.mul(x, x)
        if exponent == 0.5:
            return ops.sqrt(x)
    return ops.pow(x, exponent)


@function
def maximum(x: Operand, other: Operand) -> Value:
    """The larger of two elements; ties share the derivative evenly."""
    return ops.max(x, other)


@function
def minimum(x: Operand, other: Operand) -> Value:
    """The smaller of two elements; ties share the derivative evenly."""
    return ops.min(x, other)


@function
def clamp(x: Value, min: Operand | None = None, max: Operand | None = None) -> Value:
    """`x` limited to [min, max], numbers or tensors; the derivative passes at the bounds; where min > max, `max`."""
    if min is None and max is None:
        raise DeclarationError(f"clamp needs min or max ({source_line()})")
    min, max = plain(min), plain(max)
    if all(bound is None or isinstance(bound, (int, float)) for bound in (min, max)):
        if not x.type.dtype.is_float and any(isinstance(b, float) for b in (min, max)):
            x = floating(x)
        if x.type.dtype.is_float:
            # Without a bound runtimes take the largest finite number for it, and inf would not stay inf.
            return ops.clip(x, -math.inf if min is None else min, math.inf if max is None else max)
        return ops.clip(x, min, max)
    if min is not None:
        x, low = promote(_operands(x, min))
        x = ops.where(_or_nan(ops.less(x, low), low), low, x)
    if max is not None:
        x, high = promote(_operands(x, max))
        x = ops.where(_or_nan(ops.greater(x, high), high), high, x)
    return x


def _or_nan(beyond: Value, bound: Value) -> Value:
    return ops.logical_or(beyond, ops.isnan(bound)) if bound.type.dtype.is_float else beyond


@function
def where(condition: Value, x: Operand, other: Operand) -> Value:
    """`x` where the condition holds, else `other`; all broadcast."""
    x, other = promote(_operands(x, other))
    return ops.where(condition, x, other)


@function
def masked_fill(x: Value, mask: Value, number: Operand) -> Value:
    """`x` with `number` where `mask` holds."""
    return ops.where(mask, number, x)


@function
def lerp(x: Value, end: Value, weight: Operand) -> Value:
    """`x + weight * (end - x)`."""
    return x + weight * (end - x)


@function
def eq(x: Operand, other: Operand) -> Value:
    """`x == other`."""
    return ops.equal(x, other)


@function
def ne(x: Operand, other: Operand) -> Value:
    """`x != other`."""
    return ops.logical_not(ops.equal(x, other))


@function
def lt(x: Operand, other: Operand) -> Value:
    """`x < other`."""
    return ops.less(x, other)


@function
def le(x: Operand, other: Operand) -> Value:
    """`x <= other`."""
    return ops.less_or_equal(x, other)


@function
def gt(x: Operand, other: Operand) -> Value:
    """`x > other`."""
    return ops.greater(x, other)


@function
def ge(x: Operand, other: Operand) -> Value:
    """`x >= other`."""
    return ops.greater_or_equal(x, other)


@function
def logical_and(x: Value, other: Value | bool) -> Value:
    """Whether both are not zero."""
    return ops.logical_and(_truth(x), _truth(other))


@function
def logical_or(x: Value, other: Value | bool) -> Value:
    """Whether one or both are not zero."""
    return ops.logical_or(_truth(x), _truth(other))


@function
def logical_xor(x: Value, other: Value | bool) -> Value:
    """Whether exactly one is not zero."""
    return ops.logical_xor(_truth(x), _truth(other))


@function
def logical_not(x: Value) -> Value:
    """Whether `x` is zero."""
    return ops.logical_not(_truth(x))


def _truth(x: Value | bool) -> Value:
    x = value(x)
    return x if x.type.dtype is DType.bool else ops.cast(x, to=DType.bool)


@function
def isnan(x: Value) -> Value:
    """Whether an element is NaN."""
    return ops.isnan(x)


@function
def isinf(x: Value) -> Value:
    """Whether an element is infinite."""
    return ops.isinf(x)


@function
def isfinite(x: Value) -> Value:
    """Whether an element is neither infinite nor NaN."""
    return ops.logical_not(ops.logical_or(ops.isnan(x), ops.isinf(x)))


@function
def detach(x: Value) -> Value:
    """The same value, through which no derivative flows."""
    return without_derivative(x)
