"""Padding."""

from __future__ import annotations

from function_rows.row import Row, draw

X = draw(2, 3, 4)
IMAGE = draw(1, 2, 3, 4)

ROWS: list[Row] = [
    Row("pad", (X, (1, 2))),
    Row("pad", (X, (1, 0, -1, 2, 0, 1)), {"value": 0.7}),
    Row("pad", (X, (-1, -2), "constant", None)),
    Row("pad", (X, (3, 1)), {"mode": "reflect"}),
    Row("pad", (X[0], (2, 0)), {"mode": "reflect"}),
    Row("pad", (IMAGE, (1, 2, 2, 0)), {"mode": "reflect"}),
    Row("pad", (X, (-3, 3)), {"mode": "reflect"}),
    Row("pad", (X, (5, -1)), {"mode": "replicate"}),
    Row("pad", (IMAGE, (1, 5, 0, 2)), {"mode": "replicate"}),
    Row("pad", (IMAGE[:, :, None], (1, 0, 0, 1, 2, 1)), {"mode": "replicate"}),
    Row("pad", (X, (4, 1)), {"mode": "circular"}),
    Row("pad", (X, (2, -1)), {"mode": "circular"}),
    Row("pad", (IMAGE, (1, 2, 3, 0)), {"mode": "circular"}),
]
