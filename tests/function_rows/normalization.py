"""Normalizations and attention."""

from __future__ import annotations

import numpy as np

from function_rows.row import Row, draw

CUBE = draw(2, 3, 4)
IMAGE = draw(2, 4, 2, 2)
AFFINE = draw(4, seed=1), draw(4, seed=2)
RUNNING = draw(4, seed=3), draw(4, low=0.3, seed=4)
QUERY, KEY, VALUE = draw(2, 3, 4), draw(2, 5, 4, seed=1), draw(2, 5, 2, seed=2)
MASK = np.array([[True, False, True, False, True], [False] * 5, [False, False, True, True, True]])
SOME_INFINITE = np.where(MASK, draw(3, 5), -np.inf)

ROWS: list[Row] = [
    Row("layer_norm", (CUBE, (4,))),
    Row("layer_norm", (CUBE, [4], draw(4))),
    Row("layer_norm", (CUBE, (3, 4), draw(3, 4), draw(3, 4, seed=1)), {"eps": 0.1}),
    Row("rms_norm", (CUBE, (4,))),
    Row("rms_norm", (CUBE, (3, 4), draw(3, 4)), {"eps": 0.1}),
    Row("batch_norm", (IMAGE, None, None), {"training": True}),
    Row("batch_norm", (draw(5, 4), None, None, *AFFINE), {"training": True, "eps": 0.1}),
    Row("batch_norm", (draw(2, 4, 3), None, None, AFFINE[0]), {"training": True}),
    # PyTorch has no derivative by running statistics.
    Row("batch_norm", (IMAGE, *RUNNING, *AFFINE), {"eps": 0.1}, in_torch=False),
    Row("batch_norm", (draw(5, 4), *RUNNING), in_torch=False),
    Row("instance_norm", (IMAGE, None)),
    Row("instance_norm", (draw(2, 4, 3), None, None, *AFFINE), {"eps": 0.1}),
    Row("instance_norm", (IMAGE, *RUNNING, *AFFINE), {"use_input_stats": False}, in_torch=False),
    Row("group_norm", (IMAGE, 2)),
    Row("group_norm", (IMAGE, 4, *AFFINE), {"eps": 0.1}),
    Row("group_norm", (draw(3, 4), 2, AFFINE[0])),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE)),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE), {"is_causal": True, "scale": 0.7}),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, MASK)),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, MASK[0])),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, MASK), {"is_causal": True}, in_torch=False),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, draw(3, 5))),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, draw(3, 5)), {"is_causal": True}, in_torch=False),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, SOME_INFINITE)),
    Row(
        "scaled_dot_product_attention",
        (draw(2, 4, 3, 2), draw(2, 2, 3, 2, seed=1), draw(2, 2, 3, 2, seed=2), draw(2, 1, 3, 3)),
        {"enable_gqa": True},
    ),
    Row("scaled_dot_product_attention", (draw(3, 4), draw(5, 4), draw(2, 5, 2, seed=2)), in_torch=False),
    Row("local_response_norm", (IMAGE, 3), {"alpha": 0.5}),
    Row("local_response_norm", (IMAGE, 2), {"alpha": 0.5, "beta": 0.6, "k": 0.7}),
    Row("local_response_norm", (draw(2, 3, 2), 5), {"alpha": 0.5}),
    Row("local_response_norm", (draw(2, 3, 2), 1), {"alpha": 0.5}),
    *(
        Row("rotary_embedding", (draw(2, 3, 6), *angles), {"interleaved": interleaved}, in_torch=False)
        for angles in ((draw(3, 3), draw(3, 3, seed=1)), (draw(2, 3, 2), draw(2, 3, 2, seed=1)))
        for interleaved in (False, True)
    ),
]
