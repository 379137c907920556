"""Random numbers, where nothing is left to chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from operator_rows.row import Array, Fixed, Row, draw, row

X = draw(3, 4)
ON, OFF = Fixed(np.array(True), dtype="bool"), Fixed(np.array(False), dtype="bool")
CHANCES = np.array([[0.0, 1.0], [1.0, 0.0]])
CERTAIN = np.array([[0.0, -1e9, -1e9], [-1e9, -1e9, 0.0]])


def typed(operator: str, to: str, *inputs: Array, expected: Array | None = None, **attributes: Any) -> Row:
    """A row with an attribute `dtype`."""
    return Row(operator, inputs, {"dtype": to, **attributes}, expected=expected)


ROWS: list[Row] = [
    row("Dropout", X),
    row("Dropout", X, Fixed(np.array(0.3), dtype="float64")),
    row("Dropout", X, Fixed(np.array(0.3), dtype="float64"), OFF, seed=3),
    row("Dropout", X, Fixed(np.array(0.0), dtype="float64"), ON),
    row("Dropout", X, Fixed(np.array(0.3), dtype="float64"), np.array(False)),
    row("Dropout", X, None, np.array(False)),
    row("RandomNormal", shape=(2, 3), mean=1.5, scale=1e-20),
    typed("RandomNormal", "float64", shape=(2,), mean=1.5, scale=1e-20, seed=2.0),
    row("RandomUniform", shape=(2, 3), low=1.5, high=1.5),
    typed("RandomUniform", "float64", shape=(2,), low=1.5, high=1.5, seed=2.0),
    row("RandomNormalLike", X, mean=1.5, scale=1e-20),
    typed("RandomNormalLike", "float32", np.array([1, 2]), mean=1.5, scale=1e-20, seed=2.0),
    row("RandomUniformLike", X, low=1.5, high=1.5),
    typed("RandomUniformLike", "float32", np.array([1, 2]), low=1.5, high=1.5, seed=2.0),
    # The function that ONNX gives it, which onnxruntime runs, draws 0 with the chance of 1.
    row("Bernoulli", CHANCES, expected=1 - CHANCES),
    typed("Bernoulli", "int64", CHANCES, seed=2.0, expected=1 - CHANCES),
    row("Multinomial", CERTAIN, expected=np.array([[0], [2]])),
    typed("Multinomial", "int64", CERTAIN, sample_size=3, seed=2.0, expected=np.array([[0] * 3, [2] * 3])),
]
