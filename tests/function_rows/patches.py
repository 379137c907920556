"""Patches of images."""

from __future__ import annotations

from function_rows.row import Row, draw

IMAGE = draw(2, 2, 3, 4)

ROWS: list[Row] = [
    Row("unfold", (IMAGE, 2)),
    Row("unfold", (IMAGE, (2, 3)), {"dilation": (2, 1), "padding": (1, 2), "stride": (1, 3)}),
    Row("unfold", (IMAGE, (3, 2)), {"dilation": (1, 2), "padding": (2, 1)}),
    Row("unfold", (IMAGE[0, :, :2, :2], 1), {"padding": 3}),
    Row("unfold", (IMAGE[0], (1, 2), 1, 0, 2)),
    Row("fold", (draw(2, 8, 6), (3, 4), 2)),
    Row("fold", (draw(2, 6, 20), (3, 4), (3, 2)), {"dilation": (1, 2), "padding": (2, 1)}),
    Row("fold", (draw(2, 64), (2, 2), 1), {"padding": 3}),
    Row("fold", (draw(1, 12, 6), (3, 4), (2, 3)), {"dilation": (2, 1), "padding": (1, 2), "stride": (1, 3)}),
    Row("fold", (draw(2, 4), (3, 5), (1, 2), 1, 0, (2, 3))),
]
