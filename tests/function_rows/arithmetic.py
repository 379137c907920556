"""Angles, logarithms of sums, extrema, choice, gates, rounding; running and several reductions; distances."""

from __future__ import annotations

import numpy as np

from function_rows.elementary import BOTH, X, reductions, unary
from function_rows.row import Row, distinct, draw

ZEROS = np.array([[2.0, 0.0, 3.0, 0.0], [1.5, 0.0, -1.0, 2.0], [0.5, 1.5, 2.0, 3.0]])
AROUND = draw(3, 4, avoid=(0.0,))
CUBE = draw(2, 3, 4)

ROWS: list[Row] = [
    *unary("frac", draw(3, 4, avoid=(-1, 0, 1))),
    *unary("positive sinc tanhshrink", X),
    Row("sgn", (AROUND,), in_torch=False),  # PyTorch's gradient is no tensor with numbers
    Row("sinc", (np.array([0.0, 1e-4, -0.05, 0.09, -0.11, 1.0, 2.5]),)),
    Row("round", (np.array([1236.1, -3456.7]),), {"decimals": -2}),
    Row("logit", (draw(3, 4, low=0.05, high=0.95),)),
    Row("logit", (draw(3, 4, low=0.05, high=0.95, avoid=(0.2, 0.8)), 0.2)),
    Row("nan_to_num", (X,)),
    Row(
        "nan_to_num", (np.where(np.arange(12).reshape(3, 4) % 2, X, 0.5),), {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}
    ),
    Row("rsub", BOTH),
    Row("rsub", (X, 2.0), {"alpha": 0.5}),
    Row("true_divide", BOTH),
    Row("fmax", (distinct(3, 4), distinct(4) + 0.1)),
    Row("fmin", (distinct(3, 4), distinct(4) + 0.1)),
    Row("clamp_min", (draw(3, 4, avoid=(0.3,)), 0.3)),
    Row("clamp_min", (distinct(3, 4), distinct(4) + 0.1)),
    Row("clamp_max", (draw(3, 4, avoid=(0.3,)), 0.3)),
    Row("clamp_max", (distinct(3, 4), distinct(4) + 0.1)),
    Row("addcmul", (X, draw(4, seed=1), draw(3, 1, seed=2)), {"value": 0.3}),
    Row("addcmul", (draw(4), X, draw(3, 4, seed=2))),
    Row("addcdiv", (X, draw(4, seed=1), draw(3, 1, seed=2, avoid=(0.0,))), {"value": 0.3}),
    Row("atan2", (AROUND, draw(3, 4, seed=1, avoid=(0.0,)))),
    Row("atan2", (AROUND, draw(4, seed=1, avoid=(0.0,)))),
    Row("hypot", (AROUND, draw(4, seed=1, avoid=(0.0,)))),
    Row("logaddexp", (X, draw(4, seed=1))),
    Row("logaddexp", (np.array([1.0, 0.0, 800.0, -800.0]), np.array([1.0, 0.0, 1.0, -801.0]))),
    Row("logaddexp2", (X, draw(4, seed=1))),
    Row("xlogy", (X, draw(4, low=0.3, high=2.0))),
    Row("threshold", (draw(3, 4, avoid=(0.3,)), 0.3, -7.0)),
    Row("prelu", (AROUND, np.array([0.25]))),
    Row("prelu", (AROUND, draw(4, low=0.1, high=0.5))),
    Row("prelu", (draw(2, 3, 2, avoid=(0.0,)), draw(3, low=0.1, high=0.5))),
    Row("glu", (X,)),
    Row("glu", (CUBE, 0)),
    Row("swiglu", (X,), in_torch=False),
    Row("swiglu", (CUBE, 0), in_torch=False),
    Row("prod", (ZEROS,)),
    Row("prod", (ZEROS[2:],), {"dtype": "float64"}),
    Row("prod", (ZEROS, 0)),
    Row("cumprod", (ZEROS, 1)),
    Row("cumprod", (ZEROS, 0), {"dtype": "float64"}),
    Row("cumsum", (X, 0), {"dtype": "float64"}),
    *(Row(name, (X, 1), {"dtype": "float64"}) for name in ("softmax", "log_softmax", "softmin")),
    Row("mean", (X,), {"dtype": "float64"}),
    Row("norm", (X,), {"dtype": "float64"}),
    Row("std", (X, True)),
    Row("var", (X, False)),
    Row("var", (X, 1, False, True)),
    *reductions("var_mean"),
    *reductions("std_mean", correction=0),
    Row("var_mean", (X, False)),
    *(Row("aminmax", (distinct(3, 4),), kw) for kw in ({}, {"dim": 0}, {"dim": -1, "keepdim": True})),
    *reductions("nansum", X),
    *reductions("nanmean", X),
    *(Row("logcumsumexp", (X, dim)) for dim in (0, -1)),
    Row("diff", (X,)),
    Row("diff", (X, 2, 0)),
    Row("diff", (X,), {"n": 0}),
    Row("diff", (X, 1, 1, draw(3, 2, seed=1), draw(3, 1, seed=2))),
    Row("normalize", (X,)),
    Row("normalize", (CUBE, 3.0, (0, 2))),
    Row("normalize", (0.1 * X,), {"dim": 0, "eps": 5.0}),
    Row("cosine_similarity", (X, draw(3, 4, seed=1))),
    Row("cosine_similarity", (draw(3, 1, 4), draw(2, 4, seed=1), -1)),
    Row("cosine_similarity", (draw(3, 1, 4), draw(3, 2, 1, seed=1)), {"dim": 1}),
    Row("pairwise_distance", (X, draw(4, seed=1))),
    Row("pairwise_distance", (X, draw(3, 4, seed=1), 1.0, 0.1, True)),
    Row("cdist", (X, draw(2, 4, seed=1))),
    Row("cdist", (draw(2, 3, 4), draw(2, 4, seed=1)), {"p": 3.0}),
    Row("linspace", (np.array(0.5), np.array(2.0), 4), {"dtype": "float64"}, in_torch=False),
    Row("linspace", (np.array(0.5), 2.0, 1), {"dtype": "float64"}, in_torch=False),
]
