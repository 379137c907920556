"""PyTorch's casts. They bear the names of Python's types, so nothing else lives here."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.registry import element_type
from staticgrad.tensor.dispatch import function
from staticgrad.types import DType


@function
def to(x: Value, dtype: object) -> Value:
    """`x` cast to an element type, given by name as in `x.to("float16")`."""
    target = element_type(dtype)
    return x if x.type.dtype is target else ops.cast(x, to=target)


@function
def float(x: Value) -> Value:
    """`x` as float32."""
    return to(x, DType.float32)


@function
def double(x: Value) -> Value:
    """`x` as float64."""
    return to(x, DType.float64)


@function
def half(x: Value) -> Value:
    """`x` as float16."""
    return to(x, DType.float16)


@function
def bfloat16(x: Value) -> Value:
    """`x` as bfloat16."""
    return to(x, DType.bfloat16)


@function
def int(x: Value) -> Value:
    """`x` as int32, rounded towards zero."""
    return to(x, DType.int32)


@function
def long(x: Value) -> Value:
    """`x` as int64, rounded towards zero."""
    return to(x, DType.int64)


@function
def bool(x: Value) -> Value:
    """Whether `x` is not zero."""
    return to(x, DType.bool)
