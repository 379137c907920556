"""Convolutions, and the transposed ones that carry their cotangents back."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np

from staticgrad.errors import UnsupportedOperatorError
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import div, max
from staticgrad.ops.kinds import common_dtype, floating, subtract_dims, zeros_like
from staticgrad.ops.margins import covered_by, filled_up, in_front, without_margin
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, reshape, shape, transpose
from staticgrad.ops.slicing import pad
from staticgrad.ops.windows import (
    Windows,
    bare,
    in_numbers,
    numbers,
    pooled,
    spatial,
    why_vague,
    windows_of,
    with_same_padding,
)
from staticgrad.types import Dim, TensorType, add_dims, dims_agree, divide_dims, multiply_dims, unknown


def _agrees(left: Dim, right: Dim | None, message: str) -> None:
    require(right is None or dims_agree(left, right), message)


def checked_weight(x, w, b, group, kernel_shape, channels, features):
    """The checks that both directions share; `channels` and `features` are those of the result and of x."""
    floating(x, w, *([] if b is None else [b]))
    common_dtype(x, w, b)
    require(len(x.type.shape) >= 3, "batch, channels and one spatial axis or more are expected")
    require(len(w.type.shape) == len(x.type.shape), "the weight must have the rank of the input")
    require(isinstance(group, int) and group >= 1, f"group={group!r} must be a positive int")
    require(0 not in (x.type.shape[1], w.type.shape[0], w.type.shape[1]), "a size of 0 has no channels to sum over")
    _agrees(x.type.shape[1], features, f"the input has {x.type.shape[1]} channels, the weight takes {features}")
    rows = w.type.shape[0]
    require(not isinstance(rows, int) or rows % group == 0, f"{rows} channels do not make {group} groups")
    if b is not None:
        require(len(b.type.shape) == 1, "the bias must have rank 1")
        _agrees(b.type.shape[0], channels, f"the bias has {b.type.shape[0]} elements for {channels} channels")
    kernel = spatial(w)
    if kernel_shape is not None:
        for given, size in zip(kernel_shape, kernel, strict=False):
            _agrees(size, given, f"kernel_shape {list(kernel_shape)} is not that of the weight")
        require(len(kernel_shape) == len(kernel), f"kernel_shape {list(kernel_shape)} is not that of the weight")
    return kernel


def kernel_of(w: Value, kernel_shape: Sequence[int] | None) -> tuple[Dim, ...]:
    """The sizes of the kernel, which the attribute tells where the weight does not."""
    sizes = spatial(w)
    if kernel_shape is None or len(kernel_shape) != len(sizes):
        return sizes
    return tuple(d if isinstance(d, int) else n for d, n in zip(sizes, kernel_shape, strict=True))


def _conv_windows(x, w, kernel_shape, auto_pad, dilations, pads, strides):
    return pooled(spatial(x), kernel_of(w, kernel_shape), auto_pad, dilations, pads, strides)


def _convolved(x, w, b=None, *, auto_pad, dilations, group, kernel_shape, pads, strides):
    rank = len(w.type.shape)
    features = multiply_dims(w.type.shape[1], group) if rank > 1 and isinstance(group, int) else None
    checked_weight(x, w, b, group, kernel_shape, w.type.shape[0] if rank else None, features)
    _, counts = _conv_windows(x, w, kernel_shape, auto_pad, dilations, pads, strides)
    return TensorType(x.type.dtype, (x.type.shape[0], w.type.shape[0], *counts))


@onnx_op("Conv", type=_convolved)
def conv(
    x: Input,
    w: Input,
    b: Input | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """`y[n, m, o] = b[m] + sum_{c, k} w[m, c, k] x[n, c, stride * o + dilation * k - pad]`.

    `x` (N, C, *X), `w` (M, C / group, *K), `b` (M); the m-th of `group` parts of the output channels sees the m-th part
    of the input channels.
    """


@conv.respells
def _(x, w, b=None, **attributes):
    if len(w.type.shape) != len(x.type.shape):
        return attributes
    given = {k: attributes[k] for k in ("kernel_shape", "auto_pad", "dilations", "pads", "strides")}
    return in_numbers(attributes, _conv_windows(x, w, **given)[0])


@conv.refuses
def _(x, w, b, *, auto_pad, kernel_shape, dilations, pads, strides, **_):
    """SAME padding with strides that may pass over elements."""
    windows, counts = _conv_windows(x, w, kernel_shape, auto_pad, dilations, pads, strides)
    return why_vague(auto_pad, windows, spatial(x), counts)


@conv.vjp
def _(g, y, x, w, b, *, auto_pad, dilations, group, kernel_shape, pads, strides):
    windows, _ = _conv_windows(x, w, kernel_shape, auto_pad, dilations, pads, strides)
    to_bias = None if b is None else _sum_of_channels(g)
    wide, windows, amounts = filled_up(x, g, w, windows, auto_pad)
    return (
        without_margin(spread(g, w, wide, windows, group), x, amounts),
        weight_cotangent(wide, g, w, windows, group),
        to_bias,
    )


def _sum_of_channels(g):
    return reduce_sum(g, [0, *range(2, len(g.type.shape))], keepdims=False)


def spread(g: Value, w: Value, x: Value, windows: Windows, group: int) -> Value:
    """The cotangent of the input `x` of a convolution: every element of `g` times the kernel, where its window lay."""
    begin, end = windows.padding("Conv")
    first, last, extra = list(begin), list(end), [0] * len(end)
    sizes = list(x.type.shape)
    for axis, (size, count) in enumerate(zip(spatial(x), spatial(g), strict=True)):
        # How many elements behind the last window belong to none.
        rest = subtract_dims(add_dims(size, begin[axis], end[axis]), windows.covered(axis, count))
        if isinstance(rest, int):
            cut = min(rest, last[axis])
            last[axis] -= cut
            if rest - cut < windows.strides[axis]:
                extra[axis] = rest - cut
                continue
        # All that any window covers, to be cut or filled up to the size that the run knows.
        last[axis] = 0
        reach = windows.reach(axis)
        if not isinstance(reach, int) or reach <= begin[axis]:
            # A single window may cover nothing but padding: that comes off afterwards.
            first[axis] = 0
        sizes[axis + 2] = subtract_dims(windows.covered(axis, count), first[axis])
    attributes = dict(conv_transpose.attributes) | {
        "dilations": windows.dilations,
        "group": group,
        "output_padding": tuple(extra),
        "pads": (*first, *last),
        "strides": windows.strides,
    }
    whole = TensorType(g.type.dtype, tuple(sizes))
    ahead = [b - f for b, f in zip(begin, first, strict=True)]
    result: Value = _fitted(conv_transpose.apply((g, w, None), attributes, (whole,)).outputs[0], x, ahead)
    return result


def _fitted(found, like, ahead=None):
    """`found` without the `ahead` first elements of each spatial axis, then cut off or filled up to be as `like`."""
    ahead = [0] * len(spatial(like)) if ahead is None else ahead
    if found.type == like.type and not any(ahead):
        return found
    differences = [subtract_dims(d, n) for d, n in zip(spatial(like), spatial(found), strict=True)]
    front = [0, 0, *(-a for a in ahead), 0, 0]
    if all(isinstance(d, int) for d in differences):
        amounts = constant(np.array([*front, *(d + a for d, a in zip(differences, ahead, strict=True))], np.int64))
    else:
        grown = shape(like, start=2) - shape(found, start=2)
        amounts = concat(constant(np.array(front, np.int64)), grown + ahead if any(ahead) else grown, axis=0)
    result = TensorType(found.type.dtype, like.type.shape)
    return pad.apply((found, amounts, None, None), {"mode": "constant"}, (result,)).outputs[0]


def weight_cotangent(x: Value, g: Value, w: Value, windows: Windows, group: int) -> Value:
    """The cotangent of the weight `w` of a convolution of `x` whose result has the cotangent `g`.

    It is a convolution itself, of the images by the cotangents, in which batch and channels change places, and strides
    and dilations: `w[m, c, k] = sum_{n, o} g[n, m, o] x[n, c, stride * o + dilation * k - pad]`.
    """
    if x.type.shape[0] == 0:
        return zeros_like(w)
    x, g = _filled(x, x), _filled(g, x)
    begin, end = windows.padding("Conv")
    rank = len(x.type.shape)
    order = (1, 0, *range(2, rank))
    last, sizes = list(end), []
    for axis, (size, count) in enumerate(zip(spatial(x), spatial(g), strict=True)):
        rest = subtract_dims(add_dims(size, begin[axis], end[axis]), windows.covered(axis, count))
        kernel, apart = windows.kernel[axis], windows.dilations[axis]
        if isinstance(rest, int):
            cut = min(rest, last[axis])
            last[axis] -= cut
            sizes.append(add_dims(kernel, (rest - cut) // apart))
        else:
            sizes.append(kernel if windows.strides[axis] <= apart else unknown())
    attributes = dict(conv.attributes) | {
        "dilations": windows.strides,
        "group": group,
        "pads": (*begin, *last),
        "strides": windows.dilations,
    }
    images = transpose(x, perm=order) if group == 1 else _grouped(x, group)
    rows, columns, *_ = w.type.shape
    whole = TensorType(w.type.dtype, (columns, rows, *sizes))
    found = conv.apply((images, transpose(g, perm=order), None), attributes, (whole,)).outputs[0]
    result: Value = _fitted(transpose(found, perm=order), w)
    return result


def _filled(x, like):
    """`x`, or one image of zeros where `like` has none.

    Over no channels onnxruntime's convolution does not end, or gives zero times what the memory held.
    """
    if isinstance(x.type.shape[0], int):
        return x
    rank = len(x.type.shape)
    missing = max(1 - shape(like, start=0, end=1), 0)
    amounts = concat([0] * rank, missing, [0] * (rank - 1), axis=0)
    whole = TensorType(x.type.dtype, (unknown(), *x.type.shape[1:]))
    return pad.apply((x, amounts, None, None), {"mode": "constant"}, (whole,)).outputs[0]


def _grouped(x, group):
    """`x` (N, group * C, *X) as (C, group * N, *X)."""
    batch, channels, *sizes = x.type.shape
    each = divide_dims(channels, group)
    each = unknown() if each is None else each
    folded = [each, multiply_dims(batch, group), *sizes]
    literal = sum(not isinstance(d, int) for d in (batch, each, *sizes)) <= 1
    if literal:
        parts, target = (
            constant(np.array([d if isinstance(d, int) else -1 for d in dims], np.int64))
            for dims in ([batch, group, each, *sizes], folded)
        )
    else:
        lead, tail = shape(x, start=0, end=1), shape(x, start=2)
        count = div(shape(x, start=1, end=2), [group])
        parts = concat(lead, [group], count, tail, axis=0)
        target = concat(count, lead * group, tail, axis=0)
    dtype = x.type.dtype
    split = TensorType(dtype, (batch, group, each, *sizes))
    # A size of the run can be 0, and means that then.
    how = {"allowzero": not literal}
    rows = transpose(reshape.apply((x, parts), how, (split,)).outputs[0], perm=(2, 1, 0, *range(3, 3 + len(sizes))))
    whole = TensorType(dtype, tuple(folded))
    return reshape.apply((rows, target), how, (whole,)).outputs[0]


def _transpose_windows(x, w, kernel_shape, auto_pad, dilations, pads, strides, output_padding, output_shape):
    """The windows over the result, and the elements that each axis of it is longer than they need."""
    windows = windows_of(
        spatial(x), kernel_of(w, kernel_shape), auto_pad, dilations, None if output_shape else pads, strides
    )
    rank = len(windows.strides)
    extra = numbers("output_padding", output_padding, rank, 0)
    for e, step, apart in zip(extra, windows.strides, windows.dilations, strict=True):
        require(
            e < builtins.max(step, apart),
            f"output_padding {list(extra)} must be smaller than the strides {list(windows.strides)}",
        )
    if output_shape is not None:
        sizes = numbers("output_shape", output_shape, rank, 1)
        needed = [windows.covered(i, n) for i, n in enumerate(spatial(x))]
        totals = [add_dims(n, e, -size) for n, e, size in zip(needed, extra, sizes, strict=True)]
        known = [t for t in totals if isinstance(t, int)]
        if len(known) < rank:
            return windows._replace(begin=None, end=None), extra
        extra = tuple(e - builtins.min(t, 0) for e, t in zip(extra, known, strict=True))
        return with_same_padding(windows, totals, auto_pad == "SAME_UPPER"), extra
    if auto_pad.startswith("SAME"):
        totals = [
            add_dims(windows.reach(i), e, -s) for i, (e, s) in enumerate(zip(extra, windows.strides, strict=True))
        ]
        if not all(isinstance(t, int) for t in totals):
            raise UnsupportedOperatorError(
                f"auto_pad={auto_pad!r} with a kernel of unknown size is not supported; give pads"
            )
        windows = with_same_padding(windows, totals, auto_pad == "SAME_UPPER")
    return windows, extra


def _transposed_conv(
    x, w, b=None, *, auto_pad, dilations, group, kernel_shape, output_padding, output_shape, pads, strides
):
    rank = len(w.type.shape)
    channels: Dim = multiply_dims(w.type.shape[1], group) if rank > 1 and isinstance(group, int) else unknown()
    checked_weight(x, w, b, group, kernel_shape, channels, w.type.shape[0] if rank else None)
    windows, extra = _transpose_windows(
        x, w, kernel_shape, auto_pad, dilations, pads, strides, output_padding, output_shape
    )
    if output_shape is not None:
        sizes: tuple[Dim, ...] = tuple(output_shape)
    else:
        begin, end = windows.padding("ConvTranspose")
        sizes = tuple(add_dims(windows.covered(i, n), extra[i], -begin[i], -end[i]) for i, n in enumerate(spatial(x)))
    require(not any(isinstance(n, int) and n < 1 for n in sizes), f"pads leave the sizes {list(sizes)}")
    return TensorType(x.type.dtype, (x.type.shape[0], channels, *sizes))


@onnx_op("ConvTranspose", type=_transposed_conv)
def conv_transpose(
    x: Input,
    w: Input,
    b: Input | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """`y[n, m, stride * o + dilation * k - pad] += w[c, m, k] x[n, c, o]`, summed over c, k and o, plus `b[m]`.

    `x` (N, C, *X), `w` (C, M / group, *K), `b` (M).
    """


@conv_transpose.respells
def _(x, w, b=None, **attributes):
    same = attributes["auto_pad"].startswith("SAME") and attributes["output_padding"] is not None
    if len(w.type.shape) != len(x.type.shape) or not (same or attributes["output_shape"] is not None):
        return attributes
    # ONNX's inference adds output_padding to the sizes of SAME, and loses the rank with small output_shapes.
    given = ("kernel_shape", "auto_pad", "dilations", "pads", "strides", "output_padding", "output_shape")
    windows, extra = _transpose_windows(x, w, **{k: attributes[k] for k in given})
    if windows.begin is None:
        return attributes
    return attributes | {
        "auto_pad": "NOTSET",
        "output_padding": extra,
        "output_shape": None,
        "pads": (*windows.begin, *windows.end),
    }


def _whole(g, x, w, windows, extra, upper):
    """The cotangent of a transposed convolution as one of all that its windows cover, of which the run cut off some."""
    size = shape(g, start=2)
    covered = covered_by(x, w, windows)
    total = max(covered + constant(np.array(extra, np.int64)) - size, 0)
    begin = in_front(total, upper)
    amounts = concat([0, 0], begin, [0, 0], covered - size - begin, axis=0)
    dims = (windows.covered(i, n) for i, n in enumerate(spatial(x)))
    result = TensorType(g.type.dtype, (*g.type.shape[:2], *dims))
    return pad.apply((g, amounts, None, None), {"mode": "constant"}, (result,)).outputs[0]


@conv_transpose.vjp
def _(g, y, x, w, b, *, auto_pad, dilations, group, kernel_shape, output_padding, output_shape, pads, strides):
    windows, extra = _transpose_windows(
        x, w, kernel_shape, auto_pad, dilations, pads, strides, output_padding, output_shape
    )
    to_bias = None if b is None else _sum_of_channels(g)
    if windows.begin is None:
        g, windows = _whole(g, x, w, windows, extra, auto_pad == "SAME_UPPER"), bare(windows)
        extra = (0,) * len(extra)
    begin, end = windows.padding("ConvTranspose")
    attributes = dict(conv.attributes) | {
        "dilations": windows.dilations,
        "group": group,
        "pads": (*begin, *end),
        "strides": windows.strides,
    }
    # As many windows as elements of x, and as many more as there are strides in what is added to the size.
    sizes = (add_dims(n, e // s) for n, e, s in zip(spatial(x), extra, windows.strides, strict=True))
    whole = TensorType(x.type.dtype, (*x.type.shape[:2], *sizes))
    to_input = _fitted(conv.apply((g, w, None), attributes, (whole,)).outputs[0], x)
    return to_input, weight_cotangent(g, x, w, windows, group), to_bias
