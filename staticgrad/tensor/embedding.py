"""PyTorch's tables of vectors that are looked up by number."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, UnsupportedOperatorError, shown
from staticgrad.graph import Value
from staticgrad.ops.indexing import reduced_at
from staticgrad.ops.kinds import shape_of, with_derivative, without_derivative
from staticgrad.ops.layout import numbers_along, size_of
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.windows import whole_number
from staticgrad.types import DType


@function
def embedding(
    input: Value,
    weight: Value,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    """The rows of `weight` that `input` names; the row `padding_idx` gets no derivative.

    With `scale_grad_by_freq` the derivative of a row is divided by how often `input` names it. `max_norm` is refused:
    it would change the weights; `sparse` is how PyTorch stores the gradient, which here is always dense.
    """
    _check_table("embedding", weight, max_norm)
    rows = ops.gather(weight, input, axis=0)
    if scale_grad_by_freq:
        rows = _by_frequency(rows, input, weight)
    if padding_idx is None:
        return rows
    padding = ops.unsqueeze(ops.equal(input, _padding(padding_idx, weight)), [-1])
    return ops.where(padding, without_derivative(rows), rows)


def _check_table(name: str, weight: Value, max_norm: float | None) -> None:
    if max_norm is not None:
        raise UnsupportedOperatorError(
            f"{name} with max_norm changes the weights and is not supported; divide the rows by their norm in the "
            f"model ({source_line()})"
        )
    if len(weight.type.shape) != 2:
        raise ShapeError(f"{name} takes a matrix for weight, {weight.type} came ({source_line()})")


def _padding(padding_idx: int, weight: Value) -> int:
    """The row without derivative, counted from the front."""
    padding_idx, size = whole_number(padding_idx, "padding_idx"), weight.type.shape[0]
    if isinstance(size, int) and not -size <= padding_idx < size:
        raise ShapeError(f"padding_idx {padding_idx} is not a row of {weight.type} ({source_line()})")
    if padding_idx >= 0:
        return padding_idx
    if not isinstance(size, int):
        raise ShapeError(f"a negative padding_idx needs a known number of rows, {weight.type} came ({source_line()})")
    return padding_idx + size


def _by_frequency(rows: Value, input: Value, weight: Value) -> Value:
    """`rows`, whose cotangents are divided by how often each was looked up."""
    places = ops.reshape(ops.cast(input, to=DType.int64), [-1, 1])
    one = constant(np.ones((), rows.type.dtype.numpy))
    rows_of_table = ops.reshape(size_of(weight, 0), [1])
    nothing = ops.constant_of_shape(rows_of_table, value=np.zeros(1, rows.type.dtype.numpy))
    ones = ops.expand(one, ops.shape(places, start=0, end=1))
    frequency = reduced_at(ops.scatter_nd, nothing, places, ones, "add")
    divisor = ops.unsqueeze(ops.gather(frequency, input, axis=0), [-1])
    return with_derivative(rows, [rows], lambda g, y, x: g / divisor)


@function
def embedding_bag(
    input: Value,
    weight: Value,
    offsets: Value | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Value:
    """The "sum", "mean" or "max" of the rows of `weight` that each bag of `input` names.

    A bag is a row of a matrix `input`, or of a vector what lies from one of the `offsets` to the next; an empty one
    gives zeros. Rows `padding_idx` are left out. Of equal rows the first one gets the derivative of "max".
    """
    _check_table("embedding_bag", weight, max_norm)
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    flat = ops.reshape(input, [-1])
    if offsets is None:
        count = size_of(input, 0)
        numbers = ops.unsqueeze(numbers_along(input, 0), [1])
        bags = ops.reshape(ops.expand(numbers, shape_of(input)), [-1])
    else:
        bags, count = _bags_from(offsets, flat, include_last_offset)
    rows = ops.gather(weight, flat, axis=0)
    if scale_grad_by_freq:
        rows = _by_frequency(rows, flat, weight)
    dtype = weight.type.dtype
    if per_sample_weights is not None:
        rows = rows * ops.unsqueeze(ops.reshape(per_sample_weights, [-1]), [1])
    kept: Value | None = None
    if padding_idx is not None:
        kept = ops.logical_not(ops.equal(flat, _padding(padding_idx, weight)))
    if mode == "max":
        return _largest_of_bags(rows, kept, bags, count)
    if kept is not None:
        rows = ops.where(ops.unsqueeze(kept, [1]), rows, constant(np.zeros((), dtype.numpy)))
    places = ops.unsqueeze(bags, [1])
    total = reduced_at(ops.scatter_nd, _table(count, rows, 0.0), places, rows, "add")
    if mode == "sum":
        return total
    ones = constant(np.ones((), dtype.numpy))
    counted = ops.expand(ones, shape_of(flat)) if kept is None else ops.cast(kept, to=dtype)
    nothing = ops.constant_of_shape(ops.reshape(count, [1]), value=np.zeros(1, dtype.numpy))
    sizes = reduced_at(ops.scatter_nd, nothing, places, counted, "add")
    return total / ops.unsqueeze(ops.max(sizes, ones), [1])


def _bags_from(offsets: Value, flat: Value, include_last_offset: bool) -> tuple[Value, Value]:
    """For each number the bag in which it lies, and how many bags there are."""
    offsets = offsets if offsets.type.dtype is DType.int64 else ops.cast(offsets, to=DType.int64)
    places = numbers_along(flat, 0)
    if include_last_offset:
        # The last one is where the input ends, whatever it says.
        offsets = ops.slice_(offsets, [0], [-1])
    # The first bag begins with the first number.
    begun = ops.less_or_equal(ops.slice_(offsets, [1], [2**62]), ops.unsqueeze(places, [1]))
    bags = ops.reduce_sum(ops.cast(begun, to=DType.int64), [1], keepdims=False)
    return bags, size_of(offsets, 0)


def _check_bags(
    input: Value, offsets: Value | None, mode: str, per_sample_weights: Value | None, scale_grad_by_freq: bool
) -> None:
    if mode not in ("sum", "mean", "max"):
        raise DeclarationError(f"mode={shown(mode)} is not one of 'sum', 'mean', 'max' ({source_line()})")
    if len(input.type.shape) != (2 if offsets is None else 1):
        raise ShapeError(
            f"embedding_bag takes a matrix, or a vector with offsets, {input.type} came "
            f"{'without' if offsets is None else 'with'} offsets ({source_line()})"
        )
    if offsets is not None and len(offsets.type.shape) != 1:
        raise ShapeError(f"offsets are a vector, {offsets.type} came ({source_line()})")
    if per_sample_weights is not None and mode != "sum":
        raise DeclarationError(f"per_sample_weights need mode='sum', {shown(mode)} came ({source_line()})")
    if per_sample_weights is not None and len(per_sample_weights.type.shape) != len(input.type.shape):
        raise ShapeError(
            f"per_sample_weights have the shape of input, {per_sample_weights.type} and {input.type} came "
            f"({source_line()})"
        )
    if scale_grad_by_freq and mode == "max":
        raise DeclarationError(f"scale_grad_by_freq does not go with mode='max' ({source_line()})")


def _table(count: Value, rows: Value, number: float) -> Value:
    """One number in the shape of the rows, but for `count` of them."""
    extent = ops.concat(ops.reshape(count, [1]), ops.shape(rows, start=1), axis=0)
    return ops.constant_of_shape(extent, value=np.full(1, number, rows.type.dtype.numpy))


def _largest_of_bags(rows: Value, kept: Value | None, bags: Value, count: Value) -> Value:
    """For each bag and column the largest number, read at the first row that has it."""
    dtype = rows.type.dtype
    places = ops.unsqueeze(bags, [1])
    lowest = constant(np.full((), -np.inf, dtype.numpy))
    seen = without_derivative(rows)
    if kept is not None:
        seen = ops.where(ops.unsqueeze(kept, [1]), seen, lowest)
    largest = reduced_at(ops.scatter_nd, _table(count, rows, -np.inf), places, seen, "max")
    hit = ops.equal(ops.gather(largest, bags, axis=0), seen)
    if kept is not None:
        hit = ops.logical_and(hit, ops.unsqueeze(kept, [1]))
    end = size_of(rows, 0)
    numbers = ops.where(hit, ops.unsqueeze(numbers_along(rows, 0), [1]), end)
    extent = ops.concat(ops.reshape(count, [1]), ops.shape(rows, start=1), axis=0)
    first = ops.scatter_nd(ops.expand(end, extent), places, numbers, reduction="min")
    # An empty bag reads a row of zeros behind the last.
    padded = ops.pad(rows, constant(np.array([0, 0, 1, 0])))
    return ops.gather_elements(padded, first, axis=0)


@function
def one_hot(x: Value, num_classes: int = -1) -> Value:
    """A new last dimension of `num_classes` with 1 where the class is, 0 elsewhere; int64."""
    if not isinstance(num_classes, int) or num_classes <= 0:
        raise ShapeError(
            f"one_hot needs the number of classes as a positive int, {shown(num_classes)} came ({source_line()})"
        )
    if not x.type.dtype.is_integer:
        raise DTypeError(f"one_hot needs integers, {x.type} came; cast with x.long() ({source_line()})")
    return ops.one_hot(x, constant(np.array(num_classes)), constant(np.array([0, 1], np.int64)))
