"""PyTorch's indexing with brackets."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DTypeError, ShapeError, UnsupportedOperatorError, shown
from staticgrad.graph import Value, constant_of
from staticgrad.ops.registry import constant, literal
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.gathering import positions_of_mask, refuse_nowhere
from staticgrad.tensor.scattering import stacked_positions
from staticgrad.types import DType

_END = 2**62


@function
def getitem(x: Value, index: Any) -> Value:
    """`x[index]`: ints, slices with any step, None, ..., and arrays of integers or bools, which are applied last.

    A boolean array with dimensions stands for the positions where it holds; of one that is a Value only the run knows
    how many these are.
    """
    items = [_made_index(item) for item in (index if isinstance(index, tuple) else (index,))]
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
        elif not isinstance(item, Value):
            _check_bound(item, x, axis)
            starts.append(item)
            ends.append(item + 1 if item != -1 else _END)
            axes.append(axis)
            steps.append(1)
            dropped.append(axis)
        elif item.type.dtype is DType.bool:
            if not item.type.shape:
                # One truth value selects all or nothing along a new dimension.
                inserted.append(place)
                arrays[place] = _truth(item)
                place += 1
                continue
            for positions in positions_of_mask(item, x, axis):
                arrays[place] = positions
                place += 1
            axis += len(item.type.shape) - 1
        elif item.type.shape:
            arrays[place] = _checked(item, x, axis)
            place += 1
        else:
            chosen.append((axis - len(dropped) - len(chosen), _checked(item, x, axis)))
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


def _made_index(item: Any) -> Any:
    """A part of an index as an int, slice, None, ... or Value."""
    if item is None or item is Ellipsis or isinstance(item, (slice, Value)):
        return item
    number = _whole_number(item)
    if number is not None:
        return number
    try:
        array = constant_of(literal(item))
    except DTypeError:
        raise DTypeError(
            f"{shown(item)} is not an index; ints, slices, None, ... and arrays of integers or bools are "
            f"({source_line()})"
        ) from None
    assert array is not None
    return constant(array.astype(np.int64) if not array.size and array.dtype.kind == "f" else array)


def _consumed(item: Any) -> int:
    """How many dimensions a part of an index is for."""
    if item is None or item is Ellipsis:
        return 0
    return len(item.type.shape) if isinstance(item, Value) and item.type.dtype is DType.bool else 1


def _truth(item: Value) -> Value:
    array = constant_of(item)
    if array is not None:
        return constant(np.nonzero(array.reshape(1))[0])
    return ops.squeeze(ops.nonzero(ops.reshape(item, [1])), [0])


def _without_ellipsis(items: list[Any], rank: int) -> list[Any]:
    used = sum(_consumed(item) for item in items)
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


def _checked(value: Value, x: Value, axis: int) -> Value:
    """Positions of integers that are within bounds as far as they are known."""
    if value.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"an index must be int32 or int64, {value.type} came ({source_line()})")
    refuse_nowhere(x, axis, value)
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
    stacked = stacked_positions(list(arrays.values()))
    found = ops.gather_nd(ops.transpose(x, perm=(*axes, *rest)), stacked)
    if axes != list(range(axes[0], axes[-1] + 1)):
        return found
    count = len(stacked.type.shape) - 1
    order = (*range(count, count + axes[0]), *range(count), *range(count + axes[0], count + len(rest)))
    return ops.transpose(found, perm=order)
