"""PyTorch's functions of several operands that broadcast against each other: arithmetic, bounds, choice."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import without_derivative
from staticgrad.ops.registry import constant, literal, plain, promote
from staticgrad.origin import source_line
from staticgrad.tensor.creation import filled
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import Operand, floating, trunc
from staticgrad.types import DType


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
def rsub(x: Operand, other: Operand, alpha: float = 1) -> Value:
    """`other - alpha * x`."""
    return ops.sub(other, _scaled(x, alpha))


@function
def div(x: Operand, other: Operand, rounding_mode: str | None = None) -> Value:
    """`x / other`; the quotient of integers is floating.

    With `rounding_mode` "floor" or "trunc" it is rounded down or towards zero, integers stay integers, and the
    derivative is 0.
    """
    if rounding_mode not in (None, "floor", "trunc"):
        raise DeclarationError(
            f"div takes rounding_mode None, 'floor' or 'trunc', {shown(rounding_mode)} came ({source_line()})"
        )
    if rounding_mode == "floor":
        return floor_divide(x, other)
    if rounding_mode == "trunc":
        a, b = promote(operands(x, other))
        if a.type.dtype.is_float:
            return without_derivative(trunc(ops.div(a, b)))
        # ONNX's quotient of integers is rounded towards zero.
        return ops.div(a, b)
    if isinstance(x, Value) and x.type.dtype.is_float:
        return ops.div(x, other)
    if isinstance(other, Value) and other.type.dtype.is_float:
        return ops.div(x, other)
    return ops.div(floating(x), floating(other))


@function
def true_divide(x: Operand, other: Operand) -> Value:
    """`x / other`, as `div`."""
    return div(x, other)


@function
def floor_divide(x: Operand, other: Operand) -> Value:
    """`x / other` rounded down; the derivative is 0."""
    a, b = promote(operands(x, other))
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
    a, b = promote(operands(x, other))
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
    x, other = promote(operands(x, other))
    return ops.mod(x, other, fmod=True)


def operands(x: Operand, other: Operand) -> list[Value]:
    """Both as Values; a number takes the element type of the other where that can hold it."""
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


def are_bools(x: Operand, other: Operand) -> bool:
    """Whether both operands are truth values."""
    return all((v.type.dtype is DType.bool) if isinstance(v, Value) else isinstance(v, bool) for v in (x, other))


@function
def maximum(x: Operand, other: Operand) -> Value:
    """The larger of two elements; ties share the derivative evenly."""
    return ops.logical_or(x, other) if are_bools(x, other) else ops.max(x, other)


@function
def minimum(x: Operand, other: Operand) -> Value:
    """The smaller of two elements; ties share the derivative evenly."""
    return ops.logical_and(x, other) if are_bools(x, other) else ops.min(x, other)


@function
def fmax(x: Operand, other: Operand) -> Value:
    """The larger of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
    a, b = promote(operands(x, other))
    return ops.where(_or_nan(ops.greater_or_equal(a, b), b), a, b)


@function
def fmin(x: Operand, other: Operand) -> Value:
    """The smaller of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
    a, b = promote(operands(x, other))
    return ops.where(_or_nan(ops.less_or_equal(a, b), b), a, b)


@function
def clamp_min(x: Value, min: Operand) -> Value:
    """`x` limited to `min` or more."""
    return clamp(x, min=min)


@function
def clamp_max(x: Value, max: Operand) -> Value:
    """`x` limited to `max` or less."""
    return clamp(x, max=max)


@function
def clamp(x: Value, min: Operand | None = None, max: Operand | None = None) -> Value:
    """`x` limited to [min, max], numbers or tensors; the derivative passes at the bounds; where min > max, `max`."""
    if min is None and max is None:
        raise DeclarationError(f"clamp needs min or max ({source_line()})")
    min, max = plain(min), plain(max)
    # Clip would ignore a bound that is NaN.
    if all(bound is None or (isinstance(bound, (int, float)) and not math.isnan(bound)) for bound in (min, max)):
        if not x.type.dtype.is_float and any(isinstance(b, float) for b in (min, max)):
            x = floating(x)
        if x.type.dtype.is_float:
            # Without a bound runtimes take the largest finite number for it, and inf would not stay inf.
            return ops.clip(x, -math.inf if min is None else min, math.inf if max is None else max)
        return ops.clip(x, min, max)
    if min is not None:
        x, low = promote(operands(x, min))
        x = ops.where(_or_nan(ops.less(x, low), low), low, x)
    if max is not None:
        x, high = promote(operands(x, max))
        x = ops.where(_or_nan(ops.greater(x, high), high), high, x)
    return x


def _or_nan(beyond: Value, bound: Value) -> Value:
    return ops.logical_or(beyond, ops.isnan(bound)) if bound.type.dtype.is_float else beyond


@function
def where(condition: Value, x: Operand, other: Operand) -> Value:
    """`x` where the condition holds, else `other`; all broadcast."""
    x, other = promote(operands(x, other))
    return _chosen(_condition(condition, "where"), x, other)


def _chosen(condition: Value, x: Operand, other: Operand) -> Value:
    """`Where`, for which runtimes have no kernel of bools."""
    if not isinstance(other, Value) or other.type.dtype is not DType.bool:
        return ops.where(condition, x, other)
    return ops.logical_or(ops.logical_and(condition, x), ops.logical_and(ops.logical_not(condition), other))


@function
def masked_fill(x: Value, mask: Value, value: Operand) -> Value:
    """`x` with `value`, a number or a tensor of rank 0, where `mask` holds; the element type stays that of `x`."""
    if isinstance(value, Value):
        if value.type.shape:
            raise ShapeError(f"masked_fill takes a number or a tensor of rank 0, {value.type} came ({source_line()})")
        if value.type.dtype is not x.type.dtype:
            value = ops.cast(value, to=x.type.dtype)
    elif isinstance(number := plain(value), (int, float)):
        value = constant(filled(number, x.type.dtype).reshape(()))
    return _chosen(_condition(mask, "masked_fill"), value, x)


def _condition(mask: Value, name: str) -> Value:
    if mask.type.dtype not in (DType.bool, DType.uint8):
        raise DTypeError(f"{name} takes bools as its condition, {mask.type} came; compare first ({source_line()})")
    return mask if mask.type.dtype is DType.bool else ops.cast(mask, to=DType.bool)


@function
def lerp(x: Value, end: Value, weight: Operand) -> Value:
    """`x + weight * (end - x)`."""
    return x + weight * (end - x)


@function
def addcmul(x: Value, tensor1: Value, tensor2: Value, value: float = 1) -> Value:
    """`x + value * tensor1 * tensor2`."""
    return ops.add(x, _scaled(ops.mul(tensor1, tensor2), value))


@function
def addcdiv(x: Value, tensor1: Value, tensor2: Value, value: float = 1) -> Value:
    """`x + value * tensor1 / tensor2`."""
    return ops.add(x, _scaled(div(tensor1, tensor2), value))
