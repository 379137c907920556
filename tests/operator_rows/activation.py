"""Activations with attributes of their own, and simple sums, means and casts."""

from __future__ import annotations

import numpy as np

from operator_rows.elementary import REDUCTIONS
from operator_rows.row import Row, distinct, draw, ints, number, row

X = draw(3, 4)
AWAY = draw(3, 4, avoid=(0.0,))
CUBE = draw(2, 3, 4)
POSITIVE = draw(2, 3, 4, low=0.3, high=3.0)
COLUMN, PLANES = draw(3, 1), draw(2, 1, 4, seed=1)

ROWS: list[Row] = [
    row("PRelu", AWAY, draw(3, 4, seed=1)),
    row("PRelu", AWAY, draw(4, seed=1)),
    row("PRelu", AWAY, draw(3, 1, seed=1)),
    row("PRelu", AWAY, number(0.3)),
    row("PRelu", draw(2, 3, 4, avoid=(0.0,)), draw(3, 1, seed=1)),
    row("ThresholdedRelu", draw(3, 4, avoid=(1.0,))),
    row("ThresholdedRelu", draw(3, 4, avoid=(-0.4,)), alpha=-0.4),
    row("Shrink", draw(3, 4, avoid=(-0.5, 0.5)), dtype="float32"),
    row("Shrink", draw(3, 4, avoid=(-0.7, 0.7)), bias=0.3, lambd=0.7, dtype="float32"),
    row("Shrink", draw(3, 4, avoid=(-0.7, 0.7)), bias=-0.3, lambd=-0.7, dtype="float32"),
    row("Swish", X),
    row("Swish", X, alpha=-1.7),
    row("Hardmax", distinct(2, 3, 4)),
    row("Hardmax", distinct(2, 3, 4), axis=1),
    row("Sum", X),
    row("Sum", X, draw(4, seed=1)),
    row("Sum", draw(3, 1), draw(2, 1, 4, seed=1), number(0.3)),
    row("Mean", X),
    row("Mean", X, draw(3, 4, seed=1)),
    row("Mean", COLUMN, PLANES, number(0.3), dtype="float32", expected=(COLUMN + PLANES + 0.3) / 3),
    *(
        row(o, POSITIVE, *([] if a is None else [a]), **how)
        for o in ("ReduceLogSum", "ReduceSumSquare")
        for a, how in REDUCTIONS
    ),
    row("ReduceLogSum", POSITIVE, ints(0, 2)),
    row("ReduceSumSquare", CUBE, ints(1)),
    row("ReduceSumSquare", ints([[1, 2], [3, 4]], dtype="int32")),
    row("Flatten", CUBE),
    row("Flatten", CUBE, axis=0),
    row("Flatten", CUBE, axis=-1),
    row("Flatten", CUBE, axis=3),
    row("Flatten", number(0.4), axis=0),
    row("CastLike", X, draw(2, seed=1)),
    row("CastLike", X, np.array([1, 2], np.int32)),
    row("CastLike", ints(0, 2), X),
]
