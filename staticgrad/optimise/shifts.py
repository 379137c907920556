"""What each element of a kernel meets of images, for the cotangents of weights: pieces of the images, or shifted ones.

For steps of 1 rows of the images are shifted and, along the rows, the cotangents against them: of k l shifts k + l are
left, and cutting out whole rows is fast.

    sum_{o, q} g[o, q] x[o + d i - p, q + d j - p] = sum_{o, q} g[o, q - d j + p] x[o + d i - p, q]
"""

from __future__ import annotations

import math

import numpy as np

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial
from staticgrad.optimise.formulations import padding


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


def shifts_along_rows(x: Value, g: Value, windows: Windows) -> Windows | None:
    """The windows by which `picked(g, ..., backwards=True)` shifts cotangents along rows, of images with steps of 1."""
    if len(windows.kernel) != 2 or set(windows.strides) != {1} or windows.begin is None:
        return None
    left = windows.begin[1]
    before, behind = int(windows.reach(1)) - 1 - left, int(x.type.shape[3]) - int(g.type.shape[3]) + left
    if min(before, behind) < 0:
        return None
    return Windows((1, windows.kernel[1]), (1, 1), (1, windows.dilations[1]), (0, before), (0, behind))


def shifted_rows(x: Value, g: Value, windows: Windows) -> list[Value]:
    """For each row of a kernel the rows of `x` that it meets, with steps of 1, as many as `g` has."""
    above, below = ((0, 0, v[0], 0) for v in (windows.begin or (0, 0), windows.end or (0, 0)))
    whole = ops.pad(x, constant(np.array([*above, *below]))) if any((*above, *below)) else x
    count, found = int(g.type.shape[2]), []
    for row in range(int(windows.kernel[0])):
        start = row * windows.dilations[0]
        same = start == above[2] and count == x.type.shape[2]
        numbers = (start, start + count, 2, 1)
        found.append(x if same else ops.slice_(whole, *(constant(np.array([n])) for n in numbers)))
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
