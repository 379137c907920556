"""Sizes of axes, numbers along them, and shapes of which a size is that of an axis, times or over a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.arithmetic import div, mul
from staticgrad.ops.creation import range_
from staticgrad.ops.kinds import LARGEST_TABLE
from staticgrad.ops.registry import constant
from staticgrad.ops.shape import concat, reshape, shape, squeeze
from staticgrad.types import Dim, TensorType, divide_dims, multiply_dims, unknown


def size_of(x: Value, axis: int) -> Value:
    """The size of one dimension, as an int64 of rank 0."""
    size = x.type.shape[axis]
    return constant(np.array(size)) if isinstance(size, int) else squeeze(shape(x, start=axis, end=axis + 1), [0])


def numbers_along(x: Value, axis: int) -> Value:
    """`0, 1, ...`, one number for each element along `axis`."""
    size = x.type.shape[axis]
    known = isinstance(size, int) and size <= LARGEST_TABLE
    return constant(np.arange(size)) if known else range_(0, size_of(x, axis), 1)


class Part:
    """The size of an axis, `times` or `over` a number."""

    def __init__(self, axis: int, times: int = 1, over: int = 1) -> None:
        self.axis = axis
        self.times = times
        self.over = over

    def of(self, x: Value) -> Dim:
        """The dimension."""
        quotient = divide_dims(multiply_dims(x.type.shape[self.axis], self.times), self.over)
        return unknown() if quotient is None else quotient

    def measured(self, x: Value) -> Value:
        """The size that the run has, as a list of one number."""
        length = shape(x, start=self.axis, end=self.axis + 1)
        if self.times != 1:
            length = mul(length, constant(np.array([self.times])))
        return length if self.over == 1 else div(length, constant(np.array([self.over])))


def laid_out(x: Value, sizes: Sequence[int | Part]) -> Value:
    """`x` in another shape, without a computed one where no more than one size is only known at the run."""
    dims = tuple(size.of(x) if isinstance(size, Part) else size for size in sizes)
    if dims == x.type.shape:
        return x
    dynamic = sum(not isinstance(d, int) for d in dims)
    inferred = dynamic == 1 and 0 not in dims
    if inferred or not dynamic:
        target = constant(np.array([d if isinstance(d, int) else -1 for d in dims], np.int64))
    else:
        parts = [
            size.measured(x) if isinstance(size, Part) and not isinstance(d, int) else constant(np.array([d], np.int64))
            for size, d in zip(sizes, dims, strict=True)
        ]
        target = concat(*parts, axis=0)
    node = reshape.apply((x, target), {"allowzero": not inferred}, (TensorType(x.type.dtype, dims),))
    return node.outputs[0]
