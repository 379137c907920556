"""Products over axes, with and without factors that are zero."""

from __future__ import annotations

import numpy as np

from operator_rows.elementary import REDUCTIONS
from operator_rows.row import Fixed, Row, draw, row

X = draw(2, 3, 2)
ZEROS = np.array([[2.0, 0.0, 3.0, 0.0], [1.5, 0.0, -1.0, 2.0], [0.5, 1.5, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])

ROWS: list[Row] = [
    *(row("ReduceProd", X, axes, **kw) for axes, kw in REDUCTIONS),
    row("ReduceProd", ZEROS, Fixed(1), keepdims=False),
    row("ReduceProd", ZEROS[1:3], None),
    row("ReduceProd", draw(2, 0, 2), Fixed(1)),
    *(
        row("CumProd", X, Fixed(np.array(a)), exclusive=e, reverse=r)
        for a in (1, -1)
        for e in (False, True)
        for r in (False, True)
    ),
    *(row("CumProd", ZEROS, Fixed(np.array(1)), exclusive=e, reverse=r) for e in (False, True) for r in (False, True)),
]
