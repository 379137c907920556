"""Reading and writing with brackets: `x[...]` and `x[...] = value`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.cast import promote
from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _steps(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The index in two steps: first integers, slices and None (a view), then arrays on what is left.

    That is PyTorch's order; numpy alone would let an integer beside an array decide where the dimensions go.
    """
    parts = [_plain(i) for i in (index if isinstance(index, tuple) else (index,))]
    used = sum(i.ndim if _is_mask(i) else 1 for i in parts if i is not None and i is not ...)
    if sum(i is ... for i in parts) > 1 or used > len(shape):
        text = " ".join(repr(index).split())
        raise EagerError(f"index {text} has too many parts for a tensor of shape {list(shape)}")
    if not any(i is ... for i in parts):
        parts.append(...)
    first: list[Any] = []
    second: list[Any] = []
    for i in parts:
        if i is ...:
            first += [slice(None)] * (len(shape) - used)
            second += [slice(None)] * (len(shape) - used)
        elif isinstance(i, np.ndarray) and _is_mask(i) and not i.ndim:
            # One truth value selects all or nothing along a new dimension.
            first.append(None)
            second.append(np.flatnonzero(i))
        elif isinstance(i, np.ndarray):
            first += [slice(None)] * (i.ndim if _is_mask(i) else 1)
            second.append(i)
        else:
            first.append(i)
            second += [] if isinstance(i, int) else [slice(None)]
    return (*first, ...), tuple(second) if any(isinstance(i, np.ndarray) for i in second) else ()


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == bool


def _plain(part: Any) -> Any:
    """A part of an index as numpy takes it, arrays as copies."""
    if part is None or part is ... or isinstance(part, slice):
        return part
    array = part.array if hasattr(part, "memory") else np.asarray(part)
    if array.dtype != bool and array.dtype.kind not in "iu" and array.size:
        raise EagerError(f"index of {array.dtype}: expected integers or bool")
    if array.ndim == 0 and array.dtype != bool:
        return int(array)
    return np.array(array, dtype=bool if array.dtype == bool else np.int64)


def _checked(array: Array, first: tuple[Any, ...], second: tuple[Any, ...], index: Any) -> Array:
    try:
        return _read(array, first, second)
    except IndexError as error:
        text = " ".join(repr(index).split())
        raise EagerError(f"index {text} does not fit a tensor of shape {list(array.shape)}: {error}") from None


def getitem(input: Tensor, index: Any) -> Tensor:
    """`x[index]`: integers, slices, None, ... give a view; integer and bool arrays (tensors, lists) give a copy.

    The gradient is added at the positions read, so one that was read twice gets both.
    """
    shape = input.shape
    first, second = _steps(index, shape)

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        if second:
            np.add.at(z[first], second, g)
        else:
            z[first] = g
        return z

    return result(_checked(input.array, first, second, index), (input, back))


def put(input: Tensor, index: Any, value: Any) -> Tensor:
    """A copy in which the elements at the index are replaced by `value`: what `x[index] = value` records.

    Where arrays name one position several times the last value stays, and only that one gets the gradient.
    """
    _, v = promote(input, value, dtype=input.dtype)
    shape = input.shape
    first, second = _steps(index, shape)
    target_shape = _checked(input.array, first, second, index).shape
    target_size = math.prod(target_shape)
    try:
        source = np.broadcast_to(v.array, target_shape)
    except ValueError:
        raise EagerError(
            f"value of shape {list(v.shape)} does not fit {list(target_shape)}, the shape at the index"
        ) from None
    y = input.array.copy()
    _write(y, first, second, source)

    def to_input(g: Array) -> Array:
        z = np.array(g)
        _write(z, first, second, 0)
        return z

    def to_value(g: Array) -> Array:
        number = np.arange(target_size).reshape(target_shape)
        last = np.full(shape, -1)
        _write(last, first, second, number)
        return np.where(_read(last, first, second) == number, _read(g, first, second), 0)

    return result(y, (input, to_input), (v, to_value))


def _read(array: Array, first: tuple[Any, ...], second: tuple[Any, ...]) -> Array:
    return np.asarray(array[first][second] if second else array[first])


def _write(array: Array, first: tuple[Any, ...], second: tuple[Any, ...], value: Any) -> None:
    if second:
        array[first][second] = value
    else:
        array[first] = value


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like x in which every element is `value`."""
    _, v = promote(input, value, dtype=input.dtype)
    if v.ndim:
        raise EagerError(f"fill with a value of shape {list(v.shape)}: expected a number or a 0-dim tensor")
    return result(np.full_like(input.array, v.array), (input, np.zeros_like), (v, lambda g: g))
