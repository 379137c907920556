"""Convolutions with a kernel for each channel, as products of matrices: the runtime's own loops are slow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.bodies import scan
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial
from staticgrad.optimise.formulations import (
    arranged,
    batch_of,
    formulation,
    summed,
    together,
    turned,
    unturned,
    without_bias,
)
from staticgrad.optimise.shifts import by_elements, just_enough, met_by_all, picked, shifted_rows, shifts_along_rows
from staticgrad.types import Dim

_MOST_PAIRS = 1 << 12
"""Pairs of elements of an image and of its result up to which a product with all of them costs less."""
_FEW_IMAGES = 8
_IN_CACHE = 1 << 18
"""Elements of images that stay in the cache together with what is made of them."""


def _pairs(x: Value, y: Value) -> int | None:
    """The number of pairs of an element of an image and one of a result."""
    sizes = [d for d in (*spatial(x), *spatial(y)) if isinstance(d, int)]
    return math.prod(sizes) if len(sizes) == 2 * len(spatial(x)) else None


def _bands(
    x: Sequence[Dim],
    y: Sequence[Dim],
    kernel: Sequence[Dim],
    windows: Windows,
    first: int = 0,
    transposed: bool = False,
) -> Value:
    """For each element of a kernel a flat matrix, with 1 where by it an image's element meets one of the result.

    The sizes are those of the axes from the `first` on.
    """
    rank = len(kernel)
    found = None
    for axis, (size, count, length) in enumerate(zip(map(int, x), map(int, y), map(int, kernel), strict=True)):
        place = first + axis
        begin = 0 if windows.begin is None else windows.begin[place]
        k, h, o = np.ogrid[:length, :size, :count]
        meets = h == o * windows.strides[place] + k * windows.dilations[place] - begin
        if transposed:
            meets = meets.swapaxes(1, 2)
        shape = [1] * (3 * rank)
        shape[axis], shape[rank + axis], shape[2 * rank + axis] = meets.shape
        band = constant(meets.astype(np.float32).reshape(shape))
        found = band if found is None else ops.mul(found, band)
    assert found is not None
    return arranged(found, (math.prod(map(int, kernel)), math.prod(map(int, x)) * math.prod(map(int, y))))


@formulation("cpu", "Conv", "ConvTranspose")
def _small_images(node: Node) -> Value | None:
    """conv(x, w) of a kernel for each channel = for each channel x @ the banded matrix of w, where images are small"""
    y, given = node.outputs[0], without_bias(node)
    if given is None:
        return None
    x, w, windows = given
    channels = x.type.shape[1]
    batch, pairs = x.type.shape[0], _pairs(x, y)
    if (
        channels == 1
        or not channels == w.type.shape[0] == node.attributes["group"]
        or w.type.shape[1] != 1
        or pairs is None
        or pairs > _MOST_PAIRS
        or (isinstance(batch, int) and batch < _FEW_IMAGES)
    ):
        return None
    transposed = node.op.name == "ConvTranspose"
    if transposed and node.attributes["output_shape"] is not None:
        return None
    size, count = (math.prod(int(d) for d in spatial(v)) for v in (x, y))
    images, results = (spatial(y), spatial(x)) if transposed else (spatial(x), spatial(y))
    bands = _bands(images, results, spatial(w), windows, transposed=transposed)
    matrices = arranged(ops.matmul(arranged(w, (channels, -1)), bands), (channels, size, count))
    # The runtime makes a transposition right before the product one with it, and then stops over no images.
    rows = turned(arranged(x, (batch, channels, size))) if isinstance(batch, int) else turned(x)
    rows = arranged(rows, (channels, batch_of(x), size))
    found = arranged(ops.matmul(rows, matrices), (channels, batch_of(x), *spatial(y)))
    return turned(found)


@formulation("cpu", "Conv")
def _weight_of_each_channel(node: Node) -> Value | None:
    """The cotangent of a kernel for each channel = sums over bands, or diagonals, of x^T g, or products of vectors"""
    y, given = node.outputs[0], without_bias(node)
    if given is None:
        return None
    x, w, windows = given
    # A product over no images is as undefined as the convolution: what fills them up stays.
    cotangents, images = unturned(w), _ungrouped(x)
    channels = node.attributes["group"]
    if cotangents is None or images is None or x.type.shape[0] != 1:
        return None
    # A file may say less of the result.
    if not channels == w.type.shape[0] == images.type.shape[1] == cotangents.type.shape[1]:
        return None
    # What was the kernel there is the result here; strides and dilations change places too.
    forward = windows._replace(kernel=spatial(y), strides=windows.dilations, dilations=windows.strides)
    pairs = _pairs(images, cotangents)
    if pairs is None or not all(isinstance(d, int) for d in spatial(y)):
        return None
    if pairs > _MOST_PAIRS:
        found = _by_images(images, cotangents, y, forward)
        return found if found is not None else _by_rows(images, cotangents, y, forward)
    size, count = (math.prod(int(d) for d in spatial(v)) for v in (images, cotangents))
    left = ops.transpose(arranged(images, (batch_of(images), channels, size)), perm=(1, 2, 0))
    right = turned(arranged(cotangents, (batch_of(cotangents), channels, count)))
    matrices = arranged(ops.matmul(left, right), (channels, size * count))
    bands = _bands(spatial(images), spatial(cotangents), spatial(y), forward)
    return arranged(ops.gemm(matrices, bands, transB=True), (1, channels, *spatial(y)))


def _by_images(x: Value, g: Value, y: Value, windows: Windows) -> Value | None:
    """The sum over the images of products of vectors: of their cotangents with what each element of a kernel meets.

    A few images are done after others, for what is made of them to stay in the cache.
    """
    batch, channels, *_ = x.type.shape
    exact = just_enough(x, g, windows)
    # The runtime has no scan over nothing.
    if exact is None or not isinstance(batch, int) or batch == 0 or not isinstance(channels, int):
        return None
    most = max(1, _IN_CACHE // (channels * math.prod(int(d) for d in spatial(x))))
    each = max(n for n in range(1, min(batch, most) + 1) if batch % n == 0)
    if each == batch:
        return arranged(_products(x, g, exact), (1, channels, *spatial(y)))

    def part(x: Value, g: Value) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        return (), (_products(x, g, exact),)

    parts = [arranged(v, (batch // each, each, *v.type.shape[1:])) for v in (x, g)]
    stacked = scan(part, (), parts)[1][0]
    return arranged(summed(stacked), (1, channels, *spatial(y)))


def _products(x: Value, g: Value, windows: Windows) -> Value:
    """The products of cotangents with what the elements of a kernel meet, over all images, as (C, *kernel)."""
    channels, kernel = int(x.type.shape[1]), windows.kernel
    shifts = shifts_along_rows(x, g, windows)
    if shifts is None:
        met, order = met_by_all(x, windows)
        count = math.prod(int(k) for k in kernel)
        products = _vectors(g, 1) @ ops.transpose(_vectors(met, count), perm=(0, 1, 3, 2))
        return by_elements(summed(products), (channels,), kernel, order)
    cotangents = _vectors(picked(g, shifts, backwards=True), int(kernel[-1]))
    columns = ops.transpose(cotangents, perm=(0, 1, 3, 2))
    rows = [_vectors(seen, 1) @ columns for seen in shifted_rows(x, g, windows)]
    return arranged(summed(together(rows, axis=2)), (channels, *kernel))


def _vectors(x: Value, count: int) -> Value:
    """`x` (N, C * count, *X) as (N, C, count, X)."""
    batch, channels, *sizes = (int(d) for d in x.type.shape)
    return arranged(x, (batch, channels // count, count, math.prod(sizes)))


def _by_rows(x: Value, g: Value, y: Value, windows: Windows) -> Value | None:
    """The sums over the bands of what the rows of images and cotangents have in common.

    w[c, i, j] = sum_q (sum_{n, o} g[n, c, o, q] x[n, c, s o + d i - p, s q + d j - p])
    for strides s, dilations d and padding p.
    """
    if len(spatial(y)) != 2:
        return None
    channels = x.type.shape[1]
    (height, width), (size, long), (rows, columns) = ([int(d) for d in spatial(v)] for v in (y, x, g))
    x = turned(x)
    flat = ops.transpose(arranged(turned(g), (channels, -1, columns)), perm=(0, 2, 1))
    begin, end = (windows.begin or (0, 0))[0], (windows.end or (0, 0))[0]
    whole = _with_rows(x, begin, end)
    products = []
    for row in range(height):
        start, step = row * windows.dilations[0], windows.strides[0]
        last = start + (rows - 1) * step
        # Rows between the margins are taken from where there are none.
        inside = begin <= start and last < begin + size
        seen, start, last = (x, start - begin, last - begin) if inside else (whole, start, last)
        if (start, last, step) != (0, int(seen.type.shape[2]) - 1, 1):
            seen = ops.slice_(seen, *(constant(np.array([n])) for n in (start, last + 1, 2, step)))
        products.append(ops.matmul(flat, arranged(seen, (channels, -1, long))))
    matrices = arranged(together(products, axis=1), (int(channels) * height, columns * long))
    bands = _bands((long,), (columns,), (width,), windows, 1, transposed=True)
    return arranged(ops.gemm(matrices, bands, transB=True), (1, channels, height, width))


def _with_rows(x: Value, above: int, below: int) -> Value:
    """`x` (C, N, H, W) with rows of zeros above and below, put together: Pad takes the CPU longer."""
    if not above and not below:
        return x
    channels, batch, _, columns = x.type.shape
    images = constant(np.array([batch])) if isinstance(batch, int) else ops.shape(x, start=1, end=2)

    def zeros(count: int) -> list[Value]:
        shape = ops.concat([channels], images, [count, columns], axis=0)
        return [ops.constant_of_shape(shape, value=np.zeros(1, np.float32))] if count else []

    return ops.concat(*zeros(above), x, *zeros(below), axis=2)


def _ungrouped(x: Value) -> Value | None:
    """The images (N, C, *X) that were put together as (1, C * N, *X), channel by channel."""
    node = x.node
    if node.op.name != "Reshape" or node.inputs[0] is None:
        return None
    turned = node.inputs[0]
    rank = len(turned.type.shape)
    if turned.node.op.name != "Transpose" or turned.node.attributes["perm"] != (2, 1, 0, *range(3, rank)):
        return None
    split = turned.node.inputs[0]
    if split is None or split.node.op.name != "Reshape" or split.type.shape[2] != 1:
        return None
    images = split.node.inputs[0]
    whole = (*split.type.shape[:2], *split.type.shape[3:])
    return images if images is not None and images.type.shape[1:] == whole[1:] else None
