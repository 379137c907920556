"""PyTorch's norms, and what is measured with them."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative
from staticgrad.ops.registry import element_type, plain, promote
from staticgrad.origin import source_line
from staticgrad.tensor.arithmetic import clamp
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import floating
from staticgrad.tensor.reduction import Dims, axes, expect_something, reduced


@function
def norm(x: Value, p: float | str | None = 2, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The p-norm over `dim`: `sum(|x|^p)^(1/p)`, the largest or smallest `|x|` for p = inf or -inf, a count for p = 0.

    The derivative where the norm is 0 is 0.
    """
    x = floating(x) if dtype is None else ops.cast(x, to=element_type(dtype))
    p = plain(p)
    if p is None or p == "fro":
        p = 2
    if not isinstance(p, (int, float)):
        hint = ", which needs singular values" if p == "nuc" else ""
        raise DeclarationError(f"norm takes a number for p or 'fro', {shown(p)} came{hint} ({source_line()})")
    if p == 2:
        return reduced(ops.reduce_l2, x, dim, keepdim)
    if p == 1:
        return reduced(ops.reduce_l1, x, dim, keepdim)
    if p == 0:
        return reduced(ops.reduce_sum, ops.cast(ops.logical_not(ops.equal(x, 0)), to=x.type.dtype), dim, keepdim)
    if p < 0 or math.isinf(p):
        expect_something(x, dim, f"the norm with p={p}")
    if math.isinf(p):
        return reduced(ops.reduce_max if p > 0 else ops.reduce_min, ops.abs(x), dim, keepdim)
    size = ops.abs(x)
    chosen = axes(x, dim)
    if all(x.type.shape[i] == 1 for i in (range(len(x.type.shape)) if chosen is None else chosen)):
        # One number, without the rounding of a power and its root.
        return reduced(ops.reduce_sum, size, dim, keepdim)
    if p > 0:
        # |x|^p has no finite slope at 0 for p < 1; the root has none at 0 for p > 1.
        nothing = ops.equal(x, 0)
        powers = ops.where(nothing, 0, ops.pow(ops.where(nothing, 1, size), p))
        total = reduced(ops.reduce_sum, powers, dim, keepdim)
        zero = ops.equal(total, 0)
    else:
        # One 0 makes the norm 0, whatever the others are.
        nothing = ops.equal(x, 0)
        powers = ops.where(nothing, math.inf, ops.pow(ops.where(nothing, 1, size), p))
        total = reduced(ops.reduce_sum, powers, dim, keepdim)
        zero = ops.isinf(total)
    return ops.where(zero, 0, ops.pow(ops.where(zero, 1, total), 1 / p))


@function
def normalize(x: Value, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Value:
    """`x / max(norm(x, p, dim), eps)`."""
    x = floating(x)
    return ops.div(x, clamp(norm(x, p, dim, keepdim=True), min=eps))


@function
def cosine_similarity(x1: Value, x2: Value, dim: int = 1, eps: float = 1e-8) -> Value:
    """The cosine of the angle between `x1` and `x2` along `dim`; both broadcast.

    Each length is taken to be `eps` at least. As in PyTorch that limit has no derivative of its own: the derivative of
    a shorter length is that of the length.
    """
    x1, x2 = promote([floating(x1), floating(x2)])
    # One that is repeated along dim counts with its repeated length.
    one, two = _broadcast(x1, x2)
    return reduced(ops.reduce_sum, _unit(one, dim, eps) * _unit(two, dim, eps), dim, False)


def _broadcast(x: Value, other: Value) -> tuple[Value, Value]:
    if x.type.shape == other.type.shape:
        return x, other
    return ops.expand(x, ops.shape(other)), ops.expand(other, ops.shape(x))


def _unit(x: Value, dim: int, eps: float) -> Value:
    length = reduced(ops.reduce_l2, x, dim, True)
    limited = with_derivative(clamp(length, min=eps), [length], lambda g, *_: g)
    return ops.div(x, limited)


@function
def pairwise_distance(x1: Value, x2: Value, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Value:
    """The p-norm of `x1 - x2 + eps` over the last dimension."""
    return norm(ops.sub(x1, x2) + eps, p, -1, keepdim)


@function
def cdist(x1: Value, x2: Value, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Value:
    """The p-norm of the difference of every row of `x1` and every row of `x2`; leading dimensions broadcast.

    All differences are computed one by one, whatever the `compute_mode`.
    """
    if len(x1.type.shape) < 2 or len(x2.type.shape) < 2:
        raise DeclarationError(f"cdist takes tensors of rank 2 or more, {x1.type} and {x2.type} came ({source_line()})")
    if not isinstance(p, (int, float)) or not p >= 0:
        raise DeclarationError(f"cdist takes a number of 0 or more for p, {shown(p)} came ({source_line()})")
    return norm(ops.sub(ops.unsqueeze(x1, [-2]), ops.unsqueeze(x2, [-3])), p, -1)
