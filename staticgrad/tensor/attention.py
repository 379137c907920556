"""PyTorch's attention; it is found in `staticgrad.nn.functional`."""

from __future__ import annotations

import math

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import transposed, with_derivative
from staticgrad.ops.layout import numbers_along
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import cat, flatten, stack
from staticgrad.types import DType


@function
def scaled_dot_product_attention(
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """`softmax(query @ key.T * scale + mask) @ value` over the last two dimensions (Vaswani et al. 2017).

    query (..., L, E), key (..., S, E), value (..., S, V) give (..., L, V); `scale` is `1 / sqrt(E)` if not given.
    A bool `attn_mask`, broadcast to (..., L, S), is True where a key takes part, a floating one is added. With
    `is_causal` key j takes part in row i where j <= i; without another mask this one is added too, as 0 and -inf. A
    row in which none takes part gives 0, as in PyTorch. With `enable_gqa` each head (dimension -3) of key and value
    serves as many heads of the query as there are for it.
    """
    name = "scaled_dot_product_attention"
    if dropout_p != 0:
        raise DeclarationError(f"{name} has no dropout, dropout_p={shown(dropout_p)} came ({source_line()})")
    operands = (query, key, value)
    if any(len(x.type.shape) < 2 or not x.type.dtype.is_float for x in operands):
        came = ", ".join(str(x.type) for x in operands)
        raise ShapeError(f"{name} takes floating tensors of rank 2 or more, {came} came ({source_line()})")
    if enable_gqa:
        key, value = (_for_every_head(x, query) for x in (key, value))
    query = query * (_default_scale(query) if scale is None else scale)
    scores = ops.matmul(query, transposed(key))
    mask, dead = _mask(scores, attn_mask, is_causal)
    if mask is None:
        masked = scores
    elif mask.type.dtype is not DType.bool:
        masked = scores + mask
    elif attn_mask is None:
        # The same for all heads: to add it is one pass over the scores.
        masked = scores + ops.where(mask, constant(np.zeros((), scores.type.dtype.numpy)), -math.inf)
    else:
        masked = ops.where(mask, scores, -math.inf)
    shares = ops.softmax(masked, axis=-1)
    y = ops.matmul(shares, value)
    hidden = mask is None or mask.type.dtype is DType.bool
    if hidden and masked.type == scores.type and scores.type.shape[:-2] == value.type.shape[:-2]:
        y = with_derivative(y, [scores, value], lambda g, y, *_: _to_scores(g, y, shares, value))
    return y if dead is None else ops.where(dead, 0, y)


def _to_scores(g: Value, y: Value, shares: Value, value: Value) -> tuple[Value, Value]:
    """The cotangents of scores and value where `shares = softmax(scores)` and `y = shares @ value`.

    The sum over a row of `shares * (g @ value.T)` is that of `g * y`, which is shorter where there are more keys than
    features. What a mask hides has no share, and so no cotangent: it needs no mask again.
    """
    to_shares = ops.matmul(g, transposed(value))
    features, keys = value.type.shape[-1], value.type.shape[-2]
    short = not (isinstance(features, int) and isinstance(keys, int)) or features < keys
    along = ops.reduce_sum(g * y if short else shares * to_shares, [-1], keepdims=True)
    return shares * (to_shares - along), ops.matmul(transposed(shares), g)


def _default_scale(query: Value) -> Value | float:
    size = query.type.shape[-1]
    if isinstance(size, int):
        return 1 / math.sqrt(size) if size else 1.0
    length = ops.reshape(ops.shape(query, start=-1), [])
    return ops.reciprocal(ops.sqrt(ops.cast(length, to=query.type.dtype)))


def _for_every_head(x: Value, query: Value) -> Value:
    """Key or value with each of its heads repeated for the heads of the query that it serves."""
    if len(x.type.shape) < 3 or len(query.type.shape) < 3:
        raise ShapeError(f"enable_gqa needs heads as dimension -3, {query.type} and {x.type} came ({source_line()})")
    heads, wanted = x.type.shape[-3], query.type.shape[-3]
    if heads == wanted:
        return x
    if not isinstance(heads, int) or not isinstance(wanted, int) or not heads or wanted % heads:
        raise ShapeError(
            f"enable_gqa needs numbers of heads of which the query's is a multiple, {query.type} and {x.type} came "
            f"({source_line()})"
        )
    rank = len(x.type.shape)
    return flatten(ops.expand(ops.unsqueeze(x, [rank - 2]), [wanted // heads, 1, 1]), rank - 3, rank - 2)


def _mask(scores: Value, attn_mask: Value | None, is_causal: bool) -> tuple[Value | None, Value | None]:
    """What masks the scores, and which rows (..., L, 1) it masks as a whole: these stay as they are."""
    causal = _causal(scores) if is_causal else None
    if attn_mask is None:
        return causal, None
    mask = attn_mask if attn_mask.type.shape else ops.unsqueeze(attn_mask, [0])
    dtype = mask.type.dtype
    if dtype is DType.bool:
        mask = mask if causal is None else ops.logical_and(mask, causal)
        dead = ops.logical_not(reductions.any(mask, -1, keepdim=True))
        return ops.logical_or(mask, dead), dead
    if dtype is not scores.type.dtype:
        raise DTypeError(
            f"scaled_dot_product_attention takes a mask of bools or of the query's type, attn_mask: {mask.type} came "
            f"({source_line()})"
        )
    mask = mask if causal is None else ops.where(causal, mask, -math.inf)
    dead = ops.equal(reductions.amax(mask, -1, keepdim=True), -math.inf)
    return ops.where(dead, 0, mask), dead


def _causal(scores: Value) -> Value:
    """True (L, S) where column j is not behind row i."""
    rank = len(scores.type.shape)
    rows, columns = (numbers_along(scores, axis) for axis in (rank - 2, rank - 1))
    return ops.greater_or_equal(ops.unsqueeze(rows, [1]), columns)


@function
def rotary_embedding(x: Value, cos: Value, sin: Value, interleaved: bool = False) -> Value:
    """Pairs of features of `x` (..., L, D) turned by the angles whose cosines and sines come (Su et al. 2021).

    `(a, b)` becomes `(a cos - b sin, a sin + b cos)`. cos and sin (..., L, R / 2) broadcast; the first R features are
    turned and the others kept. Feature i is paired with i + R / 2, or with `interleaved` 2 i with 2 i + 1. These are
    the semantics of ONNX's RotaryEmbedding, whose (N, L, R / 2) are (N, 1, L, R / 2) here for (N, heads, L, D).
    """
    half, width = cos.type.shape[-1:], x.type.shape[-1:]
    if not half or not width or not isinstance(half[0], int) or (isinstance(width[0], int) and 2 * half[0] > width[0]):
        raise ShapeError(
            f"rotary_embedding takes cosines (..., R / 2) with a known R of at most the features, x: {x.type} and cos: "
            f"{cos.type} came ({source_line()})"
        )
    size = half[0]
    if interleaved:
        a, b = x[..., : 2 * size : 2], x[..., 1 : 2 * size : 2]
    else:
        a, b = x[..., :size], x[..., size : 2 * size]
    first, second = a * cos - b * sin, a * sin + b * cos
    turned = flatten(stack([first, second], -1), -2) if interleaved else cat([first, second], -1)
    return turned if width[0] == 2 * size else cat([turned, x[..., 2 * size :]], -1)
