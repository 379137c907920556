"""Several reductions at once, and reductions that leave nan out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from staticgrad.eager.arithmetic import div
from staticgrad.eager.cast import floating, to
from staticgrad.eager.dtypes import DTypeLike, int64, is_float, quiet
from staticgrad.eager.reduce import Dims, amax, amin, mean, std, sum, var
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


class Extremes(NamedTuple):
    """The smallest and the largest element."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """The smallest and the largest; equals share the gradient evenly."""
    dims = () if dim is None else dim
    return Extremes(amin(input, dims, keepdim), amax(input, dims, keepdim))


def var_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`var` and `mean`."""
    dims = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dims, keepdim)


def std_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`std` and `mean`."""
    dims = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dims, keepdim)


@quiet
def _numbers(x: Tensor) -> Tensor:
    """The tensor with 0 for nan, which gets no gradient."""
    if not is_float(x.dtype):
        return x
    a = x.wide
    kept = ~np.isnan(a)
    return result(np.where(kept, a, 0), (x, lambda g: np.where(kept, g, 0)))


def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The sum of what is not nan."""
    return sum(_numbers(input), dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The mean of what is not nan, nan of nothing."""
    x = floating(input) if dtype is None else to(input, dtype)
    given = result(~np.isnan(x.wide), (x, None), dtype=int64)
    return div(nansum(x, dim, keepdim), sum(given, dim, keepdim))
