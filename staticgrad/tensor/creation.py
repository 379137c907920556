"""PyTorch's functions that make tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError
from staticgrad.graph import Value, source_line
from staticgrad.ops.kinds import shape_of
from staticgrad.ops.registry import constant
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import sizes_given
from staticgrad.types import as_dtype


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
    if not all(isinstance(s, int) and s >= 0 for s in sizes):
        raise ShapeError(
            f"sizes must be ints of 0 or more, {sizes} came; see zeros_like for dynamic ones ({source_line()})"
        )
    target = as_dtype(dtype if dtype is not None else bool if isinstance(fill_value, bool) else type(fill_value))
    return ops.constant_of_shape(constant(np.array(sizes, np.int64)), value=np.full(1, fill_value, target.numpy))


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
    target = x.type.dtype if dtype is None else as_dtype(dtype)
    return ops.constant_of_shape(shape_of(x), value=np.full(1, fill_value, target.numpy))


@function
def arange(start: float, end: float | None = None, step: float = 1, dtype: object = None) -> Value:
    """`start, start + step, ...` up to but without `end`; from 0 with one argument."""
    if end is None:
        start, end = 0, start
    numbers = np.arange(start, end, step)
    default = "float32" if numbers.dtype.kind == "f" else "int64"
    return constant(numbers.astype(as_dtype(dtype or default).numpy))


@function
def eye(n: int, m: int | None = None, dtype: object = "float32") -> Value:
    """A matrix with ones on its diagonal."""
    return constant(np.eye(n, m, dtype=as_dtype(dtype).numpy))


@function
def linspace(start: float, end: float, steps: int, dtype: object = "float32") -> Value:
    """`steps` numbers from `start` to `end`, both included, at equal distances."""
    return constant(np.linspace(start, end, steps).astype(as_dtype(dtype).numpy))
