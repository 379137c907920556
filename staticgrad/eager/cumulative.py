"""Running logarithms of sums, and differences of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.cast import floating
from staticgrad.eager.dtypes import Array, boolean, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.shape import cat
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


@quiet
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """y_i = ln(e^x_0 + ... + e^x_i); the gradient to x_k is the sum of g_i e^(x_k - y_i) over i >= k."""
    x = floating(input)
    if not x.ndim:
        return result(x.array.copy(), (x, lambda g: g))
    axis = axis_of(dim, x.ndim)
    a = np.moveaxis(x.wide, axis, 0)
    y = np.logaddexp.accumulate(a, axis=0) if len(a) else a.copy()

    def formula(g: Array) -> Array:
        above = np.moveaxis(g, axis, 0)
        z = np.zeros_like(above)
        for i in range(len(a)):
            shares = np.exp(a[: i + 1] - y[i])
            z[: i + 1] += above[i] * np.where(np.isneginf(a[: i + 1]), 0, shares)
        return np.moveaxis(z, 0, axis)

    return result(np.moveaxis(y, 0, axis), (x, formula))


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """y_i = x_(i+1) - x_i, n times; with tensors put before and behind first."""
    if n < 0 or not input.ndim:
        raise EagerError(f"diff of order {n} and shape {list(input.shape)}: expected an order >= 0 and a dimension")
    axis = axis_of(dim, input.ndim)
    if not n:
        return result(input.array.copy(), (input, lambda g: g))
    parts = [_line(p, input, axis) for p in (prepend, input, append) if p is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        x = _step(x, axis)
    return x


def _line(part: Tensor, like: Tensor, axis: int) -> Tensor:
    """A number as one element along the axis for each line of the other tensor."""
    if part.ndim:
        return part
    shape = tuple(1 if i == axis else n for i, n in enumerate(like.shape))
    return result(np.broadcast_to(part.array, shape).copy(), (part, lambda g: g))


@quiet
def _step(x: Tensor, axis: int) -> Tensor:
    a = np.moveaxis(x.wide, axis, 0)
    y = a[1:] ^ a[:-1] if x.dtype == boolean else a[1:] - a[:-1]

    def formula(g: Array) -> Array:
        g = np.moveaxis(g, axis, 0)
        z = np.zeros((len(g) + 1, *g.shape[1:]), g.dtype)
        z[1:] += g
        z[:-1] -= g
        return np.moveaxis(z, 0, axis)

    def nothing(g: Array) -> Array:
        return np.zeros_like(x.wide)

    return result(np.moveaxis(y, 0, axis), (x, formula if len(a) else nothing))
