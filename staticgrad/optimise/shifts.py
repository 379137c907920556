"""What each element of a kernel meets of images, for the cotangents of weights: pieces of the images, or shifted ones.

For steps of 1 rows of the images are shifted and, along the rows, the cotangents against them: of k l shifts k + l are
left, and cutting out whole rows is fast.

    sum_{o, q} g[o, q] x[o + d i - p, q + d j - p] = sum_{o, q} g[o, q - d j + p] x[o + d i - p, q]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial
from staticgrad.optimise.formulations import arranged, filled_up, padding
from staticgrad.types import Dim

_MOST_AT_ONCE = 9
"""Elements of a kernel up to which all are picked by one convolution."""


def picked(x: Value, windows: Windows, backwards: bool = False) -> Value:
    """What each of the k elements of a kernel meets, (N, C k, *Y) by channels; from the last if `backwards`.

    A convolution with zeros and ones: an element that is infinite or NaN spreads over all whose windows see it.
    """
    channels, count = int(x.type.shape[1]), math.prod(int(k) for k in windows.kernel)
    single = np.eye(count, dtype=np.float32)[:: -1 if backwards else 1].reshape(count, 1, *map(int, windows.kernel))
    kernels = constant(np.tile(single, (channels, *[1] * (single.ndim - 1))))
    return ops.conv(
        x, kernels, group=channels, dilations=windows.dilations, strides=windows.strides, pads=padding(windows)
    )


def met_by_all(x: Value, windows: Windows) -> tuple[Value, tuple[int, ...]]:
    """What each of the k elements of a kernel meets, (N, C k, *Y) by channels, and how the axes of the kernel lie in k.

    Many are picked along one axis after another.
    """
    axes = tuple(range(len(windows.kernel)))
    if math.prod(int(k) for k in windows.kernel) <= _MOST_AT_ONCE:
        return picked(x, windows), axes
    for axis in reversed(axes):
        x = picked(x, _along(windows, axis))
    return x, axes[::-1]


def by_elements(products: Value, lead: Sequence[Dim], kernel: Sequence[Dim], order: Sequence[int]) -> Value:
    """Products (*lead, k) with what `met_by_all` gives as (*lead, *kernel)."""
    found = arranged(products, (*lead, *(kernel[axis] for axis in order)))
    places = (order.index(axis) for axis in range(len(kernel)))
    return ops.transpose(found, perm=(*range(len(lead)), *(len(lead) + place for place in places)))


def _along(windows: Windows, axis: int) -> Windows:
    """The windows with what they are along one axis only."""
    kernel = tuple(map(int, windows.kernel))
    sides = (
        (kernel, 1),
        (windows.strides, 1),
        (windows.dilations, 1),
        (windows.begin or (), 0),
        (windows.end or (), 0),
    )
    return Windows(*(tuple(n if i == axis else plain for i, n in enumerate(side)) for side, plain in sides))


def shifts_along_rows(x: Value, g: Value, windows: Windows) -> Windows | None:
    """The windows by which `picked(g, ..., backwards=True)` shifts cotangents along rows, of images with steps of 1."""
    if set(windows.strides) != {1} or windows.begin is None:
        return None
    last, left = len(windows.kernel) - 1, windows.begin[-1]
    before, behind = int(windows.reach(last)) - 1 - left, int(x.type.shape[-1]) - int(g.type.shape[-1]) + left
    if min(before, behind) < 0:
        return None
    none = (0,) * last
    return _along(windows._replace(begin=(*none, before), end=(*none, behind)), last)


def shifted_rows(x: Value, g: Value, windows: Windows) -> list[Value]:
    """For each row of a kernel the rows of `x` that it meets, with steps of 1, as many as `g` has."""
    begin, end = ((*side[:-1], 0) for side in (windows.begin or (), windows.end or ()))
    whole = filled_up(x, windows._replace(begin=begin, end=end))
    counts, found = spatial(g)[:-1], []
    axes = constant(np.arange(2, 2 + len(counts)))
    for places in itertools.product(*(range(int(k)) for k in windows.kernel[:-1])):
        starts = [n * d for n, d in zip(places, windows.dilations, strict=False)]
        if starts == list(begin[:-1]) and counts == spatial(x)[:-1]:
            found.append(x)
        else:
            ends = [start + int(count) for start, count in zip(starts, counts, strict=True)]
            found.append(ops.slice_(whole, constant(np.array(starts)), constant(np.array(ends)), axes))
    return found


def just_enough(x: Value, g: Value, windows: Windows) -> Windows | None:
    """The windows that end where the last of `g` does; None where more of `x` than one step is behind that."""
    if windows.begin is None:
        return None
    end = []
    for axis, (size, count) in enumerate(zip(spatial(x), spatial(g), strict=True)):
        used = (int(count) - 1) * windows.strides[axis] + int(windows.reach(axis))
        end.append(used - int(size) - windows.begin[axis])
        if -end[-1] >= windows.strides[axis]:
            return None
    return windows._replace(end=tuple(max(0, n) for n in end))
