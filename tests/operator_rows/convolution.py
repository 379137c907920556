"""Convolutions and pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from operator_rows.row import Row, distinct, draw, row


def convolutions(
    operator: str, x: tuple[int, ...], w: tuple[int, ...], bias: int = 0, dynamic: str = "works", **attributes: Any
) -> Row:
    arrays = [draw(*x, seed=1), draw(*w, seed=2), *([draw(bias, seed=3)] if bias else [])]
    return row(operator, *arrays, dynamic=dynamic, **attributes)


def away_from_zero(*shape: int) -> np.ndarray:
    return draw(*shape, avoid=(0.0,))


ROWS: list[Row] = [
    convolutions("Conv", (2, 2, 4), (3, 2, 2), 3),
    convolutions("Conv", (1, 1, 6), (2, 1, 2), strides=[3]),  # the last element lies in no window
    convolutions("Conv", (1, 1, 8), (1, 1, 2), strides=[4], pads=[1, 0]),
    convolutions("Conv", (1, 1, 7), (1, 1, 3), strides=[3], pads=[0, 3], dilations=[2]),
    convolutions("Conv", (2, 1, 5), (1, 1, 3), auto_pad="SAME_UPPER", strides=[2], kernel_shape=[3], dynamic="unknown"),
    convolutions("Conv", (1, 1, 4), (1, 1, 2), auto_pad="SAME_LOWER"),
    convolutions("Conv", (1, 2, 4, 5), (2, 2, 2, 3), 2, auto_pad="SAME_LOWER", strides=[2, 3], dynamic="never"),
    convolutions(
        "Conv",
        (1, 1, 5, 4),
        (1, 1, 3, 2),
        auto_pad="SAME_UPPER",
        dilations=[2, 3],
        kernel_shape=[3, 2],
        dynamic="unknown",
    ),
    convolutions("Conv", (1, 1, 6), (1, 1, 3), auto_pad="SAME_LOWER", dilations=[2], strides=[3], dynamic="refused"),
    convolutions("Conv", (1, 2, 3, 2, 3), (4, 1, 2, 2, 2), group=2, pads=[0, 1, 0, 1, 0, 1], dynamic="unknown"),
    convolutions("Conv", (1, 1, 4), (1, 1, 3), auto_pad="VALID"),
    convolutions("Conv", (1, 2, 3, 4), (1, 2, 2, 3), 1, pads=[1, 0, 0, 2], dilations=[1, 2]),
    convolutions(
        "Conv",
        (1, 2, 4, 3),
        (2, 1, 2, 2),
        2,
        dynamic="unknown",
        group=2,
        kernel_shape=[2, 2],
        strides=[2, 1],
        pads=[0, 1, 1, 0],
    ),
    convolutions("Conv", (2, 4, 3), (6, 2, 2), dynamic="unknown", group=2),
    convolutions("Conv", (2, 3, 3), (6, 1, 2), dynamic="unknown", group=3),
    convolutions("Conv", (1, 1, 2, 3, 2), (1, 1, 2, 2, 1), strides=[1, 2, 1]),
    convolutions("ConvTranspose", (2, 2, 3), (2, 3, 2), 3),
    convolutions("ConvTranspose", (1, 1, 3), (1, 2, 3), strides=[3], output_padding=[2], pads=[1, 0]),
    convolutions("ConvTranspose", (1, 2, 2, 3), (2, 1, 2, 2), 1, strides=[2, 1], dilations=[2, 1], pads=[0, 1, 1, 1]),
    convolutions("ConvTranspose", (2, 4, 2), (4, 3, 2), 6, dynamic="unknown", group=2, strides=[2]),
    convolutions("ConvTranspose", (1, 3, 2), (3, 1, 2), dynamic="unknown", group=3, strides=[3], output_padding=[1]),
    convolutions("ConvTranspose", (1, 1, 2), (1, 1, 4), dynamic="unknown", auto_pad="SAME_UPPER", kernel_shape=[4]),
    convolutions("ConvTranspose", (1, 1, 2), (1, 1, 4), dynamic="refused", auto_pad="SAME_LOWER", strides=[3]),
    convolutions("ConvTranspose", (1, 1, 2), (1, 1, 2), dynamic="refused", auto_pad="SAME_LOWER", strides=[4]),
    convolutions("ConvTranspose", (1, 1, 3), (1, 1, 3), dynamic="refused", auto_pad="SAME_UPPER", dilations=[2]),
    convolutions(
        "ConvTranspose", (1, 1, 3), (1, 1, 3), dynamic="refused", auto_pad="SAME_LOWER", strides=[2], output_padding=[1]
    ),
    convolutions("ConvTranspose", (1, 1, 2, 3), (1, 1, 3, 2), strides=[2, 1], output_shape=[1, 2]),
    convolutions("ConvTranspose", (1, 1, 2), (1, 1, 3), auto_pad="VALID", strides=[2]),
    convolutions("ConvTranspose", (1, 1, 3), (1, 2, 3), 2, strides=[2], output_shape=[6]),
    convolutions("ConvTranspose", (1, 1, 3), (1, 1, 3), strides=[2], output_shape=[4], auto_pad="SAME_UPPER"),
    convolutions("ConvTranspose", (1, 1, 3), (1, 1, 3), strides=[3], output_shape=[11]),
    convolutions(
        "ConvTranspose",
        (1, 2, 2, 3),
        (2, 1, 3, 2),
        dynamic="unknown",
        group=2,
        strides=[4, 2],
        dilations=[1, 2],
        output_padding=[2, 1],
        output_shape=[6, 5],
        auto_pad="SAME_LOWER",
    ),
    convolutions("ConvTranspose", (1, 2, 2, 1, 2), (2, 2, 1, 2, 2), 4, group=2, strides=[2, 1, 2], dynamic="unknown"),
    convolutions("ConvTranspose", (1, 1, 2, 1, 2), (1, 1, 1, 2, 2), strides=[1, 2, 2]),
    row("AveragePool", draw(2, 2, 4), kernel_shape=[2], strides=[2]),
    row("AveragePool", draw(2, 2, 4, 6), kernel_shape=[2, 3], strides=[2, 3]),
    row("AveragePool", draw(1, 2, 5), kernel_shape=[3], pads=[1, 2]),
    row("AveragePool", draw(1, 2, 5), kernel_shape=[3], pads=[2, 1], count_include_pad=True, strides=[2]),
    row("AveragePool", draw(1, 1, 6), kernel_shape=[3], pads=[1, 1], strides=[2], ceil_mode=True),
    row(
        "AveragePool",
        draw(1, 1, 6, 5),
        kernel_shape=[3, 2],
        pads=[1, 0, 1, 1],
        strides=[2, 3],
        ceil_mode=True,
        count_include_pad=True,
    ),
    row("AveragePool", draw(1, 1, 8), kernel_shape=[2], dilations=[3], strides=[2], pads=[1, 0]),
    row("AveragePool", draw(1, 1, 3), kernel_shape=[2], pads=[1, 1], strides=[4], ceil_mode=True),
    row("AveragePool", draw(1, 1, 5), kernel_shape=[2], auto_pad="SAME_UPPER"),
    row("AveragePool", draw(1, 1, 5), kernel_shape=[3], strides=[2], auto_pad="SAME_LOWER"),
    row("AveragePool", draw(1, 1, 5, 4), kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER", ceil_mode=True),
    row("AveragePool", draw(1, 1, 4), kernel_shape=[3], strides=[3], auto_pad="SAME_LOWER", count_include_pad=True),
    row("AveragePool", draw(1, 1, 5), kernel_shape=[3], dilations=[2], auto_pad="SAME_UPPER"),
    row("AveragePool", draw(1, 1, 6), kernel_shape=[3], strides=[2], ceil_mode=True, auto_pad="VALID"),
    row("AveragePool", draw(1, 1, 4), kernel_shape=[3], auto_pad="VALID"),
    row("AveragePool", draw(1, 1, 2, 3, 2), kernel_shape=[2, 2, 1], pads=[0, 1, 0, 0, 0, 0]),
    row("LpPool", away_from_zero(2, 1, 5), kernel_shape=[2], strides=[2]),
    row("LpPool", away_from_zero(1, 2, 4), kernel_shape=[2], p=1),
    row("LpPool", away_from_zero(1, 1, 5), kernel_shape=[3], p=3, pads=[1, 0], dilations=[2]),
    row("LpPool", away_from_zero(1, 1, 3, 4), kernel_shape=[2, 2], p=4, strides=[2, 2], ceil_mode=True),
    row("LpPool", away_from_zero(1, 1, 4), kernel_shape=[3], auto_pad="SAME_UPPER"),
    row("LpPool", away_from_zero(1, 1, 5), kernel_shape=[3], strides=[2], auto_pad="SAME_LOWER", p=3),
    row("LpPool", away_from_zero(1, 1, 5), kernel_shape=[3], dilations=[2], auto_pad="SAME_LOWER", p=1),
    row("LpPool", away_from_zero(1, 1, 6), kernel_shape=[3], strides=[2], ceil_mode=True, auto_pad="VALID"),
    row("LpPool", away_from_zero(1, 1, 2, 3, 2), kernel_shape=[2, 2, 1], pads=[0, 1, 0, 1, 0, 0]),
    row("MaxPool", distinct(1, 2, 4, 4), dtype="float32", kernel_shape=[2, 2], strides=[2, 2]),
    row("MaxPool", distinct(1, 1, 3, 3), dtype="float32", kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
    row("MaxPool", distinct(2, 1, 6), dtype="float32", kernel_shape=[3], strides=[2], ceil_mode=True),
    row("MaxPool", distinct(2, 1, 6), dtype="float32", kernel_shape=[2], strides=[2], dilations=[2], pads=[0, 1]),
    row("MaxPool", distinct(2, 2, 4), kernel_shape=[2], strides=[2]),
    row("MaxPool", distinct(1, 2, 3, 4), kernel_shape=[2, 3], pads=[1, 0, 0, 2], strides=[2, 1]),
    row("MaxPool", distinct(1, 1, 6), kernel_shape=[2], dilations=[3], pads=[1, 1]),
    row("MaxPool", distinct(1, 1, 6), kernel_shape=[3], strides=[2], ceil_mode=True),
    row("MaxPool", distinct(1, 1, 4), kernel_shape=[3], auto_pad="SAME_LOWER"),
    row("MaxPool", distinct(1, 1, 7), kernel_shape=[3], strides=[3], auto_pad="SAME_UPPER", ceil_mode=True),
    row("MaxPool", distinct(1, 1, 6), kernel_shape=[3], strides=[2], auto_pad="VALID", ceil_mode=True),
    row("MaxPool", distinct(1, 1, 5), kernel_shape=[3], dilations=[2], auto_pad="SAME_UPPER"),
    row("MaxPool", distinct(1, 1, 6), dtype="float32", kernel_shape=[2], dilations=[2], auto_pad="SAME_LOWER"),
    row("MaxPool", distinct(2, 2, 5), kernel_shape=[2], storage_order=1),
    row("MaxPool", distinct(2, 2, 3, 4), kernel_shape=[2, 3], storage_order=1, strides=[1, 2], pads=[1, 1, 0, 0]),
    row("MaxPool", distinct(1, 2, 3, 4), dtype="float32", kernel_shape=[2, 2], storage_order=1),
    row("MaxPool", distinct(2, 1, 2, 3, 4), kernel_shape=[2, 2, 2], storage_order=1, dilations=[1, 1, 2]),
    row("MaxPool", distinct(1, 1, 2, 3, 2), kernel_shape=[2, 2, 2], pads=[0, 1, 0, 0, 0, 1]),
]
