"""Functions that only move elements: reshaping, reordering, repeating, joining, splitting, triangles.

Most results are views: they share the memory of their argument, and writing to one writes to both. A shape or a list
of dimensions may be given as one sequence or as several arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from staticgrad.eager.cast import promote
from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import Dims, axes_of, axis_of
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Sizes: TypeAlias = int | Sequence[int]


def numbers_of(name: str, given: tuple[Sizes, ...], keyword: Sequence[int] | None) -> tuple[int, ...]:
    """The integers given as one sequence, as several arguments, or by keyword."""
    if keyword is not None:
        given = (*given, tuple(keyword))
    if len(given) == 1 and not isinstance(given[0], int) and hasattr(given[0], "__len__"):
        return tuple(int(n) for n in given[0])
    if any(hasattr(n, "__len__") and not hasattr(n, "memory") for n in given):
        raise EagerError(f"{name} got {given}: expected one sequence of integers, or several integers")
    return tuple(int(n) for n in given)  # type: ignore[arg-type]


def reshape(input: Tensor, *sizes: Sizes, shape: Sequence[int] | None = None) -> Tensor:
    """The same elements, in row-major order, in another shape; one size may be -1. A view where memory allows."""
    old, new = input.shape, numbers_of("reshape", sizes, shape)
    known = math.prod(n for n in new if n >= 0)
    fits = math.prod(old) == known if -1 not in new else known > 0 and math.prod(old) % known == 0
    if not fits or sum(n < 0 for n in new) > 1 or min(new, default=0) < -1:
        raise EagerError(f"shape {list(new)} does not fit a tensor of shape {list(old)} with {math.prod(old)} elements")
    return result(input.array.reshape(new), (input, lambda g: g.reshape(old)))


def view(input: Tensor, *sizes: Sizes) -> Tensor:
    """`reshape`; where PyTorch refuses because the memory is not contiguous, this makes a copy."""
    return reshape(input, *sizes)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from `start_dim` to `end_dim`, both included, made one; a 0-dim tensor gets one of size 1."""
    if not input.ndim:
        return reshape(input, (1,))
    a, b = axis_of(start_dim, input.ndim), axis_of(end_dim, input.ndim)
    if a > b:
        raise EagerError(f"flatten from dim {start_dim} to {end_dim}: expected the first not to come after the second")
    return reshape(input, (*input.shape[:a], math.prod(input.shape[a : b + 1]), *input.shape[b + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension `dim` split into `sizes`, one of which may be -1; the inverse of `flatten`."""
    if not input.ndim:
        raise EagerError("unflatten of a 0-dim tensor: expected at least one dimension")
    axis = axis_of(dim, input.ndim)
    n, inner = input.shape[axis], list(sizes)
    if -1 in inner:
        rest = math.prod(s for s in inner if s != -1)
        inner[inner.index(-1)] = n // rest if rest else 0
    if math.prod(inner) != n:
        raise EagerError(f"unflatten of size {n} into {list(sizes)}: the product must be {n}")
    return reshape(input, (*input.shape[:axis], *inner, *input.shape[axis + 1 :]))


def permute(input: Tensor, *axes: Sizes, dims: Sequence[int] | None = None) -> Tensor:
    """The dimensions in the given order: dimension i of the result is dimension dims[i]. A view."""
    order = tuple(axis_of(d, input.ndim) for d in numbers_of("permute", axes, dims))
    if sorted(order) != list(range(input.ndim)):
        raise EagerError(f"permute to {order}: expected each of the {input.ndim} dimensions once")
    back = tuple(int(i) for i in np.argsort(order))
    return result(input.array.transpose(order), (input, lambda g: g.transpose(back)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged. A view."""
    if not input.ndim:
        return permute(input, ())
    a, b = axis_of(dim0, input.ndim), axis_of(dim1, input.ndim)
    return result(input.array.swapaxes(a, b), (input, lambda g: g.swapaxes(a, b)))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector stays as it is. A view."""
    if input.ndim > 2:
        raise EagerError(f"t of a tensor of {input.ndim} dimensions: expected at most 2, use transpose(dim0, dim1)")
    return permute(input, tuple(reversed(range(input.ndim))))


def movedim(input: Tensor, source: Sizes, destination: Sizes) -> Tensor:
    """Dimensions moved from `source` to `destination`, the others in their order. A view."""
    froms = axes_of(source, input.ndim)
    tos = axes_of(destination, input.ndim)
    if len(froms) != len(tos):
        raise EagerError(f"movedim from {source} to {destination}: expected as many destinations as sources")
    return result(np.moveaxis(input.array, froms, tos), (input, lambda g: np.moveaxis(g, tos, froms)))


def squeeze(input: Tensor, dim: Dims = None) -> Tensor:
    """Without the dimensions of size 1 (those of `dim` that have size 1; others stay). A view."""
    shape = input.shape
    axes = tuple(i for i in axes_of(dim, input.ndim) if shape[i] == 1)
    return result(np.squeeze(input.array, axes), (input, lambda g: g.reshape(shape)))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`. A view."""
    axis, shape = axis_of(dim, input.ndim + 1), input.shape
    return result(np.expand_dims(input.array, axis), (input, lambda g: g.reshape(shape)))


def expand(input: Tensor, *sizes: Sizes) -> Tensor:
    """Dimensions of size 1 repeated to the given sizes (-1: as it is) without copying. A read-only view."""
    wanted = numbers_of("expand", sizes, None)
    own = (None,) * (len(wanted) - input.ndim) + input.shape
    if len(own) != len(wanted) or any(n == -1 and m is None for n, m in zip(wanted, own, strict=True)):
        raise EagerError(f"expand of shape {list(input.shape)} to {list(wanted)}: sizes can only be added in front")
    return broadcast_to(input, tuple(m if n == -1 and m is not None else n for n, m in zip(wanted, own, strict=True)))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expanded to the shape of another tensor."""
    return broadcast_to(input, other.shape)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeated to the shape by the rules of broadcasting, without copying. A view that cannot be written."""
    try:
        y = np.broadcast_to(input.array, tuple(shape))
    except ValueError:
        raise EagerError(f"shape {list(input.shape)} does not broadcast to {list(shape)}") from None
    return result(y, (input, lambda g: g))


def repeat(input: Tensor, *repeats: Sizes) -> Tensor:
    """Copies side by side, `repeats[i]` of them along dimension i (numpy calls it tile); at least one number a dim."""
    counts = numbers_of("repeat", repeats, None)
    if len(counts) < input.ndim:
        raise EagerError(f"repeat with {len(counts)} numbers: expected at least {input.ndim}, one for each dimension")
    padded = (1,) * (len(counts) - input.ndim) + input.shape
    split_shape = tuple(n for pair in zip(counts, padded, strict=True) for n in pair)
    shape, outer = input.shape, tuple(range(0, 2 * len(counts), 2))
    return result(np.tile(input.array, counts), (input, lambda g: g.reshape(split_shape).sum(outer).reshape(shape)))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along a dimension that exists; each gets its part of the gradient."""
    if not tensors:
        raise EagerError("cat of no tensors: expected at least one")
    whole = promote(*tensors)
    parts = [x for x in whole if x.shape != (0,)] or list(whole)  # PyTorch skips empty vectors
    axis = axis_of(dim, parts[0].ndim)
    shapes = [x.shape[:axis] + x.shape[axis + 1 :] for x in parts]
    if not parts[0].ndim or any(s != shapes[0] or x.ndim != parts[0].ndim for s, x in zip(shapes, parts, strict=True)):
        raise EagerError(
            f"cat of shapes {', '.join(str(list(x.shape)) for x in parts)} along dim {dim}: expected the same sizes "
            "in all other dimensions, and at least one dimension"
        )
    edges: list[Any] = []
    start = 0
    for x in parts:
        here = (slice(None),) * axis + (slice(start, start + x.shape[axis]),)
        edges.append((x, lambda g, here=here: g[here]))
        start += x.shape[axis]
    edges += [(x, lambda g: np.zeros(0, g.dtype)) for x in whole if x.shape == (0,) and len(parts) < len(whole)]
    return result(np.concatenate([x.array for x in parts], axis), *edges)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    if len({x.shape for x in tensors}) > 1:
        raise EagerError(f"stack of shapes {', '.join(str(list(x.shape)) for x in tensors)}: expected equal shapes")
    return cat([unsqueeze(x, dim) for x in tensors], axis_of(dim, tensors[0].ndim + 1) if tensors else 0)


def _piece(input: Tensor, index: tuple[Any, ...]) -> Tensor:
    """The part that a basic index selects, as a view."""
    shape = input.shape

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        z[index] = g
        return z

    return result(input.array[(*index, ...)], (input, back))


def split(tensor: Tensor, split_size_or_sections: Sizes, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given size along a dimension (the last may be smaller), or of the listed sizes. Views."""
    if not tensor.ndim:
        raise EagerError("split of a 0-dim tensor: expected at least one dimension")
    axis = axis_of(dim, tensor.ndim)
    n, sizes = tensor.shape[axis], split_size_or_sections
    if isinstance(sizes, int):
        if sizes <= 0:
            raise EagerError(f"split into pieces of {sizes}: expected a positive size")
        sizes = [min(sizes, n - i) for i in range(0, n, sizes)] or [0]
    if sum(sizes) != n:
        raise EagerError(f"split into {list(sizes)}: the sizes must add up to {n}, the size of dim {dim}")
    ends = np.cumsum(sizes).tolist()
    front = (slice(None),) * axis
    return tuple(_piece(tensor, (*front, slice(e - s, e))) for s, e in zip(sizes, ends, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size (the last may be smaller), so possibly fewer than asked for. Views."""
    if chunks < 1:
        raise EagerError(f"chunk into {chunks}: expected at least 1")
    if not input.ndim:
        raise EagerError("chunk of a 0-dim tensor: expected at least one dimension")
    n = input.shape[axis_of(dim, input.ndim)]
    return split(input, -(-n // chunks), dim) if n else split(input, [0] * chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, without it. Views."""
    if not input.ndim:
        raise EagerError("unbind of a 0-dim tensor: expected at least one dimension")
    axis = axis_of(dim, input.ndim)
    return tuple(_piece(input, (slice(None),) * axis + (i,)) for i in range(input.shape[axis]))


def flip(input: Tensor, *axes: Sizes, dims: Sequence[int] | None = None) -> Tensor:
    """The elements in reverse order along the given dimensions. A copy."""
    given = numbers_of("flip", axes, dims)
    turned = axes_of(given, input.ndim) if given else ()
    return result(np.flip(input.array, turned).copy(), (input, lambda g: np.flip(g, turned)))


def _triangle(input: Tensor, diagonal: int, lower: bool) -> Tensor:
    if input.ndim < 2:
        raise EagerError(f"triangle of a tensor of {input.ndim} dimensions: expected at least 2")
    rows, columns = input.shape[-2:]
    mask = np.tri(rows, columns, diagonal if lower else diagonal - 1, dtype=bool)
    keep = mask if lower else ~mask
    zero = np.zeros((), input.dtype)
    return result(np.where(keep, input.array, zero), (input, lambda g: np.where(keep, g, 0)))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros above the diagonal (diagonal 1: above the one next to it on the right)."""
    return _triangle(input, diagonal, lower=True)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros below the diagonal (diagonal 1: below the one next to it on the right)."""
    return _triangle(input, diagonal, lower=False)
