"""Convolutions and pools."""

from __future__ import annotations

from typing import Any

from function_rows.row import Row, distinct, draw


def convolution(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: int = 0, **kwargs: Any) -> Row:
    arrays = (draw(*x, seed=1), draw(*w, seed=2), *([draw(bias, seed=3)] if bias else []))
    return Row(name, arrays, kwargs)


ROWS: list[Row] = [
    convolution("conv1d", (2, 2, 5), (3, 2, 2), 3),
    convolution("conv1d", (2, 6), (2, 2, 3), padding="same", dilation=2),
    convolution("conv1d", (1, 1, 4), (1, 1, 2), padding="valid", stride=3),
    convolution("conv1d", (2, 4, 4), (6, 2, 2), groups=2),
    convolution("conv2d", (2, 2, 4, 3), (3, 2, 2, 2), 3, stride=(2, 1), padding=(1, 0)),
    convolution("conv2d", (1, 2, 5, 4), (4, 1, 2, 2), groups=2, dilation=(2, 1), stride=2),
    convolution("conv3d", (1, 2, 2, 3, 2), (2, 2, 2, 2, 1), 2, padding=(0, 1, 0), stride=(1, 2, 1)),
    convolution("conv_transpose1d", (2, 2, 3), (2, 3, 2), 3, stride=2, output_padding=1),
    convolution("conv_transpose1d", (2, 3), (2, 1, 3), 1, padding=1),
    convolution("conv_transpose1d", (1, 1, 3), (1, 1, 2), 1, dilation=4, output_padding=3, padding=1),
    convolution("conv_transpose1d", (1, 1, 3), (1, 1, 2), 1, dilation=2, output_padding=1),
    convolution("conv_transpose2d", (1, 4, 2, 3), (4, 1, 2, 2), 2, groups=2, stride=(2, 1), padding=(1, 0)),
    convolution("conv_transpose3d", (1, 1, 2, 1, 2), (1, 2, 1, 2, 2), 2, stride=(1, 2, 2), dilation=(1, 1, 2)),
    Row("max_pool1d", (distinct(2, 2, 5), 2)),
    Row("max_pool1d", (distinct(2, 6), 3), {"stride": 2, "padding": 1, "ceil_mode": True, "return_indices": True}),
    Row("max_pool2d", (distinct(2, 1, 4, 4), 2)),
    Row("max_pool2d", (distinct(1, 2, 4, 5), (2, 3)), {"stride": (1, 2), "dilation": (2, 1), "padding": (1, 1)}),
    Row("max_pool2d", (distinct(2, 2, 3, 4), 2), {"stride": 1, "return_indices": True}),
    Row("max_pool3d", (distinct(1, 1, 2, 4, 2), 2)),
    Row("max_pool3d", (distinct(1, 1, 2, 3, 2), (1, 3, 2)), {"return_indices": True}),
    Row("avg_pool1d", (draw(2, 2, 6), 3), {"stride": 2, "padding": 1, "count_include_pad": False}),
    Row("avg_pool1d", (draw(2, 4), 2)),
    Row("avg_pool2d", (draw(1, 2, 4, 6), 2)),
    Row("avg_pool2d", (draw(1, 1, 5, 6), (2, 3)), {"stride": (3, 2), "padding": (1, 1), "ceil_mode": True}),
    Row("avg_pool2d", (draw(1, 1, 5, 4), 3), {"padding": 1, "ceil_mode": True, "count_include_pad": False}),
    Row("avg_pool2d", (draw(1, 1, 4, 4), 3), {"stride": 2, "padding": 1, "divisor_override": 5}),
    Row("avg_pool2d", (draw(1, 1, 4, 4), 2), {"stride": 3, "ceil_mode": True, "divisor_override": -3}),
    Row("avg_pool3d", (draw(1, 1, 2, 4, 3), 2), {"stride": (1, 2, 1), "divisor_override": 3}),
    Row("lp_pool1d", (draw(2, 2, 5, avoid=(0.0,)), 2, 2)),
    Row("lp_pool1d", (draw(2, 5, low=0.3), 3.5, 3), {"stride": 2, "ceil_mode": True}),
    Row("lp_pool2d", (draw(1, 1, 4, 4, avoid=(0.0,)), 4, (2, 3)), {"stride": 1}),
    Row("lp_pool2d", (draw(1, 1, 4, 4, low=0.3), 1, 2)),
    Row("lp_pool3d", (draw(1, 1, 2, 3, 3, low=0.3), 3, 2), {"stride": 1}),
    Row("adaptive_avg_pool1d", (draw(2, 2, 7), 3)),
    Row("adaptive_avg_pool1d", (draw(2, 6), 3)),
    Row("adaptive_avg_pool2d", (draw(2, 1, 4, 6), 1)),
    Row("adaptive_avg_pool2d", (draw(2, 1, 4, 5), (None, 3))),
    Row("adaptive_avg_pool2d", (draw(2, 4, 5), (1, 7))),
    Row("adaptive_avg_pool3d", (draw(1, 1, 3, 2, 3), (2, 1, 3))),
    Row("adaptive_max_pool1d", (distinct(2, 2, 7), 3), {"return_indices": True}),
    Row("adaptive_max_pool2d", (distinct(2, 1, 4, 6), (2, 3))),
    Row("adaptive_max_pool2d", (distinct(2, 4, 3), 1), {"return_indices": True}),
    Row("adaptive_max_pool3d", (distinct(1, 1, 3, 2, 3), (2, None, 1))),
]
