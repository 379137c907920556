"""Order along an axis: the largest elements, and products of all that come before."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.indexing import scatter_elements
from staticgrad.ops.kinds import dims_of, literal_axes, normal_axis, zeros_like
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require, shared_literal
from staticgrad.ops.shape import concat, expand, shape, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import DType, TensorType, unknown


def _largest(x, k, *, axis, largest, sorted):
    if x.type.dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came; cast with x.to('int64')")
    require(k.type.dtype is DType.int64 and k.type.shape == (1,), "k must be one int64 in a list")
    axis = normal_axis(axis, len(x.type.shape))
    count = dims_of(k.content)
    size = x.type.shape[axis]
    number = count[0] if count else unknown()
    if isinstance(number, int):
        require(number >= 0, f"k is {number}, which is negative")
        require(not isinstance(size, int) or number <= size, f"k is {number}, axis {axis} has only {size} elements")
    dims = (*x.type.shape[:axis], number, *x.type.shape[axis + 1 :])
    return TensorType(x.type.dtype, dims), TensorType(DType.int64, dims)


@onnx_op("TopK", type=_largest)
def topk(x: Input, k: Input, *, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Value, ...]:
    """The `k` largest (or smallest) elements along `axis` and where they stand, of equal ones the first."""


@topk.vjp
def _(gs, ys, x, k, *, axis, largest, sorted):
    g = gs[0]
    return None if g is None else scatter_elements(zeros_like(x), ys[1], g, axis=axis), None


def _multiplied(x, axis, **_):
    require(axis.type.shape in ((), (1,)), "the axis must be one integer")
    literal_axes(axis, len(x.type.shape))
    return x.type


@onnx_op("CumProd", type=_multiplied)
def cumprod(x: Input, axis: Input, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running products along `axis`."""


@cumprod.vjp
def _(g, y, x, axis, *, exclusive, reverse):
    """Without a division, so that zeros need no care.

    `dx[k] = (product before k) * r[k]` with `r[k] = g[k] + x[k+1] r[k+1]`; with `exclusive` that begins with `g[k+1]`.
    """
    (position,) = literal_axes(axis, len(x.type.shape))
    turned = _flipped if reverse else lambda v, _: v
    x, g = turned(x, position), turned(g, position)
    before = cumprod(x, axis, exclusive=True)
    if exclusive:
        g = _shifted(g, position, 1)
    size = x.type.shape[position]
    r = _recurrence(x, g, position, size) if isinstance(size, int) else _all_pairs(x, g, position)
    return turned(before * r, position), None


def _flipped(x, axis):
    return slice_(x, [-1], [-(2**62)], [axis], [-1])


def _shifted(x, axis, by):
    """`x[k + by]` at k, zeros behind the end."""
    amounts = [0] * (2 * len(x.type.shape))
    amounts[axis], amounts[axis + len(x.type.shape)] = -by, by
    return pad.apply((x, shared_literal(amounts, None), None, None), {"mode": "constant"}, (x.type,)).outputs[0]


def _recurrence(x, g, axis, size):
    """`r[k] = g[k] + x[k+1] r[k+1]` in log2(size) rounds, each of which doubles the reach of every element."""
    factor, total = _shifted(x, axis, 1) if size > 1 else x, g
    reach = 1
    while reach < size:
        total = total + factor * _shifted(total, axis, reach)
        factor = factor * _shifted(factor, axis, reach)
        reach *= 2
    return total


def _all_pairs(x, g, axis):
    """`r[k] = sum_(i >= k) g[i] product_(k < j <= i) x[j]`, for a size that only the run knows."""
    rank = len(x.type.shape)
    last = (*(i for i in range(rank) if i != axis), axis)
    x, g = transpose(x, perm=last), transpose(g, perm=last)
    length = OPERATORS["Squeeze"](shape(x, start=rank - 1), [0])
    numbers = OPERATORS["Range"](0, length, 1)
    row, column = unsqueeze(numbers, [1]), unsqueeze(numbers, [0])
    square = concat(shape(x), shape(x, start=rank - 1), axis=0)
    where = OPERATORS["Where"]
    factors = where(
        OPERATORS["Greater"](column, row), expand(unsqueeze(x, [rank - 1]), square), np.ones((), x.type.dtype.numpy)
    )
    terms = unsqueeze(g, [rank - 1]) * cumprod(factors, rank)
    behind = where(OPERATORS["Less"](column, row), np.zeros((), x.type.dtype.numpy), terms)
    return transpose(reduce_sum(behind, [rank], keepdims=False), perm=tuple(int(i) for i in np.argsort(last)))
