"""Operators that keep, order or write over elements as the run says."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Array, Fixed, Row, distinct, draw, ints, row

CUBE = draw(2, 3, 4)
CACHE, UPDATE = draw(2, 4, 3), draw(2, 2, 3, seed=1)
DEEP, DEEPER = draw(2, 2, 4, 3), draw(2, 2, 3, 3, seed=1)
BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], np.float32)
SCORES = np.array([[[0.9, 0.75, 0.6]]], np.float32)


def which(*held: int) -> Array:
    return np.array(held, bool)


ROWS: list[Row] = [
    row("Compress", CUBE, which(0, 1, 1), axis=1),
    row("Compress", CUBE, which(1), axis=0),
    row("Compress", CUBE, Fixed(which(1, 0, 0, 1), dtype="bool"), axis=-1),
    row("Compress", CUBE, which(0, 1, 1, 0, 0, 1)),
    row("Compress", CUBE, which(0, 0), axis=0),
    row("Unique", distinct(2, 3)),
    row("Unique", distinct(2, 3, 2), axis=1),
    row("Unique", distinct(2, 3), axis=-2, sorted=False),
    row("ReverseSequence", CUBE, ints(1, 2, 0)),
    row("ReverseSequence", CUBE, ints(3, 2), batch_axis=0, time_axis=1),
    row("TensorScatter", CACHE, UPDATE, None),
    row("TensorScatter", CACHE, UPDATE, ints(0, 2)),
    row("TensorScatter", CACHE, UPDATE, ints(3, 1), mode="circular"),
    row("TensorScatter", DEEP, DEEPER, ints(3, 1), mode="circular"),
    row("TensorScatter", CACHE, draw(2, 4, 2, seed=1), ints(1, 0), axis=-1),
    row("TensorScatter", CACHE, draw(2, 4, 2, seed=1), ints(2, 0), axis=2, mode="circular"),
    row("NonMaxSuppression", BOXES, SCORES, ints(3), np.array([0.5], np.float32), np.array([0.1], np.float32)),
    row("NonMaxSuppression", BOXES, SCORES, ints(1), center_point_box=True, expected=ints([[0, 0, 0]])),
]
