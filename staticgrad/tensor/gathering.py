"""PyTorch's functions that read at positions."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.errors import DTypeError, ShapeError
from staticgrad.graph import Value, constant_of
from staticgrad.ops.kinds import shape_of
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import axis_of
from staticgrad.tensor.windows import at_least_rank_1, common_extent
from staticgrad.types import DType, TensorType, dims_agree, unknown


def refuse_nowhere(x: Value, axis: int, index: Value) -> None:
    """Refuse positions along a dimension that has none."""
    if x.type.shape[axis] == 0 and all(isinstance(d, int) and d for d in index.type.shape):
        raise ShapeError(f"dimension {axis} of {x.type} has no positions, indices {index.type} came ({source_line()})")


@function
def gather(input: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Value:
    """For every element of `index` the element of `input` at that position of `dim`.

    `sparse_grad` is how PyTorch stores the gradient, which here is always dense.
    """
    axis = axis_of(input, dim)
    if 0 in index.type.shape:
        nothing = ops.slice_(ops.reshape(input, [-1]), [0], [0])
        return ops.reshape(nothing, shape_of(index), allowzero=True)
    ranked = at_least_rank_1(input)
    refuse_nowhere(ranked, axis, index)
    found = ops.gather_elements(ranked, at_least_rank_1(index), axis=axis)
    return found if index.type.shape else ops.reshape(found, [])


@function
def index_select(input: Value, dim: int, index: Value) -> Value:
    """The slices of `input` along `dim` at the positions of a vector."""
    if len(index.type.shape) > 1:
        raise ShapeError(f"index_select takes a vector of positions, {index.type} came ({source_line()})")
    axis, ranked = axis_of(input, dim), at_least_rank_1(input)
    refuse_nowhere(ranked, axis, index)
    found = ops.gather(ranked, at_least_rank_1(index), axis=axis)
    return found if input.type.shape else ops.reshape(found, [])


@function
def take(input: Value, index: Value) -> Value:
    """The elements of the flattened `input` at the positions `index`."""
    return _taken(input, index)


def _taken(input: Value, index: Value) -> Value:
    line = ops.reshape(input, [-1]) if 0 not in input.type.shape else ops.reshape(input, [0], allowzero=True)
    refuse_nowhere(line, 0, index)
    return ops.gather(line, index, axis=0)


@function
def take_along_dim(input: Value, indices: Value, dim: int | None = None) -> Value:
    """`gather` of tensors that broadcast in all dimensions but `dim`; without it, of both flattened."""
    if dim is None:
        return _taken(input, ops.reshape(indices, [-1]))
    axis = axis_of(input, dim)
    if len(input.type.shape) != len(indices.type.shape):
        raise ShapeError(
            f"take_along_dim takes indices of the rank of the tensor, {input.type} and {indices.type} came "
            f"({source_line()})"
        )
    if not input.type.shape:
        return gather(input, 0, indices)
    shapes = [(*v.type.shape[:axis], *v.type.shape[axis + 1 :]) for v in (input, indices)]
    if shapes[0] != shapes[1]:
        input, indices = (
            ops.expand(input, common_extent(input, indices, axis)),
            ops.expand(indices, common_extent(indices, input, axis)),
        )
    refuse_nowhere(input, axis, indices)
    return ops.gather_elements(input, indices, axis=axis)


@function
def masked_select(input: Value, mask: Value) -> Value:
    """The elements of `input` where `mask` holds, as a vector whose size only the run knows."""
    if mask.type.dtype is not DType.bool:
        raise DTypeError(f"a mask is bool, {mask.type} came ({source_line()})")
    if input.type.shape != mask.type.shape:
        input, mask = ops.expand(input, shape_of(mask)), ops.expand(mask, shape_of(input))
    places = ops.nonzero(at_least_rank_1(mask))
    return ops.gather_nd(at_least_rank_1(input), ops.transpose(places, perm=(1, 0)))


def positions_of_mask(mask: Value, x: Value, axis: int) -> list[Value]:
    """For each dimension of a mask, which lies on those of `x` from `axis` on, where it holds."""
    sizes = x.type.shape[axis : axis + len(mask.type.shape)]
    if len(sizes) < len(mask.type.shape) or any(
        not dims_agree(a, b) for a, b in zip(mask.type.shape, sizes, strict=True)
    ):
        raise ShapeError(f"a boolean mask {mask.type} does not fit {x.type} from dimension {axis} on ({source_line()})")
    array = constant_of(mask)
    if array is not None:
        return [constant(places) for places in np.nonzero(array)]
    places = ops.nonzero(mask)
    count = unknown()
    row = TensorType(DType.int64, (count,))
    zero = {"axis": 0}
    return [
        ops.gather.apply((places, constant(np.array(i))), zero, (row,)).outputs[0] for i in range(len(mask.type.shape))
    ]
