"""PyTorch's `unfold` and `fold` of images (im2col and col2im); they are found in `staticgrad.nn.functional`.

Patches of stride 1 are slices of the image, one for each of their elements. In general both functions are sums of
elements at positions that are known when declaring, and each is the derivative of the other: the positions are turned
around, so that no element is ever scattered. Measured with one thread, the patches 3x3 of 8x64x32x32 take 7 ms forwards
and 12 ms backwards by slices, 40 and 44 ms by positions.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError, shown
from staticgrad.graph import Array, Value
from staticgrad.ops.kinds import with_derivative
from staticgrad.ops.layout import Part, laid_out
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function

Pair = tuple[int, int]

_FEW = 64
"""The most elements of a patch that are worth a slice each."""


class _Windows(NamedTuple):
    """Where patches lie in an image; each pair is of rows and columns."""

    size: Pair
    kernel: Pair
    dilation: Pair
    padding: Pair
    stride: Pair
    counts: Pair

    @property
    def patch(self) -> int:
        """The elements of one patch."""
        return self.kernel[0] * self.kernel[1]

    @property
    def number(self) -> int:
        """How many patches there are."""
        return self.counts[0] * self.counts[1]

    @property
    def by_slices(self) -> bool:
        """Whether slices are the faster way."""
        return self.stride == (1, 1) and self.patch <= _FEW

    def offsets(self) -> list[Pair]:
        """For each element of a patch its place in the first one, in the image with its margin."""
        (a, b), (i, j) = self.kernel, self.dilation
        return [(r * i, c * j) for r, c in itertools.product(range(a), range(b))]

    def places(self) -> Array:
        """For every element of the columns where it lies in the image, or -1; one row."""
        along = []
        for n, k, d, p, s, count in zip(*self, strict=True):
            places = np.arange(k)[:, None] * d + np.arange(count)[None, :] * s - p
            along.append(np.where((places >= 0) & (places < n), places, -1))
        rows, columns = along[0][:, None, :, None], along[1][None, :, None, :]
        return np.where((rows < 0) | (columns < 0), -1, rows * self.size[1] + columns).reshape(1, -1)


@function
def unfold(
    input: Value,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Value:
    """The patches of `input [N, C, H, W]` as columns, `[N, C * patch, number of patches]`; N may be missing.

    H and W must be known.
    """
    x = _batch(input, 3, "unfold", "[N, C, H, W]")
    height, width = x.type.shape[2:]
    if not isinstance(height, int) or not isinstance(width, int):
        raise ShapeError(f"unfold needs to know the last two sizes, {input.type} came ({source_line()})")
    windows = _windows("unfold", (height, width), kernel_size, dilation, padding, stride)
    if windows.by_slices:
        y = _sliced(x, windows)
    else:
        y = _collected(laid_out(x, [Part(0), Part(1), height * width]), windows.places())
    y = laid_out(y, [Part(0), Part(1, times=windows.patch), windows.number])
    return y if x is input else ops.squeeze(y, [0])


@function
def fold(
    input: Value,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Value:
    """Columns of patches `[N, C * patch, number of patches]` added up where they lie in `[N, C, H, W]`.

    N may be missing.
    """
    x = _batch(input, 2, "fold", "[N, C * patch, number of patches]")
    height, width = _pair("fold", output_size, "output_size", 1)
    windows = _windows("fold", (height, width), kernel_size, dilation, padding, stride)
    channels, columns = x.type.shape[1:]
    if isinstance(columns, int) and columns != windows.number:
        raise ShapeError(f"fold takes {windows.number} patches for these sizes, {input.type} came ({source_line()})")
    if isinstance(channels, int) and channels % windows.patch:
        raise ShapeError(f"fold takes a multiple of {windows.patch} channels, {input.type} came ({source_line()})")
    front = [Part(0), Part(1, over=windows.patch)]
    if windows.by_slices:
        y = _added(laid_out(x, [*front, windows.patch, *windows.counts]), windows)
    else:
        flat = laid_out(x, [*front, windows.patch * windows.number])
        y = _collected(flat, _turned(windows.places(), height * width))
        y = laid_out(y, [Part(0), Part(1), height, width])
    return y if x is input else ops.squeeze(y, [0])


def _batch(x: Value, rank: int, name: str, expected: str) -> Value:
    """`x` with a dimension for the batch."""
    if len(x.type.shape) not in (rank, rank + 1):
        raise ShapeError(f"{name} takes {expected}, with or without N, {x.type} came ({source_line()})")
    return ops.unsqueeze(x, [0]) if len(x.type.shape) == rank else x


def _pair(name: str, given: Any, what: str, least: int) -> Pair:
    try:
        numbers = [operator.index(n) for n in (given if isinstance(given, (list, tuple)) else [given] * 2)]
    except TypeError:
        numbers = []
    if len(numbers) != 2 or min(numbers) < least or max(numbers) >= 2**31:
        raise ShapeError(
            f"{name} takes an int of {least} or more for {what}, or two, {shown(given)} came ({source_line()})"
        )
    return numbers[0], numbers[1]


def _windows(name: str, size: Pair, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> _Windows:
    kernel = _pair(name, kernel_size, "kernel_size", 1)
    spread = _pair(name, dilation, "dilation", 1)
    margin = _pair(name, padding, "padding", 0)
    step = _pair(name, stride, "stride", 1)
    rows, columns = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, spread, margin, step, strict=True)
    )
    if min(rows, columns) < 1:
        raise ShapeError(
            f"{name} finds no patch of {list(kernel)} (dilation {list(spread)}) in {list(size)} with padding "
            f"{list(margin)} ({source_line()})"
        )
    return _Windows(size, kernel, spread, margin, step, (rows, columns))


def _sliced(x: Value, windows: _Windows) -> Value:
    """The patches of stride 1, `[N, C, patch, number]`."""
    (p, q), (rows, columns) = windows.padding, windows.counts
    wide = ops.pad(x, [p, q, p, q], None, [2, 3]) if p or q else x
    parts = [
        laid_out(ops.slice_(wide, [i, j], [i + rows, j + columns], [2, 3]), [Part(0), Part(1), 1, windows.number])
        for i, j in windows.offsets()
    ]
    return ops.concat(*parts, axis=2)


def _added(x: Value, windows: _Windows) -> Value:
    """The image `[N, C, H, W]` of patches of stride 1, `[N, C, patch, rows, columns]`."""
    (p, q), (height, width), (rows, columns) = windows.padding, windows.size, windows.counts
    total: Value | None = None
    parts = ops.split(x, axis=2, num_outputs=windows.patch) if windows.patch > 1 else [x]
    for part, (i, j) in zip(parts, windows.offsets(), strict=True):
        part = ops.squeeze(part, [2])
        # What lies in the margin is cut off.
        part = ops.pad(part, [i - p, j - q, height + p - i - rows, width + q - j - columns], None, [2, 3])
        total = part if total is None else total + part
    assert total is not None
    return total


def _collected(x: Value, places: Array) -> Value:
    """`y[..., q]` is the sum of `x[..., places[t, q]]` over t, where -1 is nothing."""
    length = x.type.shape[-1]
    assert isinstance(length, int)
    absent = places < 0
    # Nothing is one zero behind all elements.
    source = ops.pad(x, [0, 1], None, [2]) if absent.any() else x
    places_read = np.where(absent, length, places)
    if len(places) == 1:
        y = ops.gather(source, constant(places_read[0]), axis=2)
    else:
        y = ops.reduce_sum(ops.gather(source, constant(places_read), axis=2), [2], keepdims=False)
    return with_derivative(y, [x], lambda g, y, x: _collected(g, _turned(places, length)))


def _turned(places: Array, length: int) -> Array:
    """The places from the other side: for each of `length` elements the columns of `places` that hold it."""
    columns = np.broadcast_to(np.arange(places.shape[1]), places.shape)[places >= 0]
    held = places[places >= 0]
    order = np.argsort(held, kind="stable")
    held, columns = held[order], columns[order]
    counts = np.bincount(held, minlength=length)
    turned = np.full((max(int(counts.max(initial=0)), 1), length), -1)
    turned[np.arange(len(held)) - np.repeat(np.cumsum(counts) - counts, counts), held] = columns
    return turned
