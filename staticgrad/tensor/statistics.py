"""PyTorch's variances and standard deviations."""

from __future__ import annotations

import builtins

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.kinds import is_half, ratio_of_sizes
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import floating
from staticgrad.tensor.reduction import Dims, reduced
from staticgrad.types import DType


@function
def var(
    x: Value,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Value:
    """The variance over `dim`: the sum of `(x - mean)^2`, divided by the number of elements less `correction`.

    The correction is 1, and 0 with `unbiased=False`, which may stand in the place of `dim`.
    """
    return _moments(x, dim, unbiased, keepdim, correction)[0]


@function
def std(
    x: Value,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Value:
    """The standard deviation over `dim`: the square root of `var`; the derivative at deviation 0 is 0."""
    return _root(_moments(x, dim, unbiased, keepdim, correction)[0])


@function
def var_mean(
    x: Value,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Value, Value]:
    """The variance and the mean over `dim`."""
    return _moments(x, dim, unbiased, keepdim, correction)


@function
def std_mean(
    x: Value,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Value, Value]:
    """The standard deviation and the mean over `dim`."""
    variance, mean = _moments(x, dim, unbiased, keepdim, correction)
    return _root(variance), mean


def _moments(
    x: Value, dim: Dims | bool, unbiased: bool, keepdim: bool, correction: float | None
) -> tuple[Value, Value]:
    if isinstance(dim, bool):
        # PyTorch's older form.
        unbiased, dim = dim, None
    x = floating(x)
    if correction is None:
        correction = 1 if unbiased else 0
    if is_half(x.type.dtype):
        # Neither the squares nor the count have room in 16 bits.
        wide = _moments(ops.cast(x, to=DType.float32), dim, unbiased, keepdim, correction)
        return ops.cast(wide[0], to=x.type.dtype), ops.cast(wide[1], to=x.type.dtype)
    centre = reductions.mean(x, dim, builtins.bool(x.type.shape))
    deviation = x - centre
    total = reduced(ops.reduce_sum, deviation * deviation, dim, keepdim)
    mean = centre if keepdim or not x.type.shape else reductions.mean(x, dim, False)
    count = ratio_of_sizes(x, total)
    if correction == 0:
        return total / count, mean
    left = count - correction
    return total / (ops.max(left, 0) if isinstance(left, Value) else builtins.max(left, 0.0)), mean


def _root(variance: Value) -> Value:
    zero = ops.equal(variance, 0)
    return ops.where(zero, 0, ops.sqrt(ops.where(zero, 1, variance)))
