"""Vectors brought to length one, angles and distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.arithmetic import add, clamp, div, sub
from staticgrad.eager.cast import floating, promote
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import Dims, axis_of, norm
from staticgrad.eager.shape import unsqueeze
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def normalize(input: Tensor, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Tensor:
    """y = x / max(norm(x), eps)."""
    x = floating(input)
    return div(x, clamp(norm(x, p, dim, True), min=eps))


@quiet
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """y = sum a b / (|a| |b|) along `dim`, the lengths at least eps; their derivatives are those of the lengths
    themselves, cut or not: with u = a / |a| and v likewise, the gradient to a is g (v - y a / |a|_uncut) / |a|.
    """
    ta, tb = promote(floating(x1), floating(x2))
    a, b = np.broadcast_arrays(ta.wide, tb.wide)
    axis = axis_of(dim, a.ndim)
    axes = (axis,) if a.ndim else ()

    def length(x: Array) -> Array:
        return np.asarray(np.sqrt(np.sum(x * x, axis=axes, keepdims=True)))

    true_a, true_b = length(a), length(b)
    cut_a, cut_b = np.maximum(true_a, eps), np.maximum(true_b, eps)
    y = np.sum(a / cut_a * (b / cut_b), axis=axes, keepdims=True)

    def to(x: Array, true: Array, cut: Array, other: Array) -> Array:
        along = np.where(true == 0, 0, x / np.where(true == 0, 1, true))
        return np.asarray(other / cut - y * along / cut)

    def whole(g: Array) -> Array:
        return np.expand_dims(g, axes)

    u, v = a / cut_a, b / cut_b
    return result(
        np.squeeze(y, axes),
        (ta, lambda g: whole(g) * to(a, true_a, cut_a, v)),
        (tb, lambda g: whole(g) * to(b, true_b, cut_b, u)),
    )


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of a - b + eps along the last dimension."""
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norms of the differences of all rows of a and all rows of b, whatever the mode."""
    if x1.ndim < 2 or x2.ndim < 2:
        raise EagerError(f"cdist of shapes {list(x1.shape)} and {list(x2.shape)}: expected rank 2 or more")
    return norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)
