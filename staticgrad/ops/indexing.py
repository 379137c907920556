"""Reading and writing by integer positions."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DTypeError, UnsupportedOperatorError
from staticgrad.graph import Value, source_line
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import common_dtype, dims_of, normal_axis, zeros_like
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import concat, listed, reshape, transpose, unsqueeze
from staticgrad.types import Dim, DType, TensorType, is_unknown, unknown


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
        return scatter_nd(zeros, where, g, reduction="add"), None
    rows = scatter_nd(transpose(zeros, perm=front), where, transpose(g, perm=order), reduction="add")
    return transpose(rows, perm=tuple(int(i) for i in np.argsort(front))), None


def _gathered_elements(x, indices, *, axis):
    _positions(indices)
    axis = normal_axis(axis, len(x.type.shape))
    require(len(indices.type.shape) == len(x.type.shape), "positions must have the rank of the tensor")
    _fits(x, indices, axis)
    return TensorType(x.type.dtype, indices.type.shape)


def _fits(x, indices, axis):
    for i, (n, d) in enumerate(zip(indices.type.shape, x.type.shape, strict=True)):
        fits = i == axis or _agree(n, d) or (isinstance(n, int) and isinstance(d, int) and n <= d)
        require(fits, f"positions have size {n} on axis {i} where the tensor has {d}")


def _agree(a: Dim, b: Dim) -> bool:
    return a == b or is_unknown(a) or is_unknown(b)


@onnx_op("GatherElements", type=_gathered_elements)
def gather_elements(x: Input, indices: Input, *, axis: int = 0) -> Value:
    """For every element of `indices` the element of `x` at that position of `axis`."""


@gather_elements.vjp
def _(g, y, x, indices, *, axis):
    return scatter_elements(zeros_like(x), indices, g, axis=axis, reduction="add"), None


def _scattered(x, indices, updates, *, axis, reduction):
    _positions(indices)
    common_dtype(x, updates)
    axis = normal_axis(axis, len(x.type.shape))
    require(len(indices.type.shape) == len(x.type.shape), "positions must have the rank of the tensor")
    _fits(x, indices, axis)
    _same_shape(updates, indices.type.shape)
    return x.type


def _same_shape(updates, expected):
    fits = len(updates.type.shape) == len(expected) and all(map(_agree, updates.type.shape, expected))
    require(fits, f"updates must have the shape {listed(expected)}")


@onnx_op("ScatterElements", type=_scattered)
def scatter_elements(x: Input, indices: Input, updates: Input, *, axis: int = 0, reduction: str = "none") -> Value:
    """`x` with `updates` written (or added) at positions `indices` of `axis`; doubled positions only when adding."""


@scatter_elements.vjp
def _(g, y, x, indices, updates, *, axis, reduction):
    arrived = gather_elements(g, indices, axis=axis)
    if reduction == "add":
        return g, None, arrived
    _only_none(reduction, "ScatterElements")
    kept = scatter_elements(g, indices, zeros_like(updates), axis=axis)
    return kept, None, arrived


def _gathered_nd(x, indices, *, batch_dims):
    _positions(indices)
    if batch_dims != 0:
        raise UnsupportedOperatorError(f"GatherND with batch_dims={batch_dims} is not supported; use batch_dims=0")
    return TensorType(x.type.dtype, _picked_shape(x, indices))


def _picked_shape(x, indices):
    """The shape of the slices of `x` that the last axis of `indices` names."""
    depth = indices.type.shape[-1] if indices.type.shape else None
    require(isinstance(depth, int) and 0 < depth <= len(x.type.shape), "the last axis of the positions must index axes")
    return (*indices.type.shape[:-1], *x.type.shape[depth:])


@onnx_op("GatherND", type=_gathered_nd)
def gather_nd(x: Input, indices: Input, *, batch_dims: int = 0) -> Value:
    """The slices of `x` at the positions in the last axis of `indices`."""


@gather_nd.vjp
def _(g, y, x, indices, *, batch_dims):
    return scatter_nd(zeros_like(x), indices, g, reduction="add"), None


def _scattered_nd(x, indices, updates, *, reduction):
    _positions(indices)
    common_dtype(x, updates)
    _same_shape(updates, _picked_shape(x, indices))
    return x.type


@onnx_op("ScatterND", type=_scattered_nd)
def scatter_nd(x: Input, indices: Input, updates: Input, *, reduction: str = "none") -> Value:
    """`x` with slices `updates` written (or added) at `indices`; doubled positions only when adding."""


@scatter_nd.vjp
def _(g, y, x, indices, updates, *, reduction):
    arrived = gather_nd(g, indices)
    if reduction == "add":
        return g, None, arrived
    _only_none(reduction, "ScatterND")
    return scatter_nd(g, indices, zeros_like(updates)), None, arrived


def _only_none(reduction, name):
    if reduction != "none":
        raise UnsupportedOperatorError(
            f"{name} with reduction={reduction!r} has no gradient rule; use 'add' or 'none' ({source_line()})"
        )


def _one_hot(indices, depth, values, *, axis):
    require(depth.type.shape in ((), (1,)), "depth must be one integer")
    size = dims_of(depth.content)
    rank = len(indices.type.shape) + 1
    axis = normal_axis(axis, rank)
    require(len(values.type.shape) == 1 and _agree(values.type.shape[0], 2), "values are [off, on]")
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
