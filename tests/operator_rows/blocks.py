"""Blocks of pixels, whole images, and maxima put back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from operator_rows.row import Array, Fixed, Row, distinct, draw, ints, row


def away_from_zero(*shape: int) -> Array:
    return draw(*shape, avoid=(0.0,))


def norm(x: Array, p: int) -> Row:
    axes = tuple(range(2, x.ndim))
    expected = (np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p)
    return row("GlobalLpPool", x, dtype="float32", expected=expected, p=p)


def blocks(
    image: tuple[int, ...],
    block: tuple[int, ...],
    channels: int,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    steered: bool = False,
) -> Row:
    """Col2Im of two images, with its value straight from the definition."""
    n = len(image)
    apart, steps, margin = dilations or [1] * n, strides or [1] * n, pads or [0] * 2 * n
    counts = [
        (i + margin[k] + margin[k + n] - apart[k] * (block[k] - 1) - 1) // steps[k] + 1 for k, i in enumerate(image)
    ]
    x = draw(2, channels * int(np.prod(block)), int(np.prod(counts)))
    parts = x.reshape(2, channels, *block, *counts)
    y = np.zeros((2, channels, *image))
    for b, o in itertools.product(np.ndindex(*block), np.ndindex(*counts)):
        at = tuple(s * i + d * j - m for s, i, d, j, m in zip(steps, o, apart, b, margin[:n], strict=True))
        if all(0 <= a < i for a, i in zip(at, image, strict=True)):
            y[(..., *at)] += parts[(slice(None), slice(None), *b, *o)]
    given = {"dilations": dilations, "pads": pads, "strides": strides}
    size = ints(list(image)) if steered else Fixed(list(image))
    # The sizes of the image say how many blocks there are.
    return row(
        "Col2Im",
        x,
        size,
        Fixed(list(block)),
        dynamic="works" if steered else "unknown",
        dtype="float32",
        expected=y,
        **given,
    )


def unpooled(x: Array, places: list[int], size: tuple[int, ...], steered: bool = False, **attributes: Any) -> Row:
    """MaxUnpool with sizes: onnx.reference counts the positions through the result that has them not."""
    y = np.zeros(np.prod(size))
    y[places] = x.ravel()
    given = ints(list(size)) if steered else Fixed(list(size))
    where = ints(places).reshape(x.shape)
    return row("MaxUnpool", x, where, given, dynamic="unknown", expected=y.reshape(size), dtype="float32", **attributes)


ROWS: list[Row] = [
    row("DepthToSpace", draw(2, 8, 1, 3), blocksize=2),
    row("DepthToSpace", draw(2, 8, 1, 3), blocksize=2, mode="CRD"),
    row("DepthToSpace", draw(1, 9, 2, 1), blocksize=3, mode="CRD"),
    row("SpaceToDepth", draw(2, 2, 4, 2), blocksize=2),
    row("SpaceToDepth", draw(1, 1, 3, 6), blocksize=3),
    row("CenterCropPad", draw(5, 4, 3), Fixed(2, 3, 3)),
    row("CenterCropPad", draw(2, 3, 1), Fixed(5, 4, 2)),
    row("CenterCropPad", draw(4, 2, 5), Fixed(1, 5, 2)),
    row("CenterCropPad", draw(4, 2, 3), Fixed(3, 6), axes=(0, -1)),
    row("CenterCropPad", draw(4, 2), ints(3, 3)),
    blocks((3, 4), (2, 2), 2),
    blocks((5, 5), (2, 3), 1, strides=[2, 1]),
    blocks((3, 4), (2, 2), 1, pads=[1, 0, 0, 2], dilations=[2, 1], strides=[1, 3]),
    blocks((5,), (2,), 1, dilations=[3]),  # of more channels onnxruntime fills the first only
    blocks((2, 3, 3), (1, 2, 2), 1, pads=[0, 0, 1, 0, 1, 0]),
    blocks((3, 4), (2, 2), 1, steered=True),
    row(
        "MaxUnpool",
        draw(1, 2, 2, 2),
        ints([[[[5, 2], [8, 15]], [[16, 18], [25, 31]]]]),
        kernel_shape=(2, 2),
        strides=(2, 2),
        dynamic="unknown",
    ),
    row(
        "MaxUnpool",
        draw(2, 1, 3),
        ints([[[0, 2, 5]], [[6, 8, 9]]]),
        kernel_shape=(3,),
        strides=(2,),
        pads=(1, 0),
        dynamic="unknown",
    ),
    row("MaxUnpool", draw(1, 1, 3), ints([[[1, 1, 3]]]), kernel_shape=(2,), dynamic="unknown"),  # the second one stays
    unpooled(draw(1, 1, 2, 2), [1, 4, 12, 18], (1, 1, 4, 5), kernel_shape=(2, 2), strides=(2, 2)),
    unpooled(draw(2, 1, 2), [0, 3, 9, 5], (2, 1, 5), steered=True, kernel_shape=(2,), strides=(2,)),
    row("GlobalAveragePool", draw(2, 3, 4), dtype="float32"),
    row("GlobalAveragePool", draw(2, 1, 2, 3)),
    row("GlobalAveragePool", draw(1, 2, 2, 1, 3)),
    row("GlobalMaxPool", distinct(2, 3, 4)),
    row("GlobalMaxPool", distinct(2, 1, 2, 3)),
    row("GlobalMaxPool", distinct(1, 2, 2, 1, 3)),
    norm(away_from_zero(2, 1, 4), 1),
    norm(away_from_zero(2, 2, 2, 2), 2),
    norm(away_from_zero(1, 2, 3), 3),
    norm(away_from_zero(1, 1, 2, 2, 2), 5),
    row("LRN", draw(2, 5, 2, 1), size=3, alpha=0.5, beta=0.625, bias=1.5),
    row("LRN", draw(1, 4, 1, 2), size=5, alpha=0.25),
    row("LRN", draw(1, 3, 2, 1), size=1, alpha=0.75, beta=0.5, bias=0.5),
    row("LRN", draw(1, 6, 1, 2), size=7, alpha=0.5, beta=1.5),
]
