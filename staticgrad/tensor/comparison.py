"""PyTorch's functions whose result is a truth value."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.kinds import shape_of
from staticgrad.tensor.arithmetic import are_bools
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import Operand, value
from staticgrad.types import DType


def _ordered(x: Operand, other: Operand) -> tuple[Operand, Operand]:
    """Operands that have an order: of truth values that of 0 and 1."""
    if are_bools(x, other):
        return ops.cast(value(x), to=DType.int32), ops.cast(value(other), to=DType.int32)
    return x, other


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
    return ops.less(*_ordered(x, other))


@function
def le(x: Operand, other: Operand) -> Value:
    """`x <= other`."""
    return ops.less_or_equal(*_ordered(x, other))


@function
def gt(x: Operand, other: Operand) -> Value:
    """`x > other`."""
    return ops.greater(*_ordered(x, other))


@function
def ge(x: Operand, other: Operand) -> Value:
    """`x >= other`."""
    return ops.greater_or_equal(*_ordered(x, other))


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
    return ops.isnan(x) if x.type.dtype.is_float else _everywhere(x, False)


@function
def isinf(x: Value) -> Value:
    """Whether an element is infinite."""
    return ops.isinf(x) if x.type.dtype.is_float else _everywhere(x, False)


@function
def isfinite(x: Value) -> Value:
    """Whether an element is neither infinite nor NaN."""
    if not x.type.dtype.is_float:
        return _everywhere(x, True)
    return ops.logical_not(ops.logical_or(ops.isnan(x), ops.isinf(x)))


def _everywhere(x: Value, answer: bool) -> Value:
    return ops.constant_of_shape(shape_of(x), value=np.full(1, answer))
