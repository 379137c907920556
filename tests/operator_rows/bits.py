"""Operators on bits."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Row, ints, row

A, B = np.array([[12], [7]], np.uint8), np.array([10, 1, 255], np.uint8)

ROWS: list[Row] = [
    row("BitShift", A, B[1:2], direction="LEFT"),
    row("BitShift", A, B[1:2], direction="RIGHT"),
    *(row(o, A, B) for o in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    *(row(o, ints(-4, 7), ints(3, -1)) for o in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    row("BitwiseNot", B),
    row("BitCast", ints(1, -2, dtype="int32"), to="uint32"),
]
