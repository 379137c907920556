"""Reading, writing and ordering by position; windows, diagonals and repeats."""

from __future__ import annotations

import numpy as np

from function_rows.row import Row, distinct, draw

X = draw(3, 4)
CUBE = draw(2, 3, 4)
APART = distinct(3, 4)
TWICE = np.array([[0, 2, 1, 0], [0, 0, 1, 0]])
ONCE = np.array([[0, 2, 1, 0], [2, 1, 0, 1]])
FIRST = np.array([[0, 2, 1, 0]])
POSITIONS = np.array([2, 0, 2])
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, True]])
TABLE = distinct(5, 2)
BAGS = np.array([[4, 0, 4], [1, 2, 3]])
LINE = np.array([4, 0, 4, 1, 1, 3])
OFFSETS = np.array([0, 2, 2, 5])

ROWS: list[Row] = [
    # the same elements another way
    Row("view_as", (X, draw(6, 2))),
    Row("reshape_as", (CUBE, draw(4, 6))),
    Row("tile", (draw(2, 3), (2,))),
    Row("tile", (draw(2, 3), 2, 1, 2)),
    Row("repeat_interleave", (X, 2)),
    Row("repeat_interleave", (X, 3), {"dim": 1}),
    Row("repeat_interleave", (X, [2, 0, 1]), {"dim": 0, "output_size": 3}, in_torch=False),
    Row("repeat_interleave", (X, np.array([2, 0, 1])), {"dim": 0}),
    Row("repeat_interleave", (X, np.array([1, 3, 0, 1])), {"dim": -1, "output_size": 5}),
    Row("roll", (X, 5)),
    Row("roll", (X, 1, 0)),
    Row("roll", (CUBE, (-1, 5), (1, -1))),
    Row("diagonal", (X, 0)),
    Row("diagonal", (X, 2)),
    Row("diagonal", (CUBE, -1), {"dim1": 2, "dim2": 0}),
    Row("diagonal", (draw(2, 3, 3), 0, -1, 1)),
    Row("diag", (X,)),
    Row("diag", (X, -1)),
    Row("diag", (draw(3), 1)),
    Row("diag_embed", (draw(2, 3),)),
    Row("diag_embed", (draw(2, 3), 1, 0, 2)),
    Row("diag_embed", (draw(2, 3), -2)),
    Row("narrow", (X, 1, 1, 2)),
    Row("narrow", (X, 0, -2, 2)),
    Row("select", (CUBE, 1, -1)),
    Row("swapaxes", (CUBE, 0, -1)),
    Row("swapdims", (CUBE, 0, 1)),
    Row("moveaxis", (CUBE, (0, 1), (2, 0))),
    Row("split_with_sizes", (X, [1, 2], 0)),
    Row("unfold_dimension", (X, 1, 2, 1)),
    Row("unfold_dimension", (draw(5, 2), 0, 3, 2)),
    Row("flip", (X,), {"dims": (-1,)}),
    Row("cat", ([np.zeros(0), X, draw(3, 2)], 1)),
    # reading
    Row("take", (X, np.array([[0, 11], [3, 3]]))),
    Row("take_along_dim", (X, np.array([3, 3]))),
    Row("take_along_dim", (X, FIRST), {"dim": 0}),
    Row("take_along_dim", (draw(1, 4), np.array([[3, 0, 3], [1, 1, 2]])), {"dim": 1}),
    Row("masked_select", (X, MASK)),
    Row("masked_select", (draw(4), MASK)),
    Row("embedding_bag", (BAGS, TABLE)),
    *(Row("embedding_bag", (BAGS, TABLE), {"mode": m, "padding_idx": 4}) for m in ("sum", "mean", "max")),
    *(Row("embedding_bag", (LINE, TABLE, OFFSETS), {"mode": m}) for m in ("sum", "mean", "max")),
    *(
        Row("embedding_bag", (LINE, TABLE, OFFSETS), {"mode": m, "padding_idx": -1, "include_last_offset": True})
        for m in ("sum", "mean", "max")
    ),
    Row("embedding_bag", (LINE, TABLE, np.array([0, 2, 2, 6])), {"mode": "max", "include_last_offset": True}),
    Row("embedding_bag", (BAGS, TABLE, None, None, 2, False, "sum", False, draw(2, 3))),
    Row("embedding_bag", (LINE, TABLE, OFFSETS, None, 2, False, "sum", False, draw(6))),
    # writing
    Row("scatter", (X, 0, ONCE, draw(2, 4, seed=1))),
    Row("scatter", (X, 0, TWICE, draw(2, 4, seed=1)), in_torch=False),  # PyTorch gives what is overwritten a gradient
    Row("scatter", (X, 1, np.array([[3, 1], [0, 2]]), draw(3, 4, seed=1)), in_torch=False),
    Row("scatter", (X, 0, TWICE), {"value": 0.7}),
    Row("scatter", (X, 0, TWICE, 0.7)),
    *(Row("scatter", (X, 0, TWICE, draw(2, 4, seed=1)), {"reduce": r}, in_torch=False) for r in ("add", "multiply")),
    *(
        Row("scatter_reduce", (X, 0, TWICE, draw(2, 4, seed=1), r), {"include_self": s})
        for r in ("sum", "prod", "mean")
        for s in (True, False)
    ),
    *(
        Row("scatter_reduce", (APART, 0, TWICE, distinct(2, 4) + 0.9, r), {"include_self": s})
        for r in ("amax", "amin")
        for s in (True, False)
    ),
    Row("scatter_reduce", (X, 0, TWICE, np.array([[0.0, 1.5, 0.0, 0.0], [0.0, 2.0, 0.7, 1.2]]), "prod")),
    Row("index_add", (X, 0, POSITIONS, draw(3, 4, seed=1)), {"alpha": 0.5}),
    Row("index_add", (CUBE, -1, POSITIONS, draw(2, 3, 3, seed=1))),
    Row("index_copy", (X, 1, np.array([3, 0]), draw(3, 2, seed=1))),
    Row("index_copy", (X, 0, POSITIONS, draw(3, 4, seed=1)), in_torch=False),
    Row("index_fill", (X, 1, np.array([3, 0]), 0.7)),
    Row("index_fill", (X, 0, POSITIONS, np.array(0.7))),
    *(
        Row("index_reduce", (X, 1, POSITIONS, draw(3, 3, seed=1), r), {"include_self": s})
        for r in ("prod", "mean")
        for s in (True, False)
    ),
    Row("index_reduce", (APART, 0, POSITIONS, distinct(3, 4) + 0.1, "amax")),
    Row("index_put", (X, [np.array([2, 0]), np.array([1, 3])], draw(2, seed=1))),
    Row("index_put", (X, [POSITIONS], draw(3, 4, seed=1)), {"accumulate": True}),
    Row("index_put", (X, [POSITIONS], draw(3, 4, seed=1)), in_torch=False),
    Row("index_put", (CUBE, [np.array([[1], [0]]), POSITIONS], draw(4)), {"accumulate": True}),
    Row("index_put", (X, [MASK], np.array(0.7))),
    Row("masked_scatter", (X, MASK, draw(8, seed=1))),
    Row("masked_scatter", (X, MASK[0], draw(3, 3, seed=1))),
    # ordering
    *(Row("topk", (APART, 2), kw) for kw in ({}, {"dim": 0, "largest": False}, {"dim": 1, "sorted": True})),
    *(Row("sort", (APART,), kw) for kw in ({}, {"dim": 0, "descending": True}, {"stable": True})),
    Row("msort", (APART,)),
    *(Row("kthvalue", (APART, 2), kw) for kw in ({}, {"dim": 0, "keepdim": True})),
]
