"""Products over axes; their gradients do not divide by factors that are zero, in any order of differentiation."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import literal_axes, numeric, reduced
from staticgrad.ops.reduction import kept, reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require, shared_literal
from staticgrad.ops.shape import concat, expand, shape, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_


@onnx_op("ReduceProd", type=reduced)
def reduce_prod(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The product over `axes` (all without them)."""


@reduce_prod.vjp
def _(g, y, x, axes, **how):
    rank = len(x.type.shape)
    chosen = () if axes is None else literal_axes(axes, rank)
    if not chosen and not how["noop_with_empty_axes"]:
        chosen = tuple(range(rank))
    others, inner = None, x
    for axis in chosen:
        # All factors but one: those beside it along this axis, and the products of the other lines.
        before = cumprod(inner, axis, exclusive=True)
        beside = before * cumprod(inner, axis, exclusive=True, reverse=True)
        others = beside if others is None else others * beside
        inner = reduce_prod(inner, [axis], keepdims=True)
    g = kept(g, x, axes, **how)
    return g if others is None else g * others, None


def _multiplied(x, axis, **_):
    require(axis.type.shape in ((), (1,)), "the axis must be one integer")
    literal_axes(axis, len(x.type.shape))
    return numeric(x)


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
