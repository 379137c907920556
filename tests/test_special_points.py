"""Where formulas have corners: values and gradients at zeros, ties, infinities and NaN; and second derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from evaluation import Evaluator, run
from function_rows import arithmetic, linear
from function_rows.row import Row
from test_eager_functions import identify
from test_functions import Call, takes

import staticgrad as sg
from staticgrad import eager
from staticgrad.graph import Leaf
from staticgrad.methods import FUNCTIONS

torch = pytest.importorskip("torch")
F = sg.nn.functional

INF, NAN = math.inf, math.nan
POINTS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("atan2", [[0.0, 0.0, -0.0, 1.0, -0.0, -1.0], [0.0, -1.0, -1.0, 0.0, 0.0, -0.0]], {}),
    ("atan2", [[INF, INF, -INF, 1.0, 2.0, NAN], [INF, -INF, 1.0, INF, -INF, 1.0]], {}),
    ("hypot", [[3.0, 0.0, 1e-200, 1e200], [4.0, 2.0, 1e-200, 1e200]], {}),
    ("hypot", [[INF, 1.0], [1.0, -INF]], {}),
    ("logaddexp", [[-INF, 0.0, 1.0, 900.0], [0.0, 0.0, INF, -900.0]], {}),
    ("logaddexp2", [[-INF, 0.0, 1.0], [0.0, 0.0, 1.0]], {}),
    ("xlogy", [[0.0, 0.0, 1.0, 2.0], [2.0, NAN, 1.0, 0.5]], {}),
    ("sinc", [[0.0, 1.0, -2.0, 0.1]], {}),
    ("logit", [[0.05, 0.1, 0.9, 0.95]], {"eps": 0.1}),
    ("logit", [[0.0, 1.0, -0.1, 0.5]], {}),
    ("fmax", [[1.0, NAN, 1.0, NAN], [1.0, 1.0, NAN, NAN]], {}),
    ("fmin", [[1.0, NAN, 1.0, NAN], [1.0, 1.0, NAN, NAN]], {}),
    ("clamp_min", [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], {}),
    ("clamp_max", [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], {}),
    ("nan_to_num", [[NAN, INF, -INF, 1.0]], {"posinf": 3.0}),
    ("nan_to_num", [[NAN, INF, -INF, 1.0]], {}),
    ("trunc", [[-1.5, -0.5, 0.5, 2.0, -INF]], {}),
    ("frac", [[-1.5, 1.5, 2.0]], {}),
    ("round", [[0.125, 0.375, -0.125]], {"decimals": 2}),
    ("threshold", [[1.0, 2.0, 0.5]], {"threshold": 1.0, "value": 5.0}),
    ("prelu", [[[0.0, -1.0], [2.0, -0.0]], [0.3, 0.2]], {}),
    ("prod", [[0.0, 2.0, 3.0]], {}),
    ("prod", [[0.0, 2.0, 0.0]], {}),
    ("prod", [[[0.0, 2.0], [0.0, 0.0]]], {"dim": 0}),
    ("cumprod", [[2.0, 0.0, 3.0, 0.0, 4.0]], {"dim": 0}),
    ("cumprod", [[0.0, 0.0]], {"dim": 0}),
    ("aminmax", [[1.0, 1.0, 2.0, 2.0]], {}),
    ("nansum", [[1.0, NAN, 2.0]], {}),
    ("nanmean", [[1.0, NAN, 3.0]], {}),
    ("logcumsumexp", [[1000.0, -1000.0, 1000.0]], {"dim": 0}),
    ("normalize", [[[0.0, 0.0], [3.0, 4.0]]], {}),
    ("normalize", [[[1.0, 2.0], [3.0, 4.0]]], {"eps": 3.0}),
    ("cosine_similarity", [[[0.0, 0.0], [3.0, 4.0]], [[3.0, 4.0], [1.0, 2.0]]], {}),
    ("cosine_similarity", [[[1.0, 2.0], [3.0, 4.0]], [[3.0, 4.0], [1.0, 2.0]]], {"eps": 3.0}),
    ("pairwise_distance", [[[1.0, 2.0]], [[1.0, 2.0]]], {"eps": 0.0}),
    *(
        ("cdist", [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 5.0], [1.0, 3.0]]], {"p": p})
        for p in (0.0, 0.5, 1.0, 2.0, 3.0, INF)
    ),
    ("std_mean", [[2.0, 2.0]], {}),
    ("var_mean", [[2.0]], {"correction": 0}),
    ("div", [[7.0, -7.0, 7.5], [2.0, 2.0, -2.0]], {"rounding_mode": "trunc"}),
    ("trace", [[[1.0, NAN], [INF, 2.0]]], {}),
    ("einsum", ["ii->i", [[1.0, NAN], [INF, 2.0]]], {}),
]


def flat(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple) else [y]


def of_torch(name: str, arguments: list[Any], keywords: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    f: Callable[..., Any] = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    if name == "threshold":
        f = torch.nn.functional.threshold
    xs = [x if isinstance(x, str) else torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in arguments]
    ys = flat(f(*xs, **keywords))
    sum(y.sum() for y in ys).backward()
    return [y.detach().numpy() for y in ys], [x.grad.numpy() for x in xs if not isinstance(x, str)]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize(("name", "arguments", "keywords"), POINTS, ids=lambda x: str(x)[:60])
def test_special_points_are_those_of_torch(name: str, arguments: list[Any], keywords: dict[str, Any]) -> None:
    expected = of_torch(name, arguments, keywords)
    texts = [x for x in arguments if isinstance(x, str)]
    arrays = [np.array(x) for x in arguments if not isinstance(x, str)]
    symbolic = run(lambda *xs: FUNCTIONS[name](*texts, *xs, **keywords), *arrays)
    tensors = [eager.tensor(x, dtype="float64", requires_grad=True) for x in arrays]
    ys = flat(getattr(eager.functions, name)(*texts, *tensors, **keywords))
    total: Any = 0.0
    for y in ys:
        total = total + y.sum()
    if total.requires_grad:
        total.backward()
    pulled = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in tensors]
    for found in (symbolic, ([y.numpy() for y in ys], pulled)):
        for mine, theirs in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


def test_between_equal_infinities_each_gets_half() -> None:
    """PyTorch has NaN there."""
    for name in ("logaddexp", "logaddexp2"):
        (value,), gradients = run(FUNCTIONS[name], np.array([-INF, INF]), np.array([-INF, INF]))
        assert value.tolist() == [-INF, INF] and [g.tolist() for g in gradients] == [[0.5, 0.5]] * 2


def second(row: Row) -> tuple[list[Any], list[Any]]:
    """The gradients of a sum of the gradients, ours and PyTorch's; the numbers of both."""
    call = Call(row)
    inputs = [x for x in call.leaves if x.type.dtype.is_float]
    outputs = [y for y in call.outputs if y.type.dtype.is_float]
    values = Evaluator(call.leaves, outputs)(call.feeds)
    weights = [np.random.default_rng(i).uniform(0.5, 1.5, v.shape) for i, v in enumerate(values)]
    seeds = [Leaf("input", f"g{i}", y.type).outputs[0] for i, y in enumerate(outputs)]
    first = sg.vjp(outputs, inputs, seeds)
    total: Any = sum(((i + 1.0) * (g * g)).sum() for i, g in enumerate(first))
    feeds = call.feeds | {f"g{i}": w for i, w in enumerate(weights)}
    found = Evaluator([*call.leaves, *seeds], list(sg.grad(total, inputs, unused="zero")), rewritten=True)(feeds)

    xs: list[Any] = []

    def convert(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        xs.append(torch.tensor(x, requires_grad=x.dtype == np.float64))
        return xs[-1]

    arguments = [convert(x) for x in row.args]
    f = getattr(torch.nn.functional, row.name, None) or getattr(torch, row.name)
    keywords = {k: getattr(torch, v) if k == "dtype" else v for k, v in row.kwargs.items()}
    ys = [y for y in flat(f(*arguments, **keywords)) if y.is_floating_point()]
    leaves = [x for x in xs if x.requires_grad]
    pulled = torch.autograd.grad(
        [y for y in ys if y.requires_grad],
        leaves,
        [torch.tensor(w) for w, y in zip(weights, ys, strict=True) if y.requires_grad],
        create_graph=True,
        allow_unused=True,
    )
    squared = sum((i + 1.0) * (g * g).sum() for i, g in enumerate(pulled) if g is not None)
    if not squared.requires_grad:
        return found, [np.zeros(x.shape) for x in leaves]
    wanted = torch.autograd.grad(squared, leaves, allow_unused=True)
    return found, [np.zeros(x.shape) if g is None else g.numpy(force=True) for x, g in zip(leaves, wanted, strict=True)]


ROWS = [row for row in [*arithmetic.ROWS, *linear.ROWS] if takes(row) and row.in_torch]
OWN_SECOND = {
    "sinc": "PyTorch has 0 for the second derivative at 0, which is -pi^2/3",
    "cdist": "PyTorch has no second derivative for other norms",
    "prod": "PyTorch's second derivative lacks terms where several factors are 0",
    "cumprod": "PyTorch's second derivative lacks terms where several factors are 0",
}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in OWN_SECOND], ids=identify)
def test_second_derivatives_are_those_of_torch(row: Row) -> None:
    found, expected = second(row)
    for g, h in zip(found, expected, strict=True):
        if row.name == "logaddexp":
            # PyTorch's overflows between numbers that are far apart.
            h = np.where(np.isnan(h) & np.isfinite(g), g, h)
        np.testing.assert_allclose(g, h, rtol=1e-8, atol=1e-9)


