"""Regions of images, pooled to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import abs, cast, ceil, floor, max, min, sign
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather, gather_elements
from staticgrad.ops.kinds import common_dtype, floating, full_like, stored
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import equal, greater_or_equal, less, less_or_equal, logical_and, where
from staticgrad.ops.reduction import arg_max, reduce_max, reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import concat, expand, shape, squeeze, transpose, unsqueeze
from staticgrad.ops.sizes import arranged, sizes_of
from staticgrad.ops.slicing import slice_
from staticgrad.ops.windows import differ
from staticgrad.types import DType, TensorType, is_unknown


def _checked(x: Value, rois: Value, columns: int, sizes: tuple[int, ...]) -> TensorType:
    floating(x, rois)
    common_dtype(x, rois)
    require(len(x.type.shape) == 4, f"images [N, C, H, W] are expected, {x.type} came")
    require(
        len(rois.type.shape) == 2 and not differ(rois.type.shape[1], columns),
        f"regions of {columns} numbers are expected, {rois.type} came",
    )
    require(all(isinstance(n, int) and n > 0 for n in sizes), f"the sizes {list(sizes)} must be positive ints")
    return TensorType(x.type.dtype, (rois.type.shape[0], x.type.shape[1], *sizes))


def _aligned(
    x, rois, batch_indices, *, coordinate_transformation_mode, mode, output_height, output_width, sampling_ratio,
    spatial_scale,
):  # fmt: skip
    if coordinate_transformation_mode not in ("half_pixel", "output_half_pixel"):
        raise DeclarationError(
            f"coordinate_transformation_mode={shown(coordinate_transformation_mode)} is neither 'half_pixel' nor "
            "'output_half_pixel'"
        )
    if mode not in ("avg", "max"):
        raise DeclarationError(f"mode={shown(mode)} is neither 'avg' nor 'max'")
    require(isinstance(sampling_ratio, int) and sampling_ratio >= 0, "sampling_ratio must be an int of 0 or more")
    if batch_indices.type.dtype is not DType.int64:
        raise DTypeError(f"positions must be int64, {batch_indices.type.dtype} came; cast with x.to('int64')")
    result = _checked(x, rois, 4, (output_height, output_width))
    require(
        len(batch_indices.type.shape) == 1 and not differ(batch_indices.type.shape[0], rois.type.shape[0]),
        f"{batch_indices.type} names the images of the regions {rois.type}",
    )
    if is_unknown(result.shape[0]) or isinstance(batch_indices.type.shape[0], int):
        return TensorType(result.dtype, (batch_indices.type.shape[0], *result.shape[1:]))
    return result


@onnx_op("RoiAlign", type=_aligned)
def roi_align(
    x: Input,
    rois: Input,
    batch_indices: Input,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Value:
    """Regions `rois` [R, 4] of images `x` [N, C, H, W], pooled to [R, C, output_height, output_width] (He et al. 2017).

    A region is (x1, y1, x2, y2); each of its bins is the mean of `sampling_ratio` by `sampling_ratio` points (0: as
    many as pixels) that are interpolated linearly. In mode "max" it is the largest product of a pixel with its weight
    in an interpolation, as onnxruntime and onnx.reference have it; the first of equal ones gets the derivative. Also
    the regions have a derivative: how the points move.
    """


@roi_align.as_body
def _(
    x, rois, batch_indices, *, coordinate_transformation_mode, mode, output_height, output_width, sampling_ratio,
    spatial_scale,
):  # fmt: skip
    shifted = coordinate_transformation_mode == "half_pixel"
    # Regions and their images may be counted under two names.
    count = sizes_of(batch_indices if isinstance(batch_indices.type.shape[0], int) else rois)[0]
    rois, batch_indices = arranged(rois, count, 4), arranged(batch_indices, count)
    rows, columns = (
        _Points(x, rois, axis, bins, sampling_ratio, stored(spatial_scale), shifted)
        for axis, bins in ((2, output_height), (3, output_width))
    )
    if mode == "avg":
        images = gather(x, batch_indices)
        return matmul(matmul(rows.means(), images), transpose(columns.means(), perm=(0, 1, 3, 2)))
    return _largest(x, batch_indices, rows.both(), columns.both())


class _Points:
    """The points at which regions are sampled along one axis: [R, bins, points] and the pixels beside them."""

    def __init__(self, x: Value, rois: Value, axis: int, bins: int, ratio: int, scale: float, shifted: bool) -> None:
        dtype = x.type.dtype
        column = 3 - axis
        # All are [R, 1, 1].
        low, high = (
            unsqueeze(slice_(rois, [c], [c + 1], [1]) * scale - (0.5 if shifted else 0), [2])
            for c in (column, column + 2)
        )
        length = high - low if shifted else max(high - low, 1)
        bin_size = length / bins
        if ratio:
            count: Value = full_like(x, ratio)
            most: Value | int = ratio
        else:
            count = ceil(bin_size)
            most = max(reduce_max(cast(count, to=DType.int64), keepdims=False), 1)
        numbers = cast(range_(0, most, 1), to=dtype)
        steps = range_(0, bins, 1)
        self.within = less(numbers, count)
        """Of a region with fewer points than another one the others do not count."""
        self.divisor = max(count, 1)
        places = low + unsqueeze(cast(steps, to=dtype), [1]) * bin_size + (numbers + 0.5) * bin_size / self.divisor
        size = shape(x, start=axis, end=axis + 1)
        self.size = squeeze(size, [0])
        end = cast(self.size, to=dtype)
        self.inside = logical_and(greater_or_equal(places, -1), less_or_equal(places, end))
        clipped = min(max(places, 0), end - 1)
        first = floor(clipped)
        self.share = clipped - first
        self.first = cast(first, to=DType.int64)
        self.second = min(self.first + 1, self.size - 1)

    def weights(self) -> tuple[Value, Value]:
        """What the first and the second pixel of each point count."""
        counted = self.inside
        return where(counted, 1 - self.share, 0), where(counted, self.share, 0)

    def means(self) -> Value:
        """What each pixel counts in the mean of each bin: [R, 1, bins, pixels]."""
        pixels = range_(0, self.size, 1)
        total: Value | None = None
        for places, weight in zip((self.first, self.second), self.weights(), strict=True):
            weight = where(self.within, weight, 0) / self.divisor
            found = where(equal(unsqueeze(places, [3]), pixels), unsqueeze(weight, [3]), 0)
            part = reduce_sum(found, [2], keepdims=False)
            total = part if total is None else total + part
        assert total is not None
        return unsqueeze(total, [1])

    def both(self) -> tuple[Value, Value, Value]:
        """The pixels beside the points, what they count, and which of them there are: each [R, bins, 2 * points]."""
        places = concat(self.first, self.second, axis=2)
        here = expand(self.within, shape(self.first))
        return places, concat(*self.weights(), axis=2), concat(here, here, axis=2)


def _largest(
    x: Value, images: Value, rows: tuple[Value, Value | None, Value], columns: tuple[Value, Value | None, Value]
) -> Value:
    """For each bin the largest of the elements of `x` whose place, weight and presence `rows` and `columns` give.

    Those are [R, bins, elements], `images` is [R]; a bin without elements is 0.
    """
    batch, channels, height, width = sizes_of(x)
    pixels = arranged(transpose(x, perm=(0, 2, 3, 1)), batch.times(height).times(width), channels)

    def laid(along_rows: Value, along_columns: Value) -> tuple[Value, Value]:
        """Both as [R, rows, elements, columns, elements], but for sizes of 1."""
        return unsqueeze(along_rows, [3, 4]), unsqueeze(along_columns, [1, 2])

    down, across = laid(rows[0], columns[0])
    first = unsqueeze(images, [1, 2, 3, 4]) * (height.listed() * width.listed())
    found = gather(pixels, first + down * width.listed() + across)
    for weights in laid(rows[1], columns[1]) if rows[1] is not None and columns[1] is not None else ():
        found = found * unsqueeze(weights, [5])
    here = unsqueeze(logical_and(*laid(rows[2], columns[2])), [5])
    found = transpose(where(here, found, -math.inf), perm=(0, 5, 1, 3, 2, 4))
    *outer, inner, innermost = sizes_of(found)
    flat = arranged(found, *outer, inner.times(innermost))
    largest = squeeze(gather_elements(flat, arg_max(flat, axis=4), axis=4), [4])
    return where(equal(largest, -math.inf), 0, largest)


def _pooled(x, rois, *, pooled_shape, spatial_scale):
    return _checked(x, rois, 5, tuple(pooled_shape))


@onnx_op("MaxRoiPool", type=_pooled)
def max_roi_pool(x: Input, rois: Input, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0) -> Value:
    """Regions `rois` [R, 5] of images `x` [N, C, H, W], pooled to [R, C, *pooled_shape] by maxima (Girshick 2015).

    A region is (image, x1, y1, x2, y2), rounded to pixels; the first of equal maxima gets the derivative.
    """


@max_roi_pool.as_body
def _(x, rois, *, pooled_shape, spatial_scale):
    rounded = _without_fraction(slice_(rois, [1], [5], [1]) * stored(spatial_scale))
    bins = []
    for axis, count in zip((2, 3), pooled_shape, strict=True):
        column = 3 - axis
        low, high = (unsqueeze(slice_(rounded, [c], [c + 1], [1]), [2]) for c in (column, column + 2))
        share = max(high - low + 1, 1) / count
        numbers = unsqueeze(cast(range_(0, count, 1), to=x.type.dtype), [1])
        size = cast(shape(x, start=axis, end=axis + 1), to=x.type.dtype)
        # The same steps as in the kernel: the sizes of bins are rounded.
        start = min(max(floor(numbers * share) + low, 0), size)
        end = min(max(ceil((numbers + 1) * share) + low, 0), size)
        longest = max(cast(reduce_max(end - start, keepdims=False), to=DType.int64), 1)
        places = start + cast(range_(0, longest, 1), to=x.type.dtype)
        bins.append((cast(min(places, size - 1), to=DType.int64), None, less(places, end)))
    images = cast(squeeze(slice_(rois, [0], [1], [1]), [1]), to=DType.int64)
    return _largest(x, images, *bins)


def _without_fraction(x: Value) -> Value:
    """The nearest integers; halves go away from zero."""
    return sign(x) * floor(abs(x) + 0.5)
