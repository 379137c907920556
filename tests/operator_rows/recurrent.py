"""Recurrent layers: the usual cases; every attribute is in `test_recurrent`."""

from __future__ import annotations

from operator_rows.row import Array, Row, draw, ints, row

LENGTHS = ints(2, 1, dtype="int32")


def weights(gates: int, directions: int = 1, hidden: int = 2, inputs: int = 1) -> tuple[Array, Array, Array]:
    return (
        draw(directions, gates * hidden, inputs, seed=1),
        draw(directions, gates * hidden, hidden, seed=2),
        draw(directions, 2 * gates * hidden, seed=3),
    )


ROWS: list[Row] = [
    row("RNN", draw(2, 2, 1), *weights(1), hidden_size=2, dynamic="unknown"),
    row(
        "RNN",
        draw(2, 2, 1),
        *weights(1, 2),
        LENGTHS,
        draw(2, 2, 2, seed=4),
        direction="bidirectional",
        hidden_size=2,
        dynamic="unknown",
    ),
    row("GRU", draw(2, 2, 1), *weights(3), None, draw(1, 2, 2, seed=4), hidden_size=2, dynamic="unknown"),
    row(
        "GRU",
        draw(2, 2, 1),
        *weights(3),
        LENGTHS,
        direction="reverse",
        linear_before_reset=True,
        hidden_size=2,
        dynamic="unknown",
    ),
    row("LSTM", draw(2, 1, 1), *weights(4)[:2], hidden_size=2, dynamic="unknown"),
    row(
        "LSTM",
        draw(2, 2, 1),
        *weights(4),
        LENGTHS,
        draw(1, 2, 2, seed=4),
        draw(1, 2, 2, seed=5),
        draw(1, 6, seed=6),
        hidden_size=2,
        dynamic="unknown",
    ),
]
