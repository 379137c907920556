"""Averages, maxima and norms of the elements in windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import abs, pow, sign
from staticgrad.ops.convolution import spread
from staticgrad.ops.indexing import reduced_at, scatter_elements
from staticgrad.ops.kinds import floating, require_table, reshape_like
from staticgrad.ops.logic import equal, greater, greater_or_equal, less, logical_and, logical_not, logical_or, where
from staticgrad.ops.margins import filled_up, without_margin
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, expand, reshape, shape, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.ops.windows import Windows, in_numbers, pooled, spatial, why_vague
from staticgrad.types import DType, TensorType, count_elements, is_static


def _pool(x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides):
    """The windows of a pool and the type of its result."""
    require(len(x.type.shape) >= 3, "batch, channels and one spatial axis or more are expected")
    require(
        isinstance(kernel_shape, Sequence) and all(isinstance(k, int) for k in kernel_shape),
        "kernel_shape must be a list of ints",
    )
    windows, counts = pooled(spatial(x), kernel_shape, auto_pad, dilations, pads, strides, ceil_mode)
    for side in (windows.begin, windows.end) if auto_pad == "NOTSET" else ():
        # onnxruntime takes less than the kernel, but more comes of auto_pad with dilations.
        fits = side is None or all(p < int(windows.reach(i)) for i, p in enumerate(side))
        require(fits, f"pads {list(side or ())} must be smaller than the kernel {list(kernel_shape)}")
    return windows, TensorType(x.type.dtype, (*x.type.shape[:2], *counts))


def _windows_by(x: Value, attributes: Mapping[str, Any]) -> tuple[Windows, TensorType]:
    known = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")
    found: tuple[Windows, TensorType] = _pool(x, **{k: attributes[k] for k in known})
    return found


def _respelled(x: Value, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return in_numbers(attributes, _windows_by(x, attributes)[0])


def _refused(x: Value, attributes: Mapping[str, Any]) -> str | None:
    windows, result = _windows_by(x, attributes)
    return why_vague(attributes["auto_pad"], windows, spatial(x), result.shape[2:])


def _spread_evenly(g: Value, x: Value, windows: Windows) -> Value:
    """Every element of `g` at all places of its window, added up: the cotangent of sums over windows of `x`."""
    begin, end = windows.padding("a pool")
    sizes, counts = spatial(x), spatial(g)
    whole = tuple(k * n if isinstance(n, int) else n for k, n in zip(windows.kernel, counts, strict=True))
    if (
        windows.kernel == windows.strides
        and is_static(sizes)
        and whole == sizes
        and not any((*begin, *end))
        and set(windows.dilations) == {1}
    ):
        # Windows side by side: each element is repeated.
        apart = [d for n in counts for d in (n, 1)]
        repeated = [d for k in windows.kernel for d in (1, k)]
        return reshape_like(expand(reshape(g, [0, 0, *apart]), [1, 1, *repeated]), x)
    # Channels count as batch: one kernel of ones does for all.
    require_table(*windows.kernel)
    ones = constant(np.ones([1, 1, *map(int, windows.kernel)], x.type.dtype.numpy))
    return reshape_like(spread(_without_channels(g), ones, _without_channels(x), windows, 1), x)


def _without_channels(x):
    """`x` (N, C, *X) as (N * C, 1, *X)."""
    sizes = spatial(x)
    rows = count_elements(x.type.shape[:2])
    if is_static(sizes):
        target = constant(np.array([rows if isinstance(rows, int) else -1, 1, *sizes], np.int64))
    else:
        # Not -1, for a size of the run can be 0.
        lead = [rows] if isinstance(rows, int) else shape(x, start=0, end=1) * shape(x, start=1, end=2)
        target = concat(lead, [1], shape(x, start=2), axis=0)
    allowzero = rows == 0 or not is_static(sizes)
    result = TensorType(x.type.dtype, (rows, 1, *sizes))
    return reshape.apply((x, target), {"allowzero": allowzero}, (result,)).outputs[0]


def window_sizes(
    x: Value, y: Value, windows: Windows, padding_counts: bool, ceil_mode: bool, amounts: Value | None = None
) -> Value | int:
    """How many elements each window of `x` holds: a number, or numbers that broadcast against the result `y`.

    With `padding_counts` what is filled up counts, but not what a last window holds beyond it. `amounts` tells what
    the run has filled up.
    """
    begin, end = windows.padding("AveragePool")
    if amounts is not None and padding_counts:
        return math.prod(int(k) for k in windows.kernel)
    factors: list[Value | int] = []
    for axis, (size, count) in enumerate(zip(spatial(x), spatial(y), strict=True)):
        kernel, step, apart = windows.kernel[axis], windows.strides[axis], windows.dilations[axis]
        low, margin = (0, begin[axis] + end[axis]) if padding_counts else (begin[axis], begin[axis])
        # Where the run's size is below the kernel onnxruntime still takes one window, if its step is larger.
        whole = isinstance(size, int) or step == 1
        if amounts is None and not ceil_mode and whole and (padding_counts or begin[axis] == end[axis] == 0):
            factors.append(int(kernel))
            continue
        behind = [1] * (len(windows.kernel) - axis - 1)
        require_table(kernel)
        offsets = np.arange(kernel) * apart
        if amounts is None and isinstance(size, int) and isinstance(count, int):
            require_table(count, kernel)
            places = np.arange(count)[:, None] * step + offsets
            inside = ((places >= low) & (places < size + margin)).sum(1)
            fits = bool((inside == kernel).all())
            factors.append(int(kernel) if fits else constant(np.maximum(inside, 1).reshape(count, *behind)))
            continue
        numbers = OPERATORS["Range"](0, reshape(shape(y, start=axis + 2, end=axis + 3), []), 1)
        places = unsqueeze(numbers, [1]) * step + constant(offsets)
        first: Value | int = low
        bound = shape(x, start=axis + 2, end=axis + 3)
        if amounts is not None:
            first = slice_(amounts, [axis + 2], [axis + 3])
        bound = bound + (margin if amounts is None else first)
        inside = OPERATORS["Cast"](logical_and(greater_or_equal(places, first), less(places, bound)), to=DType.int64)
        total = OPERATORS["Max"](reduce_sum(inside, [1], keepdims=False), 1)
        factors.append(reshape(total, [-1, *behind]))
    found = math.prod(f for f in factors if isinstance(f, int))
    arrays = [f for f in factors if isinstance(f, Value)]
    if not arrays:
        return found
    product = arrays[0]
    for factor in arrays[1:]:
        product = product * factor
    if all(f.node.op.name == "Constant" for f in arrays):
        numbers = math.prod(f.node.attributes["value"] for f in arrays)
        return constant((numbers * found).astype(x.type.dtype.numpy))
    result: Value = OPERATORS["Cast"](product * found, to=x.type.dtype)
    return result


def _floating_pool(x, *, count_include_pad=False, **attributes):
    floating(x)
    return _pool(x, **attributes)[1]


@onnx_op("AveragePool", type=_floating_pool)
def average_pool(
    x: Input,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """The mean of each window of `x` (N, C, *X); what is filled up counts only with `count_include_pad`."""


@average_pool.vjp
def _(g, y, x, *, count_include_pad, ceil_mode, **attributes):
    windows, _ = _pool(x, ceil_mode=ceil_mode, **attributes)
    wide, windows, amounts = filled_up(x, y, None, windows, attributes["auto_pad"])
    sizes = window_sizes(x, y, windows, bool(count_include_pad), bool(ceil_mode), amounts)
    return without_margin(_spread_evenly(g / sizes, wide, windows), x, amounts)


@average_pool.respells
def _(x, **attributes):
    return _respelled(x, attributes)


@average_pool.refuses
def _(x, **attributes):
    """SAME padding with strides that may pass over elements."""
    return _refused(x, attributes)


def _norms(x, *, p, **attributes):
    require(isinstance(p, int) and p > 0, f"p={p!r} must be a positive int")
    return _floating_pool(x, **attributes)


@onnx_op("LpPool", type=_norms)
def lp_pool(
    x: Input,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    p: int = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """The p-norm of each window, `(sum |x|^p)^(1/p)`, of `x` (N, C, *X); its derivative at 0 is 0."""


@lp_pool.respells
def _(x, **attributes):
    return _respelled(x, attributes)


@lp_pool.refuses
def _(x, **attributes):
    """SAME padding with strides that may pass over elements."""
    return _refused(x, attributes)


@lp_pool.vjp
def _(g, y, x, *, p, **attributes):
    windows, _ = _pool(x, **attributes)
    wide, windows, amounts = filled_up(x, y, None, windows, attributes["auto_pad"])

    def spread_evenly(g: Value) -> Value:
        return without_margin(_spread_evenly(g, wide, windows), x, amounts)

    if p == 1:
        return sign(x) * spread_evenly(g)
    none = equal(y, 0)
    scale = where(none, 1, y)
    each = where(none, 0, g / (scale if p == 2 else pow(scale, p - 1)))
    slope = x if p == 2 else x * (abs(x) if p == 3 else pow(abs(x), p - 2))
    return slope * spread_evenly(each)


def _max_pooled(x, *, storage_order, **attributes):
    require(storage_order in (0, 1), f"storage_order={storage_order!r} is neither 0 nor 1")
    if not x.type.dtype.is_float and x.type.dtype not in (DType.int8, DType.uint8):
        raise DTypeError(f"floating numbers, int8 or uint8 are expected, {x.type.dtype} came; cast with x.float()")
    windows, result = _pool(x, **attributes)
    for axis in _gaping(windows):
        size, count = x.type.shape[axis + 2], result.shape[axis + 2]
        if isinstance(size, int) and isinstance(count, int):
            begin, _ = windows.padding("MaxPool")
            require_table(count, windows.kernel[axis])
            reach = np.arange(windows.kernel[axis]) * windows.dilations[axis] - begin[axis]
            places = np.arange(count)[:, None] * windows.strides[axis] + reach
            require(
                bool(((places >= 0) & (places < size)).any(1).all()),
                f"a window over the {size} elements of axis {axis + 2} holds nothing but padding",
            )
    return result, TensorType(DType.int64, result.shape)


def _gaping(windows: Windows) -> list[int]:
    """The axes along which all elements of a window may lie in the padding, on both sides of a small input."""
    begin = windows.begin or (0,) * len(windows.kernel)
    return [i for i, (p, d) in enumerate(zip(begin, windows.dilations, strict=True)) if p and d > 1]


@onnx_op("MaxPool", type=_max_pooled)
def max_pool(
    x: Input,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> tuple[Value, Value]:
    """The maximum of each window of `x` (N, C, *X), and where in the whole flattened `x` its first one stands.

    With `storage_order=1` the spatial axes are counted the other way around, the first one fastest.
    """


@max_pool.respells
def _(x, **attributes):
    return _respelled(x, attributes)


@max_pool.refuses
def _(x, **attributes):
    """SAME padding with strides that may pass over elements."""
    return _refused(x, attributes)


def max_pool_values(x: Value, **attributes: Any) -> Value:
    """The maxima without their indices, which take onnxruntime ten times as long."""
    both = max_pool(x, **attributes)[0]
    return max_pool.apply((x,), both.node.attributes, (both.type,)).outputs[0]


@max_pool.vjp
def _(g, y, x, **attributes):
    g, indices = (g[0], y[1]) if isinstance(y, tuple) else (g, None)
    if attributes["storage_order"]:
        indices = None
    windows, result = _pool(x, **{k: v for k, v in attributes.items() if k != "storage_order"})
    if math.prod(windows.kernel) <= 4 and is_static((*spatial(x), *spatial(g))) and x.type.dtype is not DType.float64:
        windows.padding("MaxPool")
        return _first_of_window(g, y[0] if isinstance(y, tuple) else y, x, windows)
    if any(not isinstance(x.type.shape[i + 2], int) for i in _gaping(windows)):
        # A window of nothing but padding holds the lowest number, and onnxruntime names some element for it.
        lowest = constant(np.array(ml_dtypes.finfo(x.type.dtype.numpy).min, x.type.dtype.numpy))
        g = where(greater(y[0] if isinstance(y, tuple) else y, lowest), g, 0)
    if indices is None:
        _, indices = max_pool.apply(
            (x,), {**attributes, "storage_order": 0}, (result, TensorType(DType.int64, result.shape))
        ).outputs
    count = count_elements(x.type.shape)
    length = constant(np.array([count], np.int64)) if isinstance(count, int) else reshape(OPERATORS["Size"](x), [1])
    zeros = OPERATORS["ConstantOfShape"].apply(
        (length,), {"value": np.zeros(1, x.type.dtype.numpy)}, (TensorType(x.type.dtype, (count,)),)
    )
    total = reduced_at(scatter_elements, zeros.outputs[0], reshape(indices, [-1]), reshape(g, [-1]), "add")
    return reshape_like(total, x)


def _first_of_window(g, y, x, windows):
    """The cotangent at the first element of each window that is the maximum.

    For small windows this is faster than onnxruntime's indices: each position in the window is one strided slice.
    """
    begin, end = windows.padding("MaxPool")
    counts, rank = spatial(y), len(windows.kernel)
    if _are_blocks(x, y, windows):
        return _first_of_block(g, y, x, windows)
    # Also the last window of ceil_mode ends in what is filled up.
    behind = [
        max(e, int(windows.covered(i, n)) - int(size) - b)
        for i, (n, size, b, e) in enumerate(zip(counts, spatial(x), begin, end, strict=True))
    ]
    wide = x
    if any((*begin, *behind)):
        wide = pad(x, [0, 0, *begin, 0, 0, *behind], constant(np.array(-np.inf, x.type.dtype.numpy)))
    left, parts = g, []
    for place in itertools.product(*(range(k) for k in windows.kernel)):
        first = [p * d for p, d in zip(place, windows.dilations, strict=True)]
        last = [f + s * (int(n) - 1) + 1 for f, s, n in zip(first, windows.strides, counts, strict=True)]
        found = equal(slice_(wide, first, last, list(range(2, 2 + rank)), list(windows.strides)), y)
        parts.append(_without_channels(where(found, left, 0)))
        left = where(found, 0, left)
    return _to_their_places(concat(*parts, axis=1), x, windows)


def _are_blocks(x, y, windows):
    """Whether the windows are squares of 2 x 2 that fill `x` (N, C, H, W), of float32, side by side."""
    whole = tuple(2 * int(n) for n in spatial(y)) == spatial(x)
    apart = windows.kernel == windows.strides == (2, 2) and set(windows.dilations) == {1}
    return whole and apart and x.type.dtype is DType.float32 and 0 not in x.type.shape


def _first_of_block(g, y, x, windows):
    """As `_first_of_window`: one SpaceToDepth for four slices, and bools tell what is taken, not floats."""
    rows = _without_channels(y)
    blocks = OPERATORS["SpaceToDepth"](_without_channels(x), blocksize=2)
    found = OPERATORS["Split"](equal(blocks, rows), [1, 1, 1, 1], axis=1)
    first, taken = [found[0]], found[0]
    for part in found[1:]:
        first.append(logical_and(part, logical_not(taken)))
        taken = logical_or(taken, part)
    return _to_their_places(where(concat(*first, axis=1), _without_channels(g), 0), x, windows)


def _to_their_places(parts, x, windows):
    """`parts` (N * C, K, ...), one for each position in a window, as the windows of `x` (N, C, ...)."""
    # The kernel of part number k has a one at position k.
    count = parts.type.shape[1]
    kernel = np.eye(count, dtype=x.type.dtype.numpy).reshape(count, 1, *windows.kernel)
    return reshape_like(spread(parts, constant(kernel), _without_channels(x), windows, 1), x)
