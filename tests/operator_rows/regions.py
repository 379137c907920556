"""Regions of images, and convolutions with offsets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operator_rows.row import Fixed, Row, distinct, draw, ints, row

# Some reach out of the image, one is thinner than a pixel, one has no extent, one is turned around.
REGIONS = np.array([[0.3, 0.4, 5.2, 3.6], [-3.2, 1.3, 2.4, 6.3], [2.2, 2.3, 2.6, 2.9], [3.1, 2.2, 1.3, 1.1]])
INDICES = ints(0, 1, 1, 0)


def aligned(sampling_ratio: int, mode: str = "avg", half: str = "half_pixel", count: int = 4) -> Row:
    return row(
        "RoiAlign",
        draw(2, 2, 4, 5, seed=4),
        REGIONS[:count],
        INDICES[:count],
        dynamic="unknown",
        coordinate_transformation_mode=half,
        mode=mode,
        output_height=2,
        output_width=3,
        sampling_ratio=sampling_ratio,
        spatial_scale=0.8125,
    )


def pooled(shape: tuple[int, int], spatial_scale: float) -> Row:
    regions = np.array([[0, 0.2, 1.1, 3.9, 3.2], [1, 2.1, 0.9, 2.2, 1.1], [0, -2.2, 1.2, 9.3, 2.8]], "float64")
    x = distinct(2, 2, 4, 5)
    y = np.zeros((3, 2, *shape))
    for r, (image, *corners) in enumerate(regions):
        bins = []
        for low, high, count, size in zip(corners[1::-1], corners[:1:-1], shape, x.shape[2:], strict=True):
            start, end = (math.floor(abs(v * spatial_scale) + 0.5) * (1 if v > 0 else -1) for v in (low, high))
            share = max(end - start + 1, 1) / count
            bins.append(
                [
                    slice(
                        min(max(math.floor(i * share) + start, 0), size),
                        min(max(math.ceil((i + 1) * share) + start, 0), size),
                    )
                    for i in range(count)
                ]
            )
        for i, rows in enumerate(bins[0]):
            for j, columns in enumerate(bins[1]):
                part = x[int(image), :, rows, columns].reshape(2, -1)
                y[r, :, i, j] = part.max(1) if part.size else 0
    return row(
        "MaxRoiPool",
        x,
        Fixed(regions, dtype="float64"),
        dtype="float32",
        expected=y,
        pooled_shape=shape,
        spatial_scale=spatial_scale,
    )


def deformed(
    x: tuple[int, ...],
    w: tuple[int, ...],
    counts: tuple[int, ...],
    bias: bool = False,
    mask: bool = False,
    **attributes: Any,
) -> Row:
    elements = math.prod(w[2:]) * attributes.get("offset_group", 1)
    # Offsets so large that some places lie outside, and none on a pixel.
    offset = draw(x[0], elements * len(counts), *counts, seed=5, low=-1.4, high=1.4, avoid=(-1.0, 0.0, 1.0))
    return row(
        "DeformConv",
        draw(*x, seed=1),
        draw(*w, seed=2),
        offset,
        draw(w[0], seed=3) if bias else None,
        draw(x[0], elements, *counts, seed=4) if mask else None,
        dynamic="unknown" if "kernel_shape" in attributes else "never",
        **attributes,
    )


ROWS: list[Row] = [
    deformed((2, 1, 3, 3), (2, 1, 2, 2), (2, 2), bias=True),
    deformed(
        (1, 4, 3, 4), (2, 2, 2, 1), (2, 2), mask=True, kernel_shape=[2, 1], group=2, offset_group=2, strides=[1, 3]
    ),
    deformed((1, 4, 3, 3), (4, 1, 1, 2), (3, 2), bias=True, mask=True, group=4, offset_group=2, kernel_shape=[1, 2]),
    deformed((1, 2, 4, 3), (1, 2, 2, 2), (2, 3), mask=True, pads=[1, 1, 1, 1], dilations=[3, 2], strides=[2, 1]),
    aligned(2),
    aligned(1, half="output_half_pixel"),
    aligned(0),
    aligned(0, half="output_half_pixel"),
    aligned(2, "max"),
    aligned(0, "max", "output_half_pixel"),
    aligned(0, "max", count=3),
    pooled((2, 3), 1.0),
    pooled((3, 1), 0.5),
]
