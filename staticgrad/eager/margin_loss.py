"""Losses of margins, and of targets that follow a distribution.

`reduction` is "mean", "sum" or "none" (a loss for every element or row).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.activation import logsigmoid
from staticgrad.eager.arithmetic import add, minimum, mul, neg, sub
from staticgrad.eager.cast import promote
from staticgrad.eager.distance import pairwise_distance
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.loss import reduced, refuse_deprecated
from staticgrad.eager.reduce import mean
from staticgrad.eager.tape import Edge, result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


@quiet
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(a, b) where the target is 1, max(cos(a, b) - margin, 0) where it is -1; vectors (N, D) or (D)."""
    refuse_deprecated(size_average, reduce)
    if input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1 or target.ndim > 1:
        raise EagerError(
            f"cosine_embedding_loss of {list(input1.shape)} and {list(target.shape)}: expected (N, D), (N)"
        )
    ta, tb = promote(input1, input2)
    a, b, t = ta.wide, tb.wide, target.array[..., None]
    saa, sbb = (np.sum(x * x, -1, keepdims=True) + 1e-12 for x in (a, b))
    cos = np.sum(a * b, -1, keepdims=True) / np.sqrt(saa * sbb)
    y = np.where(t == 1, 1 - cos, 0) + np.where(t == -1, np.maximum(cos - margin, 0), 0)
    slope = np.where(t == 1, -1, 0) + np.where((t == -1) & (cos >= margin), 1, 0)
    loss = result(
        y[..., 0],
        (ta, lambda g: g[..., None] * slope * (b / np.sqrt(saa * sbb) - cos * a / saa)),
        (tb, lambda g: g[..., None] * slope * (a / np.sqrt(saa * sbb) - cos * b / sbb)),
        (target, None),
    )
    return reduced(loss, reduction)


@quiet
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where the target is 1, max(margin - x, 0) where it is -1."""
    refuse_deprecated(size_average, reduce)
    x, t = input.wide, target.array
    y = np.where(t == 1, 0, np.maximum(margin - x, 0)) + np.where(t == -1, 0, x)
    slope = np.where((t != 1) & (x <= margin), -1, 0) + np.where(t != -1, 1, 0)
    return reduced(result(y, (input, lambda g: g * slope), (target, None)), reduction)


@quiet
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(margin - t (a - b), 0)."""
    refuse_deprecated(size_average, reduce)
    ta, tb = promote(input1, input2)
    d, t = ta.wide - tb.wide, target.wide
    z = margin - t * d
    on = np.where(z >= 0, 1.0, 0.0)
    loss = result(
        np.maximum(z, 0), (ta, lambda g: -g * on * t), (tb, lambda g: g * on * t), (target, lambda g: -g * on * d)
    )
    return reduced(loss, reduction)


@quiet
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Tensor:
    """ln(1 + e^(-t x))."""
    refuse_deprecated(size_average, reduce)
    return reduced(neg(logsigmoid(mul(target, input))), reduction)


