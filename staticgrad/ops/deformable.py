"""Convolutions whose windows take their elements from where offsets say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.arithmetic import cast, floor
from staticgrad.ops.convolution import checked_weight, kernel_of
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import common_dtype, floating, require_table
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import greater_or_equal, less, logical_and, where
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import reshape, squeeze, transpose, unsqueeze
from staticgrad.ops.sizes import Size, arranged, sizes_of
from staticgrad.ops.slicing import slice_
from staticgrad.ops.windows import Windows, differ, pooled, spatial
from staticgrad.types import DType, TensorType, is_unknown, multiply_dims


def _windows(x, w, kernel_shape, dilations, pads, strides):
    return pooled(spatial(x), kernel_of(w, kernel_shape), "NOTSET", dilations, pads, strides)


def _deformed(x, w, offset, b=None, mask=None, *, dilations, group, kernel_shape, offset_group, pads, strides):
    rank = len(w.type.shape)
    features = multiply_dims(w.type.shape[1], group) if rank > 1 and isinstance(group, int) else None
    checked_weight(x, w, b, group, kernel_shape, w.type.shape[0] if rank else None, features)
    kernel = kernel_of(w, kernel_shape)
    others = [offset] if mask is None else [offset, mask]
    floating(*others)
    common_dtype(x, *others)
    require(
        isinstance(offset_group, int) and offset_group >= 1, f"offset_group={offset_group!r} must be a positive int"
    )
    channels = x.type.shape[1]
    require(
        not isinstance(channels, int) or channels % offset_group == 0,
        f"{channels} channels do not make {offset_group} groups",
    )
    _, counts = _windows(x, w, kernel_shape, dilations, pads, strides)
    places = multiply_dims(offset_group, *kernel)
    result = list(counts)
    for value, name, count in ((offset, "offset", multiply_dims(places, len(kernel))), (mask, "mask", places)):
        if value is None:
            continue
        expected = (x.type.shape[0], count, *counts)
        require(
            len(value.type.shape) == len(expected) and not any(map(differ, value.type.shape, expected)),
            f"the {name} is {value.type}, {list(expected)} is expected",
        )
        result = [b if is_unknown(a) else a for a, b in zip(result, spatial(value), strict=True)]
    return TensorType(x.type.dtype, (x.type.shape[0], w.type.shape[0], *result))


@onnx_op("DeformConv", type=_deformed)
def deform_conv(
    x: Input,
    w: Input,
    offset: Input,
    b: Input | None = None,
    mask: Input | None = None,
    *,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    offset_group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """`y[n, m, o] = b[m] + sum_{c, k} w[m, c, k] mask[n, k, o] x[n, c, stride * o + dilation * k - pad + offset]`.

    Each n, k and o have their own offset. Between its elements `x` is interpolated linearly, outside of it is 0 (Dai et
    al. 2017, Zhu et al. 2018). `offset` (N, offset_group * K * axes, *O) and `mask` (N, offset_group * K, *O) hold one
    part for each part of the channels.
    """


@deform_conv.refuses
def _(x, w, *others, kernel_shape, **attributes):
    """A kernel whose sizes are not known."""
    if not all(isinstance(d, int) for d in kernel_of(w, kernel_shape)):
        return "the sizes of the kernel are not known when declaring; declare them as numbers, or give kernel_shape"
    return None


@deform_conv.as_body
def _(x, w, offset, b, mask, *, dilations, group, kernel_shape, offset_group, pads, strides):
    windows, _ = _windows(x, w, kernel_shape, dilations, pads, strides)
    batch, _, *image = sizes_of(x)
    features, each, *_ = sizes_of(w)
    counts = sizes_of(offset)[2:]
    number = _product(counts)
    elements = math.prod(int(k) for k in windows.kernel)
    columns = _sampled(x, offset, windows, offset_group)
    if mask is not None:
        columns = columns * arranged(mask, batch, offset_group, elements, number, 1)
    # [N, offset_group, K, O, C / offset_group] becomes [N, group, C / group * K, O].
    columns = transpose(columns, perm=(0, 1, 4, 2, 3))
    columns = arranged(columns, batch, group, each.times(elements), number)
    kernel = arranged(w, group, features.over(group), each.times(elements))
    y = arranged(matmul(kernel, columns), batch, features, *counts)
    return y if b is None else y + reshape(b, [-1, *(1 for _ in image)])


def _product(sizes: Sequence[Size]) -> Size:
    total = sizes[0]
    for size in sizes[1:]:
        total = total.times(size)
    return total


def _sampled(x: Value, offset: Value, windows: Windows, groups: int) -> Value:
    """The elements of `x` at each place of each window, [N, groups, K, O, C / groups]."""
    batch, channels, *image = sizes_of(x)
    counts = sizes_of(offset)[2:]
    rank, dtype = len(image), x.type.dtype
    elements = math.prod(int(k) for k in windows.kernel)
    require_table(elements)
    moved = arranged(offset, batch, groups, elements, rank, *counts)
    begin, _ = windows.padding("DeformConv")
    # `steps` is how far apart neighbours along each axis are in the flattened image.
    first, share, steps = [], [], []
    for axis in range(rank):
        taps = np.indices([int(k) for k in windows.kernel])[axis].reshape(-1, *[1] * rank)
        start = constant((taps * windows.dilations[axis] - begin[axis]).astype(dtype.numpy))
        count = squeeze(counts[axis].listed(), [0])
        line = cast(range_(0, count, 1), to=dtype) * windows.strides[axis]
        line = reshape(line, [-1, *(1 for _ in range(rank - axis - 1))])
        place = squeeze(slice_(moved, [axis], [axis + 1], [3]), [3]) + (start + line)
        low = floor(place)
        share.append(place - low)
        first.append(cast(low, to=DType.int64))
        steps.append(_product(image[axis + 1 :]).listed() if axis + 1 < rank else constant(np.ones(1, np.int64)))
    pixels = arranged(x, batch, groups, channels.over(groups), _product(image))
    pixels = transpose(pixels, perm=(0, 1, 3, 2))
    pixels = arranged(pixels, batch.times(groups).times(_product(image)), channels.over(groups))
    # Where the pixels of each image and group begin.
    lead = range_(0, squeeze(batch.times(groups).listed(), [0]), 1) * _product(image).listed()
    lead = arranged(lead, batch, groups, 1, *(1 for _ in range(rank)))
    total: Value | None = None
    for corner in itertools.product((0, 1), repeat=rank):
        at, weight, here = lead, None, None
        for axis, behind in enumerate(corner):
            place = first[axis] + behind
            size = image[axis].listed()
            within = logical_and(greater_or_equal(place, 0), less(place, size))
            part = share[axis] if behind else 1 - share[axis]
            here = within if here is None else logical_and(here, within)
            weight = part if weight is None else weight * part
            at = at + place * steps[axis]
        assert weight is not None and here is not None
        found = gather(pixels, where(here, at, 0))
        term = found * unsqueeze(where(here, weight, 0), [-1])
        total = term if total is None else total + term
    assert total is not None
    return arranged(total, batch, groups, elements, _product(counts), channels.over(groups))
