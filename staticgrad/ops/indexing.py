"""Reading and writing by integer positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, GradientError, shown
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import (
    common_dtype,
    dims_of,
    full_like,
    is_half,
    normal_axis,
    reshape_like,
    shape_of,
    zeros_like,
)
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, expand, listed, reshape, shape, transpose, unsqueeze
from staticgrad.origin import source_line
from staticgrad.types import DType, TensorType, dims_agree, is_unknown, unknown


def _positions(indices):
    if indices.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"positions must be int32 or int64, {indices.type.dtype} came; cast with x.to('int64')")


def _gathered(x, indices, *, axis):
    _positions(indices)
    axis = normal_axis(axis, len(x.type.shape))
    return TensorType(x.type.dtype, (*x.type.shape[:axis], *indices.type.shape, *x.type.shape[axis + 1 :]))


def _gathered_content(x, indices, *, axis):
    if not isinstance(x.content, tuple) or indices.content is None:
        return None
    picked = [i for i in dims_of(indices.content) or () if isinstance(i, int) and -len(x.content) <= i < len(x.content)]
    if len(picked) != len(dims_of(indices.content) or ()):
        return None
    return tuple(x.content[i] for i in picked) if isinstance(indices.content, tuple) else x.content[picked[0]]


@onnx_op("Gather", type=_gathered, content=_gathered_content)
def gather(x: Input, indices: Input, *, axis: int = 0) -> Value:
    """The slices of `x` along `axis` at `indices`; negative ones count from the end."""


@gather.vjp
def _(g, y, x, indices, *, axis):
    # Rows are added up where they came from: the indexed axis goes to the front for that, and back.
    axis = normal_axis(axis, len(x.type.shape))
    count = len(indices.type.shape)
    order = (*range(axis, axis + count), *range(axis), *range(axis + count, len(y.type.shape)))
    front = (axis, *(i for i in range(len(x.type.shape)) if i != axis))
    zeros = zeros_like(x)
    where = unsqueeze(
        OPERATORS["Cast"](indices, to=DType.int64) if indices.type.dtype is DType.int32 else indices, [-1]
    )
    if axis == 0:
        return reduced_at(scatter_nd, zeros, where, g, "add"), None
    rows = reduced_at(scatter_nd, transpose(zeros, perm=front), where, transpose(g, perm=order), "add")
    return transpose(rows, perm=tuple(int(i) for i in np.argsort(front))), None


def _gathered_elements(x, indices, *, axis):
    _positions(indices)
    axis = normal_axis(axis, len(x.type.shape))
    require(len(indices.type.shape) == len(x.type.shape), "positions must have the rank of the tensor")
    _fits(x, indices, axis)
    return TensorType(x.type.dtype, indices.type.shape)


def _fits(x, indices, axis):
    for i, (n, d) in enumerate(zip(indices.type.shape, x.type.shape, strict=True)):
        fits = i == axis or dims_agree(n, d) or (isinstance(n, int) and isinstance(d, int) and n <= d)
        require(fits, f"positions have size {n} on axis {i} where the tensor has {d}")


@onnx_op("GatherElements", type=_gathered_elements)
def gather_elements(x: Input, indices: Input, *, axis: int = 0) -> Value:
    """For every element of `indices` the element of `x` at that position of `axis`."""


@gather_elements.vjp
def _(g, y, x, indices, *, axis):
    return reduced_at(scatter_elements, zeros_like(x), indices, g, "add", axis=axis), None


def _scattered(x, indices, updates, *, axis, reduction):
    _positions(indices)
    _known_reduction(reduction)
    common_dtype(x, updates)
    axis = normal_axis(axis, len(x.type.shape))
    require(len(indices.type.shape) == len(x.type.shape), "positions must have the rank of the tensor")
    _fits(x, indices, axis)
    _same_shape(updates, indices.type.shape)
    return x.type


def _same_shape(updates, expected):
    fits = len(updates.type.shape) == len(expected) and all(map(dims_agree, updates.type.shape, expected))
    require(fits, f"updates must have the shape {listed(expected)}")


@onnx_op("ScatterElements", type=_scattered)
def scatter_elements(x: Input, indices: Input, updates: Input, *, axis: int = 0, reduction: str = "none") -> Value:
    """`x` with `updates` written at positions `indices` of `axis`, or taken together with what is there by `reduction`.

    The reductions are "add", "mul", "max" and "min"; elements that are extreme together share the derivative evenly.
    Of several that are written ("none") to one position only the one that stays gets it.
    """


@scatter_elements.vjp
def _(g, y, x, indices, updates, *, axis, reduction):
    axis = normal_axis(axis, len(x.type.shape))

    def scatter(target: Value, source: Value, how: str) -> Value:
        return reduced_at(scatter_elements, target, indices, source, how, axis=axis)

    return _pulled_back(g, y, x, indices, updates, reduction, scatter, lambda v: gather_elements(v, indices, axis=axis))


def _batch_dims(x, indices, count):
    """The common leading dimensions of the tensor and its positions."""
    pairs = list(zip(x.type.shape[:count], indices.type.shape[:count], strict=False))
    require(0 <= count <= len(pairs), f"batch_dims={count} is more than the tensors have")
    for a, b in pairs:
        require(dims_agree(a, b), f"the leading dimensions {a} and {b} of the tensor and the positions do not agree")
    return tuple(b if is_unknown(a) else a for a, b in pairs)


def _gathered_nd(x, indices, *, batch_dims):
    _positions(indices)
    lead = _batch_dims(x, indices, batch_dims)
    require(len(indices.type.shape) > batch_dims, "the positions must have an axis behind the leading dimensions")
    return TensorType(x.type.dtype, (*lead, *_picked_shape(x.type.shape[batch_dims:], indices.type.shape[batch_dims:])))


def _picked_shape(shape, positions):
    """The shape of the slices of a tensor that the last axis of positions names."""
    depth = positions[-1] if positions else None
    require(isinstance(depth, int) and 0 < depth <= len(shape), "the last axis of the positions must index axes")
    return (*positions[:-1], *shape[depth:])


@onnx_op("GatherND", type=_gathered_nd)
def gather_nd(x: Input, indices: Input, *, batch_dims: int = 0) -> Value:
    """The slices of `x` at the positions in the last axis of `indices`; `batch_dims` leading axes go side by side."""


@gather_nd.vjp
def _(g, y, x, indices, *, batch_dims):
    return reduced_at(scatter_nd, zeros_like(x), _with_batch(indices, batch_dims), g, "add"), None


def _with_batch(indices, count):
    """Positions with those in the `count` leading axes written in front of them."""
    if not count:
        return indices
    rank = len(indices.type.shape)
    first = (*indices.type.shape[:-1], 1)
    if all(isinstance(d, int) for d in first):
        extent = constant(np.array(first, np.int64))
    else:
        extent = concat(shape(indices, start=0, end=rank - 1), constant(np.ones(1, np.int64)), axis=0)
    columns = []
    for axis in range(count):
        length = reshape(shape(indices, start=axis, end=axis + 1), [])
        numbers = reshape(OPERATORS["Range"](0, length, 1), [-1] + [1] * (rank - 1 - axis))
        columns.append(expand.apply((numbers, extent), {}, (TensorType(DType.int64, first),)).outputs[0])
    return concat(*columns, indices, axis=rank - 1)


def _scattered_nd(x, indices, updates, *, reduction):
    _positions(indices)
    _known_reduction(reduction)
    common_dtype(x, updates)
    _same_shape(updates, _picked_shape(x.type.shape, indices.type.shape))
    return x.type


@onnx_op("ScatterND", type=_scattered_nd)
def scatter_nd(x: Input, indices: Input, updates: Input, *, reduction: str = "none") -> Value:
    """`x` with slices `updates` written at `indices`, or taken together with what is there by `reduction`.

    The reductions and their derivatives are those of `scatter_elements`.
    """


@scatter_nd.vjp
def _(g, y, x, indices, updates, *, reduction):
    def scatter(target: Value, source: Value, how: str) -> Value:
        return reduced_at(scatter_nd, target, indices, source, how)

    return _pulled_back(g, y, x, indices, updates, reduction, scatter, lambda v: gather_nd(v, indices))


def reduced_at(
    scatter: Callable[..., Value], x: Value, indices: Value, updates: Value, reduction: str, **how: Any
) -> Value:
    """A scattering; one that reduces half precision does so in float32: sums need the room, and CPUs have no kernel."""
    dtype = x.type.dtype
    if reduction == "none" or not is_half(dtype):
        return scatter(x, indices, updates, reduction=reduction, **how)
    cast = OPERATORS["Cast"]
    wide = scatter(cast(x, to=DType.float32), indices, cast(updates, to=DType.float32), reduction=reduction, **how)
    result: Value = cast(wide, to=dtype)
    return result


def _known_reduction(reduction):
    if reduction not in ("none", "add", "mul", "max", "min"):
        raise DeclarationError(f"reduction={shown(reduction)} is not one of 'none', 'add', 'mul', 'max', 'min'")


def _pulled_back(g, y, x, indices, updates, reduction, scatter, gather):
    """The cotangents of a scattering: `scatter(target, source, reduction)` writes where `gather(value)` reads."""
    if reduction == "add":
        return g, None, gather(g)
    if reduction == "none":
        kept = scatter(g, zeros_like(updates), "none")
        arrived = gather(g)
        return kept, None, arrived if _are_distinct(indices) else _of_the_last(arrived, x, updates, scatter, gather)
    cast = OPERATORS["Cast"]
    if reduction == "mul":
        _refuse_fourth_derivative(y)
        factors = scatter(_ones_like(x), updates, "mul")
        return g * factors, None, gather(g * x) * _product_of_others(updates, factors, x, scatter, gather)
    mine = cast(OPERATORS["Equal"](x, y), to=x.type.dtype)
    theirs = cast(OPERATORS["Equal"](updates, gather(y)), to=x.type.dtype)
    share = g / OPERATORS["Max"](scatter(mine, theirs, "add"), 1)
    return mine * share, None, theirs * gather(share)


def _refuse_fourth_derivative(y):
    """Of four zeros at one position each has the three others for factors, which the derivatives leave out."""
    order, node = 0, y.node
    while node.derives_from is not None:
        order, node = order + 1, node.derives_from
    if order > 2:
        raise GradientError(
            f"a product at positions (reduction='mul'), declared at {y.source}, has derivatives up to the third only; "
            f"multiply with prod, or sg.stop_gradient it ({source_line()})"
        )


def _are_distinct(indices):
    """Whether positions are known to be different from each other: a range, the result of TopK, one position."""
    node = indices.node
    while node.op.name in ("Unsqueeze", "Cast", "Slice", "Reshape") and node.inputs[0] is not None:
        node = node.inputs[0].node
    return node.op.name in ("Range", "TopK")


def _of_the_last(arrived, x, updates, scatter, gather):
    """`arrived` where an update is the one that stayed at its position, else zeros: numbers show which that was."""
    count = OPERATORS["Size"](updates)
    numbers = reshape_like(OPERATORS["Range"](1, count + 1, 1), updates)
    nothing = OPERATORS["Cast"](zeros_like(x), to=DType.int64)
    stayed = OPERATORS["Equal"](gather(scatter(nothing, numbers, "none")), numbers)
    return OPERATORS["Where"](stayed, arrived, full_like(arrived, 0))


def _product_of_others(updates, factors, x, scatter, gather):
    """For each update the product of all others at its position.

    The quotient of the product by the update, but for zeros. One alone at its position leaves the product of those
    that are not zero; of two each has the other for a factor, and of three the two others, `a b = ((a + b)^2 - a^2 -
    b^2) / 2`: that is zero, but not in the derivatives of this derivative.
    """
    zero = OPERATORS["Equal"](updates, full_like(updates, 0))
    one = full_like(updates, 1)
    where = OPERATORS["Where"]
    quotient = gather(factors) / where(zero, one, updates)
    rest = gather(scatter(_ones_like(x), where(zero, one, updates), "mul"))
    count = gather(scatter(zeros_like(x), OPERATORS["Cast"](zero, to=x.type.dtype), "add"))
    zeros = where(zero, updates, full_like(updates, 0))
    squares = zeros * zeros
    other, others = (gather(scatter(zeros_like(x), z, "add")) - z for z in (zeros, squares))
    factors_of_zeros = full_like(rest, 0)
    for number, product in ((3, (other * other - others) * 0.5), (2, other), (1, one)):
        factors_of_zeros = where(OPERATORS["Equal"](count, full_like(count, number)), product, factors_of_zeros)
    return where(zero, rest * factors_of_zeros, quotient)


def _ones_like(x):
    value = {"value": np.ones(1, x.type.dtype.numpy)}
    return OPERATORS["ConstantOfShape"].apply((shape_of(x),), value, (x.type,)).outputs[0]


def _one_hot(indices, depth, values, *, axis):
    require(all(dims_agree(d, 1) for d in depth.type.shape) and len(depth.type.shape) < 2, "depth must be one integer")
    size = dims_of(depth.content)
    rank = len(indices.type.shape) + 1
    axis = normal_axis(axis, rank)
    require(len(values.type.shape) == 1 and dims_agree(values.type.shape[0], 2), "values are [off, on]")
    shape = indices.type.shape
    return TensorType(values.type.dtype, (*shape[:axis], size[0] if size else unknown(), *shape[axis:]))


@onnx_op("OneHot", type=_one_hot)
def one_hot(indices: Input, depth: Input, values: Input, *, axis: int = -1) -> Value:
    """`values = [off, on]`: on at the position along the new `axis` that the index names, off elsewhere."""


@one_hot.vjp
def _(g, y, indices, depth, values, *, axis):
    hot = one_hot(indices, depth, np.array([0, 1], g.type.dtype.numpy), axis=axis)
    shares = [reshape(reduce_sum(g * mask, keepdims=False), [1]) for mask in (1 - hot, hot)]
    return None, None, concat(*shares, axis=0)
