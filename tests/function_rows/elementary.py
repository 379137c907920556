"""Elementwise functions, products, reductions, shapes, indexing, activations and losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from function_rows.row import Row, distinct, draw

X = draw(3, 4)
POSITIVE = draw(3, 4, low=0.3, high=3.0)
INNER = draw(3, 4, low=-0.9, high=0.9)
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, True]])
INDEX = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])
CLASSES = np.array([2, 0, 3])
PROBABILITIES = draw(3, 4, low=0.05, high=0.95)
DISTRIBUTION = PROBABILITIES / PROBABILITIES.sum(1, keepdims=True)
IMAGE_CLASSES = np.array([[[1, 0], [3, -100]], [[2, 2], [0, 1]]])
BOTH = (draw(3, 4, seed=1), draw(4, seed=2, avoid=(0.0,)))


def unary(names: str, x: np.ndarray = X) -> list[Row]:
    return [Row(name, (x,)) for name in names.split()]


def reductions(name: str, x: np.ndarray = X, **kwargs: Any) -> list[Row]:
    dims: list[dict[str, Any]] = [{}, {"dim": 1}, {"dim": -2, "keepdim": True}, {"dim": (0, 2)}]
    cube = np.resize(x, (3, 4)).reshape(3, 2, 2)
    return [Row(name, (cube,), {**d, **kwargs}) for d in dims]


ROWS: list[Row] = [
    *unary(
        "neg exp exp2 expm1 sin cos sinh cosh tanh asinh atan erf sigmoid square tan logsigmoid silu mish softsign", X
    ),
    *unary("abs sign relu leaky_relu elu selu celu gelu", draw(3, 4, avoid=(0.0,))),
    *unary("relu6 hardswish hardsigmoid hardtanh", draw(5, 4, low=-5, high=8, avoid=(-3, -1, 0, 1, 3, 6))),
    *unary("softshrink hardshrink", draw(5, 4, avoid=(-0.5, 0.5))),
    *unary("log log2 log10 log1p sqrt rsqrt reciprocal", POSITIVE),
    *unary("asin acos atanh", INNER),
    *unary("acosh", POSITIVE + 1),
    *unary("floor ceil trunc", draw(3, 4, avoid=(-1, 0, 1))),
    Row("round", (draw(3, 4, avoid=(-1.5, -0.5, 0.5, 1.5)),)),
    Row("round", (np.array([1.2361, -3.4567]),), {"decimals": 2}),
    Row("gelu", (X,), {"approximate": "tanh"}),
    Row("leaky_relu", (draw(3, 4, avoid=(0.0,)), 0.2)),
    Row("elu", (draw(3, 4, avoid=(0.0,)),), {"alpha": 1.7}),
    Row("celu", (draw(3, 4, avoid=(0.0,)),), {"alpha": 0.6}),
    Row("hardtanh", (draw(3, 4, avoid=(-0.5, 1.5)), -0.5, 1.5)),
    Row("softplus", (X,)),
    Row("softplus", (draw(3, 4, low=-4, high=12, avoid=(3.0,)),), {"beta": 2.0, "threshold": 6.0}),
    Row("softshrink", (draw(3, 4, avoid=(-0.3, 0.3)),), {"lambd": 0.3}),
    Row("hardshrink", (draw(3, 4, avoid=(-0.3, 0.3)),), {"lambd": 0.3}),
    Row("add", BOTH),
    Row("add", BOTH, {"alpha": 2.5}),
    Row("sub", BOTH),
    Row("sub", BOTH, {"alpha": -0.5}),
    Row("mul", BOTH),
    Row("mul", (draw(3, 1), draw(2, 1, 4))),
    Row("div", BOTH),
    Row("div", (X, 2)),
    Row("div", (np.array([5.3, -5.3]), np.array([2.1, 2.1])), {"rounding_mode": "trunc"}),
    Row("div", (np.array([5.3, -5.3]), np.array([2.1, 2.1])), {"rounding_mode": "floor"}),
    Row("floor_divide", (np.array([5.3, -5.3]), np.array([2.1, 2.1]))),
    Row("remainder", (np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.1, 2.1, -2.1, -2.1]))),
    Row("fmod", (np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.1, 2.1, -2.1, -2.1]))),
    Row("pow", (POSITIVE, draw(4))),
    Row("pow", (X, 3)),
    Row("pow", (2.0, X)),
    Row("maximum", (distinct(3, 4), distinct(4) + 0.1)),
    Row("minimum", (distinct(3, 4), distinct(4) + 0.1)),
    Row("clamp", (draw(3, 4, avoid=(-1, 0.5)), -1, 0.5)),
    Row("clamp", (draw(3, 4, avoid=(0,)),), {"min": 0}),
    Row("clamp", (draw(3, 4, avoid=(0,)),), {"max": 0}),
    Row("clamp", (draw(3, 4, avoid=(-0.8, 0.6)), np.array(-0.8), np.full(4, 0.6))),
    Row("clamp", (draw(3, 4, avoid=(-0.8, 0.6)), np.array([0.6, -0.8, -0.8, -0.8]), np.array([-0.8, 0.6, 0.6, 0.6]))),
    Row("where", (MASK, *BOTH)),
    Row("where", (MASK, X, 0.5)),
    Row("lerp", (X, draw(3, 4, seed=1), 0.3)),
    Row("lerp", (X, draw(4, seed=1), draw(3, 1, seed=2))),
    Row("masked_fill", (X, MASK, 1.5)),
    Row("masked_fill", (X, MASK, np.array(1.5))),
    Row("to", (X, "float64")),
    *unary("double clone contiguous", X),
    *reductions("sum"),
    Row("sum", (X,), {"dtype": "float64"}),
    *reductions("mean"),
    *reductions("var"),
    *reductions("var", correction=0),
    *reductions("std"),
    *reductions("std", unbiased=False),
    *reductions("amax", distinct(3, 4)),
    *reductions("amin", distinct(3, 4)),
    *(
        Row(name, (distinct(3, 4),), kw)
        for name in ("max", "min")
        for kw in ({}, {"dim": 0}, {"dim": -1, "keepdim": True})
    ),
    Row("max", (distinct(3, 4), distinct(4) + 0.1)),
    Row("min", (distinct(3, 4), distinct(4) + 0.1)),
    *(Row("prod", (X,), kw) for kw in ({}, {"dim": 0}, {"dim": -1, "keepdim": True})),
    Row("prod", (np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 1.5], [1.0, 2.0, 3.0]]),), {"dim": 1}),
    *(r for p in (1, 2, 3, 1.5, 0.5, math.inf, -math.inf, 0, "fro") for r in reductions("norm", distinct(3, 4), p=p)),
    *(Row(name, (X, dim)) for name in ("cumsum", "cumprod") for dim in (0, -1)),
    Row("cumprod", (np.array([[2.0, 0.0, 3.0, 0.0, 5.0]]), 1)),
    *reductions("logsumexp")[1:],
    *(Row(name, (X, dim)) for name in ("softmax", "log_softmax", "softmin") for dim in (0, -1)),
    Row("reshape", (X, (2, -1))),
    Row("view", (X, 6, 2)),
    Row("flatten", (draw(2, 3, 2), 1)),
    Row("unflatten", (X, 1, (2, -1))),
    Row("transpose", (draw(2, 3, 2), 0, -1)),
    Row("t", (X,)),
    Row("permute", (draw(2, 3, 4), (2, 0, 1))),
    Row("movedim", (draw(2, 3, 4), 0, -1)),
    Row("movedim", (draw(2, 3, 4), (0, 1), (2, 0))),
    Row("squeeze", (draw(1, 3, 1),)),
    Row("squeeze", (draw(1, 3, 1), -1)),
    Row("unsqueeze", (X, 1)),
    Row("expand", (draw(3, 1), 2, -1, 4)),
    Row("expand_as", (draw(3, 1), X)),
    Row("broadcast_to", (draw(4), (3, 4))),
    Row("repeat", (draw(2, 3), 2, 1, 2)),
    Row("cat", ([X, draw(3, 2)], 1)),
    Row("stack", ([X, draw(3, 4, seed=1)], -1)),
    Row("split", (X, 3, 1)),
    Row("split", (X, [1, 2], 0)),
    Row("chunk", (draw(5, 2), 3)),
    Row("unbind", (X, 1)),
    Row("flip", (X, (0, 1))),
    Row("tril", (X,)),
    Row("tril", (X, 1)),
    Row("triu", (draw(2, 3, 3), -1)),
    Row("mm", (X, draw(4, 2))),
    Row("bmm", (draw(2, 3, 4), draw(2, 4, 2))),
    *(
        Row("matmul", (draw(*a), draw(*b, seed=1)))
        for a, b in [
            ((4,), (4,)),
            ((4,), (4, 2)),
            ((3, 4), (4,)),
            ((3, 4), (4, 2)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((3, 4), (2, 4, 2)),
        ]
    ),
    Row("dot", (draw(4), draw(4, seed=1))),
    Row("mv", (X, draw(4))),
    Row("outer", (draw(4), draw(3))),
    Row("addmm", (draw(2), X, draw(4, 2)), {"beta": 0.5, "alpha": 2.0}),
    Row("addmm", (draw(3, 2), X, draw(4, 2))),
    Row("baddbmm", (draw(2, 3, 2), draw(2, 3, 4), draw(2, 4, 2)), {"beta": 0.5, "alpha": 2.0}),
    Row("gather", (X, 0, INDEX)),
    Row("gather", (X, 1, np.array([[3, 3], [0, 1]]))),
    Row("scatter_add", (X, 0, INDEX, draw(2, 4, seed=1))),
    Row("scatter_add", (X, 0, INDEX[:, :3], draw(3, 4, seed=1)), in_torch=False),
    Row("index_select", (X, -1, np.array([3, 0, 3]))),
    Row("embedding", (np.array([[0, 2], [2, 1]]), X)),
    Row("linear", (draw(2, 3, 4), draw(5, 4))),
    Row("linear", (X, draw(5, 4), draw(5))),
    *(
        Row(n, (X, draw(3, 4, seed=1)), {"reduction": r})
        for n in ("mse_loss", "l1_loss")
        for r in ("mean", "sum", "none")
    ),
    *(
        Row("smooth_l1_loss", (X, draw(3, 4, seed=1)), kw)
        for kw in ({}, {"beta": 0.4}, {"beta": 0.0, "reduction": "sum"})
    ),
    *(Row("huber_loss", (X, draw(3, 4, seed=1)), kw) for kw in ({}, {"delta": 0.4, "reduction": "none"})),
    *(
        Row("cross_entropy", (X, CLASSES), {**kw, "label_smoothing": s})
        for kw in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 0})
        for s in (0.0, 0.2)
    ),
    *(
        Row("cross_entropy", (X, DISTRIBUTION), {"label_smoothing": s, "reduction": r})
        for s in (0.0, 0.2)
        for r in ("mean", "none")
    ),
    Row("cross_entropy", (draw(2, 4, 2, 2), IMAGE_CLASSES), {"label_smoothing": 0.1}),
    Row("cross_entropy", (draw(4), np.array(2))),
    Row("nll_loss", (X, CLASSES)),
    Row("nll_loss", (draw(2, 4, 2, 2), IMAGE_CLASSES), {"reduction": "none"}),
    *(
        Row("binary_cross_entropy", (PROBABILITIES, draw(3, 4, low=0, high=1)), {"reduction": r})
        for r in ("mean", "none")
    ),
    *(
        Row("binary_cross_entropy_with_logits", (X, draw(3, 4, low=0, high=1)), {"reduction": r})
        for r in ("mean", "none")
    ),
    *(Row("kl_div", (X, DISTRIBUTION), {"reduction": r}) for r in ("mean", "sum", "batchmean", "none")),
    Row("kl_div", (X, draw(3, 4, seed=1)), {"log_target": True}),
]
