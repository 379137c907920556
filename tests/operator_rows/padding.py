"""Padding with elements of the tensor itself."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Fixed, Row, draw, ints, number, row

X = draw(3, 4)
CUBE = draw(2, 3, 4)
REFLECTED = np.pad(X[:, 1:], [(0, 0), (0, 2)], mode="reflect")
EDGED = np.pad(X[1:, :3], [(0, 2), (3, 0)], mode="edge")
WRAPPED = np.pad(X[1:, :3], [(0, 1), (2, 0)], mode="wrap")

ROWS: list[Row] = [
    row("Pad", X, Fixed(2, 1, 1, 3), mode="reflect"),
    row("Pad", X, Fixed(0, 2, 0, 0), mode="reflect"),
    row("Pad", X, Fixed(2, 1, 0, 5), mode="edge"),
    row("Pad", X, Fixed(2, 4, 1, 3), mode="wrap"),
    row("Pad", X, Fixed(7, 0, 1, 5), mode="wrap"),
    row("Pad", CUBE, Fixed(2, 1, 1, 0), None, Fixed(2, 0), mode="reflect"),
    row("Pad", CUBE, Fixed(1, 2), number(0.7), Fixed(-1), mode="edge"),
    row("Pad", CUBE, Fixed(0, 0), None, Fixed(1), mode="wrap"),
    row("Pad", X, Fixed(0, -1, 0, 2), mode="reflect", expected=REFLECTED),
    row("Pad", X, Fixed(-1, 3, 2, -1), mode="edge", expected=EDGED),
    row("Pad", X, Fixed(-1, 2, 1, -1), mode="wrap", expected=WRAPPED),
    row("Pad", X, ints(1, 0, 0, 2), mode="reflect"),
    row("Pad", X, ints(1, 0, 0, 2), mode="edge"),
    row("Pad", X, ints(5, 2), None, Fixed(1), mode="wrap"),
]
