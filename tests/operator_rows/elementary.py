"""Elementwise operators, products, reductions, shapes and indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from operator_rows.row import Fixed, Row, distinct, draw, ints, number, row

X = draw(3, 4)
AWAY = draw(3, 4, avoid=(0.0,))
POSITIVE = draw(3, 4, low=0.3, high=3.0)
INNER = draw(3, 4, low=-0.9, high=0.9)
CUBE = draw(2, 3, 4)
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, True]])
BROADCASTS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((), (3, 4)),
    ((2, 1, 4), (3, 1)),
    ((1,), ()),
    ((1, 1), (4,)),
]
BACKWARD = Fixed(-(2**62))

REDUCTIONS: list[tuple[Any, dict[str, Any]]] = [
    (None, {}),
    (Fixed(1), {"keepdims": False}),
    (Fixed(-1), {}),
    (Fixed(0, -1), {"keepdims": False}),
    (None, {"noop_with_empty_axes": True}),
    (Fixed([]), {"keepdims": False}),
    (Fixed([]), {"noop_with_empty_axes": True, "keepdims": False}),
]


def pairs(
    operator: str, low: float = -2.0, high: float = 2.0, low2: float | None = None, **attributes: Any
) -> list[Row]:
    """Two operands, in all ways that they can broadcast."""
    return [
        row(
            operator,
            draw(*a, low=low, high=high, seed=1),
            draw(*b, low=low if low2 is None else low2, high=high, seed=2),
            **attributes,
        )
        for a, b in BROADCASTS
    ]


def comparisons(*operators: str) -> list[Row]:
    return [row(o, *x) for o in operators for x in ((X, np.where(MASK, X, 1.0)), (ints(1, 2, 3), ints([[2], [1]])))]


ROWS: list[Row] = [
    # arithmetic
    *pairs("Add"),
    *pairs("Sub"),
    *pairs("Mul"),
    *pairs("Div", low=0.3),
    row("Add", ints(1, 2), ints(3, 4)),
    row("Div", ints(7, -7), ints(2, 2)),
    row("Mod", ints(7, -7, 7), ints(2, 2, -3)),
    row("Mod", ints(7, -7, 7), ints(2, 2, -3), fmod=True),
    row("Mod", np.array([5.3, -5.3, 5.3, -5.3, 0.7]), np.array([2.1, 2.1, -2.1, -2.1, 1.1]), fmod=True),
    row("Mod", np.array([[5.3], [-7.3]]), np.array([2.1, 3.1]), fmod=True),
    row("Neg", X),
    row("Abs", AWAY),
    row("Sign", AWAY),
    row("Reciprocal", POSITIVE),
    row("Sqrt", POSITIVE),
    *pairs("Pow", low=0.3, low2=-2.0),
    row("Pow", X, Fixed(3.0, dtype="float64")),
    row("Pow", X, Fixed([0.0, 1.0, 2.0, 3.0], dtype="float64"), dynamic="unknown"),
    row("Pow", np.zeros(5), Fixed([0.0, 1.0, 2.0, 3.0, 4.0], dtype="float64"), dynamic="unknown"),
    row("Pow", AWAY, Fixed([-1.0, -2.0, 0.0, 5.0], dtype="float64"), dynamic="unknown"),
    row("Max", distinct(3, 4), distinct(4) + 0.1),
    row("Max", distinct(3, 1), distinct(1, 4) + 0.1, distinct(2, 1, 1) + 0.05),
    row("Max", X),
    row("Min", distinct(3, 4), distinct(4) + 0.1),
    row("Min", distinct(3, 1), distinct(1, 4) + 0.1, distinct(2, 1, 1) + 0.05),
    row("Min", X),
    row("Clip", draw(3, 4, avoid=(-0.8, 0.6)), number(-0.8), number(0.6)),
    row("Clip", draw(3, 4, avoid=(0.1,)), number(0.1), None),
    row("Clip", draw(3, 4, avoid=(0.1,)), None, number(0.1)),
    row("Clip", draw(3, 4, avoid=(0.6, -0.8)), number(0.6), number(-0.8)),
    row("Clip", X, None, None),
    row("Floor", draw(3, 4, avoid=(-1, 0, 1))),
    row("Ceil", draw(3, 4, avoid=(-1, 0, 1))),
    row("Round", draw(3, 4, avoid=(-1.5, -0.5, 0.5, 1.5))),
    row("Cast", X, to="float64"),
    row("Cast", X, to="int64"),
    row("Cast", ints(0, 2), to="bool"),
    # mathematics
    *(row(o, X) for o in "Exp Erf Sin Cos Atan Sinh Cosh Tanh Asinh".split()),
    row("Log", POSITIVE),
    row("Tan", INNER),
    *(row(o, INNER) for o in "Asin Acos Atanh".split()),
    row("Acosh", POSITIVE + 1),
    # activations
    *(row(o, AWAY) for o in "Relu LeakyRelu Elu Selu".split()),
    row("Celu", AWAY, dtype="float32"),
    row("LeakyRelu", AWAY, alpha=-0.3),
    row("Elu", AWAY, alpha=1.7),
    row("Selu", AWAY, alpha=1.2, gamma=0.7),
    row("Celu", AWAY, alpha=0.6, dtype="float32"),
    *(row(o, X) for o in "Sigmoid Softplus Mish Gelu".split()),
    row("Softsign", AWAY),
    row("Gelu", X, approximate="tanh"),
    row("HardSigmoid", draw(5, 4, low=-5, high=5, avoid=(-2.5, 2.5))),
    row("HardSigmoid", draw(5, 4, low=-5, high=5, avoid=(-0.5, 2.0)), alpha=-0.4, beta=0.8),
    row("HardSwish", draw(5, 4, low=-5, high=5, avoid=(-3, 3))),
    *(row(o, CUBE, axis=a) for o in ("Softmax", "LogSoftmax") for a in (-1, 0, 1)),
    # logic
    *comparisons("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
    row("Equal", MASK, MASK[:1]),
    *(row(o, MASK, MASK[::-1].copy()) for o in ("And", "Or", "Xor")),
    row("Not", MASK),
    row("IsNaN", np.array([np.nan, 1.0])),
    row("IsInf", np.array([np.inf, -np.inf, 1.0])),
    row("IsInf", np.array([np.inf, -np.inf, 1.0]), detect_negative=False),
    row("Where", MASK, X, draw(3, 4, seed=1)),
    row("Where", MASK, draw(4, seed=1), draw(2, 3, 1, seed=2)),
    row("Where", MASK[:, :1].copy(), number(0.3), draw(1, 4)),
    row("Where", MASK[0], draw(2, 1, seed=1), draw(1, seed=2)),
    # values out of nothing
    row("Constant", value=np.array([1.5, 2.5])),
    row("ConstantOfShape", Fixed(2, 3), value=np.array([1.5])),
    row("ConstantOfShape", Fixed([]), value=np.array([7])),
    row("Range", number(0.5), Fixed(np.array(3.2), dtype="float64"), number(0.7)),
    row("Range", number(2.5), Fixed(np.array(-3.2), dtype="float64"), number(-1.1)),
    row("Range", Fixed(np.array(1)), Fixed(np.array(8)), Fixed(np.array(3))),
    row("EyeLike", X),
    row("EyeLike", X, k=-1, dtype="int64"),
    *(
        row("Trilu", x, k, upper=u)
        for x, k in ((X, None), (CUBE, Fixed(np.array(1))), (CUBE, Fixed(np.array(-1))))
        for u in (True, False)
    ),
    row("NonZero", np.array([[1.0, 0.0], [2.0, 3.0]])),
    # linear
    *(
        row("MatMul", draw(*a, seed=1), draw(*b, seed=2))
        for a, b in [
            ((4,), (4,)),
            ((4,), (4, 2)),
            ((3, 4), (4,)),
            ((3, 4), (4, 2)),
            ((3, 3), (3, 3)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((2, 3, 4), (4, 2)),
            ((2, 3, 4), (2, 4, 3)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((3, 4), (2, 4, 2)),
            ((1, 3, 4), (2, 4, 2)),
            ((5, 2, 3, 4), (4, 2)),
        ]
    ),
    *(
        row(
            "Gemm",
            draw(*((4, 3) if ta else (3, 4))),
            draw(*((2, 4) if tb else (4, 2))),
            c,
            transA=ta,
            transB=tb,
            alpha=0.7,
            beta=1.3,
        )
        for ta in (False, True)
        for tb in (False, True)
        for c in (None, draw(2), draw(3, 1))
    ),
    row("Gemm", X, draw(4, 2), number(0.4), alpha=0.0, beta=0.0),
    # reductions
    *(
        row(o, CUBE, *axes, **how)
        for o in ("ReduceSum", "ReduceMean", "ReduceLogSumExp", "ReduceL2")
        for axes, how in ([[] if a is None else [a], h] for a, h in REDUCTIONS)
    ),
    *(
        row(o, distinct(2, 3, 4) + 0.13, *axes, **how)
        for o in ("ReduceMax", "ReduceMin", "ReduceL1")
        for axes, how in ([[] if a is None else [a], h] for a, h in REDUCTIONS)
    ),
    *(
        row(o, number(0.7), keepdims=False, expected=number(0.7))
        for o in ("ReduceSum", "ReduceLogSumExp", "ReduceMax", "ReduceL2")
    ),
    row("ReduceSum", ints([[1, 2], [3, 4]]), Fixed(1)),
    row("ReduceSum", CUBE, ints(0, 2)),
    row("ReduceMean", CUBE, ints(1)),
    *(row(o, distinct(3, 4), axis=a, keepdims=k) for o in ("ArgMax", "ArgMin") for a, k in ((0, True), (-1, False))),
    row("ArgMax", np.array([[1.0, 2.0, 2.0]]), axis=1, select_last_index=True),
    *(
        row("CumSum", CUBE, Fixed(np.array(a)), exclusive=e, reverse=r)
        for a in (0, -1)
        for e in (False, True)
        for r in (False, True)
    ),
    # movement
    row("Identity", X),
    row("Shape", CUBE),
    row("Shape", CUBE, start=-2, end=5),
    row("Size", CUBE),
    row("Reshape", CUBE, Fixed(6, -1)),
    row("Reshape", CUBE, Fixed(0, 12)),
    row("Reshape", CUBE, Fixed(4, 3, 2)),
    row("Reshape", draw(1, 1), Fixed([])),
    row("Reshape", CUBE, ints(3, 8)),
    row("Transpose", CUBE),
    *(row("Transpose", CUBE, perm=p) for p in ((2, 0, 1), (0, 2, 1), (1, 2, 0))),
    row("Squeeze", draw(1, 3, 1), Fixed(-1)),
    row("Squeeze", draw(1, 3, 1), Fixed(0, 2)),
    row("Squeeze", draw(1, 3, 1), dynamic="refused"),
    row("Unsqueeze", X, Fixed(1)),
    row("Unsqueeze", X, Fixed(-1, 0)),
    row("Unsqueeze", number(0.3), Fixed(0, 1)),
    row("Expand", draw(3, 1), Fixed(2, 1, 4)),
    row("Expand", X, Fixed(3, 1), dynamic="unknown"),
    row("Expand", draw(1, 4), ints(3, 4)),
    row("Expand", number(0.4), Fixed(2, 2)),
    row("Tile", draw(2, 3), Fixed(2, 1)),
    row("Tile", draw(2, 3), Fixed(1, 3)),
    row("Tile", draw(2, 3), ints(2, 2)),
    row("Tile", number(0.4), Fixed([])),
    row("Concat", draw(3, 2), X, draw(3, 1), axis=1),
    row("Concat", X, axis=0),
    row("Concat", draw(1, 2, 3), draw(2, 2, 3), axis=-3),
    row("Split", CUBE, Fixed(1, 3), axis=2),
    row("Split", CUBE, Fixed(2, 0, 1), axis=1),
    row("Split", CUBE, axis=-1, num_outputs=2, dynamic="never"),
    row("Split", draw(5, 2), num_outputs=3, dynamic="never"),
    # slicing
    row("Slice", CUBE, Fixed(1), Fixed(3), Fixed(2)),
    row("Slice", CUBE, Fixed(1, 0), Fixed(2, -1)),
    row("Slice", CUBE, Fixed(-2, -100), Fixed(100, 2), Fixed(-1, 1)),
    row("Slice", CUBE, Fixed(-1), BACKWARD, Fixed(2), Fixed(-1)),
    row("Slice", CUBE, Fixed(3, 0), Fixed(0, 3), Fixed(2, 1), Fixed(-2, 2)),
    row("Slice", CUBE, Fixed(-100), BACKWARD, Fixed(2), Fixed(-1), expected=CUBE[:, :, :1]),
    row("Slice", CUBE, Fixed(2), Fixed(2), Fixed(1)),
    row("Slice", CUBE, ints(1), ints(3), Fixed(2)),
    row("Slice", CUBE, ints(3, 1), ints(0, 3), Fixed(2, 1), ints(-2, 1)),
    row("Pad", X, Fixed(1, 0, 0, 2)),
    row("Pad", X, Fixed(1, 2, 0, 1), number(0.7)),
    row("Pad", X, Fixed(-1, 2, 1, -2), number(0.7), expected=np.pad(X[1:, :2], [(0, 1), (2, 0)], constant_values=0.7)),
    row("Pad", CUBE, Fixed(1, 2), number(0.7), Fixed(-1)),
    row("Pad", X, ints(1, 0, 0, 2), number(0.3)),
    # indexing
    *(
        row("Gather", CUBE, i, axis=a)
        for i in (ints([[0, 1], [1, 1]]), ints(-1), ints(np.array(1)), ints(1, 0, 1, dtype="int32"))
        for a in (0, 1, -1)
    ),
    row("GatherElements", X, ints([[0, 2, 1, 0], [2, 2, 0, 1]]), axis=0),
    row("GatherElements", X, ints([[3, -1], [0, 1], [0, 0]], dtype="int32"), axis=1),
    row("GatherND", CUBE, ints([[0, 1], [1, 2], [0, 1]])),
    row("GatherND", CUBE, ints([[[1]], [[-1]]])),
    row("GatherND", CUBE, ints(1, 2, 3)),
    row("ScatterElements", X, ints([[0, 2, 1, 0]]), draw(1, 4, seed=1), axis=0),
    row("ScatterElements", X, ints([[0, 2], [1, -1], [3, 0]], dtype="int32"), draw(3, 2, seed=1), axis=1),
    row("ScatterElements", X, ints([[0, 2, 1, 0], [0, 0, 1, 0]]), draw(2, 4, seed=1), axis=0, reduction="add"),
    row("ScatterND", CUBE, ints([[0, 1], [1, -1]]), draw(2, 4, seed=1), dynamic="unknown"),
    row("ScatterND", CUBE, ints([[1], [1], [0]]), draw(3, 3, 4, seed=1), reduction="add", dynamic="unknown"),
    row("OneHot", ints(2, 0, -1, 7), Fixed(np.array(4)), np.array([0.3, 1.7])),
    row("OneHot", ints([[2, 0]]), Fixed(np.array(3)), np.array([0.3, 1.7]), axis=1),
    row("OneHot", ints([[2, 0]]), Fixed(np.array(3)), Fixed(0, 1), axis=0),
]
