"""Products over axes; their gradients do not divide by factors that are zero, in any order of differentiation."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import known_axes, literal_axes, numeric, reduced, reshape_like, shape_of
from staticgrad.ops.reduction import kept, reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require, shared_literal
from staticgrad.ops.shape import concat, expand, reshape, shape, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import DType


@onnx_op("ReduceProd", type=reduced)
def reduce_prod(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The product over `axes` (all without them)."""


@reduce_prod.vjp
def _(g, y, x, axes, **how):
    rank = len(x.type.shape)
    chosen = () if axes is None or axes.type.shape == (0,) else known_axes(axes, rank)
    if chosen is None:
        return kept(g, x, axes, **how) * _beside(x, axes, how["noop_with_empty_axes"]), None
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


def _beside(x, axes, noop_with_empty_axes):
    """For each element the product of those that are multiplied with it, over axes that only the run knows."""
    rank = len(x.type.shape)
    where = OPERATORS["Where"]
    marks = OPERATORS["ScatterElements"](
        constant(np.zeros(rank, np.int64)), axes, expand(constant(np.ones((), np.int64)), shape(axes)), axis=0
    )
    if not noop_with_empty_axes and not isinstance(axes.type.shape[0], int):
        marks = where(OPERATORS["Equal"](OPERATORS["Size"](axes), 0), constant(np.ones(rank, np.int64)), marks)
    one = constant(np.ones((), x.type.dtype.numpy))
    others, inner = one, x
    for axis in range(rank):
        chosen = OPERATORS["Equal"](slice_(marks, [axis], [axis + 1]), 1)
        before = cumprod(inner, axis, exclusive=True)
        others = others * where(chosen, before * cumprod(inner, axis, exclusive=True, reverse=True), one)
        inner = where(chosen, reduce_prod(inner, [axis], keepdims=True), inner)
    return others


def _multiplied(x, axis, **_):
    require(axis.type.shape in ((), (1,)), "the axis must be one integer")
    known_axes(axis, len(x.type.shape))
    return numeric(x)


@onnx_op("CumProd", type=_multiplied)
def cumprod(x: Input, axis: Input, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running products along `axis`."""


@cumprod.vjp
def _(g, y, x, axis, *, exclusive, reverse):
    """Without a division, so that zeros need no care.

    `dx[k] = (product before k) * r[k]` with `r[k] = g[k] + x[k+1] r[k+1]`; with `exclusive` that begins with `g[k+1]`.
    """
    if known_axes(axis, len(x.type.shape)) is None:
        layers = _layers(x, axis)
        x3, g3 = (reshape.apply((v, layers), {"allowzero": True}).outputs[0] for v in (x, g))
        return reshape_like(_cumprod_pulled(g3, x3, 1, exclusive, reverse), x), None
    (position,) = literal_axes(axis, len(x.type.shape))
    return _cumprod_pulled(g, x, position, exclusive, reverse), None


def _layers(x, axis):
    """The sizes of `x` in front of, along and behind an axis that only the run knows."""
    rank = len(x.type.shape)
    axis = OPERATORS["Cast"](reshape(axis, [1]), to=DType.int64)
    axis = OPERATORS["Where"](OPERATORS["Less"](axis, 0), axis + rank, axis)
    sizes = shape_of(x)
    product = OPERATORS["ReduceProd"]
    front, behind = slice_(sizes, [0], axis), slice_(sizes, axis + 1, [rank])
    return concat(product(front), OPERATORS["Gather"](sizes, axis), product(behind), axis=0)


def _cumprod_pulled(g, x, position, exclusive, reverse):
    turned = _flipped if reverse else lambda v, _: v
    x, g = turned(x, position), turned(g, position)
    before = cumprod(x, position, exclusive=True)
    if exclusive:
        g = _shifted(g, position, 1)
    size = x.type.shape[position]
    r = _recurrence(x, g, position, size) if isinstance(size, int) else _all_pairs(x, g, position)
    return turned(before * r, position)


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
