"""PyTorch's indexing: brackets, gather, embeddings."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DTypeError, ShapeError, UnsupportedOperatorError, shown
from staticgrad.graph import Value, constant_of, source_line
from staticgrad.ops.kinds import without_derivative
from staticgrad.ops.registry import constant, literal
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import axis_of
from staticgrad.types import DType

_END = 2**62


@function
def getitem(x: Value, index: Any) -> Value:
    """`x[index]`: ints, slices with any step, None, ..., and arrays of integers, which are applied last."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = _without_ellipsis(items, len(x.type.shape))
    starts: list[int] = []
    ends: list[int] = []
    axes: list[int] = []
    steps: list[int] = []
    dropped: list[int] = []
    chosen: list[tuple[int, Value]] = []
    inserted: list[int] = []
    arrays: dict[int, Value] = {}
    axis = place = 0
    for item in items:
        if item is None:
            inserted.append(place)
            place += 1
            continue
        if isinstance(item, slice):
            if item != slice(None):
                start, end, step = _slice_bounds(item, x, axis)
                starts.append(start)
                ends.append(end)
                axes.append(axis)
                steps.append(step)
            place += 1
        elif (number := _whole_number(item)) is not None:
            _check_bound(number, x, axis)
            starts.append(number)
            ends.append(number + 1 if number != -1 else _END)
            axes.append(axis)
            steps.append(1)
            dropped.append(axis)
        else:
            positions = _positions(item, x, axis)
            if positions.type.shape:
                arrays[place] = positions
                place += 1
            else:
                chosen.append((axis - len(dropped) - len(chosen), positions))
        axis += 1
    # PyTorch's order: single positions, slices and None first, then arrays on what is left.
    if axes:
        x = ops.slice_(x, starts, ends, axes, steps)
    if dropped:
        x = ops.squeeze(x, dropped)
    for axis, position in chosen:
        x = ops.gather(x, position, axis=axis)
    if inserted:
        x = ops.unsqueeze(x, inserted)
    return _taken(x, arrays) if arrays else x


def _without_ellipsis(items: list[Any], rank: int) -> list[Any]:
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > rank:
        raise ShapeError(f"{used} indices for a tensor of rank {rank} ({source_line()})")
    marks = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(marks) > 1:
        raise ShapeError(f"more than one ... in one index ({source_line()})")
    if marks:
        return [*items[: marks[0]], *[slice(None)] * (rank - used), *items[marks[0] + 1 :]]
    return items


def _whole_number(item: Any) -> int | None:
    if isinstance(item, (bool, np.bool_, Value, list)):
        return None
    try:
        return operator.index(item)
    except TypeError:
        return None


def _slice_bounds(item: slice, x: Value, axis: int) -> tuple[int, int, int]:
    bounds = (item.start, item.stop, item.step)
    if any(b is not None and _whole_number(b) is None for b in bounds):
        raise UnsupportedOperatorError(
            f"slice bounds must be ints, {shown(item)} came; use sg.ops.slice_ ({source_line()})"
        )
    step = 1 if item.step is None else operator.index(item.step)
    if step == 0:
        raise ShapeError(f"a slice step of 0 is not allowed ({source_line()})")
    size = x.type.shape[axis]
    if step < 0 and item.start is not None and operator.index(item.start) < -1:
        # Python finds nothing in front of the first element, ONNX begins at the first.
        if not isinstance(size, int):
            raise UnsupportedOperatorError(
                f"a backward slice from {item.start} needs a known size, dimension {axis} of {x.type} has none; flip "
                f"it first ({source_line()})"
            )
        if operator.index(item.start) < -size:
            return 0, 0, 1
    start = item.start if item.start is not None else 0 if step > 0 else -1
    end = item.stop if item.stop is not None else _END if step > 0 else -_END
    return operator.index(start), operator.index(end), step


def _check_bound(number: int, x: Value, axis: int) -> None:
    size = x.type.shape[axis]
    if isinstance(size, int) and not -size <= number < size:
        raise ShapeError(f"index {number} is out of range for dimension {axis} of {x.type} ({source_line()})")


