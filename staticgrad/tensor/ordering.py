"""PyTorch's functions that order elements along a dimension."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError
from staticgrad.graph import Value
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.reduction import ValuesAndIndices
from staticgrad.tensor.shape import axis_of
from staticgrad.tensor.windows import at_least_rank_1, whole_number
from staticgrad.types import DType


@function
def topk(input: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The `k` largest (or smallest) elements along `dim` in order and where they stand; of equal ones the first."""
    axis = axis_of(input, dim)
    k = whole_number(k, "k")
    size = at_least_rank_1(input).type.shape[axis]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ShapeError(f"k is {k}, dimension {axis} of {input.type} has {size} elements ({source_line()})")
    found = _ordered(input, constant(np.array([k])), axis, largest)
    if input.type.shape or not k:
        return found
    return ValuesAndIndices(*(ops.reshape(y, []) for y in found))


def _ordered(input: Value, count: Value, axis: int, largest: bool) -> ValuesAndIndices:
    """The first elements by their order; a tensor of rank 0 counts as a vector."""
    dtype = input.type.dtype
    ranked = at_least_rank_1(input)
    if dtype in (DType.bool, DType.int8, DType.int16, DType.uint8, DType.uint16):
        # onnxruntime orders int32, int64 and floating numbers.
        ranked = ops.cast(ranked, to=DType.int32)
    values, indices = ops.topk(ranked, count, axis=axis, largest=bool(largest))
    return ValuesAndIndices(values if values.type.dtype is dtype else ops.cast(values, to=dtype), indices)


@function
def sort(input: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesAndIndices:
    """The elements along `dim` in order and where they stood; equal ones keep their order, `stable` or not."""
    axis = axis_of(input, dim)
    ranked = at_least_rank_1(input)
    size = ranked.type.shape[axis]
    count = constant(np.array([size])) if isinstance(size, int) else ops.shape(ranked, start=axis, end=axis + 1)
    found = _ordered(input, count, axis, descending)
    return found if input.type.shape else ValuesAndIndices(*(ops.reshape(y, []) for y in found))


@function
def argsort(input: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Value:
    """Where the elements along `dim` stand that come first, second, ... in order, int64."""
    return sort(input, dim, descending, stable).indices


@function
def msort(input: Value) -> Value:
    """The elements along the first dimension in ascending order."""
    return sort(input, 0).values


@function
def kthvalue(input: Value, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The `k`-th smallest element along `dim`, counted from 1, and where it stands."""
    axis = axis_of(input, dim)
    k = whole_number(k, "k")
    size = at_least_rank_1(input).type.shape[axis]
    if k < 1 or (isinstance(size, int) and k > size):
        raise ShapeError(f"k is {k}, dimension {axis} of {input.type} has {size} elements ({source_line()})")
    found = _ordered(input, constant(np.array([k])), axis, False)
    if not input.type.shape:
        return ValuesAndIndices(*(ops.reshape(y, []) for y in found))
    last = [ops.slice_(y, [k - 1], [k], [axis]) for y in found]
    return ValuesAndIndices(*(last if keepdim else [ops.squeeze(y, [axis]) for y in last]))