def test_second_derivatives_where_two_branches_meet() -> None:
    x = sg.input("x", (3,), "float64")
    zero = {"x": np.zeros(3)}

    def curvature(y: sg.Value) -> list[float]:
        second = sg.grad(sg.grad(y.sum(), x).sum(), x, unused="zero")
        result: list[float] = Evaluator([x], [second])(zero)[0].tolist()
        return result

    assert curvature(sg.sinc(x)) == pytest.approx([-(math.pi**2) / 3] * 3)
    assert curvature(sg.logaddexp(x, 0.0)) == pytest.approx([0.25] * 3)
    assert curvature(sg.prod(x)) == pytest.approx([0.0] * 3)
    y = sg.constant(np.array([0.0, 2.0, 3.0]))
    # The product of two zeros and a number: only its mixed derivative by the zeros is not 0.
    assert curvature(sg.prod(sg.stack([x, x, y]), 0)) == pytest.approx([0.0, 4.0, 6.0])
    assert curvature(sg.cumprod(sg.stack([x, y, x]), 0)) == pytest.approx([0.0, 4.0, 6.0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: x.div(2.0, rounding_mode="up"), "rounding_mode None, 'floor' or 'trunc', 'up' came"),
        (lambda x: x.round(decimals=1.5), "an int for decimals, 1.5 came"),
        (lambda x: x.prod((0, 1)), "one dimension or none"),
        (lambda x: x.norm("nuc"), "'nuc' came, which needs singular values"),
        (lambda x: x.norm("max"), "'max' came"),
        (lambda x: x.var(0, 0), "takes a bool for unbiased, 0 came"),
        (lambda x: F.glu(x), "even size of dimension -1, 3 elements came"),
        (lambda x: F.swiglu(x, 5), "out of range"),
        (lambda x: F.glu(sg.input("y", (2, "N"))), "only the run knows"),
        (lambda x: F.prelu(x, sg.input("w", (4,))), "4 weights for 3 channels"),
        (lambda x: F.prelu(x, sg.input("w", (3, 1))), "rank 0 or 1"),
        (lambda x: (x > 0).positive(), "bool came"),
        (lambda x: x.diff(-1), "0 or more for n"),
        (lambda x: x.sum().diff(), "rank 1 or more"),
        (lambda x: sg.cdist(x, x[0]), "rank 2 or more"),
        (lambda x: sg.where(x, x, x), "bools as its condition"),
        (lambda x: x.masked_fill(x > 0, x), "a number or a tensor of rank 0"),
        (lambda x: sg.linspace(x, 1.0, 3), "tensors of rank 0"),
        (lambda x: sg.tensordot(x, x, 3), "tensordot over 3 axes"),
        (lambda x: sg.tensordot(x, x, ([0], [1])), "has the sizes"),
        (lambda x: sg.tensordot(x, x, "ab"), "two lists of axes|as many axes|an axis is an int"),
        (lambda x: sg.vdot(x, x), "rank 1"),
        (lambda x: sg.trace(x[0]), "rank 2"),
        (lambda x: sg.einsum("ij->i", x.long(), x), "do not agree"),
    ],
)
def test_what_is_refused(wrong: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        wrong(sg.input("x", (2, 3)))
    assert "\n" not in str(caught.value) and ".py:" in str(caught.value)
