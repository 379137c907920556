"""Reading, writing and ordering by position."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Fixed, Row, distinct, draw, ints, row

X = draw(3, 4)
CUBE = draw(2, 3, 4)
TWICE = ints([[0, 2, 1, 0], [0, 0, 1, 0]])
APART = distinct(3, 4)
ZEROS = np.array([[0.0, 1.5, -0.5, 0.0], [0.0, 2.0, 0.7, 1.2]])


def of_axis(k: int) -> np.ndarray:
    """The cube, and where its leading axes are 0."""
    return np.where(np.arange(4) == k, 0.0, CUBE)


ROWS: list[Row] = [
    *(row("TopK", APART, Fixed(2), axis=a, largest=b) for a in (0, -1) for b in (True, False)),
    row("TopK", distinct(2, 3, 2), Fixed(3), axis=1, sorted=True),
    row("TopK", APART, ints(2), axis=1),
    row("ScatterElements", X, TWICE, draw(2, 4, seed=1), axis=0),
    row("ScatterElements", X, TWICE, draw(2, 4, seed=1), axis=0, reduction="mul"),
    row("ScatterElements", X, ints([[3, -1], [0, 0], [1, 2]]), draw(3, 2, seed=1), axis=1, reduction="mul"),
    row("ScatterElements", X, TWICE, ZEROS, axis=0, reduction="mul"),
    *(row("ScatterElements", APART, TWICE, distinct(2, 4) + 0.9, axis=0, reduction=r) for r in ("max", "min")),
    row("ScatterND", CUBE, ints([[1], [1], [0]]), draw(3, 3, 4, seed=1), dynamic="unknown"),
    row("ScatterND", CUBE, ints([[0, 1], [1, -1], [0, 1]]), draw(3, 4, seed=1), reduction="mul", dynamic="unknown"),
    row("ScatterND", X, ints([[0], [0]]), ZEROS, reduction="mul", dynamic="unknown"),
    *(
        row("ScatterND", distinct(4, 2), ints([[0], [3], [0]]), distinct(3, 2) + 0.1, reduction=r, dynamic="unknown")
        for r in ("max", "min")
    ),
    row("GatherND", CUBE, ints([[1], [0]]), batch_dims=1, dynamic="unknown"),
    row("GatherND", CUBE, ints([[[1, 0], [2, -1]], [[0, 0], [0, 0]]]), batch_dims=1, dynamic="unknown"),
    row("GatherND", CUBE, ints([[[1], [0], [1]], [[3], [0], [2]]]), batch_dims=2, dynamic="unknown"),
    *(
        row("CumProd", x, Fixed(np.array(a)), exclusive=e, reverse=r, expected=None)
        for x, a in ((CUBE, 2), (of_axis(1), -1))
        for e in (False, True)
        for r in (False, True)
    ),
    row("CumProd", np.array([[2.0, 0.0, 3.0, 0.0, 0.5, 0.0]]), Fixed(np.array(1))),
    row("CumProd", draw(1, 3), Fixed(np.array(0))),
]
