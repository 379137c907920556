"""PyTorch's `unfold` and `fold` of images (im2col and col2im); they are found in `staticgrad.nn.functional`.

Both are sums of elements at positions that are known when declaring, and each is the derivative of the other: the
positions are turned around, so that no element is ever scattered.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError, shown
from staticgrad.graph import Array, Value, source_line
from staticgrad.ops.kinds import with_derivative
from staticgrad.ops.registry import constant
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.layout import Part, laid_out

Pair = tuple[int, int]


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
    places, size, patches = _places("unfold", (height, width), kernel_size, dilation, padding, stride)
    flat = laid_out(x, [Part(0), Part(1), height * width])
    y = laid_out(_collected(flat, places.reshape(1, -1)), [Part(0), Part(1, times=size), patches])
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
    places, size, patches = _places("fold", (height, width), kernel_size, dilation, padding, stride)
    channels, columns = x.type.shape[1:]
    if isinstance(columns, int) and columns != patches:
        raise ShapeError(f"fold takes {patches} patches for these sizes, {input.type} came ({source_line()})")
    if isinstance(channels, int) and channels % size:
        raise ShapeError(f"fold takes a multiple of {size} channels, {input.type} came ({source_line()})")
    flat = laid_out(x, [Part(0), Part(1, over=size), size * patches])
    y = _collected(flat, _turned(places.reshape(1, -1), height * width))
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
    if len(numbers) != 2 or min(numbers) < least:
        raise ShapeError(
            f"{name} takes an int of {least} or more for {what}, or two, {shown(given)} came ({source_line()})"
        )
    return numbers[0], numbers[1]


def _places(
    name: str, sizes: Pair, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Array, int, int]:
    """For every element of the columns where it lies in the image, or -1; the elements of a patch, and the patches."""
    kernel = _pair(name, kernel_size, "kernel_size", 1)
    spread = _pair(name, dilation, "dilation", 1)
    margin = _pair(name, padding, "padding", 0)
    step = _pair(name, stride, "stride", 1)
    along = []
    for n, k, d, p, s in zip(sizes, kernel, spread, margin, step, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if count < 1:
            raise ShapeError(
                f"{name} finds no patch of {list(kernel)} (dilation {list(spread)}) in {list(sizes)} with padding "
                f"{list(margin)} ({source_line()})"
            )
        places = np.arange(k)[:, None] * d + np.arange(count)[None, :] * s - p
        along.append(np.where((places >= 0) & (places < n), places, -1))
    rows, columns = along[0][:, None, :, None], along[1][None, :, None, :]
    places = np.where((rows < 0) | (columns < 0), -1, rows * sizes[1] + columns)
    return places, kernel[0] * kernel[1], along[0].shape[1] * along[1].shape[1]


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
