"""The same elements another way: repeated, shifted, along a diagonal, in windows, by another name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.index import getitem
from staticgrad.eager.reduce import Dims, axis_of
from staticgrad.eager.shape import Sizes, movedim, numbers_of, repeat, reshape, split, transpose
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Reshaped to the shape of another tensor."""
    return reshape(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Reshaped to the shape of another tensor."""
    return reshape(input, other.shape)


def tile(input: Tensor, *dims: Sizes) -> Tensor:
    """`repeat`; missing numbers stand for 1 in front."""
    counts = numbers_of("tile", dims, None)
    return repeat(input, (*((1,) * (input.ndim - len(counts))), *counts))


def _read(input: Tensor, take: Any) -> Tensor:
    """The elements that `take` picks from an array; the gradient is added where they came from."""
    numbers = take(np.arange(input.array.size).reshape(input.shape))
    shape, size = input.shape, input.array.size

    def back(g: Array) -> Array:
        z = np.zeros(size, g.dtype)
        np.add.at(z, numbers.ravel(), g.ravel())
        return z.reshape(shape)

    return result(take(input.array), (input, back))


def repeat_interleave(
    input: Tensor, repeats: int | Sequence[int] | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element along a dimension several times in a row; without `dim` of the flattened tensor."""
    counts = np.asarray(repeats)
    axis = 0 if dim is None else axis_of(dim, input.ndim)
    flat = reshape(input, (input.array.size,)) if dim is None or not input.ndim else input
    if counts.ndim > 1 or (counts.size and (counts.dtype.kind not in "iu" or counts.min() < 0)):
        raise EagerError(f"repeat_interleave with repeats {repeats!r}: expected integers from 0 on")
    if counts.size not in (1, flat.shape[axis]):
        raise EagerError(f"repeat_interleave with {counts.size} repeats: expected 1 or {flat.shape[axis]}")
    y = _read(flat, lambda a: np.repeat(a, counts.astype(np.int64), axis))
    if output_size not in (None, y.shape[axis]):
        raise EagerError(f"repeat_interleave with output_size={output_size}: there are {y.shape[axis]}")
    return y


def roll(input: Tensor, shifts: Sizes, dims: Dims = None) -> Tensor:
    """The elements moved on along dimensions, those at the end to the front; without `dims` in the flattened tensor."""
    amounts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or (not isinstance(dims, int) and not len(dims)):
        if len(amounts) != 1:
            raise EagerError(f"roll by {shifts}: expected as many dims as shifts")
        return result(np.roll(input.array, amounts[0]), (input, lambda g: np.roll(g, -amounts[0])))
    axes = tuple(axis_of(d, input.ndim) for d in ((dims,) if isinstance(dims, int) else dims))
    if len(axes) != len(amounts):
        raise EagerError(f"roll by {shifts} along {dims}: expected as many dims as shifts")
    if not input.ndim:
        return result(input.array.copy(), (input, lambda g: g))
    back = tuple(-n for n in amounts)
    return result(np.roll(input.array, amounts, axes), (input, lambda g: np.roll(g, back, axes)))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal between two dimensions, as a last dimension; `offset` > 0 lies above. A copy."""
    a, b = _two("diagonal", input.ndim, dim1, dim2)
    return _read(input, lambda x: np.diagonal(x, offset, a, b).copy())


def _two(name: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    a, b = axis_of(dim1, ndim), axis_of(dim2, ndim)
    if a == b:
        raise EagerError(f"{name} between dims {dim1} and {dim2}: expected two different ones")
    return a, b


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over two new dimensions with the last one of the tensor on a diagonal, zeros elsewhere."""
    if not input.ndim:
        raise EagerError("diag_embed of a 0-dim tensor: expected at least one dimension")
    a, b = _two("diag_embed", input.ndim + 1, dim1, dim2)
    n = input.shape[-1]
    rows, columns = np.arange(n) + max(-offset, 0), np.arange(n) + max(offset, 0)
    y = np.zeros((*input.shape[:-1], n + abs(offset), n + abs(offset)), input.dtype)
    y[..., rows, columns] = input.array
    return result(
        np.moveaxis(y, (-2, -1), (a, b)), (input, lambda g: np.moveaxis(g, (a, b), (-2, -1))[..., rows, columns])
    )


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
    if input.ndim not in (1, 2):
        raise EagerError(f"diag of a tensor of {input.ndim} dimensions: expected 1 or 2")
    return diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal)


_diagonal = diagonal


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """`length` elements along a dimension from `start` on. A view."""
    if not input.ndim:
        raise EagerError("narrow of a 0-dim tensor: expected at least one dimension")
    axis, begin = axis_of(dim, input.ndim), int(start)
    n = input.shape[axis]
    if length < 0 or not -n <= begin <= n - length:
        raise EagerError(f"narrow to {length} elements from {begin} on: dim {dim} has {n}")
    begin = begin + n if begin < 0 else begin
    return getitem(input, (*((slice(None),) * axis), slice(begin, begin + length)))


def select(input: Tensor, dim: int, index: int | Tensor) -> Tensor:
    """The slice at one position of a dimension, without that dimension. A view."""
    if not input.ndim:
        raise EagerError("select of a 0-dim tensor: expected at least one dimension")
    return getitem(input, (*((slice(None),) * axis_of(dim, input.ndim)), int(index)))


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Two dimensions exchanged. A view."""
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged. A view."""
    return transpose(input, dim0, dim1)


def moveaxis(input: Tensor, source: Sizes, destination: Sizes) -> Tensor:
    """Dimensions moved from `source` to `destination`, the others in their order. A view."""
    return movedim(input, source, destination)


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the listed sizes along a dimension. Views."""
    return split(input, list(split_sizes), dim)


def unfold_dimension(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along a dimension, one every `step`, which become a last dimension. A copy."""
    axis = axis_of(dimension, input.ndim)
    ranked = reshape(input, input.shape or (1,))
    n = ranked.shape[axis]
    if not 0 <= size <= n or step < 1:
        raise EagerError(f"unfold into windows of {size} every {step}: dim {dimension} has {n} elements")
    if not input.ndim:
        return getitem(ranked, slice(size))
    places = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    return _read(ranked, lambda a: np.moveaxis(np.take(a, places, axis), axis + 1, -1))
