"""Losses over classes."""

from __future__ import annotations

from operator_rows.row import Row, draw, ints, row

LOSSES = ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
FLAT = draw(4, 3), ints(0, 2, 1, 2)
PLANE = draw(2, 3, 2, 2), ints([[[0, 2], [1, 1]], [[2, 0], [2, 1]]], dtype="int32")
WEIGHTS = draw(3, low=0.3, high=1.5, seed=1)


ROWS: list[Row] = [
    *(
        row(loss, *data, *weights, reduction=reduction, **ignored)
        for loss in LOSSES
        for data in (FLAT, PLANE)
        for weights in ((), (WEIGHTS,))
        for reduction in ("none", "sum", "mean")
        for ignored in ({}, {"ignore_index": 2})
    ),
    *(
        row(loss, FLAT[0], ints(0, where, 1, where), *weights, ignore_index=where)
        for loss in LOSSES
        for weights in ((), (WEIGHTS,))
        for where in (-100, 7)
    ),
]
