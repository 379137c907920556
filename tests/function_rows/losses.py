"""Losses."""

from __future__ import annotations

import numpy as np

from function_rows.elementary import DISTRIBUTION, PROBABILITIES
from function_rows.row import Row, draw

X, T, W = draw(3, 4), draw(3, 4, seed=1), draw(3, 4, low=0.5, seed=2)
UNIT = draw(3, 4, low=0, high=1)
SIGNS = np.array([1, -1, -1])
SIGN_TABLE = np.array([[1, -1, 1, -1], [-1, -1, 1, 1], [1, 1, 0, -1]])
CLASSES = np.array([2, 0, 3])
LISTED = np.array([[3, 0, -1, 1], [-1, 2, 1, 0], [0, 1, 2, 3]])
ZERO_ONE = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
RATES = draw(3, 4, low=0.2, high=3.0)
COUNTS = draw(3, 4, low=0.1, high=4.0, avoid=(1.0,))
TRIPLET = draw(3, 4), draw(3, 4, seed=1), draw(3, 4, seed=2)

ROWS: list[Row] = [
    *(Row(n, (X, T, None, None, r, W)) for n in ("mse_loss", "l1_loss") for r in ("mean", "sum", "none")),
    *(Row("huber_loss", (X, T, r, 0.4, W)) for r in ("mean", "none")),
    Row("smooth_l1_loss", (X, T), {"beta": 0.7, "reduction": "none"}),
    # PyTorch has no derivatives by these weights, nor by the targets of soft_margin_loss.
    *(Row("binary_cross_entropy", (PROBABILITIES, UNIT, W), {"reduction": r}, False) for r in ("mean", "sum")),
    Row("binary_cross_entropy_with_logits", (X, UNIT, W, None, None, "mean", draw(4, low=0.5)), in_torch=False),
    Row("kl_div", (draw(4), draw(4, seed=1)), {"log_target": True, "reduction": "batchmean"}),
    Row("kl_div", (X, DISTRIBUTION), {"log_target": True, "reduction": "sum"}),
    *(Row("cosine_embedding_loss", (X, T, SIGNS), {"reduction": r}) for r in ("mean", "sum", "none")),
    Row("cosine_embedding_loss", (X, T, -SIGNS), {"margin": -0.3}),
    Row("cosine_embedding_loss", (X[0], T[0], np.array(-1)), {"margin": -0.9}),
    *(Row("hinge_embedding_loss", (X, SIGN_TABLE), {"reduction": r}) for r in ("mean", "sum", "none")),
    Row("hinge_embedding_loss", (X, SIGN_TABLE), {"margin": 0.3}),
    *(Row("margin_ranking_loss", (X, T, W), {"reduction": r}) for r in ("mean", "none")),
    Row("margin_ranking_loss", (X[0], T[0], SIGN_TABLE[0]), {"margin": 0.3, "reduction": "sum"}),
    *(Row("soft_margin_loss", (X, T), {"reduction": r}, False) for r in ("mean", "sum", "none")),
    *(Row("multi_margin_loss", (X, CLASSES), {"p": p, "margin": 0.7}) for p in (1, 2)),
    Row("multi_margin_loss", (X, CLASSES), {"reduction": "none"}),
    Row("multi_margin_loss", (X[0], np.array(1)), {"p": 2, "reduction": "sum"}),
    Row("multi_margin_loss", (X, CLASSES, 2, 1.0, draw(4, low=0.5)), in_torch=False),
    *(Row("multilabel_margin_loss", (X, LISTED), {"reduction": r}) for r in ("mean", "sum", "none")),
    Row("multilabel_margin_loss", (X[0], LISTED[0])),
    *(Row("multilabel_soft_margin_loss", (X, ZERO_ONE), {"reduction": r}) for r in ("mean", "sum", "none")),
    Row("multilabel_soft_margin_loss", (X, UNIT, W)),
    *(
        Row("triplet_margin_loss", TRIPLET, {"swap": s, "reduction": r})
        for s in (False, True)
        for r in ("mean", "none")
    ),
    Row("triplet_margin_loss", TRIPLET, {"p": 1, "margin": 0.5}),
    Row("triplet_margin_loss", TRIPLET, {"p": 3.0, "eps": 0.1, "reduction": "sum"}),
    Row("triplet_margin_with_distance_loss", TRIPLET),
    Row("triplet_margin_with_distance_loss", TRIPLET, {"swap": True, "margin": 0.5, "reduction": "none"}),
    *(
        Row("gaussian_nll_loss", (X, T, RATES), {"full": f, "reduction": r})
        for f in (False, True)
        for r in ("mean", "none")
    ),
    Row("gaussian_nll_loss", (X, T, RATES[:, 0])),
    Row("gaussian_nll_loss", (X, T, RATES[:, :1]), {"reduction": "sum"}),
    Row("gaussian_nll_loss", (X, T, 0.3), {"full": True}),
    *(
        Row("poisson_nll_loss", (X, COUNTS), {"full": f, "reduction": r})
        for f in (False, True)
        for r in ("mean", "none")
    ),
    Row("poisson_nll_loss", (RATES, COUNTS), {"log_input": False, "full": True, "reduction": "sum"}),
    Row("poisson_nll_loss", (RATES, COUNTS), {"log_input": False, "eps": 0.1}),
]
