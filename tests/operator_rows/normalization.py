"""Normalizations."""

from __future__ import annotations

from operator_rows.row import Row, draw, row

CUBE = draw(2, 3, 4)
IMAGE = draw(2, 3, 2, 2)
CHANNELS = draw(3, low=0.5, seed=1), draw(3, seed=2)

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
]
