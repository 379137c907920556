"""Shapes that a rule puts together axis by axis: numbers where they are known, else computed in the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.arithmetic import div, mul
from staticgrad.ops.registry import constant
from staticgrad.ops.shape import concat, reshape, shape
from staticgrad.types import Dim, TensorType, divide_dims, is_static, multiply_dims, unknown


class Size(NamedTuple):
    """The size of an axis, and where only the run knows it, the int64 list of one number that holds it."""

    dim: Dim
    value: Value | None = None

    def listed(self) -> Value:
        """The size as an int64 list of one number."""
        return constant(np.array([self.dim], np.int64)) if self.value is None else self.value

    def times(self, other: Size | int) -> Size:
        """The product of two sizes."""
        other = Size(other) if isinstance(other, int) else other
        dim = multiply_dims(self.dim, other.dim)
        return Size(dim) if isinstance(dim, int) else Size(dim, mul(self.listed(), other.listed()))

    def over(self, divisor: int) -> Size:
        """The size divided by a number that divides it."""
        if divisor == 1:
            return self
        dim = divide_dims(self.dim, divisor)
        return (
            Size(dim)
            if isinstance(dim, int)
            else Size(unknown() if dim is None else dim, div(self.listed(), [divisor]))
        )


def sizes_of(x: Value) -> tuple[Size, ...]:
    """The sizes of all axes."""
    return tuple(
        Size(d) if isinstance(d, int) else Size(d, shape(x, start=i, end=i + 1)) for i, d in enumerate(x.type.shape)
    )


def shape_from(*sizes: Size | int) -> Value:
    """The sizes as an int64 list."""
    listed = [Size(s) if isinstance(s, int) else s for s in sizes]
    if all(s.value is None for s in listed):
        return constant(np.array([s.dim for s in listed], np.int64))
    return concat(*[s.listed() for s in listed], axis=0)


def arranged(x: Value, *sizes: Size | int) -> Value:
    """`x` with axes of these sizes."""
    dims = tuple(s if isinstance(s, int) else s.dim for s in sizes)
    if dims == x.type.shape:
        return x
    whole = TensorType(x.type.dtype, dims)
    how = {"allowzero": not is_static(dims) or 0 in dims}
    result: Value = reshape.apply((x, shape_from(*sizes)), how, (whole,)).outputs[0]
    return result
