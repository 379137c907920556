"""Sampling at points of a grid."""

from __future__ import annotations

import itertools

import numpy as np

from function_rows.row import Row, draw

IMAGE = draw(2, 2, 3, 4)
VOLUME = draw(1, 2, 2, 3, 2)


def points(*shape: int, sizes: tuple[int, ...], low: float = -1.6, high: float = 1.6) -> np.ndarray:
    """Points of which none lies near a corner of the interpolation, that is on a multiple of half an element."""
    x = draw(*shape, len(sizes), low=low, high=high, seed=5)
    for i, n in enumerate(reversed(sizes)):
        for corners in (True, False):
            half = (n - 1) / 2 if corners else n / 2
            for _ in range(50):
                near = np.abs((x[..., i] + 1) * half * 2 - np.rint((x[..., i] + 1) * half * 2)) < 0.02
                x[..., i] += near * 0.0371
    return x


FLAT = points(2, 2, 3, sizes=(3, 4))
DEEP = points(1, 2, 1, 3, sizes=(2, 3, 2))

ROWS: list[Row] = [
    *[
        Row("grid_sample", (IMAGE, FLAT), {"mode": mode, "padding_mode": padding, "align_corners": corners})
        for mode, padding, corners in itertools.product(
            ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)
        )
    ],
    *[
        Row("grid_sample", (VOLUME, DEEP, mode, padding), {"align_corners": corners})
        for mode, padding, corners in [
            ("bilinear", "zeros", False),
            ("bilinear", "reflection", True),
            ("nearest", "border", True),
        ]
    ],
    Row("grid_sample", (IMAGE[:, :, :1, :1], FLAT), {"padding_mode": "reflection", "align_corners": True}),
    Row("affine_grid", (draw(2, 2, 3), (2, 1, 3, 4)), {"align_corners": False}),
    Row("affine_grid", (draw(2, 2, 3), (2, 1, 2, 3)), {"align_corners": True}),
    Row("affine_grid", (draw(1, 3, 4), (1, 2, 2, 1, 3)), {"align_corners": False}),
]
