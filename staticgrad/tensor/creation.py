"""PyTorch's functions that make tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Array, Value
from staticgrad.ops.kinds import is_half, shape_of
from staticgrad.ops.registry import constant, element_type, literal, plain
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import sizes_given, whole_numbers
from staticgrad.types import DType


@function
def zeros(*size: Any, dtype: object = "float32") -> Value:
    """Zeros of this shape."""
    return full(sizes_given(size), 0, dtype)


@function
def ones(*size: Any, dtype: object = "float32") -> Value:
    """Ones of this shape."""
    return full(sizes_given(size), 1, dtype)


@function
def full(size: Any, fill_value: float, dtype: object = None) -> Value:
    """One number, repeated to this shape."""
    sizes = sizes_given((size,))
    if not all(isinstance(s, (int, np.integer)) and s >= 0 for s in sizes):
        raise ShapeError(
            f"sizes must be ints of 0 or more, {shown(sizes)} came; see zeros_like for dynamic ones ({source_line()})"
        )
    fill_value = plain(fill_value)
    target = None if dtype is None else element_type(dtype)
    return ops.constant_of_shape(constant(np.array(sizes, np.int64)), value=filled(fill_value, target))


def filled(number: float, dtype: DType | None) -> Array:
    """An array of one number, which must fit into the element type."""
    if not isinstance(number, (bool, int, float)):
        raise DTypeError(f"a tensor is filled with a number, {shown(number)} came ({source_line()})")
    target = element_type(type(number)) if dtype is None else dtype
    try:
        with np.errstate(over="raise", invalid="raise"):
            # Floats become integers by rounding towards zero, as in PyTorch.
            return np.full(1, int(number) if target.is_integer else number, target.numpy)
    except (ArithmeticError, ValueError):
        raise DTypeError(f"{shown(number)} does not fit into {target} ({source_line()})") from None


@function
def zeros_like(x: Value, dtype: object = None) -> Value:
    """Zeros of the shape (and element type) of `x`."""
    return full_like(x, 0, dtype)


@function
def ones_like(x: Value, dtype: object = None) -> Value:
    """Ones of the shape (and element type) of `x`."""
    return full_like(x, 1, dtype)


@function
def full_like(x: Value, fill_value: float, dtype: object = None) -> Value:
    """One number, repeated to the shape of `x`, with its element type."""
    target = x.type.dtype if dtype is None else element_type(dtype)
    return ops.constant_of_shape(shape_of(x), value=filled(plain(fill_value), target))


@function
def arange(start: float, end: float | None = None, step: float = 1, dtype: object = None) -> Value:
    """`start, start + step, ...` up to but without `end`; from 0 with one argument."""
    if end is None:
        start, end = 0, start
    bounds = (plain(start), plain(end), plain(step))
    if not all(isinstance(b, (int, float)) and math.isfinite(b) for b in bounds) or step == 0:
        raise DeclarationError(
            f"arange needs finite numbers and a step that is not 0, {shown(bounds)} came ({source_line()})"
        )
    default = "float32" if any(isinstance(b, float) for b in bounds) else "int64"
    target = element_type(default if dtype is None else dtype)
    first, last, stride = bounds
    if target.is_integer:
        # Only the length is that of the numbers as they came, and of int64 not even that.
        whole = [int(b) for b in bounds]
        first, last, stride = whole if target is DType.int64 else (whole[0], last, stride)
    if (last - first) * stride < 0 or (target.is_integer and not int(stride)):
        raise DeclarationError(
            f"arange to {target} goes from {first} to {last} by steps of {stride}, which leads nowhere "
            f"({source_line()})"
        )
    count = math.ceil((last - bounds[0] if target is not DType.int64 else last - first) / stride)
    return constant((first + np.arange(count) * (int(stride) if target.is_integer else stride)).astype(target.numpy))


@function
def eye(n: int, m: int | None = None, dtype: object = "float32") -> Value:
    """A matrix with ones on its diagonal."""
    rows, columns = whole_numbers([n, n if m is None else m], "sizes of a matrix")
    return constant(np.eye(rows, columns, dtype=element_type(dtype).numpy))


@function
def linspace(start: float | Value, end: float | Value, steps: int, dtype: object = "float32") -> Value:
    """`steps` numbers from `start` to `end`, both included, at equal distances; numbers, or tensors of rank 0."""
    (count,) = whole_numbers([steps], "steps")
    target = element_type(dtype)
    bounds = (plain(start), plain(end))
    if any(isinstance(b, Value) for b in bounds):
        return _between(bounds, count, target)
    if not all(isinstance(b, (int, float)) for b in bounds):
        raise DeclarationError(f"linspace needs two numbers, {shown(bounds)} came ({source_line()})")
    first, last = _whole(bounds, target)
    return constant(np.linspace(first, last, count).astype(target.numpy))


def _whole(bounds: Sequence[Any], dtype: DType) -> tuple[Any, ...]:
    """Bounds of a line in an element type: those of integers are rounded towards zero before anything is computed."""
    if not dtype.is_integer:
        return tuple(bounds)
    if not all(math.isfinite(b) for b in bounds):
        raise DTypeError(f"{shown(tuple(bounds))} do not fit into {dtype} ({source_line()})")
    return tuple(int(filled(b, dtype)[0]) for b in bounds)


def _between(bounds: tuple[Value | float, ...], count: int, target: DType) -> Value:
    for bound in bounds:
        if isinstance(bound, Value) and bound.type.shape:
            raise ShapeError(f"linspace takes tensors of rank 0, {bound.type} came ({source_line()})")
    # Integers are rounded towards zero at the end, from numbers that hold them exactly.
    between = target if target.is_float and not is_half(target) else DType.float64
    start, end = (ops.cast(b if isinstance(b, Value) else literal(b), to=between) for b in bounds)
    numbers = np.arange(count)
    if count == 1:
        line = ops.reshape(start, [1])
    else:
        # From the nearer end, so that both are met exactly.
        forward = constant(numbers.astype(between.numpy))
        backward = constant((count - 1 - numbers).astype(between.numpy))
        step = (end - start) / (count - 1)
        line = ops.where(constant(numbers < (count + 1) // 2), start + forward * step, end - backward * step)
    return line if between is target else ops.cast(line, to=target)


@function
def logspace(start: float, end: float, steps: int, base: float = 10.0, dtype: object = "float32") -> Value:
    """`base` to the powers of `linspace(start, end, steps)`."""
    target, bounds = element_type(dtype), (plain(start), plain(end))
    if all(isinstance(b, (int, float)) for b in bounds):
        bounds = _whole(bounds, target)
    powers = linspace(*bounds, steps, "float64")
    return ops.cast(ops.pow(literal(float(plain(base)), DType.float64), powers), to=target)
