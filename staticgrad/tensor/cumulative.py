"""PyTorch's running sums and products, and differences of neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import is_half, shape_of
from staticgrad.ops.layout import numbers_along
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import floating
from staticgrad.tensor.reduction import axes, summable
from staticgrad.tensor.shape import axis_of, cat
from staticgrad.types import DType


@function
def cumsum(x: Value, dim: int, dtype: object = None) -> Value:
    """Running sums along `dim`; of bools and integers in int64."""
    chosen, x = axes(x, dim), summable(x, dtype)
    return x if chosen is None else _wide(x, lambda x: ops.cumsum(x, chosen[0]))


@function
def cumprod(x: Value, dim: int, dtype: object = None) -> Value:
    """Running products along `dim`; of bools and integers in int64."""
    chosen, x = axes(x, dim), summable(x, dtype)
    return x if chosen is None else ops.cumprod(x, chosen[0])


def _wide(x: Value, running: Callable[[Value], Value]) -> Value:
    """A running sum, in float32 of half precision: long sums have no room there, and runtimes no kernel."""
    if not is_half(x.type.dtype):
        return running(x)
    return ops.cast(running(ops.cast(x, to=DType.float32)), to=x.type.dtype)


@function
def logcumsumexp(x: Value, dim: int) -> Value:
    """`log(cumsum(exp(x)))` along `dim`, without overflow.

    All pairs of elements along `dim` are held at once.
    """
    x = floating(x)
    chosen = axes(x, dim)
    if chosen is None:
        return x
    (axis,) = chosen
    numbers = numbers_along(x, axis)
    rest = [1] * (len(x.type.shape) - axis - 1)
    reached = ops.less_or_equal(ops.reshape(numbers, [1, -1, *rest]), ops.reshape(numbers, [-1, 1, *rest]))
    return ops.reduce_log_sum_exp(ops.where(reached, ops.unsqueeze(x, [axis]), -math.inf), [axis + 1], keepdims=False)


@function
def diff(x: Value, n: int = 1, dim: int = -1, prepend: Value | None = None, append: Value | None = None) -> Value:
    """Differences of neighbours along `dim`, `n` times, after `prepend` and `append` are put before and behind."""
    if not isinstance(n, int) or n < 0:
        raise DeclarationError(f"diff takes an int of 0 or more for n, {shown(n)} came ({source_line()})")
    if not x.type.shape:
        raise ShapeError(f"diff takes a tensor of rank 1 or more, {x.type} came ({source_line()})")
    axis = axis_of(x, dim)
    if n == 0:
        return ops.identity(x)
    parts = [p for p in (prepend, x, append) if p is not None]
    if len(parts) > 1:
        x = cat([_line(p, x, axis) for p in parts], axis)
    for _ in range(n):
        later, earlier = ops.slice_(x, [1], [2**62], [axis]), ops.slice_(x, [0], [-1], [axis])
        x = ops.logical_xor(later, earlier) if x.type.dtype is DType.bool else ops.sub(later, earlier)
    return x


def _line(part: Value, x: Value, axis: int) -> Value:
    """A part to put beside `x`; a number fills one place along `axis`."""
    if part.type.shape:
        return part
    one = ops.slice_(x, [0], [1], [axis])
    return ops.expand(part, shape_of(one))
