"""Reading and writing by position: `x[...]`, gather, scatter_add, embedding, one_hot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.cast import promote
from staticgrad.eager.dtypes import Array, boolean, int64, is_float
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.shape import reshape
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _positions(name: str, index: Tensor, size: int) -> Array:
    """A copy of the positions; they must be integers from 0 on, below the size."""
    if index.dtype.kind not in "iu":
        raise EagerError(f"{name} with an index of {index.dtype}: expected integers")
    if index.array.size and not (index.array.min() >= 0 and index.array.max() < size):
        raise EagerError(f"{name} with an index out of range: expected 0 to {size - 1}")
    return index.array.astype(np.int64)


def _steps(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The index in two steps: first integers, slices and None (a view), then arrays on what is left.

    That is PyTorch's order; numpy alone would let an integer beside an array decide where the dimensions go.
    """
    parts = [_plain(i) for i in (index if isinstance(index, tuple) else (index,))]
    used = sum(i.ndim if _is_mask(i) else 1 for i in parts if i is not None and i is not ...)
    if sum(i is ... for i in parts) > 1 or used > len(shape):
        raise EagerError(f"index {index!r} has too many parts for a tensor of shape {list(shape)}")
    if not any(i is ... for i in parts):
        parts.append(...)
    first: list[Any] = []
    second: list[Any] = []
    for i in parts:
        if i is ...:
            first += [slice(None)] * (len(shape) - used)
            second += [slice(None)] * (len(shape) - used)
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
    if isinstance(part, bool):
        raise EagerError("index with a single truth value: expected a mask with dimensions")
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
        raise EagerError(f"index {index!r} does not fit a tensor of shape {list(array.shape)}: {error}") from None


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


def _grid(shape: tuple[int, ...], axis: int, index: Array) -> tuple[Array, ...]:
    """Positions of every element of `index`: its own in all dimensions but `axis`, there what it says."""
    grid: list[Array] = list(np.ix_(*(np.arange(n) for n in shape)))
    grid[axis] = index
    return tuple(grid)


def _fits(name: str, input: Tensor, axis: int, index: Tensor) -> None:
    if index.ndim != input.ndim or any(
        n > m for i, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if i != axis
    ):
        raise EagerError(
            f"{name} with an index of shape {list(index.shape)} for {list(input.shape)}: expected as many dimensions, "
            f"and sizes that are not larger except in dim {axis}"
        )


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j] = x[i, index[i, j]] for dim 1 (alike for others); the shape is that of the index. No broadcasting."""
    if not input.ndim:
        return reshape(gather(reshape(input, (1,)), 0, reshape(index, (-1,))), index.shape)
    axis, shape = axis_of(dim, input.ndim), input.shape
    _fits("gather", input, axis, index)
    where = _grid(index.shape, axis, _positions("gather", index, shape[axis]))

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        np.add.at(z, where, g)
        return z

    return result(input.array[where], (input, back), (index, None))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with y[i, index[i, j]] += src[i, j] for dim 1 (alike for others); positions may repeat.

    The gradient of `src` is gathered at the index; `src` may be larger than the index, what is beyond it is not read.
    """
    if src.dtype != input.dtype:
        raise EagerError(f"scatter_add of {src.dtype} to {input.dtype}: expected one type")
    axis, shape = axis_of(dim, input.ndim), input.shape
    _fits("scatter_add", input, axis, index)
    if index.ndim != src.ndim or any(n > m for n, m in zip(index.shape, src.shape, strict=True)):
        raise EagerError(f"scatter_add with an index of shape {list(index.shape)}: src has only {list(src.shape)}")
    where = _grid(index.shape, axis, _positions("scatter_add", index, shape[axis]))
    used, source_shape = tuple(slice(n) for n in index.shape), src.shape
    y = input.wide.copy()
    np.add.at(y, where, src.wide[used])

    def back(g: Array) -> Array:
        z = np.zeros(source_shape, g.dtype)
        z[used] = g[where]
        return z

    return result(y, (input, lambda g: g), (src, back), (index, None))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices at the positions of a vector `index`, in its order. A copy."""
    if index.ndim > 1:
        raise EagerError(f"index_select with an index of shape {list(index.shape)}: expected a vector")
    if not input.ndim:
        return reshape(index_select(reshape(input, (1,)), 0, index), ())
    axis = axis_of(dim, input.ndim)
    where = (slice(None),) * axis + (np.atleast_1d(_positions("index_select", index, input.shape[axis])),)
    return getitem(input, where)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` at the integers of `input`; the row `padding_idx` gets no gradient."""
    if weight.ndim != 2:
        raise EagerError(f"embedding with a weight of shape {list(weight.shape)}: expected two dimensions")
    rows, shape = _positions("embedding", input, weight.shape[0]), weight.shape
    if padding_idx is not None and not -shape[0] <= padding_idx < shape[0]:
        raise EagerError(f"embedding with padding_idx {padding_idx}: expected one of {shape[0]} rows")

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        np.add.at(z, rows, g)
        if padding_idx is not None:
            z[padding_idx] = 0
        return z

    return result(weight.array[rows], (weight, back), (input, None))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 with a new last dimension: 1 at the class, 0 elsewhere. -1 classes: as many as the largest needs."""
    if tensor.dtype == boolean or is_float(tensor.dtype):
        raise EagerError(f"one_hot of {tensor.dtype}: expected integers")
    if num_classes == -1:
        if not tensor.array.size:
            raise EagerError("one_hot of no elements: pass num_classes")
        num_classes = int(tensor.array.max()) + 1
    classes = _positions("one_hot", tensor, num_classes)
    return result((classes[..., None] == np.arange(num_classes)).astype(np.int64), (tensor, None), dtype=int64)
