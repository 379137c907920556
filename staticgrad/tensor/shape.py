"""PyTorch's functions that move, select and repeat elements."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, StaticgradError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import normal_axis, shape_of
from staticgrad.ops.registry import constant, promote
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.types import Dim, DType, count_elements, dims_agree, divide_dims, is_unknown


def axis_of(x: Value, dim: int, extra: int = 0) -> int:
    """`dim` counted from the front, in a tensor of the rank of `x` plus `extra`; rank 0 counts as 1, as in PyTorch."""
    try:
        return normal_axis(dim, max(len(x.type.shape) + extra, 1))
    except StaticgradError as error:
        raise type(error)(f"{error}; {x.type} came ({source_line()})") from None


def sizes_given(sizes: tuple[Any, ...]) -> list[Any]:
    """Sizes written one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        return list(sizes[0])
    return list(sizes)


def whole_numbers(numbers: Any, what: str, least: int = 0) -> list[int]:
    """`numbers`, checked to be ints that are not too small."""
    try:
        found = [operator.index(n) for n in numbers]
    except TypeError:
        found = [least - 1]
    if any(n < least for n in found):
        raise ShapeError(f"{what} must be ints of {least} or more, {shown(numbers)} came ({source_line()})")
    return found


def extent(sizes: Sequence[Any], source: Value) -> Value:
    """A shape as an int64 tensor; names and expressions take their sizes from the dimensions of `source`."""
    parts: list[Value] = []
    for size in sizes:
        if isinstance(size, (int, np.integer)):
            parts.append(constant(np.array([size], np.int64)))
        elif isinstance(size, Value):
            parts.append(ops.reshape(ops.cast(size, to=DType.int64), [1]))
        elif isinstance(size, str):
            parts.append(_named_size(size, source))
        else:
            raise ShapeError(
                f"a size is {shown(size)}; give an int, -1, or a dimension's name (a size that is unknown here has "
                f"none) ({source_line()})"
            )
    if all(isinstance(s, (int, np.integer)) for s in sizes):
        return constant(np.array(sizes, np.int64).reshape(len(sizes)))
    return parts[0] if len(parts) == 1 else ops.concat(*parts, axis=0)


def _named_size(name: str, source: Value) -> Value:
    for position, dim in enumerate(source.type.shape):
        if dim == name:
            return ops.shape(source, start=position, end=position + 1)
    raise ShapeError(
        f"the size {shown(name)} is not a dimension of {source.type}; use -1 for it, or one of its dimensions "
        f"({source_line()})"
    )


@function
def reshape(x: Value, *shape: Any) -> Value:
    """The same elements in another shape; one size may be -1, and names of dimensions of `x` stand for their sizes."""
    sizes = _without_known_rest(x, sizes_given(shape))
    names = [s for s in sizes if isinstance(s, str)]
    numbers = [int(s) for s in sizes if isinstance(s, (int, np.integer))]
    if len(names) == 1 and len(numbers) + 1 == len(sizes) and -1 not in numbers and 0 not in numbers:
        if count_elements(x.type.shape) == count_elements([*numbers, names[0]]):
            sizes = [-1 if isinstance(s, str) else s for s in sizes]
    return ops.reshape(x, extent(sizes, x), allowzero=0 in numbers)


def _without_known_rest(x: Value, sizes: list[Any]) -> list[Any]:
    """Sizes with a number for -1 where the shapes tell it: beside a size of 0 a run could not."""
    if not all(isinstance(s, (int, str, np.integer)) for s in sizes) or sizes.count(-1) != 1 or 0 in sizes:
        return sizes
    others = [s if isinstance(s, str) else int(s) for s in sizes if s != -1]
    rest = divide_dims(count_elements(x.type.shape), count_elements(others))
    if not isinstance(rest, int) or not any(isinstance(s, str) for s in others):
        return sizes
    return [rest if s == -1 else s for s in sizes]


@function
def view(x: Value, *shape: Any) -> Value:
    """The same elements in another shape, like `reshape`."""
    return reshape(x, *shape)


