"""Axes, positions and counts that only the run knows."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Row, distinct, draw, ints, number, row

CUBE = draw(2, 3, 2)
SPLIT = distinct(2, 3, 2) + 0.13
ZEROS = np.array([[2.0, 0.0, 3.0], [1.5, 2.5, -1.0], [0.0, 0.0, 2.0]])
SUMMED = ("ReduceSum", "ReduceMean", "ReduceLogSumExp", "ReduceL2", "ReduceProd")
NO_AXES = np.zeros(0, np.int64)

ROWS: list[Row] = [
    *(
        row(operator, x, axes, **how)
        for operators, x in ((SUMMED, CUBE), (("ReduceMax", "ReduceMin", "ReduceL1"), SPLIT))
        for operator in operators
        for axes, how in (
            (ints(1), {"keepdims": False}),
            (ints(-1, 0), {"keepdims": False}),
            (ints(-2), {}),
            (ints(2, 0, 1), {"keepdims": False}),
            (NO_AXES, {"keepdims": False}),
            (NO_AXES, {"noop_with_empty_axes": True}),
        )
    ),
    row("ReduceProd", ZEROS, ints(-1)),
    row("ReduceProd", ZEROS, ints(0, 1), keepdims=False),
    row("ReduceSum", draw(2, 0, 3), ints(1), keepdims=False),
    row("ReduceProd", draw(2, 0, 3), ints(1), keepdims=False),
    row("Squeeze", draw(1, 3, 1), ints(0, -1)),
    row("Squeeze", draw(1, 3, 1), ints(-1)),
    row("Unsqueeze", draw(2, 3), ints(-1, 0)),
    row("Unsqueeze", number(0.3), ints(0, 1)),
    row("CumSum", CUBE, np.array(-2), reverse=True),
    *(
        row("CumProd", x, axis, exclusive=e, reverse=r)
        for x in (CUBE, ZEROS)
        for axis, e, r in ((np.array(1), False, False), (np.array(-2), True, False), (np.array(-1), True, True))
    ),
    row("CumProd", ZEROS[0], np.array(0, np.int32), reverse=True),
    row("Slice", draw(3, 4, 2), ints(3, 0), ints(0, 3), ints(1, -3), ints(-2, 1)),
    row("Slice", draw(3, 4, 2), ints(1), ints(9), ints(-2)),
    row("Pad", draw(2, 3), ints(1, -1), number(0.7), ints(-1)),
    row("Pad", draw(2, 3, 2), ints(1, 2, 1, 0), None, ints(-3, 1), mode="reflect"),
    row("Pad", draw(2, 3), ints(1, 2), None, ints(1), mode="wrap"),
]