def _positions(item: Any, x: Value, axis: int) -> Value:
    try:
        value = item if isinstance(item, Value) else literal(item)
    except DTypeError:
        raise DTypeError(
            f"{shown(item)} is not an index; ints, slices, None, ... and integer arrays are ({source_line()})"
        ) from None
    if value.type.dtype is DType.bool:
        raise UnsupportedOperatorError(
            f"a boolean index has a size that only the run knows; use sg.where or a product with the mask "
            f"({source_line()})"
        )
    if value.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"an index must be int32 or int64, {value.type} came ({source_line()})")
    array = constant_of(value)
    if array is not None:
        for number in (array.min(), array.max()) if array.size else ():
            _check_bound(int(number), x, axis)
    return value


def _taken(x: Value, arrays: dict[int, Value]) -> Value:
    """`x` at the positions of index arrays; the new dimensions stand where those stood, first if they were apart."""
    axes = list(arrays)
    if len(axes) == 1:
        return ops.gather(x, arrays[axes[0]], axis=axes[0])
    rank = len(x.type.shape)
    rest = [i for i in range(rank) if i not in axes]
    zero = arrays[axes[0]]
    for other in list(arrays.values())[1:]:
        zero = ops.add(zero, ops.mul(other, 0))
    zero = ops.mul(zero, 0)
    stacked = ops.concat(
        *[ops.unsqueeze(ops.cast(ops.add(a, zero), to=DType.int64), [-1]) for a in arrays.values()], axis=-1
    )
    found = ops.gather_nd(ops.transpose(x, perm=(*axes, *rest)), stacked)
    if axes != list(range(axes[0], axes[-1] + 1)):
        return found
    count = len(zero.type.shape)
    order = (*range(count, count + axes[0]), *range(count), *range(count + axes[0], count + len(rest)))
    return ops.transpose(found, perm=order)


@function
def gather(x: Value, dim: int, index: Value) -> Value:
    """For every element of `index` the element of `x` at that position of `dim`."""
    return ops.gather_elements(x, index, axis=axis_of(x, dim))


@function
def index_select(x: Value, dim: int, index: Value) -> Value:
    """The slices of `x` along `dim` at the positions of a vector."""
    return ops.gather(x, index, axis=axis_of(x, dim))


@function
def scatter_add(x: Value, dim: int, index: Value, src: Value) -> Value:
    """`x` with `src` added at the positions `index` of `dim`; of a larger `src` only the part that `index` names."""
    sizes = list(zip(index.type.shape, src.type.shape, strict=False))
    longer = [i for i, (n, d) in enumerate(sizes) if isinstance(n, int) and isinstance(d, int) and n < d]
    if longer and len(index.type.shape) == len(src.type.shape):
        src = ops.slice_(src, [0] * len(longer), [int(index.type.shape[i]) for i in longer], longer)
    return ops.scatter_elements(x, index, src, axis=axis_of(x, dim), reduction="add")


@function
def embedding(input: Value, weight: Value, padding_idx: int | None = None) -> Value:
    """The rows of `weight` that `input` names; the row `padding_idx` gets no derivative."""
    rows = ops.gather(weight, input, axis=0)
    if padding_idx is None:
        return rows
    if padding_idx < 0:
        if not isinstance(weight.type.shape[0], int):
            raise ShapeError(
                f"a negative padding_idx needs a known number of rows, {weight.type} came ({source_line()})"
            )
        padding_idx += weight.type.shape[0]
    padding = ops.unsqueeze(ops.equal(input, padding_idx), [-1])
    return ops.where(padding, without_derivative(rows), rows)


@function
def one_hot(x: Value, num_classes: int) -> Value:
    """A new last dimension of `num_classes` with 1 where the class is, 0 elsewhere; int64."""
    if not isinstance(num_classes, int) or num_classes <= 0:
        raise ShapeError(
            f"one_hot needs the number of classes as a positive int, {shown(num_classes)} came ({source_line()})"
        )
    if not x.type.dtype.is_integer:
        raise DTypeError(f"one_hot needs integers, {x.type} came; cast with x.long() ({source_line()})")
    return ops.one_hot(x, constant(np.array(num_classes)), constant(np.array([0, 1], np.int64)))
