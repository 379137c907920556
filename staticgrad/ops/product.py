"""Products over axes; their gradients do not divide by factors that are zero, in any order of differentiation."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import full_like, known_axes, literal_axes, numeric, reduced, with_derivative
from staticgrad.ops.logic import equal, greater, greater_or_equal, less, less_or_equal, logical_and, where
from staticgrad.ops.reduction import cumsum, kept, reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import reshape, shape, unsqueeze


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
    known_axes(axis, len(x.type.shape))
    return numeric(x)


@onnx_op("CumProd", type=_multiplied)
def cumprod(x: Input, axis: Input, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running products along `axis`."""


@cumprod.vjp
def _(g, y, x, axis, **how):
    (position,) = literal_axes(axis, len(x.type.shape))
    return _cotangent(g, x, position, how), None


def _cotangent(g, x, axis, how):
    """The sum over i of g_i times the product of all factors of y_i but x_k, for every k that is one of them.

    Without zeros that is the sum of g_i y_i over x_k. A first zero gets the sum of g_i y_i with itself left out of
    y; later ones get nothing, for the first stays in their products.
    """
    reverse = how["reverse"]
    zero = equal(x, 0)
    seen = cumsum(where(zero, full_like(x, 1), full_like(x, 0)), axis, reverse=reverse)
    first = logical_and(zero, equal(seen, 1))

    def following(values):
        return cumsum(values, axis, exclusive=how["exclusive"], reverse=not reverse)

    to_others = following(g * cumprod(x, axis, **how)) / where(zero, 1, x)
    to_first = following(g * cumprod(where(first, 1, x), axis, **how))
    return with_derivative(
        where(first, to_first, to_others), [g, x], lambda c, _, g, x: _second_cotangents(c, g, x, axis, how)
    )


def _second_cotangents(c, g, x, axis, how):
    """The same by g and x, from all products written out in a matrix: row k leaves out factor k."""
    rank = len(x.type.shape)
    size = x.type.shape[axis]
    numbers = constant(np.arange(size)) if isinstance(size, int) else OPERATORS["Range"](0, _size(x, axis), 1)
    rest = [1] * (rank - axis - 1)
    k, i = reshape(numbers, [-1, 1, *rest]), reshape(numbers, [1, -1, *rest])
    compare = {
        (False, False): greater_or_equal,
        (True, False): greater,
        (False, True): less_or_equal,
        (True, True): less,
    }[how["exclusive"], how["reverse"]]
    reached, left_out = compare(i, k), equal(i, k)
    factors = where(left_out, 1, unsqueeze(x, [axis]))
    c, g = unsqueeze(c, [axis + 1]), unsqueeze(g, [axis])
    products = where(reached, cumprod(factors, axis + 1, **how), 0)
    to_g = reduce_sum(c * products, [axis], keepdims=False)
    to_factors = _cotangent(where(reached, c * g, 0), factors, axis + 1, how)
    return to_g, reduce_sum(where(left_out, 0, to_factors), [axis], keepdims=False)


def _size(x, axis):
    return reshape(shape(x, start=axis, end=axis + 1), [])
