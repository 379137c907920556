"""Order along a dimension: sorting, the largest elements, the k-th smallest."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array, int64
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import Extremum, axis_of
from staticgrad.eager.shape import reshape, squeeze
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _first(input: Tensor, dim: int, descending: bool, begin: int, end: int | None) -> Extremum:
    """Elements `begin` to `end` of the order along a dimension; equal ones stay in their order, nan is the largest."""
    axis, shape = axis_of(dim, input.ndim), input.shape
    x = input.wide
    if descending:
        turned = np.flip(x, axis)
        places = x.shape[axis] - 1 - np.flip(np.argsort(turned, axis, kind="stable"), axis)
    else:
        places = np.argsort(x, axis, kind="stable")
    where = np.take(places, np.arange(begin, x.shape[axis] if end is None else end), axis)

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        np.put_along_axis(z, where, g, axis)
        return z

    indices = result(where, (input, None), dtype=int64)
    return Extremum(result(np.take_along_axis(input.array, where, axis), (input, back), (indices, None)), indices)


def _ranked(input: Tensor, dim: int, descending: bool, begin: int, end: int | None) -> Extremum:
    if input.ndim:
        return _first(input, dim, descending, begin, end)
    axis_of(dim, 0)
    found = _first(reshape(input, (1,)), 0, descending, begin, end)
    return Extremum(*(reshape(y, ()) if y.array.size else y for y in found))


def topk(input: Tensor, k: int, dim: int = -1, largest: builtins.bool = True, sorted: builtins.bool = True) -> Extremum:
    """The k largest (or smallest) elements along a dimension in their order, and where they are."""
    size = input.shape[axis_of(dim, input.ndim)] if input.ndim else 1
    if not 0 <= k <= size:
        raise EagerError(f"topk with k={k}: expected 0 to {size}")
    return _ranked(input, dim, largest, 0, k)


def sort(input: Tensor, dim: int = -1, descending: builtins.bool = False, stable: builtins.bool = False) -> Extremum:
    """The elements along a dimension in order, and where they were; equal ones keep theirs, `stable` or not."""
    return _ranked(input, dim, descending, 0, None)


def argsort(input: Tensor, dim: int = -1, descending: builtins.bool = False, stable: builtins.bool = False) -> Tensor:
    """Where the elements are that come first, second, ... in order along a dimension."""
    return sort(input, dim, descending).indices


def msort(input: Tensor) -> Tensor:
    """The elements along the first dimension in ascending order."""
    return sort(input, 0).values


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: builtins.bool = False) -> Extremum:
    """The k-th smallest element along a dimension, counted from 1, and where it is."""
    size = input.shape[axis_of(dim, input.ndim)] if input.ndim else 1
    if not 1 <= k <= size:
        raise EagerError(f"kthvalue with k={k}: expected 1 to {size}")
    found = _ranked(input, dim, False, k - 1, k)
    return found if keepdim or not input.ndim else Extremum(*(squeeze(y, dim) for y in found))