@function
def flatten(x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """`x` with the dimensions from `start_dim` to `end_dim` made one."""
    if not x.type.shape:
        return ops.reshape(x, [1])
    start, end = axis_of(x, start_dim), axis_of(x, end_dim)
    if start > end:
        raise ShapeError(f"start_dim {start_dim} comes after end_dim {end_dim} ({source_line()})")
    if start == end:
        return x
    shape = x.type.shape
    merged = count_elements(shape[start : end + 1])
    outer: list[Dim] = [*shape[:start], *shape[end + 1 :]]
    if isinstance(merged, int) and sum(not isinstance(d, int) for d in outer) == 1 and 0 not in outer and merged:
        return ops.reshape(
            x,
            [
                *(d if isinstance(d, int) else -1 for d in shape[:start]),
                merged,
                *(d if isinstance(d, int) else -1 for d in shape[end + 1 :]),
            ],
        )
    if isinstance(merged, int) and all(isinstance(d, int) for d in outer):
        return ops.reshape(x, [*shape[:start], merged, *shape[end + 1 :]], allowzero=True)
    sizes = [ops.shape(x, start=0, end=start), constant(np.array([-1])), ops.shape(x, start=end + 1)]
    if 0 in outer:
        raise ShapeError(f"a tensor with a dimension of size 0 and a dynamic one cannot be flattened ({source_line()})")
    return ops.reshape(x, ops.concat(*[s for s in sizes if s.type.shape != (0,)], axis=0))


@function
def unflatten(x: Value, dim: int, sizes: Sequence[int]) -> Value:
    """`x` with dimension `dim` split into `sizes`, one of which may be -1."""
    axis = _cut_axis(x, dim, "unflatten")
    before, after = x.type.shape[:axis], x.type.shape[axis + 1 :]
    sizes = whole_numbers(sizes, "the sizes of unflatten", -1)
    length = x.type.shape[axis]
    if isinstance(length, int) and sizes.count(-1) == 1:
        rest = math.prod(s for s in sizes if s != -1)
        if rest <= 0 or length % rest:
            raise ShapeError(f"dimension {dim} of {x.type} does not split into {list(sizes)} ({source_line()})")
        sizes = [length // rest if s == -1 else s for s in sizes]
    if all(isinstance(d, int) for d in (*before, *after)):
        return ops.reshape(x, [*before, *sizes, *after], allowzero=-1 not in sizes)
    if -1 not in sizes and 0 not in (*before, *sizes, *after):
        dynamic = sum(not isinstance(d, int) for d in (*before, *after))
        if dynamic == 1:
            return ops.reshape(x, [d if isinstance(d, int) else -1 for d in (*before, *sizes, *after)])
    parts = [ops.shape(x, start=0, end=axis), constant(np.array(sizes, np.int64)), ops.shape(x, start=axis + 1)]
    return ops.reshape(x, ops.concat(*[p for p in parts if p.type.shape != (0,)], axis=0))


@function
def transpose(x: Value, dim0: int, dim1: int) -> Value:
    """`x` with two dimensions exchanged."""
    order = list(range(len(x.type.shape)))
    if not order:
        return x
    a, b = axis_of(x, dim0), axis_of(x, dim1)
    order[a], order[b] = b, a
    return ops.transpose(x, perm=tuple(order))


@function
def t(x: Value) -> Value:
    """The transpose of a matrix; a vector or number as it is."""
    if len(x.type.shape) > 2:
        raise ShapeError(f"t() expects a tensor of rank 2 or less, {x.type} came; use transpose ({source_line()})")
    return ops.transpose(x, perm=(1, 0)) if len(x.type.shape) == 2 else x


@function
def permute(x: Value, *dims: Any) -> Value:
    """`x` with its dimensions in this order."""
    order = sizes_given(dims)
    return ops.transpose(x, perm=tuple(axis_of(x, d) for d in order))


@function
def movedim(x: Value, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """`x` with dimensions `source` moved to the places `destination`."""
    origin = [axis_of(x, d) for d in ([source] if isinstance(source, int) else source)]
    places = [axis_of(x, d) for d in ([destination] if isinstance(destination, int) else destination)]
    if len(set(places)) != len(places) or len(set(origin)) != len(origin) or len(origin) != len(places):
        raise ShapeError(f"movedim needs as many places as dimensions, each once ({source_line()})")
    rest = iter(i for i in range(len(x.type.shape)) if i not in origin)
    moved = dict(zip(places, origin, strict=True))
    return ops.transpose(x, perm=tuple(moved[i] if i in moved else next(rest) for i in range(len(x.type.shape))))


@function
def squeeze(x: Value, dim: int | Sequence[int] | None = None) -> Value:
    """`x` without its dimensions of size 1, or without those among `dim`."""
    shape = x.type.shape
    chosen = range(len(shape)) if dim is None else [axis_of(x, d) for d in ([dim] if isinstance(dim, int) else dim)]
    if any(is_unknown(shape[i]) for i in chosen if i < len(shape)):
        raise ShapeError(
            f"squeeze needs to know which dimensions have size 1, those of {x.type} are not known; declare or name "
            f"them, or use reshape ({source_line()})"
        )
    ones = [i for i in chosen if i < len(shape) and shape[i] == 1]
    return ops.squeeze(x, ones) if ones else x


@function
def unsqueeze(x: Value, dim: int) -> Value:
    """`x` with a new dimension of size 1 at `dim`."""
    return ops.unsqueeze(x, [axis_of(x, dim, extra=1)])


@function
def expand(x: Value, *sizes: Any) -> Value:
    """`x` repeated along its dimensions of size 1; -1 keeps a size, and further sizes may stand in front."""
    wanted = sizes_given(sizes)
    lead = len(wanted) - len(x.type.shape)
    if lead < 0 or any(isinstance(s, int) and s == -1 for s in wanted[:lead]):
        raise ShapeError(f"{x.type} cannot be expanded to {wanted} ({source_line()})")
    for size, dim in zip(wanted[lead:], x.type.shape, strict=True):
        if isinstance(size, (int, np.integer)) and isinstance(dim, int) and size not in (-1, dim) and dim != 1:
            raise ShapeError(
                f"{x.type} cannot be expanded to {wanted}: {dim} is neither 1 nor {size} ({source_line()})"
            )
    return ops.expand(x, extent([1 if isinstance(s, int) and s == -1 else s for s in wanted], x))


@function
def expand_as(x: Value, other: Value) -> Value:
    """`x` repeated to the shape of `other`."""
    result = ops.expand(x, shape_of(other))
    found, wanted = result.type.shape, other.type.shape
    if len(found) != len(wanted) or any(not dims_agree(a, b) for a, b in zip(found, wanted, strict=True)):
        raise ShapeError(f"{x.type} cannot be expanded to the shape of {other.type} ({source_line()})")
    return result


@function
def broadcast_to(x: Value, shape: Sequence[Any]) -> Value:
    """`x` repeated to `shape`."""
    return expand(x, *shape)


@function
def repeat(x: Value, *repeats: Any) -> Value:
    """`x` laid beside itself; more numbers than dimensions add dimensions in front."""
    counts = whole_numbers(sizes_given(repeats), "the numbers of repeats")
    lead = len(counts) - len(x.type.shape)
    if lead < 0:
        raise ShapeError(f"repeat needs a number for each dimension of {x.type}, {counts} came ({source_line()})")
    if lead:
        x = ops.unsqueeze(x, list(range(lead)))
    return ops.tile(x, constant(np.array(counts, np.int64)))


@function
def cat(tensors: Sequence[Value], dim: int = 0) -> Value:
    """`tensors` one behind the other along `dim`; empty vectors beside tensors of other rank count for nothing."""
    if not tensors:
        raise DeclarationError(f"cat needs at least one tensor ({source_line()})")
    whole = promote(list(tensors))
    parts = [x for x in whole if x.type.shape != (0,)] or whole
    return ops.concat(*parts, axis=axis_of(parts[0], dim))


@function
def stack(tensors: Sequence[Value], dim: int = 0) -> Value:
    """`tensors` one behind the other along a new dimension `dim`."""
    if not tensors:
        raise DeclarationError(f"stack needs at least one tensor ({source_line()})")
    axis = axis_of(tensors[0], dim, extra=1)
    return ops.concat(*[ops.unsqueeze(x, [axis]) for x in promote(list(tensors))], axis=axis)


@function
def split(x: Value, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Value, ...]:
    """`x` cut along `dim` into parts of one size (the last may be smaller), or of the sizes given."""
    axis = _cut_axis(x, dim, "split")
    length = x.type.shape[axis]
    if isinstance(split_size_or_sections, (int, np.integer)):
        size = int(split_size_or_sections)
        if not isinstance(length, int):
            raise ShapeError(
                f"split needs a known size of dimension {dim} of {x.type}; give the sizes ({source_line()})"
            )
        if size <= 0:
            raise ShapeError(f"split needs a positive size, {size} came ({source_line()})")
        sizes = [min(size, length - start) for start in range(0, length, size)] or [0]
    else:
        sizes = whole_numbers(split_size_or_sections, "sizes of parts")
    return _parts(x, sizes, axis)


def _cut_axis(x: Value, dim: int, name: str) -> int:
    """`dim` counted from the front, of a tensor that has dimensions."""
    if not x.type.shape:
        raise ShapeError(f"{name} takes a tensor of rank 1 or more, {x.type} came ({source_line()})")
    return axis_of(x, dim)


def _parts(x: Value, sizes: list[int], axis: int) -> tuple[Value, ...]:
    if len(sizes) == 1:
        total = x.type.shape[axis]
        if isinstance(total, int) and total != sizes[0]:
            raise ShapeError(f"sizes {sizes} do not add up to the {total} of dimension {axis} ({source_line()})")
        return (x,)
    return ops.split(x, constant(np.array(sizes, np.int64)), axis=axis)


@function
def split_with_sizes(x: Value, split_sizes: Sequence[int], dim: int = 0) -> tuple[Value, ...]:
    """`x` cut along `dim` into parts of the sizes given."""
    return _parts(x, whole_numbers(split_sizes, "sizes of parts"), _cut_axis(x, dim, "split_with_sizes"))


@function
def chunk(x: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    """`x` cut along `dim` into at most `chunks` parts of equal size, the last of which may be smaller.

    Of no elements, there are as many parts as asked for.
    """
    length = x.type.shape[_cut_axis(x, dim, "chunk")]
    (chunks,) = whole_numbers([chunks], "chunks", 1)
    if not isinstance(length, int):
        raise ShapeError(f"chunk needs a known size of dimension {dim} of {x.type} ({source_line()})")
    return split(x, math.ceil(length / chunks) if length else [0] * chunks, dim)


@function
def unbind(x: Value, dim: int = 0) -> tuple[Value, ...]:
    """The slices of `x` along `dim`, without that dimension."""
    axis = _cut_axis(x, dim, "unbind")
    length = x.type.shape[axis]
    if not isinstance(length, int):
        raise ShapeError(f"unbind needs a known size of dimension {dim} of {x.type} ({source_line()})")
    return tuple(ops.squeeze(part, [axis]) for part in _parts(x, [1] * length, axis)) if length else ()


@function
def flip(x: Value, *axes: Any, dims: int | Sequence[int] | None = None) -> Value:
    """`x` with the order of elements reversed along `dims`."""
    given = axes if dims is None else (*axes, *([dims] if isinstance(dims, int) else dims))
    chosen = [axis_of(x, d) for d in sizes_given(given)]
    if len(set(chosen)) != len(chosen):
        raise ShapeError(f"flip names a dimension of {x.type} twice: {chosen} ({source_line()})")
    if not chosen or not x.type.shape:
        return x
    count = len(chosen)
    return ops.slice_(x, [-1] * count, [-(2**62)] * count, chosen, [-1] * count)


@function
def tril(x: Value, diagonal: int = 0) -> Value:
    """The lower triangle of the last two dimensions up to the diagonal, zeros above."""
    return ops.trilu(x, diagonal, upper=False)


@function
def triu(x: Value, diagonal: int = 0) -> Value:
    """The upper triangle of the last two dimensions from the diagonal on, zeros below."""
    return ops.trilu(x, diagonal, upper=True)
