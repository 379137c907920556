"""Convolutions and pools for onnx.reference in float64, straight from their definitions.

Its own compute ConvTranspose wrongly with groups, and pools wrongly with some paddings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


def padding_of(size: Sequence[int], reach: Sequence[int], strides: Sequence[int], auto_pad: str, pads: Any) -> Any:
    """What is filled up (before, behind) each axis."""
    n = len(size)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((-(-d // s) - 1) * s + r - d, 0) for d, r, s in zip(size, reach, strides, strict=True)]
        small = [t // 2 for t in totals]
        large = [t - t // 2 for t in totals]
        return (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    return (list(pads[:n]), list(pads[n:])) if pads else ([0] * n, [0] * n)


class Geometry:
    def __init__(
        self, size: Any, kernel: Any, strides: Any, dilations: Any, auto_pad: Any, pads: Any, ceil: Any = 0
    ) -> None:
        n = len(size)
        self.kernel, self.strides, self.dilations = tuple(kernel), strides or [1] * n, dilations or [1] * n
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilations, kernel, strict=True)]
        self.begin, self.end = padding_of(size, reach, self.strides, auto_pad or "NOTSET", pads)
        self.count = []
        for d, r, s, b, e in zip(size, reach, self.strides, self.begin, self.end, strict=True):
            windows = (d + b + e - r) // s + 1
            if ceil and (d + b + e - r) % s and windows * s < d + b:
                windows += 1
            self.count.append(windows)

    def places(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """Every (window, position in the kernel, place in the input, which may lie outside)."""
        for o in itertools.product(*map(range, self.count)):
            for k in itertools.product(*map(range, self.kernel)):
                at = tuple(
                    s * i + d * j - b
                    for s, i, d, j, b in zip(self.strides, o, self.dilations, k, self.begin, strict=True)
                )
                yield o, k, at


def inside(at: Sequence[int], size: Sequence[int], before: Sequence[int], behind: Sequence[int]) -> bool:
    return all(-b <= i < n + e for i, n, b, e in zip(at, size, before, behind, strict=True))


class Conv(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=1, kernel_shape=None, pads=None, strides=None):  # type: ignore[no-untyped-def]
        g = Geometry(x.shape[2:], w.shape[2:], strides, dilations, auto_pad, pads)
        y = np.zeros((x.shape[0], group, w.shape[0] // group, *g.count), x.dtype)
        parts = x.reshape(x.shape[0], group, -1, *x.shape[2:])
        weights = w.reshape(group, -1, *w.shape[1:])
        for o, k, at in g.places():
            if inside(at, x.shape[2:], [0] * len(at), [0] * len(at)):
                y[(..., *o)] += np.einsum("ngc,gmc->ngm", parts[(..., *at)], weights[(..., *k)])
        y = y.reshape(x.shape[0], w.shape[0], *g.count)
        return (y if b is None else y + b.reshape(-1, *[1] * len(g.count)),)


class ConvTranspose(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, x, w, b=None, auto_pad=None, dilations=None, group=1, kernel_shape=None, output_padding=None,
        output_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        n = x.ndim - 2
        strides, dilations, extra = strides or [1] * n, dilations or [1] * n, output_padding or [0] * n
        full = [
            s * (i - 1) + d * (k - 1) + 1 + e
            for s, i, d, k, e in zip(strides, x.shape[2:], dilations, w.shape[2:], extra, strict=True)
        ]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER") or output_shape is not None:
            wanted = output_shape or [i * s for i, s in zip(x.shape[2:], strides, strict=True)]
            totals = [max(f - d, 0) for f, d in zip(full, wanted, strict=True)]
            halves = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in totals]
            pads = [*halves, *(t - h for t, h in zip(totals, halves, strict=True))]
            if output_shape is not None:
                full = [max(f, d) for f, d in zip(full, output_shape, strict=True)]
        pads = pads or [0] * 2 * n
        y = np.zeros((x.shape[0], group, w.shape[1], *full), x.dtype)
        parts = x.reshape(x.shape[0], group, -1, *x.shape[2:])
        weights = w.reshape(group, -1, *w.shape[1:])
        for i in itertools.product(*map(range, x.shape[2:])):
            for k in itertools.product(*map(range, w.shape[2:])):
                at = tuple(s * p + d * q for s, p, d, q in zip(strides, i, dilations, k, strict=True))
                y[(..., *at)] += np.einsum("ngc,gcm->ngm", parts[(..., *i)], weights[(..., *k)])
        y = y[(..., *(slice(p, f - q) for p, q, f in zip(pads[:n], pads[n:], full, strict=True)))]
        y = y.reshape(x.shape[0], -1, *y.shape[3:])
        return (y if b is None else y + b.reshape(-1, *[1] * n),)


class AveragePool(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, x, auto_pad=None, ceil_mode=0, count_include_pad=0, dilations=None, kernel_shape=None, pads=None,
        strides=None,
    ):  # fmt: skip
        g = Geometry(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
        total, number = np.zeros((*x.shape[:2], *g.count), x.dtype), np.zeros(g.count)
        none = [0] * len(g.count)
        for o, _, at in g.places():
            within = inside(at, x.shape[2:], none, none)
            if within:
                total[(..., *o)] += x[(..., *at)]
            number[o] += within or (count_include_pad and inside(at, x.shape[2:], g.begin, g.end))
        return (total / number,)


class LpPool(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, x, auto_pad=None, ceil_mode=0, dilations=None, kernel_shape=None, p=2, pads=None, strides=None
    ):
        g = Geometry(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
        total, none = np.zeros((*x.shape[:2], *g.count), x.dtype), [0] * len(g.count)
        for o, _, at in g.places():
            if inside(at, x.shape[2:], none, none):
                total[(..., *o)] += np.abs(x[(..., *at)]) ** p
        return (total ** (1 / p),)


class MaxPool(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, x, auto_pad=None, ceil_mode=0, dilations=None, kernel_shape=None, pads=None, storage_order=0, strides=None
    ):
        g = Geometry(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
        y, none = np.full((*x.shape[:2], *g.count), -np.inf, x.dtype), [0] * len(g.count)
        indices = np.zeros(y.shape, np.int64)
        numbers = np.arange(x.size).reshape(x.shape)
        if storage_order:
            order = (0, 1, *range(x.ndim - 1, 1, -1))
            numbers = np.arange(x.size).reshape([x.shape[i] for i in order]).transpose(order)
        for o, _, at in g.places():
            if inside(at, x.shape[2:], none, none):
                larger = x[(..., *at)] > y[(..., *o)]
                indices[(..., *o)] = np.where(larger, numbers[(..., *at)], indices[(..., *o)])
                y[(..., *o)] = np.maximum(y[(..., *o)], x[(..., *at)])
        return y, indices


class Pad(OpRun):  # type: ignore[misc]
    """onnx.reference does not cut off."""

    op_domain = ""

    def _run(self, x, pads, value=None, axes=None, mode="constant"):  # type: ignore[no-untyped-def]
        axes = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
        sides = [(0, 0)] * x.ndim
        for i, axis in enumerate(axes):
            sides[axis] = (int(pads[i]), int(pads[i + len(axes)]))
        kept = x[tuple(slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(sides, x.shape, strict=True))]
        grown = [(max(b, 0), max(e, 0)) for b, e in sides]
        if mode != "constant":
            return (np.pad(kept, grown, mode),)
        return (np.pad(kept, grown, constant_values=0 if value is None else value.reshape(())),)


class DeformConv(OpRun):  # type: ignore[misc]
    """onnx.reference has two dimensions only."""

    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, x, w, offset, b=None, mask=None, dilations=None, group=1, kernel_shape=None, offset_group=1, pads=None,
        strides=None,
    ):  # fmt: skip
        g = Geometry(x.shape[2:], w.shape[2:], strides, dilations, None, pads)
        images, channels, n = x.shape[0], x.shape[1], len(g.count)
        moved = offset.reshape(images, offset_group, *g.kernel, n, *g.count)
        factors = np.ones_like(moved[(slice(None), slice(None), *[slice(None)] * n, 0)]) if mask is None else mask
        factors = factors.reshape(images, offset_group, *g.kernel, *g.count)
        y = np.zeros((images, w.shape[0], *g.count), x.dtype)
        for o, k, at in g.places():
            for i, c in itertools.product(range(images), range(channels)):
                part = c // (channels // offset_group)
                place = [p + float(moved[(i, part, *k, a, *o)]) for a, p in enumerate(at)]
                value = 0.0
                for corner in itertools.product((0, 1), repeat=n):
                    pixel = [math.floor(p) + s for p, s in zip(place, corner, strict=True)]
                    if inside(pixel, x.shape[2:], [0] * n, [0] * n):
                        weight = math.prod(1 - abs(p - q) for p, q in zip(place, pixel, strict=True))
                        value += weight * x[(i, c, *pixel)]
                which = c // (channels // group)
                rows = slice(which * (w.shape[0] // group), (which + 1) * (w.shape[0] // group))
                kernel = w[(rows, c % (channels // group), *k)]
                y[(i, rows, *o)] += kernel * value * factors[(i, part, *k, *o)]
        return (y if b is None else y + b.reshape(-1, *[1] * n),)


class GlobalMaxPool(OpRun):  # type: ignore[misc]
    """onnx.reference has it right for images only."""

    op_domain = ""

    def _run(self, x):  # type: ignore[no-untyped-def]
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class LRN(OpRun):  # type: ignore[misc]
    """onnx.reference takes the number of images for that of the channels."""

    op_domain = ""

    def _run(self, x, alpha=0.0001, beta=0.75, bias=1.0, size=None):  # type: ignore[no-untyped-def]
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            low, high = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
            y[:, c] = x[:, c] / (bias + alpha / size * (x[:, low : high + 1] ** 2).sum(1)) ** beta
        return (y,)


OPERATORS = [Conv, ConvTranspose, AveragePool, LpPool, MaxPool, Pad, DeformConv, GlobalMaxPool, LRN]
