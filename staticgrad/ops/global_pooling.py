"""Averages, maxima and norms of whole images, and normalization by neighbouring channels."""

from __future__ import annotations

from staticgrad.errors import ShapeError
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import abs, pow, sign
from staticgrad.ops.indexing import gather_elements
from staticgrad.ops.kinds import floating, reshape_like, shape_of, stored
from staticgrad.ops.logic import equal, where
from staticgrad.ops.reduction import arg_max, reduce_mean
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import expand
from staticgrad.ops.sizes import arranged, sizes_of
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import TensorType

_MOST_NEIGHBOURS = 4096


def _whole(x, **_):
    floating(x)
    require(len(x.type.shape) >= 2, "batch and channels are expected in front")
    return TensorType(x.type.dtype, (*x.type.shape[:2], *(1 for _ in x.type.shape[2:])))


@onnx_op("GlobalAveragePool", type=_whole)
def global_average_pool(x: Input) -> Value:
    """The mean over all axes behind batch and channels of `x` (N, C, *X), which stay with size 1."""


@global_average_pool.as_body
def _(x):
    return reduce_mean(x, list(range(2, len(x.type.shape))), noop_with_empty_axes=True)


@onnx_op("GlobalMaxPool", type=_whole)
def global_max_pool(x: Input) -> Value:
    """The maximum over all axes behind batch and channels of `x` (N, C, *X); the first one gets the derivative."""


@global_max_pool.as_body
def _(x):
    batch, channels, *image = sizes_of(x)
    if not image:
        return x
    count = image[0]
    for size in image[1:]:
        count = count.times(size)
    rows = arranged(x, batch, channels, count)
    highest = gather_elements(rows, arg_max(rows, axis=2), axis=2)
    return arranged(highest, batch, channels, *(1 for _ in image))


def _norm(x, *, p):
    if not isinstance(p, int) or p < 1:
        raise ShapeError(f"p={p!r} must be a positive int")
    return _whole(x)


@onnx_op("GlobalLpPool", type=_norm)
def global_lp_pool(x: Input, *, p: int = 2) -> Value:
    """`(sum |x|^p)^(1/p)` over all axes behind batch and channels of `x` (N, C, *X); its derivative at 0 is 0."""


@global_lp_pool.vjp
def _(g, y, x, *, p):
    if p == 1:
        return sign(x) * expand(g, shape_of(x))
    none = equal(y, 0)
    share = x / where(none, 1, y)
    slope = share if p == 2 else share * (abs(share) if p == 3 else pow(abs(share), p - 2))
    return slope * where(none, 0, g)


def _local(x, *, alpha, beta, bias, size):
    floating(x)
    require(len(x.type.shape) >= 2, "batch and channels are expected in front")
    require(isinstance(size, int) and size > 0, f"size={size!r} must be a positive int")
    return x.type


@onnx_op("LRN", type=_local)
def lrn(x: Input, *, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0, size: int) -> Value:
    """`x * d^-beta`, `d[c] = bias + alpha / size * sum_i x[i]^2`, over `size` channels i around c (Krizhevsky 2012).

    Of an even size one channel more lies behind c than in front of it.
    """


@lrn.vjp
def _(g, y, x, *, alpha, beta, bias, size):
    before, behind = (size - 1) // 2, size // 2
    scale = stored(alpha) / size
    divisor = _neighbours(x * x, before, behind) * scale + stored(bias)
    # Channel i is in the sum of those channels that see it the other way around.
    shared = _neighbours(g * y / divisor, behind, before)
    return g * pow(divisor, -stored(beta)) - x * shared * (2 * scale * stored(beta))


def _neighbours(x: Value, before: int, behind: int) -> Value:
    """The sums over each channel, those in front of it and those behind it."""
    if not before and not behind:
        return x
    require(before + behind < _MOST_NEIGHBOURS, f"{before + behind + 1} neighbours are more than any network has")
    wide = pad(x, [before, behind], None, [1])
    total: Value | None = None
    for start in range(before + behind + 1):
        rest = before + behind - start
        part = slice_(wide, [start], [-rest if rest else 2**62], [1])
        total = part if total is None else total + part
    assert total is not None
    return reshape_like(total, x)
