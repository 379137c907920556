"""PyTorch's functions that look at a tensor's elements another way: repeated, shifted, along a diagonal, in windows."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value, constant_of
from staticgrad.ops.kinds import shape_of
from staticgrad.ops.layout import numbers_along, size_of
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import axis_of, flatten, movedim, repeat, sizes_given, transpose, whole_numbers
from staticgrad.types import DType, is_static, is_unknown


def at_least_rank_1(x: Value) -> Value:
    """`x`, of rank 1 where it was one number."""
    return x if x.type.shape else ops.reshape(x, [1])


def whole_number(number: Any, what: str) -> int:
    """`number`, checked to be an int."""
    if isinstance(number, (bool, np.bool_)) or not hasattr(number, "__index__") or isinstance(number, Value):
        raise DeclarationError(f"{what} is an int, {shown(number)} came ({source_line()})")
    return int(number)


@function
def view_as(input: Value, other: Value) -> Value:
    """`input` in the shape of `other`."""
    return reshape_as(input, other)


@function
def reshape_as(input: Value, other: Value) -> Value:
    """`input` in the shape of `other`."""
    return ops.reshape(input, shape_of(other), allowzero=True)


@function
def tile(input: Value, *dims: Any) -> Value:
    """`input` laid beside itself; missing numbers stand for 1 in front, further ones add dimensions in front."""
    counts = whole_numbers(sizes_given(dims), "the numbers of repeats")
    return repeat(input, *([1] * (len(input.type.shape) - len(counts))), *counts)


@function
def repeat_interleave(input: Value, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Value:
    """Every element along `dim` `repeats` times in a row; without `dim` those of the flattened `input`.

    `repeats` is one number, or one for each element. Where they are only known when run, so is the size of the result,
    unless `output_size` tells it.
    """
    if dim is None:
        input, dim = flatten(input), 0
    axis = axis_of(input, dim)
    input = at_least_rank_1(input)
    array = constant_of(repeats) if isinstance(repeats, Value) else _array_of(repeats)
    if array is None:
        return ops.gather(input, _repeated_numbers(repeats, input, axis, output_size), axis=axis)
    counts = whole_numbers(array.ravel().tolist(), "repeats")
    size = input.type.shape[axis]
    if array.ndim > 1 or (len(counts) != 1 and size != len(counts) and not is_unknown(size)):
        raise ShapeError(
            f"repeats {shown(repeats)} hold neither one number nor one for each element along dimension {axis} of "
            f"{input.type} ({source_line()})"
        )
    if len(counts) != 1:
        chosen = np.repeat(np.arange(len(counts)), counts)
        _check_output_size(output_size, len(chosen))
        return ops.gather(input, constant(chosen), axis=axis)
    if isinstance(size, int):
        _check_output_size(output_size, size * counts[0])
    factors = [1] * (len(input.type.shape) + 1)
    factors[axis + 1] = counts[0]
    return flatten(ops.tile(ops.unsqueeze(input, [axis + 1]), constant(np.array(factors, np.int64))), axis, axis + 1)


def _array_of(repeats: Any) -> Any:
    try:
        array = np.asarray(repeats)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "iu" and array.size:
        raise DeclarationError(f"repeats are ints, {shown(repeats)} came ({source_line()})")
    return array


def _check_output_size(output_size: int | None, found: int) -> None:
    if output_size is not None and output_size != found:
        raise ShapeError(f"output_size is {shown(output_size)}, the repeats make {found} ({source_line()})")


def _repeated_numbers(repeats: Value, input: Value, axis: int, output_size: int | None) -> Value:
    """Which element stands at each position of the result: as many have ended in front of it."""
    if len(repeats.type.shape) > 1 or repeats.type.dtype not in (DType.int32, DType.int64):
        raise ShapeError(f"repeats are one int or a vector of them, {repeats.type} came ({source_line()})")
    repeats = ops.expand(ops.cast(at_least_rank_1(repeats), to=DType.int64), ops.reshape(size_of(input, axis), [1]))
    ends = ops.cumsum(repeats, 0)
    if output_size is None:
        total = ops.reduce_sum(repeats, keepdims=False)
    else:
        total = constant(np.array(whole_number(output_size, "output_size")))
    places = ops.unsqueeze(ops.range_(0, total, 1), [1])
    ended = ops.cast(ops.greater_or_equal(places, ends), to=DType.int64)
    return ops.reduce_sum(ended, [1], keepdims=False)


@function
def roll(input: Value, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Value:
    """`input` with its elements moved on by `shifts` along `dims`, those at the end to the front.

    Without `dims` it is flattened for that, and gets its shape back.
    """
    amounts = [whole_number(s, "a shift") for s in (shifts if isinstance(shifts, Sequence) else [shifts])]
    places = list(dims) if isinstance(dims, Sequence) else [] if dims is None else [dims]
    if not places and len(amounts) == 1:
        if len(input.type.shape) == 1:
            return roll(input, amounts, 0)
        return reshape_as(roll(ops.reshape(input, [-1]) if 0 not in input.type.shape else input, amounts, 0), input)
    if len(places) != len(amounts) or not places:
        raise DeclarationError(
            f"roll needs as many dims as shifts, {shown(shifts)} and {shown(dims)} came ({source_line()})"
        )
    for amount, dim in zip(amounts, places, strict=True):
        axis = axis_of(input, dim)
        if not input.type.shape:
            continue
        size = input.type.shape[axis]
        if isinstance(size, int):
            cut = (size - amount) % size if size else 0
            if cut:
                parts = ops.split(input, constant(np.array([cut, size - cut])), axis=axis)
                input = ops.concat(parts[1], parts[0], axis=axis)
            continue
        # Where there is nothing to move, there is nothing to divide by.
        length = ops.max(size_of(input, axis), constant(np.array(1)))
        input = ops.gather(input, ops.mod(numbers_along(input, axis) - amount, length), axis=axis)
    return input


@function
def diagonal(input: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """The diagonal of the matrices over `dim1` and `dim2`, as a last dimension; `offset` > 0 lies above."""
    rank = len(input.type.shape)
    first, second = axis_of(input, dim1), axis_of(input, dim2)
    if rank < 2 or first == second:
        raise ShapeError(
            f"a diagonal lies between two dimensions, {dim1} and {dim2} of {input.type} came ({source_line()})"
        )
    offset = whole_number(offset, "offset")
    down, right = builtins.max(-offset, 0), builtins.max(offset, 0)
    rows, columns = input.type.shape[first], input.type.shape[second]
    if isinstance(rows, int) and isinstance(columns, int):
        length = builtins.max(builtins.min(rows - down, columns - right), 0)
        numbers = constant(np.arange(length))
    elif rows == columns and not offset:
        numbers = numbers_along(input, first)
    else:
        shorter = ops.min(size_of(input, first) - down, size_of(input, second) - right)
        numbers = ops.range_(0, ops.max(shorter, 0), 1)
    positions = ops.concat(ops.unsqueeze(numbers + down, [1]), ops.unsqueeze(numbers + right, [1]), axis=1)
    rest = [i for i in range(rank) if i not in (first, second)]
    found = ops.gather_nd(ops.transpose(input, perm=(first, second, *rest)), positions)
    return ops.transpose(found, perm=(*range(1, rank - 1), 0))


@function
def diag_embed(input: Value, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Value:
    """Matrices over `dim1` and `dim2` with the last dimension of `input` on a diagonal, zeros elsewhere."""
    rank = len(input.type.shape)
    if not rank:
        raise ShapeError(f"diag_embed needs a dimension to lay on the diagonal, {input.type} came ({source_line()})")
    first, second = axis_of(input, dim1, extra=1), axis_of(input, dim2, extra=1)
    if first == second:
        raise ShapeError(f"a diagonal lies between two different dimensions, {dim1} and {dim2} came ({source_line()})")
    offset = whole_number(offset, "offset")
    if offset:
        input = ops.pad(input, constant(np.array([0] * (2 * rank - 1) + [abs(offset)])))
    numbers = numbers_along(input, rank - 1)
    on = ops.equal(ops.unsqueeze(numbers, [1]) + offset, ops.unsqueeze(numbers, [0]))
    # Above the main diagonal a number keeps its row, below its column.
    spread = ops.unsqueeze(input, [rank if offset >= 0 else rank - 1])
    zero = constant(np.zeros((), input.type.dtype.numpy))
    matrices = ops.where(on, spread, zero)
    return movedim(matrices, (rank - 1, rank), (first, second))


@function
def diag(input: Value, diagonal: int = 0) -> Value:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
    if len(input.type.shape) not in (1, 2):
        raise ShapeError(f"diag takes a vector or a matrix, {input.type} came ({source_line()})")
    if len(input.type.shape) == 1:
        return diag_embed(input, diagonal)
    return _diagonal(input, diagonal)


_diagonal = diagonal


@function
def narrow(input: Value, dim: int, start: int | Value, length: int) -> Value:
    """`length` elements along `dim` from `start` on, which may be a value of rank 0."""
    axis = axis_of(input, dim)
    _of_some_rank(input, "narrow")
    length = whole_number(length, "length")
    size = input.type.shape[axis]
    if isinstance(start, Value):
        return ops.gather(input, ops.add(ops.reshape(start, []), np.arange(length)), axis=axis)
    start = whole_number(start, "start")
    if length < 0 or (isinstance(size, int) and not -size <= start <= size - length):
        raise ShapeError(
            f"{length} elements from {start} on do not lie within dimension {axis} of {input.type} ({source_line()})"
        )
    end = start + length
    if start < 0 and isinstance(size, int):
        start, end = start + size, end + size
    if start < 0 <= end:
        if end:
            raise ShapeError(
                f"{length} elements from {start} on need a known size, dimension {axis} of {input.type} has none "
                f"({source_line()})"
            )
        end = 2**62
    return ops.slice_(input, [start], [end], [axis])


def _of_some_rank(input: Value, name: str) -> None:
    if not input.type.shape:
        raise ShapeError(f"{name} needs a dimension, {input.type} came ({source_line()})")


@function
def select(input: Value, dim: int, index: int | Value) -> Value:
    """The slice of `input` at one position of `dim`, without that dimension."""
    axis = axis_of(input, dim)
    _of_some_rank(input, "select")
    if isinstance(index, Value):
        return ops.gather(input, ops.reshape(index, []), axis=axis)
    return input[(*[slice(None)] * axis, whole_number(index, "a position"))]


@function
def swapaxes(input: Value, axis0: int, axis1: int) -> Value:
    """`input` with two dimensions exchanged."""
    return transpose(input, axis0, axis1)


@function
def swapdims(input: Value, dim0: int, dim1: int) -> Value:
    """`input` with two dimensions exchanged."""
    return transpose(input, dim0, dim1)


@function
def moveaxis(input: Value, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """`input` with dimensions `source` moved to the places `destination`."""
    return movedim(input, source, destination)


@function
def unfold_dimension(input: Value, dimension: int, size: int, step: int) -> Value:
    """Windows of `size` elements along `dimension`, one every `step`, which become a last dimension."""
    axis = axis_of(input, dimension)
    (size,), (step,) = whole_numbers([size], "the size of a window"), whole_numbers([step], "the step", 1)
    if not input.type.shape:
        if size > 1:
            raise ShapeError(f"a window of {size} does not fit {input.type} ({source_line()})")
        return at_least_rank_1(input) if size else ops.slice_(at_least_rank_1(input), [0], [0])
    length = input.type.shape[axis]
    if isinstance(length, int):
        if size > length:
            raise ShapeError(f"a window of {size} does not fit dimension {axis} of {input.type} ({source_line()})")
        positions = constant(np.arange(0, length - size + 1, step)[:, None] + np.arange(size))
    else:
        starts = ops.range_(0, size_of(input, axis) - (size - 1), step)
        positions = ops.add(ops.unsqueeze(starts, [1]), np.arange(size))
    return movedim(ops.gather(input, positions, axis=axis), axis + 1, -1)


def common_extent(x: Value, y: Value, axis: int) -> Value:
    """The shape of `y` but for `axis`, which is that of `x`, as an int64 tensor."""
    shape = (*y.type.shape[:axis], x.type.shape[axis], *y.type.shape[axis + 1 :])
    if is_static(shape):
        return constant(np.array(shape, np.int64))
    pieces = [
        ops.shape(y, start=0, end=axis),
        ops.shape(x, start=axis, end=axis + 1),
        ops.shape(y, start=axis + 1),
    ]
    return ops.concat(*[p for p in pieces if p.type.shape != (0,)], axis=0)
