"""Sampling at points of grids."""

from __future__ import annotations

import itertools

import numpy as np

from operator_rows.row import Array, Fixed, Row, draw, ints, row

PLANE, SPACE = draw(2, 2, 3, 4), draw(1, 2, 2, 3, 3, seed=1)
POINTS = draw(2, 2, 2, 2, low=-1.4, high=1.4, seed=2)
DEEP = draw(1, 1, 2, 2, 3, low=-1.6, high=1.6, seed=3)


def keys(distance: Array) -> Array:
    """Keys' cubic convolution with the parameter -0.75."""
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def cubic_with_border(align_corners: bool) -> Array:
    """onnx.reference moves the points to the border; PyTorch and onnxruntime the elements that they read."""
    weights = []
    for axis, size in ((1, 3), (0, 4)):
        g = POINTS[..., axis]
        places = (g + 1) / 2 * (size - 1) if align_corners else ((g + 1) * size - 1) / 2
        weight = np.zeros((*places.shape, size))
        for i in np.ndindex(places.shape):
            for k in range(-6, size + 6):
                weight[(*i, min(max(k, 0), size - 1))] += keys(np.abs(places[i] - k))
        weights.append(weight)
    return np.einsum("nchw,nabh,nabw->ncab", PLANE, *weights)


ROWS: list[Row] = [
    *(
        row(
            "GridSample",
            PLANE,
            POINTS,
            expected=cubic_with_border(a) if (m, p) == ("cubic", "border") else None,
            mode=m,
            padding_mode=p,
            align_corners=a,
        )
        for m, p, a in itertools.product(
            ("linear", "nearest", "cubic"), ("zeros", "border", "reflection"), (False, True)
        )
    ),
    *(
        row("GridSample", SPACE, DEEP, mode=m, padding_mode=p, align_corners=a)
        for m, p, a in (
            ("linear", "zeros", False),
            ("linear", "border", True),
            ("linear", "reflection", False),
            ("nearest", "reflection", True),
        )
    ),
    row("GridSample", draw(1, 1, 1, 3), draw(1, 3, 1, 2, seed=4)),
    *(
        row("AffineGrid", draw(2, n, n + 1, seed=n), Fixed(2, 3, *size), align_corners=a, dynamic="unknown")
        for n, size in ((2, (3, 2)), (3, (2, 1, 3)))
        for a in (False, True)
        if not (a and 1 in size)
    ),
    row("AffineGrid", draw(1, 2, 3), ints(1, 1, 2, 4)),
]