@quiet
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum_i w_t max(0, margin - x_t + x_i)^p / C over all classes i but the target t, of (N, C) or (C)."""
    refuse_deprecated(size_average, reduce)
    if p not in (1, 2) or input.ndim > 2:
        raise EagerError(f"multi_margin_loss of {list(input.shape)} with p {p}: expected (N, C) or (C), and 1 or 2")
    x = input.wide.reshape(-1, input.shape[-1] if input.ndim else 1)
    t = target.array.reshape(-1)
    if t.shape != x.shape[:1] or (t.size and not (t.min() >= 0 and t.max() < x.shape[1])):
        raise EagerError(f"multi_margin_loss: expected {len(x)} targets of 0 to {x.shape[1] - 1}")
    rows = np.arange(len(t))
    z = np.maximum(margin - x[rows, t][:, None] + x, 0)
    z[rows, t] = 0
    lost = np.sum(z**p, axis=1) / x.shape[1]
    w = np.ones(len(t), x.dtype) if weight is None else weight.wide[t]
    slope = w[:, None] / x.shape[1] * (np.where(z > 0, 1, 0) if p == 1 else 2 * z)
    slope[rows, t] = -slope.sum(axis=1)

    def to_weight(g: Array) -> Array:
        sums = np.zeros(x.shape[1], lost.dtype)
        np.add.at(sums, t, g.reshape(-1) * lost)
        return sums

    edges: list[Edge] = [(input, lambda g: np.reshape(g.reshape(-1, 1) * slope, input.shape)), (target, None)]
    if weight is not None:
        edges.append((weight, to_weight))
    return reduced(result((w * lost).reshape(target.shape), *edges), reduction)


@quiet
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Tensor:
    """sum_ti max(0, 1 - x_t + x_i) / C over the targets t (listed up to the first -1) and all classes i beside them."""
    refuse_deprecated(size_average, reduce)
    if input.ndim > 2 or input.shape != target.shape:
        raise EagerError(f"multilabel_margin_loss of {list(input.shape)}, {list(target.shape)}: expected equal (N, C)")
    classes = input.shape[-1] if input.ndim else 1
    x, t = input.wide.reshape(-1, classes), target.array.reshape(-1, classes)
    y, slope = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for n, row in enumerate(t):
        listed = []
        for k in row:
            if k < 0:
                break
            listed.append(int(k))
        for k in listed:
            for i in set(range(classes)) - set(listed):
                z = 1 - x[n, k] + x[n, i]
                if z > 0:
                    y[n] += z / classes
                    slope[n, i] += 1 / classes
                    slope[n, k] -= 1 / classes
    loss = result(
        y.reshape(input.shape[:-1]),
        (input, lambda g: np.reshape(g.reshape(-1, 1) * slope, input.shape)),
        (target, None),
    )
    return reduced(loss, reduction)


@quiet
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w (t ln s(x) + (1 - t) ln s(-x)) with the logistic function s, averaged over the last dimension."""
    refuse_deprecated(size_average, reduce)
    loss = neg(add(mul(target, logsigmoid(input)), mul(sub(1, target), logsigmoid(neg(input)))))
    return reduced(mean(loss if weight is None else mul(loss, weight), -1), reduction)


@quiet
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(|a - p| - |a - n| + margin, 0) in the p-norm over the last dimension, with eps added to the differences.

    With `swap` the distance of positive and negative counts where it is the smaller one.
    """
    refuse_deprecated(size_average, reduce)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


@quiet
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with another distance than the Euclidean."""
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    if not margin > 0:
        raise EagerError(f"a triplet with margin {margin}: expected more than 0")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    z = near.wide - far.wide + margin
    on = np.where(z >= 0, 1.0, 0.0)
    return reduced(result(np.maximum(z, 0), (near, lambda g: g * on), (far, lambda g: -g * on)), reduction)


@quiet
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (x - t)^2 / v) / 2 with v = max(var, eps), and ln(2 pi) / 2 more if `full`.

    `var` has the shape of the input, or lacks the last dimension, or has size 1 in one. Its gradient is taken as if it
    were not limited.
    """
    spread = type(input)(np.array(var, input.dtype)) if isinstance(var, int | float) else var
    v = spread.wide
    if np.any(v < 0):
        raise EagerError("gaussian_nll_loss with a negative variance: expected 0 or more")
    short = spread.ndim > 0 and spread.shape == input.shape[:-1] and spread.shape != input.shape
    v = np.maximum(v[..., None] if short else v, eps)
    x, t = input.wide, target.wide
    d = x - t
    y = (np.log(v) + d * d / v) / 2 + (math.log(2 * math.pi) / 2 if full else 0)

    def to_variance(g: Array) -> Array:
        z = g * (1 / v - (d / v) ** 2) / 2
        return np.asarray(z.sum(axis=-1) if short else z)

    loss = result(y, (input, lambda g: g * d / v), (target, lambda g: -g * d / v), (spread, to_variance))
    return reduced(loss, reduction)


@quiet
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """e^x - t x, or without `log_input` x - t ln(x + eps); `full` adds t ln t - t + ln(2 pi t) / 2 where t > 1."""
    refuse_deprecated(size_average, reduce)
    tx, tt = promote(input, target)
    x, t = tx.wide, tt.wide
    y, slope, to_t = (
        (np.exp(x) - t * x, np.exp(x) - t, -x)
        if log_input
        else (x - t * np.log(x + eps), 1 - t / (x + eps), -np.log(x + eps))
    )
    if full:
        many = np.where(t > 1, t, 1)
        y = y + np.where(t > 1, many * np.log(many) - many + np.log(2 * math.pi * many) / 2, 0)
        to_t = to_t + np.where(t > 1, np.log(many) + 1 / (2 * many), 0)
    return reduced(result(y, (tx, lambda g: g * slope), (tt, lambda g: g * to_t)), reduction)
