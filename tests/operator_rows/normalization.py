"""Normalizations."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Array, Row, draw, row

CUBE = draw(2, 3, 4)
IMAGE = draw(2, 3, 2, 2)
CHANNELS = draw(3, low=0.5, seed=1), draw(3, seed=2)
FOUR = draw(4, low=0.5, seed=1), draw(4, seed=2)
STATISTICS = draw(3, seed=3), draw(3, low=0.3, seed=4)
SCALE = draw(4, seed=1)


def root_mean_square(x: Array) -> Array:
    return np.asarray(np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5))


def standard(x: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray((x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True))


ROWS: list[Row] = [
    # Mean and 1 / deviation are float32 whatever the input is.
    row("LayerNormalization", CUBE, draw(4, seed=1), dtype="float32"),
    row("LayerNormalization", CUBE, draw(4, seed=1), draw(4, seed=2), epsilon=0.1, dtype="float32"),
    row("LayerNormalization", CUBE, draw(3, 4, seed=1), draw(3, 4, seed=2), axis=1, dtype="float32"),
    row("LayerNormalization", CUBE, draw(1, 4, seed=1), draw(4, seed=2), axis=-2, dtype="float32"),
    row("RMSNormalization", CUBE, draw(4, seed=1)),
    row("RMSNormalization", CUBE, draw(3, 4, seed=1), axis=1, epsilon=0.1),
    row("RMSNormalization", CUBE, draw(3, 1, seed=1), axis=0),
    row("InstanceNormalization", CUBE, *CHANNELS, dtype="float32"),
    row("InstanceNormalization", IMAGE, *CHANNELS, epsilon=0.1, dtype="float32"),
    row("BatchNormalization", draw(2, 3), *CHANNELS, draw(3, seed=3), draw(3, low=0.3, seed=4)),
    row("BatchNormalization", IMAGE, *CHANNELS, draw(3, seed=3), draw(3, low=0.3, seed=4), epsilon=0.1, momentum=0.5),
    # onnx.reference has float32 statistics only.
    row("RMSNormalization", CUBE, SCALE, stash_type=11, expected=CUBE / root_mean_square(CUBE) * SCALE),
    row("GroupNormalization", draw(2, 4, 3), *FOUR, num_groups=2, dtype="float32"),
    row("GroupNormalization", draw(2, 4, 2, 2), *FOUR, num_groups=4, epsilon=0.1, stash_type=11),
    row("GroupNormalization", draw(2, 4), *FOUR, num_groups=1, dtype="float32"),
    row("GroupNormalization", draw(2, 4, 3), *FOUR, num_groups=2, stash_type=11),
    row("BatchNormalization", draw(4, 3), *CHANNELS, *STATISTICS, training_mode=True),
    row("BatchNormalization", IMAGE, *CHANNELS, *STATISTICS, training_mode=True, epsilon=0.1, momentum=0.3),
    # onnx.reference forgets the absolute value.
    *(row("LpNormalization", CUBE, axis=a, p=1, expected=CUBE / np.abs(CUBE).sum(a, keepdims=True)) for a in (-1, 0)),
    *(row("LpNormalization", CUBE, axis=a) for a in (-1, 0)),
    # ONNX's function of it adds a number of float32.
    row("MeanVarianceNormalization", IMAGE, dtype="float32", expected=standard(IMAGE, (0, 2, 3))),
    row("MeanVarianceNormalization", CUBE, axes=(1, -1), dtype="float32", expected=standard(CUBE, (1, 2))),
]
