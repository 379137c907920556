"""Patches of images as columns, and back: `unfold` and `fold`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Numbers = int | Sequence[int]


class _Windows:
    """Where a window slides over an image of one size, with a margin of zeros around it."""

    def __init__(self, name: str, size: Numbers, kernel: Numbers, dilation: Numbers, padding: Numbers, stride: Numbers):
        given = [n if isinstance(n, list | tuple) else (n, n) for n in (size, kernel, dilation, padding, stride)]
        if any(len(n) != 2 or min(n) < least for n, least in zip(given, (1, 1, 1, 0, 1), strict=True)):
            raise EagerError(f"{name} with sizes, kernel, dilation, padding, stride of {given}: expected pairs")
        self.size, self.kernel, self.dilation, self.padding, self.stride = given
        self.counts = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, d, p, s in zip(self.size, self.kernel, self.dilation, self.padding, self.stride, strict=True)
        ]
        if min(self.counts) < 1:
            raise EagerError(f"{name} of an image of {list(self.size)} by {list(self.kernel)}: the window does not fit")

    def __iter__(self) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
        """Each place within the window, with what it passes over in the image with its margin."""
        for i, j in itertools.product(*map(range, self.kernel)):
            starts = i * self.dilation[0], j * self.dilation[1]
            rows, columns = (
                slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, self.counts, self.stride, strict=True)
            )
            yield (i, j), (rows, columns)

    def columns(self, images: Array) -> Array:
        n, c = images.shape[:2]
        (p, q) = self.padding
        wide = np.pad(images, [(0, 0), (0, 0), (p, p), (q, q)])
        y = np.empty((n, c, *self.kernel, *self.counts), images.dtype)
        for (i, j), (rows, columns) in self:
            y[:, :, i, j] = wide[:, :, rows, columns]
        return y.reshape(n, c * self.kernel[0] * self.kernel[1], self.counts[0] * self.counts[1])

    def images(self, columns: Array) -> Array:
        n, c = len(columns), columns.shape[1] // (self.kernel[0] * self.kernel[1])
        (p, q), (h, w) = self.padding, self.size
        wide = np.zeros((n, c, h + 2 * p, w + 2 * q), columns.dtype)
        parts = columns.reshape(n, c, *self.kernel, *self.counts)
        for (i, j), (rows, across) in self:
            wide[:, :, rows, across] += parts[:, :, i, j]
        return wide[:, :, p : p + h, q : q + w]


def unfold(
    input: Tensor, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1
) -> Tensor:
    """The patches of [N, C, H, W] as columns, [N, C patch, number of patches]; the gradient is `fold`."""
    if input.ndim not in (3, 4):
        raise EagerError(f"unfold of {input.ndim} dimensions: expected [N, C, H, W] or [C, H, W]")
    windows = _Windows("unfold", input.shape[-2:], kernel_size, dilation, padding, stride)
    if input.ndim == 3:
        return result(windows.columns(input.array[None])[0], (input, lambda g: windows.images(g[None])[0]))
    return result(windows.columns(input.array), (input, windows.images))


def fold(
    input: Tensor,
    output_size: Numbers,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Tensor:
    """Columns of patches added up where they lie in the image; the gradient is `unfold`."""
    windows = _Windows("fold", output_size, kernel_size, dilation, padding, stride)
    patch, number = windows.kernel[0] * windows.kernel[1], windows.counts[0] * windows.counts[1]
    if input.ndim not in (2, 3) or input.shape[-2] % patch or input.shape[-1] != number:
        raise EagerError(f"fold of shape {list(input.shape)}: expected [N, a multiple of {patch}, {number}]")
    if input.ndim == 2:
        return result(windows.images(input.wide[None])[0], (input, lambda g: windows.columns(g[None])[0]))
    return result(windows.images(input.wide), (input, windows.columns))
