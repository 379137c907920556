"""Functions at kinks, ties, zeros and extreme numbers, and where digits get lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation import Evaluator, run, slope
from function_rows.elementary import X

import staticgrad as sg
from staticgrad.graph import topological
from staticgrad.methods import FUNCTIONS

F = sg.nn.functional


# - kinks -


def test_kinks() -> None:
    assert slope(F.relu, 0.0, -0.0) == [0.0, 0.0]
    assert slope(sg.abs, 0.0) == [0.0]
    assert slope(lambda x: x.clamp(-1.0, 2.0), -1.0, 2.0, -1.5) == [1.0, 1.0, 0.0]
    assert slope(lambda x: x.clamp(sg.constant(np.array(-1.0)), sg.constant(np.array(2.0))), -1.0, 2.0, -1.5) == [
        1,
        1,
        0,
    ]
    assert slope(F.relu6, 0.0, 6.0) == [0.0, 0.0]
    assert slope(F.hardtanh, -1.0, 1.0) == [0.0, 0.0]
    assert slope(F.hardsigmoid, -3.0, 3.0) == [0.0, 0.0]
    assert slope(F.hardswish, -3.0, 3.0) == [0.0, 1.0]
    assert slope(lambda x: F.leaky_relu(x, 0.1), 0.0) == [0.1]
    assert slope(lambda x: F.elu(x, 2.0), 0.0) == [2.0]
    assert slope(F.softshrink, 0.5, -0.5) == [0.0, 0.0]
    assert slope(F.hardshrink, 0.5, -0.5) == [0.0, 0.0]
    assert slope(sg.sign, 0.5) == slope(sg.floor, 0.5) == slope(lambda x: x.round(), 0.5) == [0.0]


@pytest.mark.parametrize("name", ["elu", "selu", "celu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_derivatives_at_zero_are_those_of_torch(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    points = np.array([0.0, -0.0, 0.5, -0.5, 100.0], dtype)
    x, t = sg.input("x", (5,), dtype), torch.tensor(points, requires_grad=True)
    first = sg.grad(getattr(F, name)(x).sum(), x)
    (wanted,) = torch.autograd.grad(getattr(torch.nn.functional, name)(t).sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(wanted.sum(), t)
    found = Evaluator([x], [first, sg.grad(first.sum(), x)])({"x": points})
    np.testing.assert_allclose(found[0], wanted.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(found[1], second.numpy(), rtol=1e-6)


def test_ties() -> None:
    assert slope(sg.amax, 1.0, 3.0, 3.0) == [0.0, 0.5, 0.5]
    assert slope(lambda x: x.amin(0), 1.0, 3.0, 1.0) == [0.5, 0.0, 0.5]
    assert slope(sg.max, 1.0, 3.0, 3.0) == [0.0, 0.5, 0.5]
    assert slope(lambda x: x.max(0).values, 1.0, 3.0, 3.0) == [0.0, 1.0, 0.0]
    assert slope(lambda x: x.min(0).values, 3.0, 1.0, 1.0) == [0.0, 1.0, 0.0]
    for f in (sg.maximum, sg.minimum, sg.max):
        assert [g.tolist() for g in run(f, np.array([1.0, 2.0]), np.array([1.0, 2.0]))[1]] == [[0.5, 0.5]] * 2
    assert slope(lambda x: x.norm(math.inf), 2.0, -2.0, 1.0) == [0.5, -0.5, 0.0]


def test_norm_and_std_of_zeros_have_gradient_zero() -> None:
    for p in (2, 1, 3, 1.5, 0.5, math.inf):
        assert slope(lambda x, p=p: x.norm(p), 0.0, 0.0) == [0.0, 0.0]
    assert slope(lambda x: x.norm(0.5), 0.0, 4.0) == [0.0, 1.0]
    assert slope(sg.std, 2.0, 2.0) == [0.0, 0.0]


def test_pow_at_zero() -> None:
    assert slope(lambda x: x**0, 0.0) == slope(lambda x: x**2, 0.0) == slope(lambda x: sg.pow(0.0, x), 2.0) == [0.0]
    assert slope(lambda x: x**1, 0.0) == [1.0]
    assert [g.tolist() for g in run(sg.pow, np.zeros(3), np.array([0.0, 1.0, 2.0]))[1]] == [[0, 1, 0], [0, 0, 0]]


def test_expand_as_gives_no_derivative_to_the_model() -> None:
    assert run(lambda x, y: x.expand_as(y), np.ones((3, 1)), X)[1][1].tolist() == np.zeros((3, 4)).tolist()


# - extreme numbers -


EXTREMES = np.array([0.0, -0.0, 1.0, -1.0, 30.0, -30.0, 1000.0, -1000.0, 1e-30, np.inf, -np.inf])
SMOOTH = (
    "exp expm1 sin cos tanh sinh cosh asinh atan erf sigmoid logsigmoid silu softplus softsign relu relu6 elu selu "
    "gelu mish abs square log1p sqrt log"
).split()


@pytest.mark.parametrize("name", SMOOTH)
def test_extreme_numbers_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    t = torch.tensor(EXTREMES, dtype=torch.float32, requires_grad=True)
    f = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    # One by one: of several at once PyTorch's gelu of infinity is NaN on some processors (oneDNN's kernel).
    expected = torch.stack([f(x) for x in t])
    expected.sum().backward()
    (value,), (g,) = run(FUNCTIONS[name], EXTREMES, dtype="float32")
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5, atol=1e-11)
    finite = np.isfinite(EXTREMES)
    np.testing.assert_allclose(g[finite], t.grad.numpy()[finite], rtol=1e-5, atol=1e-6)


def test_remainders_are_exact() -> None:
    torch = pytest.importorskip("torch")
    a = np.array([1.0, -1.0, 7.0, 5.5, -5.5, 3.0, 0.3, 1e6])
    b = np.array([0.1, 0.1, -0.1, 2.0, 2.0, -3.0, 0.1, 0.3])
    for dtype in ("float32", "float64"):
        s, t = torch.tensor(a.astype(dtype)), torch.tensor(b.astype(dtype))
        for f in (lambda x, y: x % y, lambda x, y: x // y):
            np.testing.assert_allclose(run(f, a, b, dtype=dtype)[0][0], f(s, t).numpy(), rtol=1e-6)


def test_quotients_and_remainders_of_infinities_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    numbers = np.array([-1.0, 1.0, 0.0, 2.5, np.inf, -np.inf, np.nan])
    a, b = np.meshgrid(numbers, numbers)
    for dtype in ("float32", "float64"):
        s, t = torch.tensor(a.astype(dtype)), torch.tensor(b.astype(dtype))
        for f in (lambda x, y: x % y, lambda x, y: x // y):
            np.testing.assert_array_equal(run(f, a, b, dtype=dtype)[0][0], f(s, t).numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clamp_keeps_infinities_and_nan(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.array([np.inf, -np.inf, 1.0, -1.0, np.nan, np.inf])
    bound = np.array([0.0, 0.0, np.nan, 2.0, 0.0, np.inf])
    t, u = torch.tensor(x.astype(dtype)), torch.tensor(bound.astype(dtype))
    for f in (
        lambda x, y: x.clamp(min=0.0),
        lambda x, y: x.clamp(max=0),
        lambda x, y: x.clamp(-1, math.inf),
        lambda x, y: x.clamp(min=y),
        lambda x, y: x.clamp(max=y),
        lambda x, y: x.clamp(min=y, max=y + 1),
    ):
        np.testing.assert_array_equal(run(f, x, bound, dtype=dtype)[0][0], f(t, u).numpy())


def test_a_missing_bound_costs_nothing_in_the_derivative() -> None:
    x = sg.input("x", (3,))
    for bounds, needed in (({"min": 0}, 1), ({"max": 0.0}, 1), ({"min": 0, "max": 1}, 2)):
        g = sg.grad(x.clamp(**bounds).sum(), x)
        compared = [n for n in topological([g]) if n.op.name in ("GreaterOrEqual", "LessOrEqual", "And", "Less")]
        assert len(compared) == needed + (needed == 2)
    assert slope(lambda x: x.clamp(min=-math.inf), -2.0, 1.0) == [1.0, 1.0]


def test_shrinking_keeps_nan_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([np.nan, 0.3, -0.3, 0.5, -0.5, 2.0, -2.0, np.inf, -np.inf])
    for name in ("hardshrink", "softshrink"):
        t = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, name)(t)
        expected.sum().backward()
        (value,), (g,) = run(getattr(F, name), x)
        np.testing.assert_array_equal(value, expected.detach().numpy())
        np.testing.assert_array_equal(g[1:], t.grad.numpy()[1:])


def test_small_arguments_keep_their_digits() -> None:
    x = np.array([1e-7, -1e-7, 1e-12])
    for dtype, rtol in (("float32", 1e-6), ("float64", 1e-14)):
        np.testing.assert_allclose(run(sg.log1p, x, dtype=dtype)[0][0], np.log1p(x.astype(dtype)), rtol=rtol)
        np.testing.assert_allclose(run(sg.expm1, x, dtype=dtype)[0][0], np.expm1(x.astype(dtype)), rtol=rtol)


def test_means_in_half_precision_count_beyond_its_range() -> None:
    x = sg.input("x", (70000,), "float16")
    g = Evaluator([x], [sg.grad(x.mean(), x)])({"x": np.ones(70000, np.float16)})[0]
    assert g[0] == np.float16(1 / 70000) > 0
    y = sg.input("y", ("N", None), "float16")
    g = Evaluator([y], [sg.vjp(y.mean(), y, np.float16(1))])({"y": np.ones((700, 100), np.float16)})[0]
    assert g[0, 0] == np.float16(1 / 70000)
    for shape in ((70000, 2), ("N", 2)):
        z, t = sg.input("z", shape, "float16"), sg.input("t", shape[:1], "int64")
        feeds = {"z": np.zeros((70000, 2), np.float16), "t": np.zeros(70000, np.int64)}
        loss, spread = Evaluator([z, t], [F.cross_entropy(z, t), (z + 1).var()])(feeds)
        assert loss.dtype == spread.dtype == np.float16 and loss == np.float16(math.log(2)) and spread == 0


@pytest.mark.parametrize(
    ("left", "right"), [((2, 2, 0), (2, 0, 3)), ((1, 2, 0), (5, 0, 3)), ((0,), (2, 0, 3)), ((2, 3, 0), (0,))]
)
def test_batched_products_over_nothing_are_zero(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = sg.input("a", left), sg.input("b", right)
    wanted = np.zeros(left, np.float32) @ np.zeros(right, np.float32)
    for product in (a @ b, sg.ops.matmul(a, b)):
        for _ in range(3):
            found = sg.function(product, [a, b])(np.zeros(left, np.float32), np.zeros(right, np.float32))
            assert found.shape == wanted.shape and not found.any()


def test_a_gradient_of_a_batched_product_without_rows_is_zero() -> None:
    a, b = sg.input("a", (2, 0, 3)), sg.input("b", (2, 3, 2))
    run_gradient = sg.function(sg.grad((a @ b).sum(), b), [a, b])
    for _ in range(3):
        assert not run_gradient(np.zeros((2, 0, 3), np.float32), np.ones((2, 3, 2), np.float32)).any()


def test_a_batched_product_over_nothing_of_unknown_size_is_refused() -> None:
    a, b = sg.input("a", (None, None, None)), sg.input("b", (None, None, None))
    with pytest.raises(sg.FeedError, match="sums over nothing in MatMul"):
        sg.function(a @ b, [a, b])(np.zeros((2, 2, 0), np.float32), np.zeros((2, 0, 3), np.float32))


@pytest.mark.parametrize("size", [0, "N"])
def test_the_last_axis_is_reduced_where_there_is_nothing(size: int | str) -> None:
    x = sg.input("x", (size, 3))
    assert sg.function(sg.ops.reduce_sum(x, [-1]))(np.zeros((0, 3), np.float32)).shape == (0, 1)


def test_all_and_any_over_no_dimension_keep_every_element() -> None:
    x = sg.input("x", (2, 1))
    for name in ("all", "any"):
        found = sg.function(FUNCTIONS[name](x, ()))(np.array([[0], [2]], np.float32))
        assert found.tolist() == [[False], [True]]


@pytest.mark.parametrize("name", ["split", "chunk", "unbind", "split_with_sizes"])
def test_a_number_is_not_cut(name: str) -> None:
    arguments = {"split": [1], "chunk": [1], "split_with_sizes": [[1]]}.get(name, [])
    with pytest.raises(sg.ShapeError, match=f"{name} takes a tensor of rank 1 or more"):
        FUNCTIONS[name](sg.input("x", ()), *arguments)


def test_logsumexp_of_infinite_numbers() -> None:
    assert slope(lambda x: x.logsumexp(0), 1.0, math.inf)[0] == 0.0
    assert slope(lambda x: x.logcumsumexp(0), 1.0, 2.0, math.inf)[:2] == pytest.approx([1.268941, 0.731059], rel=1e-5)
    assert slope(lambda x: x.logsumexp(0), -math.inf, -math.inf) == [0.0, 0.0]


def test_a_tensor_without_rows_is_rolled_and_looked_up() -> None:
    x, index = sg.input("x", ("N", 2)), sg.input("index", (2,), "int64")
    assert sg.function(x.roll(1, 0))(np.zeros((0, 2), np.float32)).shape == (0, 2)
    table = sg.input("table", ("V", "D"))
    rows = sg.grad(F.embedding(index, table, scale_grad_by_freq=True).sum(), table)
    assert sg.function(rows, [table, index])(np.zeros((3, 0), np.float32), np.array([1, 1])).shape == (3, 0)


def test_numbers_take_the_type_of_the_integers_they_are_written_to() -> None:
    x, b = sg.input("x", (2,), "int64"), sg.input("b", (2,), "bool")
    found = sg.function(
        [x.masked_fill(b, 2.7), b.masked_fill(b, 1), F.relu6(x), sg.maximum(b, ~b), b <= ~b, x.isnan()]
    )(x=np.array([5, 9]), b=np.array([True, False]))
    assert [y.tolist() for y in found] == [[2, 9], [True, False], [5, 6], [True, True], [False, True], [False, False]]
    assert str(found[2].dtype) == "int64"


def test_lines_of_integers_begin_and_step_at_integers() -> None:
    lines = [
        sg.linspace(3, -1.5, 5, "int8"),
        sg.logspace(0.5, 2, 2, dtype="int64"),
        sg.arange(0, 10, 2.5, "int64"),
        sg.arange(0.5, 3, 1),
    ]
    found = sg.function(lines, [])()
    assert [y.tolist() for y in found] == [[3, 2, 1, 0, -1], [1, 100], [0, 2, 4, 6, 8], [0.5, 1.5, 2.5]]
    mirrored = [
        sg.eager.linspace(3, -1.5, 5, dtype="int8"),
        sg.eager.logspace(0.5, 2, 2, dtype="int64"),
        sg.eager.arange(0, 10, 2.5, dtype="int64"),
    ]
    assert [y.tolist() for y in mirrored] == [y.tolist() for y in found[:3]]


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "argmax", "argmin"])
def test_an_extreme_of_nothing_is_refused(name: str) -> None:
    x = sg.input("x", (3, 0))
    for arguments in ((), (1,)):
        with pytest.raises(sg.ShapeError, match="of nothing"):
            FUNCTIONS[name](x, *arguments)
    if name[0] == "a":
        assert FUNCTIONS[name](x, 0).shape == (0,)


def test_a_norm_of_negative_p_is_flat_where_an_element_is_zero() -> None:
    for p in (-1, -2.0):
        assert slope(lambda x, p=p: x.norm(p), 0.0, 1.0, -2.0) == [0.0, 0.0, 0.0]
    assert slope(lambda x: x.norm(-1), 1.0, 1.0) == [0.25, 0.25]


def test_a_bound_that_is_nan_is_not_ignored() -> None:
    x = sg.input("x", (2,))
    assert np.isnan(sg.function(x.clamp(0.0, math.nan))(np.ones(2, np.float32))).all()


def test_an_argument_of_another_kind_is_an_error_of_the_eager_tensors() -> None:
    with pytest.raises(sg.eager.EagerError, match="narrow does not take these arguments"):
        sg.narrow(sg.eager.ones(3), 0, [None], 1)
