"""Reading at positions: gather, index_select, take, and what a mask selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array, boolean
from staticgrad.eager.errors import EagerError
from staticgrad.eager.index import getitem
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.shape import broadcast_to, reshape
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def positions_of(name: str, index: Tensor, size: int, least: int = 0) -> Array:
    """A copy of the positions; they must be integers from `least` on, below the size."""
    if index.dtype.kind not in "iu":
        raise EagerError(f"{name} with an index of {index.dtype}: expected integers")
    if index.array.size and not (index.array.min() >= least and index.array.max() < size):
        raise EagerError(f"{name} with an index out of range: expected {least} to {size - 1}")
    return index.array.astype(np.int64)


def grid_of(shape: tuple[int, ...], axis: int, index: Array) -> tuple[Array, ...]:
    """Positions of every element of `index`: its own in all dimensions but `axis`, there what it says."""
    grid: list[Array] = list(np.ix_(*(np.arange(n) for n in shape)))
    grid[axis] = index
    return tuple(grid)


def check_fits(name: str, input: Tensor, axis: int, index: Tensor) -> None:
    """Refuse an index that is larger than the tensor in another dimension than `axis`."""
    if index.ndim != input.ndim or any(
        n > m for i, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if i != axis
    ):
        raise EagerError(
            f"{name} with an index of shape {list(index.shape)} for {list(input.shape)}: expected as many dimensions, "
            f"and sizes that are not larger except in dim {axis}"
        )


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """y[i, j] = x[i, index[i, j]] for dim 1 (alike for others); the shape is that of the index. No broadcasting."""
    shape = input.shape
    if not input.ndim or not index.ndim:
        found = gather(reshape(input, input.shape or (1,)), dim, reshape(index, index.shape or (1,)))
        return reshape(found, index.shape)
    if not index.array.size:
        return result(np.zeros(index.shape, input.dtype), (input, lambda g: np.zeros(shape, g.dtype)), (index, None))
    axis = axis_of(dim, input.ndim)
    check_fits("gather", input, axis, index)
    where = grid_of(index.shape, axis, positions_of("gather", index, shape[axis]))

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        np.add.at(z, where, g)
        return z

    return result(input.array[where], (input, back), (index, None))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices at the positions of a vector `index`, in its order. A copy."""
    if index.ndim > 1:
        raise EagerError(f"index_select with an index of shape {list(index.shape)}: expected a vector")
    if not input.ndim:
        return reshape(index_select(reshape(input, (1,)), 0, index), ())
    axis = axis_of(dim, input.ndim)
    where = (slice(None),) * axis + (np.atleast_1d(positions_of("index_select", index, input.shape[axis])),)
    return getitem(input, where)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at the positions of the index; negative ones count from the end."""
    return getitem(reshape(input, (-1,) if input.array.size else (0,)), index)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` of tensors that broadcast in all dimensions but `dim`; without it, of both flattened."""
    if dim is None:
        return take(input, reshape(indices, (indices.array.size,)))
    if input.ndim != indices.ndim:
        raise EagerError(f"take_along_dim with indices of {indices.ndim} dimensions: expected {input.ndim}")
    if not input.ndim:
        return gather(input, 0, indices)
    axis = axis_of(dim, input.ndim)
    try:
        common = list(np.broadcast_shapes(*((*x.shape[:axis], 1, *x.shape[axis + 1 :]) for x in (input, indices))))
    except ValueError:
        raise EagerError(f"take_along_dim: {list(input.shape)} and {list(indices.shape)} do not broadcast") from None
    own = [(*common[:axis], x.shape[axis], *common[axis + 1 :]) for x in (input, indices)]
    return gather(broadcast_to(input, own[0]), axis, broadcast_to(indices, own[1]))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector; tensor and mask are broadcast. A copy."""
    if mask.dtype != boolean:
        raise EagerError(f"masked_select with a mask of {mask.dtype}: expected bool")
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape) or (1,)
    except ValueError:
        raise EagerError(
            f"masked_select: {list(input.shape)} and a mask of {list(mask.shape)} do not broadcast"
        ) from None
    return getitem(broadcast_to(input, shape), broadcast_to(mask, shape))
