"""Attention of queries to keys, and the turning of features by their position."""

from __future__ import annotations

import math

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.ops.activation import softmax
from staticgrad.ops.arithmetic import cast, div, reciprocal, sqrt
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import LARGEST_TABLE, common_dtype, full_like, reshape_like, stored, subtract_dims, transposed
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import equal, greater_or_equal, less, less_or_equal, logical_and, where
from staticgrad.ops.math import tanh
from staticgrad.ops.reduction import reduce_max
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, reshape, shape, split, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import DType, TensorType, add_dims, broadcast_shapes, dims_agree, divide_dims, unknown


def _heads(x, count, what):
    """The shape (N, heads, length, size) of queries, keys or values."""
    dims = x.type.shape
    require(len(dims) in (3, 4), f"{what} are (N, heads, length, size), or (N, length, heads * size)")
    if len(dims) == 4:
        return dims
    require(bool(count), f"{what} of rank 3 need their number of heads, q_num_heads and kv_num_heads")
    size = divide_dims(dims[2], count)
    require(size is not None or not isinstance(dims[2], int), f"{dims[2]} features do not make {count} heads")
    return dims[0], count, dims[1], unknown() if size is None else size


def _attended(
    q,
    k,
    v,
    mask=None,
    past_key=None,
    past_value=None,
    lengths=None,
    *,
    is_causal,
    kv_num_heads,
    left_window_size,
    q_num_heads,
    qk_matmul_output_mode,
    right_window_size,
    scale,
    softcap,
    softmax_precision,
):
    dtype = common_dtype(q, k, v, past_key, past_value)
    if not dtype.is_float:
        raise DTypeError(f"floating numbers are expected, {dtype} came; cast with x.float()")
    require(len(q.type.shape) == len(k.type.shape) == len(v.type.shape), "queries, keys and values differ in rank")
    require(qk_matmul_output_mode in range(4), "qk_matmul_output_mode is 0, 1, 2 or 3")
    queries = _heads(q, q_num_heads, "queries")
    keys, values = (_heads(x, kv_num_heads, what) for x, what in ((k, "keys"), (v, "values")))
    many, few = queries[1], keys[1]
    require(dims_agree(queries[3], keys[3]), f"queries of size {queries[3]} do not fit keys of size {keys[3]}")
    for axis, what in ((0, "samples"), (1, "heads"), (2, "positions")):
        require(dims_agree(keys[axis], values[axis]), f"keys and values differ in their {what}")
    require(dims_agree(queries[0], keys[0]), "queries and keys differ in their samples")
    require(
        not (isinstance(many, int) and isinstance(few, int)) or (few > 0 and many % few == 0),
        f"{many} heads of the queries are not a multiple of the {few} of the keys",
    )
    require((past_key is None) == (past_value is None), "past_key and past_value are given together, or neither")
    total = keys[2]
    if past_key is not None:
        for past, now in ((past_key, keys), (past_value, values)):
            own = past.type.shape
            fits = len(own) == 4 and all(dims_agree(own[i], now[i]) for i in (0, 1, 3))
            require(fits, f"the past {past.type} does not fit {len(now)} axes {now} of now")
        require(dims_agree(past_key.type.shape[2], past_value.type.shape[2]), "past keys and values differ in number")
        total = add_dims(past_key.type.shape[2], total)
    scores = (*queries[:3], total)
    if mask is not None:
        own = mask.type.shape
        if mask.type.dtype.is_float and mask.type.dtype is not dtype:
            raise DTypeError(f"a mask is bool or {dtype}, {mask.type.dtype} came")
        require(1 <= len(own) <= 4, f"a mask broadcasts to {scores}, {mask.type} came")
        require(not (isinstance(own[-1], int) and isinstance(total, int)) or own[-1] <= total, "the mask is too long")
        wide = broadcast_shapes(scores[:-1], own[:-1])
        require(len(wide) == 3 and all(map(dims_agree, wide, scores[:-1])), f"the mask does not broadcast to {scores}")
    if lengths is not None:
        fits = lengths.type.dtype is DType.int64 and len(lengths.type.shape) == 1
        require(fits and dims_agree(lengths.type.shape[0], queries[0]), "nonpad_kv_seqlen is one int64 for each sample")
    if len(q.type.shape) == 4:
        result = (*queries[:3], values[3])
    else:
        features = v.type.shape[2] if many == few else unknown()
        if isinstance(values[3], int):
            features = many * values[3]
        result = (queries[0], queries[2], features)
    present = (*keys[:2], total)
    return (
        TensorType(dtype, result),
        TensorType(dtype, (*present, keys[3])),
        TensorType(dtype, (*present, values[3])),
        TensorType(dtype, scores),
    )


