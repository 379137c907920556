"""Attention and rotary embeddings.

onnxruntime has a kernel of Attention for float32 only; what it does instead in float64 errs where a query has no keys,
where keys are padding, and where a mask is added to a causal one.
"""

from __future__ import annotations

import numpy as np

from operator_rows.row import Row, draw, ints, row

Q, K, V = draw(1, 2, 3, 2), draw(1, 2, 4, 2, seed=1), draw(1, 2, 4, 3, seed=2)
PAST = draw(1, 2, 2, 2, seed=3), draw(1, 2, 2, 3, seed=4)
OPEN = np.array([[True, False, True, True], [False, False, False, False], [False, True, False, True]])
CLOSING = np.where(OPEN, draw(3, 4), -np.inf)
GROUPED = draw(2, 4, 2, 2), draw(2, 2, 3, 2, seed=1), draw(2, 2, 3, 2, seed=2)
FLAT = draw(2, 2, 8), draw(2, 3, 4, seed=1), draw(2, 3, 6, seed=2)

X, ANGLES = draw(2, 2, 3, 4), (draw(2, 3, 2), draw(2, 3, 2, seed=1))
OF_POSITIONS = draw(5, 2), draw(5, 2, seed=1)
POSITIONS = ints([[0, 1, 4], [2, 2, 0]])

ROWS: list[Row] = [
    row("Attention", Q, K, V),
    row("Attention", Q, K, V, is_causal=True, scale=0.7, qk_matmul_output_mode=3),
    row("Attention", Q, K, V, draw(3, 4), qk_matmul_output_mode=2, softcap=1.5),
    row("Attention", Q, K, V, draw(2, 3, 4), is_causal=True, qk_matmul_output_mode=1, softcap=2.0, dtype="float32"),
    row("Attention", Q, K, V, OPEN, qk_matmul_output_mode=3, dtype="float32", dynamic="unknown"),
    row("Attention", Q, K, V, CLOSING, qk_matmul_output_mode=3, dtype="float32"),
    row("Attention", Q, K, V, draw(3, 6), *PAST, is_causal=True, qk_matmul_output_mode=3, dtype="float32"),
    *(
        row("Attention", *GROUPED, *[None] * 3, ints(3, 1), is_causal=c, dtype="float32", dynamic="unknown")
        for c in (True, False)
    ),
    row("Attention", GROUPED[0], GROUPED[1][:, :1], GROUPED[2][:, :1], draw(2, 1, 2, 3)),
    row("Attention", *FLAT, q_num_heads=4, kv_num_heads=2, softmax_precision=11),
    row("Attention", *FLAT, np.array([[True, False, True]] * 2), q_num_heads=4, kv_num_heads=2, dynamic="unknown"),
    row("RotaryEmbedding", X, *ANGLES, dtype="float32"),
    row("RotaryEmbedding", X, *ANGLES, interleaved=True, dtype="float32"),
    row("RotaryEmbedding", X, *OF_POSITIONS, POSITIONS, dtype="float32", dynamic="unknown"),
    row(
        "RotaryEmbedding",
        draw(2, 3, 8),
        *OF_POSITIONS,
        POSITIONS,
        num_heads=2,
        interleaved=True,
        dtype="float32",
        dynamic="unknown",
    ),
    *(
        row("RotaryEmbedding", x, *ANGLES, rotary_embedding_dim=4, **how, dtype="float32", dynamic="unknown")
        for x, how in ((draw(2, 2, 3, 6), {}), (draw(2, 3, 12), {"num_heads": 2, "interleaved": True}))
    ),
]
