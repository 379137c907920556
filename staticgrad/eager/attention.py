"""Attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


@quiet
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """y = p v with p = softmax(scale q k^T + mask) over the keys, for q (..., L, E), k (..., S, E), v (..., S, V).

    A bool mask is True where a key takes part; with `is_causal` key j does in row i where j <= i. A row in which none
    takes part is 0. With `enable_gqa` a head (dimension -3) of k and v serves as many heads of q as there are for it.
    """
    if dropout_p:
        raise EagerError(f"scaled_dot_product_attention with dropout_p {dropout_p}: expected 0, there is no dropout")
    if not query.dtype == key.dtype == value.dtype or min(query.ndim, key.ndim, value.ndim) < 2:
        raise EagerError("scaled_dot_product_attention: expected query, key and value of one type and two dimensions")
    q, k, v = (x.wide.astype(np.float64) for x in (query, key, value))
    repeats = [1, 1]
    if enable_gqa:
        repeats = [q.shape[-3] // x.shape[-3] for x in (k, v)]
        k, v = (np.repeat(x, n, axis=-3) for x, n in zip((k, v), repeats, strict=True))
    factor = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale
    scores = factor * (q @ k.swapaxes(-1, -2))
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:]) > 0, scores, -np.inf)
    if attn_mask is not None:
        a = attn_mask.array
        scores = np.where(a, scores, -np.inf) if a.dtype == bool else scores + attn_mask.wide
    if scores.shape[-1]:
        top = scores.max(axis=-1, keepdims=True)
        e = np.exp(scores - np.where(np.isneginf(top), 0, top))
        p = e / np.where(np.isneginf(top), 1, e.sum(axis=-1, keepdims=True))
    else:
        p = scores

    def to_scores(g: Array) -> Array:
        to_p = g @ v.swapaxes(-1, -2)
        return np.asarray(p * (to_p - np.sum(to_p * p, axis=-1, keepdims=True)))

    def gathered(g: Array, n: int) -> Array:
        """The sum over the heads that one head serves."""
        return g if n == 1 else g.reshape(*g.shape[:-3], -1, n, *g.shape[-2:]).sum(axis=-3)

    edges = [
        (query, lambda g: factor * (to_scores(g) @ k)),
        (key, lambda g: gathered(factor * (to_scores(g).swapaxes(-1, -2) @ q), repeats[0])),
        (value, lambda g: gathered(p.swapaxes(-1, -2) @ g, repeats[1])),
    ]
    if attn_mask is not None:
        edges.append((attn_mask, to_scores))
    return result(p @ v, *edges, dtype=query.dtype)


@quiet
def rotary_embedding(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """(a, b) -> (a cos - b sin, a sin + b cos) for pairs of features of x (..., L, D); cos and sin are (..., L, R / 2).

    The pair is features i and i + R / 2, or with `interleaved` 2 i and 2 i + 1; features from R on are kept.
    """
    half = cos.shape[-1]
    if 2 * half > x.shape[-1]:
        raise EagerError(
            f"rotary_embedding of {list(x.shape)} by {list(cos.shape)}: more angles than pairs of features"
        )
    first = slice(0, 2 * half, 2) if interleaved else slice(0, half)
    second = slice(1, 2 * half, 2) if interleaved else slice(half, 2 * half)
    v, c, s = x.wide, cos.wide, sin.wide
    a, b = v[..., first], v[..., second]

    def turned(g: Array, sign: int) -> Array:
        y = g.copy()
        y[..., first] = g[..., first] * c - sign * g[..., second] * s
        y[..., second] = sign * g[..., first] * s + g[..., second] * c
        return y

    return result(
        turned(v, 1),
        (x, lambda g: turned(g, -1)),
        (cos, lambda g: g[..., first] * a + g[..., second] * b),
        (sin, lambda g: g[..., second] * a - g[..., first] * b),
    )
