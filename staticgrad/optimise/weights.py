"""The cotangents of the weights of convolutions, which are convolutions with kernels as large as images, by shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial
from staticgrad.optimise.formulations import (
    arranged,
    batch_of,
    filled_up,
    formulation,
    has_many_channels,
    padding,
    summed,
    together,
    turned,
    unturned,
    without_bias,
    without_filling,
)
from staticgrad.optimise.shifts import by_elements, just_enough, met_by_all, picked, shifted_rows, shifts_along_rows
from staticgrad.types import Dim

_MOST_PRODUCTS = 25
_LARGE_IMAGE, _LARGER_IMAGE, _LARGE_STEPS = 64, 1024, 256
"""Elements of a result from which products for each image cost less than one for all: of one position, of several, and
of several with steps."""
_MOST_PICKED = 1 << 21
"""Elements of what all elements of a kernel meet of one image up to which it is put together."""


@formulation("cpu", "Conv")
def _large_kernel(node: Node) -> Value | None:
    """conv(x, w) = for each element of the result products of w and what it sees of x, where w is large"""
    y, given = node.outputs[0], without_bias(node)
    if given is None or node.attributes["group"] != 1:
        return None
    x, w, windows = given
    counts = [d for d in spatial(y) if isinstance(d, int)]
    positions = math.prod(counts)
    if (
        len(counts) < len(spatial(y))
        or not 0 < positions <= min(_MOST_PRODUCTS, math.prod(int(d) for d in windows.kernel))
        or not all(isinstance(v.type.shape[0], int) for v in (x, w))
    ):
        return None
    bare = without_filling(x), without_filling(w)
    if bare[0] is not x and bare[1] is not w:
        x, w = bare
    many = has_many_channels(x.type.shape[0], w.type.shape[0])
    images, cotangents = unturned(x), unturned(w)
    if images is not None and positions == 1 and not any(padding(windows)):
        # What is passed over need not be turned.
        images = _seen(images, (0,) * len(counts), windows)
        x, windows = turned(images), windows._replace(dilations=(1,) * len(counts))
    if images is not None and cotangents is not None:
        found = _by_image(images, cotangents, counts, windows)
        if found is not None:
            return found
        if many and all(isinstance(d, int) for d in images.type.shape[1:]):
            # With the images last, what is cut out lies in long runs.
            return _by_position(_images_last(images), _images_last(cotangents), counts, windows, 1)
    return _by_position(x, w, counts, windows, 2) if many else None


def _images_last(x: Value) -> Value:
    """`x` (N, C, *X) as (C, *X, N)."""
    sizes = x.type.shape[1:]
    rows = arranged(x, (batch_of(x), math.prod(int(d) for d in sizes)))
    return arranged(ops.transpose(rows, perm=(1, 0)), (*sizes, batch_of(x)))


def _by_position(x: Value, w: Value, counts: Sequence[int], windows: Windows, lead: int) -> Value:
    """A product of the flat `w` for each element of the result; the first `lead` axes of `x` come before its sizes."""
    x, flat, rank = filled_up(x, windows, lead), _flat(w), len(counts)
    products = [ops.gemm(flat, _flat(_seen(x, position, windows, lead)), transB=True) for position in _places(counts)]
    shape = (*counts, w.type.shape[0], x.type.shape[0])
    return ops.transpose(arranged(together(products), shape), perm=(rank + 1, rank, *range(rank)))


def _places(counts: Sequence[int]) -> Iterable[tuple[int, ...]]:
    return itertools.product(*map(range, counts))


def _by_image(x: Value, g: Value, counts: Sequence[int], windows: Windows) -> Value | None:
    """The sum over images `x` of products with `g`, where images are large."""
    channels, features = x.type.shape[1], g.type.shape[1]
    size, rank = math.prod(int(d) for d in windows.kernel), len(counts)
    if math.prod(counts) == 1:
        if size < _LARGE_IMAGE and has_many_channels(channels, features):
            return None
        seen = _turned_images(_seen(filled_up(x, windows), (0,) * rank, windows), channels, size)
        product = summed(ops.matmul(_images(g, features, size), seen))
        return ops.transpose(arranged(product, (*counts, features, channels)), perm=(rank + 1, rank, *range(rank)))
    forward = windows._replace(kernel=tuple(counts), strides=windows.dilations, dilations=windows.strides)
    exact = just_enough(x, g, forward)
    if exact is None:
        return None
    many, steps = has_many_channels(channels), set(exact.strides) != {1}
    if many and size < (_LARGE_STEPS if steps else _LARGER_IMAGE):
        return None
    found = _by_shifts(x, g, exact) if many else None
    return found if found is not None else _by_picks(x, g, exact)


def _by_shifts(x: Value, g: Value, windows: Windows) -> Value | None:
    """A product for each row of a kernel with all shifts of `g` along the rows."""
    shifts = shifts_along_rows(x, g, windows)
    if shifts is None:
        return None
    features, channels, rank = int(g.type.shape[1]), x.type.shape[1], len(windows.kernel)
    *rows, width = windows.kernel
    size = math.prod(int(d) for d in (*spatial(g)[:-1], x.type.shape[-1]))
    cotangents = _images(picked(g, shifts, backwards=True), features * int(width), size)
    products = [
        summed(ops.matmul(cotangents, _turned_images(seen, channels, size))) for seen in shifted_rows(x, g, windows)
    ]
    found = arranged(together(products), (*rows, features, width, channels))
    return ops.transpose(found, perm=(rank + 1, rank - 1, *range(rank - 1), rank))


def _by_picks(x: Value, g: Value, windows: Windows) -> Value | None:
    """One product with what all elements of a kernel meet."""
    features, channels, kernel = g.type.shape[1], int(x.type.shape[1]), windows.kernel
    count, size = math.prod(int(k) for k in kernel), math.prod(int(d) for d in spatial(g))
    if channels * count * size > _MOST_PICKED:
        return None
    met, order = met_by_all(x, windows)
    products = summed(ops.matmul(_images(g, features, size), _turned_images(met, channels * count, size)))
    return turned(by_elements(products, (features, channels), kernel, order))


def _images(x: Value, channels: Dim, size: int) -> Value:
    """`x` with images of one axis."""
    return arranged(x, (batch_of(x), channels, size))


def _turned_images(x: Value, channels: Dim, size: int) -> Value:
    return ops.transpose(_images(x, channels, size), perm=(0, 2, 1))


def _seen(x: Value, position: tuple[int, ...], windows: Windows, lead: int = 2) -> Value:
    """What the window at a position sees of the filled-up `x`."""
    starts = [i * s for i, s in zip(position, windows.strides, strict=True)]
    lengths = [(int(k) - 1) * d + 1 for k, d in zip(windows.kernel, windows.dilations, strict=True)]
    ends = [a + n for a, n in zip(starts, lengths, strict=True)]
    axes = np.arange(lead, lead + len(starts))
    if starts == [0] * len(starts) and ends == [x.type.shape[a] for a in axes] and set(windows.dilations) == {1}:
        return x
    numbers = [constant(np.array(v, np.int64)) for v in (starts, ends, axes, windows.dilations)]
    return ops.slice_(x, *numbers)


def _flat(x: Value) -> Value:
    """`x` as a matrix with its first axis."""
    return arranged(x, (x.type.shape[0], -1))