@onnx_op("Attention", type=_attended)
def attention(
    q: Input,
    k: Input,
    v: Input,
    attn_mask: Input | None = None,
    past_key: Input | None = None,
    past_value: Input | None = None,
    nonpad_kv_seqlen: Input | None = None,
    *,
    is_causal: bool = False,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> tuple[Value, Value, Value, Value]:
    """`softmax(cap(q k^T scale) + mask) v`, keys and values with the past in front of them, and the scores.

    q (N, Hq, L, E), k (N, H, S, E) and v (N, H, S, F) give (N, Hq, L, F), or q (N, L, Hq E) and so on (N, L, Hq F);
    each head of the keys serves Hq / H heads of the queries (Vaswani et al. 2017; Ainslie et al. 2023; ONNX). A query
    that no key is open to gives 0, and passes no derivative on. A mask shorter than the keys closes the others.
    onnxruntime needs a mask of full length and of rank 2 to 4, and has no windows yet.
    """


@attention.refuses
def _(q, k, v, mask, past_key, *_, scale, is_causal, **__):
    """A mask of whole numbers; a negative scale; causal attention of one query to several new keys behind a past."""
    if mask is not None and not (mask.type.dtype.is_float or mask.type.dtype is DType.bool):
        return f"ONNX does not say what a mask of {mask.type.dtype} means; cast it to bool, or to {q.type.dtype}"
    if scale is not None and scale < 0:
        return f"a scale of {scale} has no root, which ONNX multiplies queries and keys with; negate the queries"
    new = k.type.shape[-2]
    if is_causal and past_key is not None and q.type.shape[-2] == 1 and isinstance(new, int) and new > 1:
        return (
            f"onnxruntime lets one query see all {new} new keys behind a past, ONNX only the first; leave is_causal out"
        )
    return None


@attention.as_body
def _(
    q,
    k,
    v,
    mask,
    past_key,
    past_value,
    lengths,
    *,
    is_causal,
    kv_num_heads,
    left_window_size,
    q_num_heads,
    qk_matmul_output_mode,
    right_window_size,
    scale,
    softcap,
    softmax_precision,
):
    flat = len(q.type.shape) == 3
    dtype = q.type.dtype
    if flat:
        q = _apart(q, q_num_heads)
        k, v = _apart(k, kv_num_heads), _apart(v, kv_num_heads)
    if past_key is not None:
        k, v = concat(past_key, k, axis=2), concat(past_value, v, axis=2)
    factor = _default_scale(q) if scale is None else stored(scale)
    raw = _for_each_head(q * factor, k, transposed(k))
    capped = stored(softcap) * tanh(raw / stored(softcap)) if softcap else raw
    mask = None if mask is None else _lengthened(mask, k)
    open_ = mask if mask is not None and mask.type.dtype is DType.bool else None
    bias = mask if open_ is None else None
    for more in _frontiers(q, k, past_key, lengths, is_causal, left_window_size, right_window_size):
        open_ = more if open_ is None else logical_and(open_, more)
    scores = capped if bias is None else capped + bias
    scores = scores if open_ is None else where(open_, scores, -math.inf)
    # Rows that are closed as a whole have no softmax.
    closed = _closed(open_, bias, q)
    finite = scores if closed is None else where(closed, 0, scores)
    wide = finite if softmax_precision is None else cast(finite, to=_numbered(softmax_precision))
    weights = softmax(wide, axis=-1)
    weights = weights if weights.type.dtype is dtype else cast(weights, to=dtype)
    weights = weights if closed is None else where(closed, 0, weights)
    y = _for_each_head(weights, v, v)
    shown = (raw, capped, scores, weights)[qk_matmul_output_mode]
    return _together(y) if flat else y, k, v, shown


def _numbered(number):
    """The element type that ONNX gives this number."""
    return next(d for d in DType if d.onnx == number)


def _apart(x, count):
    """(N, L, heads * size) as (N, heads, L, size)."""
    size = divide_dims(x.type.shape[2], count)
    parts = reshape(x, [0, 0, count, size if isinstance(size, int) else -1])
    return transpose(parts, perm=(0, 2, 1, 3))


def _together(x):
    """(N, heads, L, size) as (N, L, heads * size)."""
    heads, size = x.type.shape[1], x.type.shape[3]
    both = heads * size if isinstance(heads, int) and isinstance(size, int) else -1
    return reshape(transpose(x, perm=(0, 2, 1, 3)), [0, 0, both])


def _default_scale(q):
    size = q.type.shape[-1]
    if isinstance(size, int):
        return 1 / math.sqrt(size) if size else 1.0
    return reciprocal(sqrt(cast(reshape(shape(q, start=-1), []), to=q.type.dtype)))


def _for_each_head(a, like, b):
    """`a b`, where every head of `b`, of which there are as many as of `like`, serves a group of the heads of `a`."""
    many, few = a.type.shape[1], like.type.shape[1]
    if many == few:
        return matmul(a, b)
    ratio = divide_dims(many, few)
    ratio = unknown() if ratio is None else ratio
    groups = div(_length(a, 1), _length(like, 1))
    grouped = _resized(a, (a.type.shape[0], few, ratio, *a.type.shape[2:]), (a, 0), (like, 1), groups, (a, 2), (a, 3))
    y = matmul(grouped, unsqueeze(b, [2]))
    return _resized(y, (a.type.shape[0], many, a.type.shape[2], b.type.shape[3]), (a, 0), (a, 1), (a, 2), (b, 3))


def _length(x, axis):
    """The size of an axis, as a list of one number."""
    return shape(x, start=axis, end=axis + 1)


def _resized(x, dims, *sizes):
    """`x` in a shape of these dimensions; for those that only the run knows, values and axes of this size, or lists."""
    parts = [
        constant(np.array([d])) if isinstance(d, int) else _length(*s) if isinstance(s, tuple) else s
        for d, s in zip(dims, sizes, strict=True)
    ]
    static = all(isinstance(d, int) for d in dims)
    target = constant(np.array(dims, np.int64)) if static else concat(*parts, axis=0)
    return reshape.apply((x, target), {"allowzero": True}, (TensorType(x.type.dtype, tuple(dims)),)).outputs[0]


def _lengthened(mask, k):
    """The mask with one number for each key; those behind its end are closed."""
    own, total = mask.type.shape[-1], k.type.shape[2]
    if own == total:
        return mask
    rank = len(mask.type.shape)
    missing = subtract_dims(total, own)
    if isinstance(missing, int):
        pads = constant(np.array([0] * (2 * rank - 1) + [missing]))
    else:
        pads = concat([0] * (2 * rank - 1), _length(k, 2) - _length(mask, rank - 1), axis=0)
    closed = constant(np.array(False)) if mask.type.dtype is DType.bool else full_like(mask, -math.inf)
    result = TensorType(mask.type.dtype, (*mask.type.shape[:-1], total))
    return pad.apply((mask, pads, closed, None), {"mode": "constant"}, (result,)).outputs[0]


def _frontiers(q, k, past_key, lengths, is_causal, left, right):
    """True where a key is open to a query by its position: before the end, not behind the query, in its window."""
    columns = _numbers(k, 2)
    if lengths is not None:
        lengths = unsqueeze(lengths, [1, 2, 3])
        yield less(columns, lengths)
    if not is_causal and left < 0 and right < 0:
        return
    rows = unsqueeze(_numbers(q, 2), [1])
    if past_key is not None:
        rows = rows + _length(past_key, 2)
    elif lengths is not None:
        rows = rows + (lengths - _length(q, 2))
    if is_causal:
        yield less_or_equal(columns, rows)
    if left >= 0:
        yield greater_or_equal(columns, rows - left)
    if right >= 0:
        yield less_or_equal(columns, rows + right)


def _numbers(x, axis):
    """`0, 1, ...`, one number for each element along the axis."""
    size = x.type.shape[axis]
    if isinstance(size, int) and size <= LARGEST_TABLE:
        return constant(np.arange(size))
    return range_(0, reshape(_length(x, axis), []), 1)


def _closed(open_, bias, q):
    """True (..., L, 1) where no key is open; None where there is no mask."""
    if open_ is None and bias is None:
        return None
    bias = full_like(q, 0.0) if bias is None else bias
    return equal(reduce_max(bias if open_ is None else where(open_, bias, -math.inf), [-1]), -math.inf)


def _rotated(x, cos, sin, positions=None, *, interleaved, num_heads, rotary_embedding_dim):
    dtype = common_dtype(x, cos, sin)
    if not dtype.is_float:
        raise DTypeError(f"floating numbers are expected, {dtype} came; cast with x.float()")
    size = _heads(x, num_heads, "features")[3]
    width = rotary_embedding_dim or size
    half = divide_dims(width, 2)
    require(half is not None or not isinstance(width, int), f"{width} features do not make pairs")
    require(not (isinstance(width, int) and isinstance(size, int)) or width <= size, f"{size} features are not {width}")
    for angles in (cos, sin):
        own = angles.type.shape
        require(
            len(own) == (3 if positions is None else 2), "cosines and sines are (N, L, D / 2), of positions (P, D / 2)"
        )
        require(
            half is None or dims_agree(own[-1], half), f"{half} pairs of features need as many angles, not {own[-1]}"
        )
    if positions is not None:
        require(positions.type.dtype is DType.int64 and len(positions.type.shape) == 2, "positions are int64 (N, L)")
    return x.type


@onnx_op("RotaryEmbedding", type=_rotated)
def rotary_embedding(
    x: Input,
    cos_cache: Input,
    sin_cache: Input,
    position_ids: Input | None = None,
    *,
    interleaved: bool = False,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Value:
    """`(a cos - b sin, a sin + b cos)` for pairs (a, b) of features of `x` (N, heads, L, D) (Su et al. 2021).

    Or of (N, L, heads D) with `num_heads`. Cosines and sines are (N, L, R / 2), or with positions (N, L) their rows of
    (P, R / 2). The first R = `rotary_embedding_dim` features are turned (all if 0): feature i with i + R / 2, or with
    `interleaved` 2 i with 2 i + 1.
    """


@rotary_embedding.as_body
def _(x, cos, sin, positions, *, interleaved, num_heads, rotary_embedding_dim):
    heads = x if len(x.type.shape) == 4 else reshape(x, _per_head(x, num_heads))
    if positions is not None:
        cos, sin = gather(cos, positions, axis=0), gather(sin, positions, axis=0)
    beside = 1 if heads is x else 2
    cos, sin = unsqueeze(cos, [beside]), unsqueeze(sin, [beside])
    width, size = rotary_embedding_dim, heads.type.shape[3]
    partial = bool(width) and width != size
    turned = slice_(heads, [0], [width], [3]) if partial else heads
    if interleaved:
        a, b = (slice_(turned, [first], [2**62], [3], [2]) for first in (0, 1))
    else:
        a, b = split(turned, axis=3, num_outputs=2)
    first, second = a * cos - b * sin, a * sin + b * cos
    if interleaved:
        pairs = concat(unsqueeze(first, [4]), unsqueeze(second, [4]), axis=4)
        y = reshape_like(pairs, turned)
    else:
        y = concat(first, second, axis=3)
    if partial:
        y = concat(y, slice_(heads, [width], [2**62], [3]), axis=3)
    return reshape_like(y, x)


def _per_head(x, count):
    size = divide_dims(x.type.shape[2], count)
    return [0, 0, count, size if isinstance(size, int) else -1]
