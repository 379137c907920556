"""Values out of nothing: literals, filled tensors, ranges."""

from __future__ import annotations

import math

from staticgrad.graph import Array, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import common_dtype, dims_of, reshape_like
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.types import DType, TensorType, as_dtype, unknown


@onnx_op("Constant", type=lambda *, value: TensorType(as_dtype(value.dtype), value.shape), differentiable=False)
def constant_op(*, value: Array) -> Value:
    """A literal."""


def _filled(shape, *, value):
    target = dims_of(shape.content)
    dtype = as_dtype(value.dtype)
    require(value.shape == (1,), f"value must hold one element in shape [1], its shape is {list(value.shape)}")
    require(len(shape.type.shape) == 1, "the shape must be a list of int64")
    require(target is None or not any(isinstance(d, int) and d < 0 for d in target), "a size is negative")
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
    require(
        all(v.type.shape in ((), (1,)) for v in (start, limit, delta)), "start, limit and delta are one number each"
    )
    if all(constant_of(v) is not None for v in (start, limit, delta)):
        low, high, step = (v.node.attributes["value"].ravel() for v in (start, limit, delta))
        require(step[0] != 0, "a range with step 0 has no end")
        # The difference is rounded to the element type, as runtimes do.
        return TensorType(dtype, (max(math.ceil(float((high - low)[0]) / float(step[0])), 0),))
    if dtype.is_integer and start.content == 0 and delta.content == 1 and limit.content is not None:
        return TensorType(dtype, (limit.content,))
    return TensorType(dtype, (unknown(),))


@onnx_op("Range", type=_ranged)
def range_(start: Input, limit: Input, delta: Input) -> Value:
    """`start, start + delta, ...` up to but without `limit`."""


@range_.vjp
def _(g, y, start, limit, delta):
    # y_i = start + i delta; the limit only decides how many there are.
    steps = OPERATORS["Cast"](range_(0, OPERATORS["Size"](y), 1), to=g.type.dtype)
    total = OPERATORS["ReduceSum"](g, keepdims=False)
    return reshape_like(total, start), None, reshape_like(OPERATORS["ReduceSum"](g * steps, keepdims=False), delta)


def _square(x, *, dtype, k):
    require(len(x.type.shape) == 2, f"a matrix is expected, rank {len(x.type.shape)} came")
    return TensorType(dtype or x.type.dtype, x.type.shape)


@onnx_op("EyeLike", type=_square, differentiable=False)
def eye_like(x: Input, *, dtype: DType | None = None, k: int = 0) -> Value:
    """A matrix of the shape of `x` with ones on its k-th diagonal."""


def _triangle(x, k=None, *, upper):
    require(len(x.type.shape) > 1, f"a matrix or a batch of them is expected, rank {len(x.type.shape)} came")
    require(k is None or k.type.shape in ((), (1,)), "the diagonal must be one integer")
    return x.type


@onnx_op("Trilu", type=_triangle)
def trilu(x: Input, k: Input | None = None, *, upper: bool = True) -> Value:
    """The upper (or lower) triangle of the last two axes from the k-th diagonal on, zeros elsewhere."""


@trilu.vjp
def _(g, y, x, k, *, upper):
    return trilu(g, k, upper=upper), None


def _nonzero(x):
    # ONNX and runtimes do not agree on rank 0.
    require(bool(x.type.shape), "a tensor of rank 1 or more is expected")
    return TensorType(DType.int64, (len(x.type.shape), unknown()))


@onnx_op("NonZero", type=_nonzero, differentiable=False)
def nonzero(x: Input) -> Value:
    """The positions of the elements that are not zero, one column each."""
