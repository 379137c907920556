"""Values out of nothing: literals, filled tensors, ranges."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Array, Value, constant_of
from staticgrad.ops.kinds import common_dtype, dims_of, same
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.types import DType, TensorType, as_dtype, unknown


@onnx_op("Constant", type=lambda *, value: TensorType(as_dtype(value.dtype), value.shape), differentiable=False)
def constant_op(*, value: Array) -> Value:
    """A literal."""


def _filled(shape, *, value):
    target = dims_of(shape.content)
    dtype = as_dtype(value.dtype)
    if target is None:
        require(isinstance(shape.type.shape[0], int), "the number of dimensions must be known when declaring")
        return TensorType(dtype, tuple(unknown() for _ in range(shape.type.shape[0])))
    return TensorType(dtype, target)


def _filled_content(shape, *, value):
    count = shape.content[0] if isinstance(shape.content, tuple) and len(shape.content) == 1 else None
    return (int(value[0]),) * count if isinstance(count, int) and count <= 64 else None


@onnx_op("ConstantOfShape", type=_filled, content=_filled_content, differentiable=False)
def constant_of_shape(shape: Input, *, value: Array) -> Value:
    """A tensor of this shape filled with the one element of `value`."""


def _ranged(start, limit, delta):
    dtype = common_dtype(start, limit, delta)
    if all(constant_of(v) is not None for v in (start, limit, delta)):
        low, high, step = (v.node.attributes["value"].item() for v in (start, limit, delta))
        require(step != 0, "a range with step 0 has no end")
        return TensorType(dtype, (max(int(np.ceil((high - low) / step)), 0),))
    if dtype.is_integer and start.content == 0 and delta.content == 1 and limit.content is not None:
        return TensorType(dtype, (limit.content,))
    return TensorType(dtype, (unknown(),))


@onnx_op("Range", type=_ranged, differentiable=False)
def range_(start: Input, limit: Input, delta: Input) -> Value:
    """`start, start + delta, ...` up to but without `limit`."""


def _square(x, *, dtype, k):
    require(len(x.type.shape) == 2, f"a matrix is expected, rank {len(x.type.shape)} came")
    return TensorType(dtype or x.type.dtype, x.type.shape)


@onnx_op("EyeLike", type=_square, differentiable=False)
def eye_like(x: Input, *, dtype: DType | None = None, k: int = 0) -> Value:
    """A matrix of the shape of `x` with ones on its k-th diagonal."""


@onnx_op("Trilu", type=same)
def trilu(x: Input, k: Input | None = None, *, upper: bool = True) -> Value:
    """The upper (or lower) triangle of the last two axes from the k-th diagonal on, zeros elsewhere."""


@trilu.vjp
def _(g, y, x, k, *, upper):
    return trilu(g, k, upper=upper), None


def _nonzero(x):
    return TensorType(DType.int64, (len(x.type.shape), unknown()))


@onnx_op("NonZero", type=_nonzero, differentiable=False)
def nonzero(x: Input) -> Value:
    """The positions of the elements that are not zero, one column each."""
