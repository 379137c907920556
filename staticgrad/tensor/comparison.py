"""PyTorch's functions whose result is a truth value."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import Operand, value
from staticgrad.types import DType


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
