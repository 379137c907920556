"""Fourier transforms, windows, determinants."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Fixed, Row, draw, ints, row

REAL = draw(2, 5, 1)
COMPLEX = draw(2, 4, 2, seed=1)
SINGULAR = np.array([[1.0, 2.0, 3.0, 1.0], [2.0, 4.0, 6.0, 2.0], [0.5, 1.0, -1.0, 2.0], [1.5, 0.2, 0.3, 0.7]])
SIGNAL = draw(2, 9, 1, seed=2)
WINDOW = draw(4, seed=3)


def scalar(x: int | float, dtype: str = "int64") -> Fixed:
    return Fixed(np.array(x), dtype=dtype)


ROWS: list[Row] = [
    row("DFT", REAL),
    row("DFT", COMPLEX, None, scalar(0)),
    row("DFT", REAL, None, scalar(1), onesided=True),
    row("DFT", draw(2, 6, 1, seed=4), None, scalar(-2), onesided=True, dynamic="unknown"),
    row("DFT", REAL, scalar(7), scalar(1), onesided=True),
    row("DFT", REAL, scalar(3, "int32"), scalar(1), onesided=True),
    row("DFT", COMPLEX, scalar(6), scalar(-2)),
    row("DFT", COMPLEX, scalar(3), scalar(-2)),
    row("DFT", COMPLEX, inverse=True),
    row("DFT", REAL, scalar(4), None, inverse=True),
    row("DFT", COMPLEX, scalar(6), scalar(0), inverse=True),
    row("DFT", COMPLEX, None, scalar(1), inverse=True, onesided=True),
    row("DFT", COMPLEX, scalar(7), scalar(1), inverse=True, onesided=True, dynamic="never"),
    row("DFT", draw(4, 2), None, scalar(0)),
    row("STFT", SIGNAL, scalar(2), WINDOW),
    row("STFT", SIGNAL, scalar(3), WINDOW, scalar(4), onesided=False, dynamic="unknown"),
    row("STFT", SIGNAL, scalar(2, "int32"), None, scalar(5, "int32")),
    row("STFT", draw(1, 7, 2), scalar(3), WINDOW, onesided=False),
    row("STFT", draw(1, 7, 2), scalar(3), WINDOW),
    *(row(w, scalar(6), periodic=p) for w in ("HannWindow", "HammingWindow", "BlackmanWindow") for p in (True, False)),
    row("HannWindow", ints(np.array(4))),
    row("HammingWindow", scalar(5, "int32"), output_datatype=11),
    row("BlackmanWindow", scalar(5), output_datatype=11),
    row(
        "MelWeightMatrix",
        scalar(4),
        scalar(16),
        scalar(8192),
        scalar(0.0, "float32"),
        scalar(4096.0, "float32"),
    ),
    *(row("Det", draw(2, n, n, seed=n), dynamic="never") for n in (1, 2, 3)),
    row("Det", draw(4, 4, seed=4), dynamic="never"),
    row("Det", SINGULAR, dynamic="never"),
    row("Det", np.zeros((3, 3)), dynamic="never"),
    row("Det", draw(2, 5, 5, seed=5), dynamic="never"),
]
