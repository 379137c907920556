"""Every PyTorch-named function on symbolic values against the same call on eager tensors, and against PyTorch."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import test_eager_functions as eager_rows
from evaluation import Array, Evaluator, run
from function_rows import ROWS
from function_rows.elementary import MASK
from function_rows.row import Row, draw
from test_eager_functions import cotangent, identify

import staticgrad as sg
from staticgrad import eager
from staticgrad.errors import StaticgradError
from staticgrad.graph import Leaf, Value, topological
from staticgrad.methods import FUNCTIONS, Methods
from staticgrad.types import COMPUTED, DType

F = sg.nn.functional

WITHOUT_ROWS = {
    *eager_rows.WITHOUT_GRADIENT - {"bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "type"},
    *("getitem", "zeros", "ones", "full", "arange", "eye", "logspace"),
}
"""Functions whose tests stand below."""


def takes(row: Row) -> bool:
    """Whether the function exists on symbolic values, with these arguments."""
    return row.name in FUNCTIONS and set(row.kwargs) <= set(inspect.signature(FUNCTIONS[row.name]).parameters)


SHARED = [row for row in ROWS if takes(row)]


class Call:
    """A function called on symbolic inputs."""

    def __init__(self, row: Row, dtype: str = "float64", sizes: str = "fixed") -> None:
        self.leaves: list[Value] = []
        self.feeds: dict[str, Array] = {}
        self.sizes = sizes
        self.dtype = dtype
        result = FUNCTIONS[row.name](*[self.convert(x) for x in row.args], **row.kwargs)
        self.outputs = list(result) if isinstance(result, tuple) else [result]

    def convert(self, x: Any) -> Any:
        if isinstance(x, list) and x and isinstance(x[0], np.ndarray):
            return [self.convert(y) for y in x]
        if not isinstance(x, np.ndarray):
            return x
        array = x.astype(self.dtype) if x.dtype == np.float64 else x
        name = f"x{len(self.leaves)}"
        shape: Sequence[int | str | None] = array.shape
        if self.sizes != "fixed":
            shape = [None if self.sizes == "unknown" else d if d == 1 else f"D{d}" for d in array.shape]
        self.leaves.append(sg.input(name, shape, str(array.dtype)))
        self.feeds[name] = array
        return self.leaves[-1]

    def pulled(self) -> tuple[list[Array], list[Array]]:
        """The values, and the gradients of their products with fixed numbers."""
        inputs = [x for x in self.leaves if x.type.dtype.is_float]
        floats = [y for y in self.outputs if y.type.dtype.is_float]
        seeds = [Leaf("input", f"g{i}", y.type).outputs[0] for i, y in enumerate(floats)]
        gradients = list(sg.vjp(floats, inputs, seeds)) if floats and inputs else []
        values = Evaluator(self.leaves, self.outputs)(self.feeds)
        feeds = dict(self.feeds)
        position = 0
        for i, (y, value) in enumerate(zip(self.outputs, values, strict=True)):
            assert value.dtype == y.type.dtype.numpy
            assert all(a == b for a, b in zip(y.type.shape, value.shape, strict=True) if isinstance(a, int)), y.type
            if y.type.dtype.is_float:
                feeds[f"g{position}"] = cotangent(value, i).astype(value.dtype)
                position += 1
        assert [g.type for g in gradients] == [x.type for x in inputs]
        return values, Evaluator([*self.leaves, *seeds], gradients, rewritten=True)(feeds) if gradients else []


def eager_pulled(row: Row, dtype: str) -> tuple[list[Array], list[Array]]:
    ys, xs = eager_rows.pulled(row, dtype)
    gradients = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs if x.requires_grad]
    return [y.numpy() for y in ys], gradients


def assert_all_near(found: Sequence[Array], expected: Sequence[Array], dtype: str) -> None:
    rtol, atol = (1e-10, 1e-11) if dtype == "float64" else (2e-4, 2e-5)
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(y, z, rtol=rtol, atol=atol)


# - completeness -


def test_every_function_has_a_row_or_a_test() -> None:
    assert set(FUNCTIONS) - {row.name for row in SHARED} == WITHOUT_ROWS
    assert {row.name for row in ROWS} <= set(FUNCTIONS)


def test_every_method_has_the_signature_of_its_function() -> None:
    methods = {name: f for base in reversed(Methods.__mro__) for name, f in vars(base).items()}
    for name, method in methods.items():
        if name.startswith("_") or not inspect.isfunction(method) or name in ("dim", "numel", "size", "where"):
            continue
        of_function = inspect.signature(
            FUNCTIONS[{"clip": "clamp", "unfold": "unfold_dimension"}.get(name, name)]
        ).parameters.values()
        of_method = inspect.signature(method).parameters.values()
        shown = [[(p.name, p.default, p.kind) for p in ps][1:] for ps in (of_function, of_method)]
        assert shown[0] == shown[1], name


# - values and gradients -


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_values_and_gradients_are_those_of_eager_tensors(row: Row, dtype: str) -> None:
    values, gradients = Call(row, dtype).pulled()
    expected, expected_gradients = eager_pulled(row, dtype)
    assert_all_near(values, expected, dtype)
    assert_all_near(gradients, expected_gradients, dtype)


@pytest.mark.parametrize("sizes", ["named", "unknown"])
@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_dynamic_sizes_give_the_same_or_are_refused(row: Row, sizes: str) -> None:
    try:
        call = Call(row, sizes=sizes)
    except StaticgradError as error:
        assert ".py:" in str(error)
        return
    if row.name == "scatter_add" and not row.in_torch and sizes == "unknown":
        return  # only the run knows that src is larger, and refuses
    values, gradients = call.pulled()
    expected, expected_gradients = eager_pulled(row, "float64")
    assert_all_near(values, expected, "float64")
    assert_all_near(gradients, expected_gradients, "float64")


def test_few_functions_are_refused_with_dynamic_sizes() -> None:
    refused = set()
    for row in SHARED:
        try:
            Call(row, sizes="named")
        except StaticgradError:
            refused.add(row.name)
    # Sizes that are written out, names that are taken to be different, or heads and angles that must be counted.
    written_out = {
        "affine_grid",
        "broadcast_to",
        "cat",
        "chunk",
        "embedding_bag",
        "gather",
        "glu",
        "grid_sample",
        "interpolate",
        "repeat_interleave",
        "rotary_embedding",
        "scaled_dot_product_attention",
        "scatter",
        "scatter_add",
        "split",
        "swiglu",
        "unbind",
        "unfold",
    }
    # Kernels and groups of named sizes, and cells that are counted.
    convolved = {"conv1d", "conv2d", "conv_transpose2d"}
    counted = {f"adaptive_{kind}_pool{rank}d" for kind in ("avg", "max") for rank in (1, 2, 3)}
    assert refused == written_out | convolved | counted


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:index_reduce")
@pytest.mark.parametrize("row", [row for row in SHARED if row.in_torch], ids=identify)
def test_values_and_gradients_are_those_of_torch(row: Row) -> None:
    pytest.importorskip("torch")
    from test_eager_torch import torch_pulled

    ys, xs = torch_pulled(row)
    values, gradients = Call(row).pulled()
    wanted = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs if x.requires_grad]
    for found, expected in zip([*values, *gradients], [*[y.detach().numpy() for y in ys], *wanted], strict=True):
        # PyTorch has some constants in float32.
        np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-10)


# - operands -


SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((), (3, 4)),
    ((2, 1, 4), (3, 1)),
    ((1,), ()),
    ((0, 4), (4,)),
    ((), ()),
]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "fmod", "remainder", "lerp"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_operands_broadcast(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = draw(*shapes[0], low=0.5, seed=1), draw(*shapes[1], low=0.5, seed=2)
    extra = (0.3,) if name == "lerp" else ()
    (value,), gradients = run(lambda x, y: FUNCTIONS[name](x, y, *extra), a, b)
    tensors = [eager.tensor(v, requires_grad=True) for v in (a, b)]
    expected = getattr(eager, name)(*tensors, *extra)
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.numpy(), rtol=1e-12)
    for g, t in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shapes", list(itertools.product([(3, 4), (1, 4), (3, 1), (4,), ()], repeat=3)), ids=str)
def test_all_three_of_where_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    condition = np.resize(MASK, shapes[0])
    a, b = draw(*shapes[1], seed=1), draw(*shapes[2], seed=2)
    (value,), gradients = run(sg.where, condition, a, b)
    np.testing.assert_array_equal(value, np.where(condition, a, b))
    for g, x, chosen in zip(gradients, (a, b), (condition, ~condition), strict=True):
        wide = np.broadcast_to(chosen, value.shape).astype(float)
        lead = wide.ndim - x.ndim
        axes = (*range(lead), *(i + lead for i, d in enumerate(x.shape) if d == 1))
        np.testing.assert_array_equal(g, wide.sum(axes, keepdims=True).reshape(x.shape))


def test_a_tensor_as_both_operands_and_used_twice() -> None:
    x = draw(3, 3)
    assert_all_near(run(lambda x: x * x, x)[1], [2 * x], "float64")
    assert_all_near(run(lambda x: x - x, x)[1], [0 * x], "float64")
    assert_all_near(run(lambda x: x / x, x)[1], [0 * x], "float64")
    assert_all_near(run(lambda x: x @ x, x)[1], [x.sum(1)[None, :] + x.sum(0)[:, None]], "float64")
    assert_all_near(run(lambda x: sg.maximum(x, x), x)[1], [np.ones_like(x)], "float64")
    assert_all_near(run(lambda x: sg.cat([x, x]), x)[1], [2 + 0 * x], "float64")
    assert_all_near(run(lambda x: sg.where(x > 0, x, x), x)[1], [1 + 0 * x], "float64")
    assert_all_near(run(lambda x: sg.tanh(x) * x + x, x)[1], [x / np.cosh(x) ** 2 + np.tanh(x) + 1], "float64")
    assert_all_near(run(lambda x: x.addmm(x, x), x)[1], [1 + x.sum(1)[None, :] + x.sum(0)[:, None]], "float64")


@pytest.mark.parametrize("n", [1, 3, 4])
def test_a_batch_as_large_as_a_feature_dimension(n: int) -> None:
    x, w, b = draw(n, 4, seed=1), draw(4, 4, seed=2), draw(4, seed=3)
    _, (gx, gw, gb) = run(lambda x, w, b: F.linear(x, w, b).pow(2), x, w, b)
    y = x @ w.T + b
    assert_all_near([gx, gw, gb], [2 * y @ w, 2 * y.T @ x, 2 * y.sum(0)], "float64")


@pytest.mark.parametrize(
    "name", ["sum", "mean", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp", "softmax", "cumsum"]
)
def test_rank_0(name: str) -> None:
    torch = pytest.importorskip("torch")
    for dim in (None, 0, -1):
        if dim is None and name in ("logsumexp", "softmax", "cumsum"):
            continue
        given = {} if dim is None else {"dim": dim}
        if name in ("var", "std"):
            given["correction"] = 0
        x = torch.tensor(-1.7, dtype=torch.float64, requires_grad=True)
        expected = (torch.norm if name == "norm" else getattr(torch, name))(x, **given)
        expected = expected[0] if isinstance(expected, tuple) else expected
        expected.backward()
        values, gradients = run(lambda x, given=given: FUNCTIONS[name](x, **given), np.array(-1.7))
        np.testing.assert_allclose(values[0], expected.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(gradients[0], x.grad.numpy(), atol=1e-12)


def test_tensors_without_elements() -> None:
    x = np.zeros((0, 3))
    assert run(lambda x: x.sum(), x)[0][0] == 0
    assert run(lambda x: x.exp().sum(0), x)[0][0].tolist() == [0, 0, 0]
    assert run(lambda x: (x @ x.T).sum(), x)[1][0].shape == (0, 3)
    assert run(lambda x: x.T @ x, x)[0][0].tolist() == [[0] * 3] * 3
    assert run(lambda x: x.all(), x)[0][0] and not run(lambda x: x.any(), x)[0][0]
    assert run(lambda x: sg.cat([x, x + 1]).relu().mean(1), x)[1][0].shape == (0, 3)
    assert run(lambda x: x.reshape(3, 0).softmax(0), x)[1][0].shape == (0, 3)
    assert run(lambda x, y: sg.cat([x, y]), x, np.ones((2, 3)))[1][1].tolist() == [[1] * 3] * 2
    assert run(lambda x: x.repeat(2, 2).flatten().unsqueeze(1), x)[1][0].shape == (0, 3)
    assert run(lambda x: x.unflatten(1, (3, 1)), x)[0][0].shape == (0, 3, 1)
    assert run(lambda x: x.unflatten(1, (-1, 1)), x)[0][0].shape == (0, 3, 1)
    assert run(lambda x: x[:, ::2], x)[1][0].shape == (0, 3)
    (value,), (g,) = run(lambda x: x.mean(), x)
    assert np.isnan(value) and g.shape == (0, 3)
    assert np.isnan(run(lambda x: x.mean(0), x)[0][0]).all() and run(lambda x: x.mean(1), x)[0][0].shape == (0,)
    assert [y.shape for y in run(lambda x: x.chunk(3), x)[0]] == [(0, 3)] * 3
    for shapes in (((2, 3), (0, 3, 4)), ((3,), (0, 3, 4)), ((2, 1, 2, 3), (0, 3, 4)), ((1, 4, 0), (5, 0, 2))):
        left, right = np.ones(shapes[0]), np.ones(shapes[1])
        (value,), gradients = run(lambda x, y: x @ y, left, right)
        assert value.shape == (left @ right).shape and not value.any()
        assert [g.shape for g in gradients] == list(shapes) and not any(g.any() for g in gradients)
    # The gradient of a factor that meets no rows.
    assert run(lambda x, y: x @ y, np.ones((2, 1, 0, 4)), np.ones((5, 4, 2)))[1][1].tolist() == [[[0, 0]] * 4] * 5


# - element types -


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_are_weak(dtype: str) -> None:
    x = sg.input("x", (2,), dtype)
    for y in (
        x * 2.0,
        2.0 * x,
        x + 1,
        1 - x,
        x / 3,
        3 / x,
        x**2,
        x**0.5,
        x**1.5,
        2.0**x,
        x % 3,
        x // 2,
        x.clamp(0.1, 0.7),
    ):
        assert str(y.dtype) == dtype
    for y in (
        sg.where(x > 0, x, 0.0),
        x.masked_fill(x > 0, -1e3),
        x.lerp(x, 0.5),
        F.elu(x, 0.3),
        F.softplus(x, 2.0),
        x.add(1, alpha=2),
    ):
        assert str(y.dtype) == dtype
    assert str((x > 0.5).dtype) == "bool"


def test_numbers_keep_all_digits_of_float64() -> None:
    assert run(lambda x: x * 0.1 + x.add(0.1, alpha=0.3), np.array(1.0))[0][0] == 1.0 * 0.1 + (1.0 + 0.1 * 0.3)


def test_a_number_that_overflows_the_element_type_is_refused() -> None:
    x = sg.input("x", (2,), "float16")
    with pytest.raises(sg.DTypeError, match=r"1000000.0 does not fit into float16"):
        x * 1e6
    assert str((x * math.inf).dtype) == "float16"
    with pytest.raises(sg.DTypeError, match="300 does not fit into uint8"):
        sg.input("i", (2,), "uint8") + 300


KNOWN = [d for d in COMPUTED if not d.startswith("uint") or d == DType.uint8]


@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())], ids=str)
def test_promotion_is_that_of_torch(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(KNOWN, KNOWN):
        x, y = sg.input("x", shapes[0], a), sg.input("y", shapes[1], b)
        tensors = torch.zeros(shapes[0], dtype=getattr(torch, a)), torch.zeros(shapes[1], dtype=getattr(torch, b))
        expected = str(torch.result_type(*tensors)).removeprefix("torch.")
        if expected != "bool":
            assert str((x * y).dtype) == expected, (a, b)
        assert str(sg.where(sg.input("c", (2,), "bool"), x, y).dtype) == expected, (a, b)
        assert str(sg.cat([x.reshape(-1), y.reshape(-1)]).dtype) == str(
            torch.promote_types(*(t.dtype for t in tensors))
        ).removeprefix("torch.")


@pytest.mark.parametrize("a", KNOWN)
def test_promotion_with_numbers_is_that_of_torch(a: str) -> None:
    torch = pytest.importorskip("torch")
    for number in (2, 2.5):
        if a == "bool":
            continue
        x, t = sg.input("x", (2,), a), torch.zeros(2, dtype=getattr(torch, a))
        for f in (lambda x, n: x * n, lambda x, n: x / n, lambda x, n: n - x):
            assert str(f(x, number).dtype) == str(f(t, number).dtype).removeprefix("torch."), (a, number)


def test_scalars_of_numpy_are_weak_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    for shape, a in itertools.product([(), (2,)], ["float32", "int32", "float16", "bool"]):
        x, t = sg.input("x", shape, a), torch.zeros(shape, dtype=getattr(torch, a))
        for number in (np.float64(2), np.float32(2), np.int64(2), np.int8(2)):
            for f in (lambda x, n: x * n, lambda x, n: n + x, lambda x, n: x / n):
                assert str(f(x, number).dtype) == str(f(t, number).dtype).removeprefix("torch."), (a, number)
    x = sg.input("x", ("N", 4))
    for y in (
        x.mean() * np.float64(2),
        x.clamp(min=np.float64(0)),
        x.clamp(max=np.float64(1)),
        x ** np.float64(2),
        x // np.float64(2),
        x.add(1, alpha=np.float64(2)),
        sg.where(x > 0, np.float64(1), x.mean()),
        sg.stop_gradient(np.float64(2)),
        sg.exp(np.float64(2)),
        sg.full((2,), np.float64(2)),
    ):
        assert str(y.dtype) == "float32"
    assert str(sg.constant(np.float64(2)).dtype) == "float64"


def test_a_power_of_integers_with_a_floating_exponent_is_floating() -> None:
    i = np.array([3, -2])
    for exponent in (2.0, 1.0, 3.0, np.float32(2)):
        assert str(run(lambda x, e=exponent: x**e, i)[0][0].dtype) == "float32"
    assert run(lambda x: x**2.0, i)[0][0].tolist() == [9.0, 4.0] and str(run(lambda x: x**2, i)[0][0].dtype) == "int64"


def test_gradients_pass_casts_and_promotion() -> None:
    (value,), (g, h) = run(
        lambda x, y: x.float() * y, np.array([1.5, 2.5]), np.array([2.0, 3.0], np.float32), dtype=None
    )
    assert value.dtype == np.float32 and g.dtype == np.float64 and h.dtype == np.float32
    assert g.tolist() == [2.0, 3.0] and h.tolist() == [1.5, 2.5]
    (value,), (g, h) = run(lambda x, y: x * y, np.array([1.5, 2.5]), np.array([2.0, 3.0], np.float32), dtype=None)
    assert value.dtype == np.float64 and h.dtype == np.float32 and h.tolist() == [1.5, 2.5]
    assert run(lambda x: x.long().double() * x, np.array([1.5, -2.5]))[1][0].tolist() == [1.0, -2.0]


def test_integers_and_bools() -> None:
    i, j = np.array([7, -7, 5]), np.array([2, 2, -3])
    torch = pytest.importorskip("torch")
    s, t = torch.tensor(i), torch.tensor(j)
    for f in (
        lambda x, y: x + y,
        lambda x, y: x * y,
        lambda x, y: x - y,
        lambda x, y: x / y,
        lambda x, y: x // y,
        lambda x, y: x % y,
        lambda x, y: x**2,
        lambda x, y: x > y,
        lambda x, y: abs(x),
        lambda x, y: -x,
        lambda x, y: (x > 0) & (y > 0),
        lambda x, y: (x > 0) | (y > 0),
        lambda x, y: (x > 0) ^ (y > 0),
        lambda x, y: ~(x > 0),
        lambda x, y: x.sum(),
        lambda x, y: (x > 0).sum(),
        lambda x, y: x.clamp(0, 5),
        lambda x, y: x.clamp(min=0.5),
        lambda x, y: x.sqrt(),
        lambda x, y: x.amax(),
        lambda x, y: x.argmax(),
        lambda x, y: x.cumsum(0),
        lambda x, y: (x > 0).cumsum(0),
        lambda x, y: x * 2.5,
        lambda x, y: x == 7,
        lambda x, y: x != y,
        lambda x, y: (x > 0).all(),
        lambda x, y: (x > 0).any(),
        lambda x, y: x.all(),
        lambda x, y: x.floor(),
        lambda x, y: 10 // y,
        lambda x, y: x % 3,
    ):
        expected = f(s, t)
        (value,), _ = run(f, i, j)
        assert str(value.dtype) == str(expected.dtype).removeprefix("torch.")
        np.testing.assert_allclose(value, expected.numpy(), rtol=1e-6)
    assert run(lambda x, y: sg.fmod(x, y), i, j)[0][0].tolist() == torch.fmod(s, t).tolist()


# - the functions without rows -


def test_functions_without_gradient() -> None:
    x = np.array([[1.0, -2.0, np.nan], [0.0, np.inf, 3.0]])
    y = np.array([1.0, 0.0, 3.0])
    pairs = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    for name, f in pairs.items():
        np.testing.assert_array_equal(run(FUNCTIONS[name], x, y)[0][0], f(x, y))
    for name, f in {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}.items():
        np.testing.assert_array_equal(run(FUNCTIONS[name], x > 0, y)[0][0], f(x > 0, y))
    for name, f in {
        "isnan": np.isnan,
        "isinf": np.isinf,
        "isfinite": np.isfinite,
        "logical_not": np.logical_not,
    }.items():
        np.testing.assert_array_equal(run(FUNCTIONS[name], x)[0][0], f(x))
    z = np.array([[1.0, 5.0, 5.0], [7.0, 2.0, 7.0]])
    for kw in ({}, {"dim": 1}, {"dim": 0, "keepdim": True}):
        for name in ("argmax", "argmin"):
            wanted = getattr(np, name)(z, axis=kw.get("dim"), keepdims=kw.get("keepdim", False))
            np.testing.assert_array_equal(run(lambda x, n=name, k=kw: FUNCTIONS[n](x, **k), z)[0][0], wanted)
        for name in ("all", "any"):
            wanted = getattr(np, name)(z > 4, axis=kw.get("dim"), keepdims=kw.get("keepdim", False))
            np.testing.assert_array_equal(run(lambda x, n=name, k=kw: FUNCTIONS[n](x > 4, **k), z)[0][0], wanted)
    assert run(lambda x: F.one_hot(x, 4), np.array([2, 0]))[0][0].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert run(lambda x: x.detach() * x, np.array([2.0, 3.0]))[1][0].tolist() == [2.0, 3.0]


def test_functions_that_make_tensors() -> None:
    x = np.ones((2, 3))
    cases: list[tuple[Any, Array]] = [
        (lambda x: sg.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda x: sg.ones((2,), dtype="int64"), np.ones(2, np.int64)),
        (lambda x: sg.zeros(), np.zeros((), np.float32)),
        (lambda x: sg.full((2, 2), 3), np.full((2, 2), 3)),
        (lambda x: sg.full((2,), 2.5), np.full(2, 2.5, np.float32)),
        (lambda x: sg.full((2,), True), np.full(2, True)),
        (lambda x: sg.arange(5), np.arange(5)),
        (lambda x: sg.arange(1, 2, 0.25), np.arange(1, 2, 0.25, np.float32)),
        (lambda x: sg.eye(2, 3), np.eye(2, 3, dtype=np.float32)),
        (lambda x: sg.linspace(0, 1, 5, dtype="float64"), np.linspace(0, 1, 5)),
        (lambda x: sg.logspace(0, 2, 3), np.array([1, 10, 100], np.float32)),
        (lambda x: sg.linspace(x.sum(), 12.0, 4, dtype="int64"), np.array([6, 8, 10, 12])),
        (lambda x: sg.zeros_like(x), np.zeros((2, 3))),
        (lambda x: sg.ones_like(x, dtype="int32"), np.ones((2, 3), np.int32)),
        (lambda x: sg.full_like(x, 2.5), np.full((2, 3), 2.5)),
    ]
    for f, wanted in cases:
        (value,), _ = run(f, x)
        assert value.dtype == wanted.dtype
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("name", ["float", "double", "half", "int", "long", "bool"])
def test_casts(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.array([1.5, -2.5, 0.0])
    (value,), _ = run(FUNCTIONS[name], x)
    expected = getattr(torch.tensor(x), name)()
    assert str(value.dtype) == str(expected.dtype).removeprefix("torch.") and value.tolist() == expected.tolist()
    assert str(sg.input("x", (2,)).bfloat16().dtype) == "bfloat16"


def test_products_of_matrices_and_vectors() -> None:
    a, v = draw(3, 4, seed=1), draw(4, seed=2)
    (value,), (ga, gv) = run(sg.mv, a, v)
    np.testing.assert_allclose(value, a @ v)
    np.testing.assert_allclose(ga, np.tile(v, (3, 1)))
    np.testing.assert_allclose(gv, a.sum(0))


VECTORS = [((3, 4), (4,)), ((4,), (4, 3)), ((4,), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]


@pytest.mark.parametrize("shapes", VECTORS, ids=str)
@pytest.mark.parametrize("sizes", ["fixed", "named", "unknown"])
def test_products_with_vectors_multiply_matrices(shapes: tuple[tuple[int, ...], ...], sizes: str) -> None:
    x, y = draw(*shapes[0], seed=1), draw(*shapes[1], seed=2)
    call = Call(Row("matmul", (x, y)), sizes=sizes)
    values, gradients = call.pulled()
    assert_all_near(values, [x @ y], "float64")
    expected, expected_gradients = eager_pulled(Row("matmul", (x, y)), "float64")
    assert_all_near(values, expected, "float64")
    assert_all_near(gradients, expected_gradients, "float64")
    products = [n for n in topological(sg.grad(call.outputs[0].sum(), call.leaves)) if n.op.name == "MatMul"]
    assert products and all(len(v.type.shape) >= 2 for n in products for v in n.inputs if v is not None)


def test_products_with_vectors_of_no_elements_and_in_batches_of_none() -> None:
    x, v = sg.input("x", ("N", "K")), sg.input("v", ("K",))
    f = Evaluator([x, v], [x @ v, sg.mv(x, v), F.linear(v, x), *sg.grad((x @ v).sum(), [x, v])])
    for n, k in ((0, 3), (2, 3)):
        one, two, three, gx, gv = f({"x": np.ones((n, k), np.float32), "v": np.ones(k, np.float32)})
        assert one.tolist() == two.tolist() == three.tolist() == [k] * n
        assert gx.shape == (n, k) and gv.tolist() == [n] * k
    empty = {"v": np.ones(0, np.float32), "x": np.ones((3, 0), np.float32)}
    for y in (x @ v, v @ x.T, v.dot(v)):
        found = Evaluator([x, v], [y])
        for _ in range(20):
            junk = [np.full(size, 7, np.float32) for size in (1, 3, 4, 12)]
            del junk
            assert not found(empty)[0].any()


def test_products_that_do_not_fit_show_the_operands_as_they_came() -> None:
    x, v = sg.input("x", ("N", 4)), sg.input("v", (5,))
    for call in (lambda: x @ v, lambda: x.mv(v), lambda: F.linear(v, x)):
        with pytest.raises(sg.ShapeError, match=r"4.*5|5.*4") as caught:
            call()
        assert "v: f32[5]" in str(caught.value)


def test_floats_fill_integers_rounded_towards_zero_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    for number in (2.7, -2.7):
        (value,), _ = run(lambda x, n=number: sg.full_like(x, n, "int32"), np.ones(2))
        assert value.tolist() == torch.full((2,), number, dtype=torch.int32).tolist()
    assert str(sg.full((2,), 1e6, "bfloat16").dtype) == "bfloat16" and str(sg.full((2,), math.inf).dtype) == "float32"


def test_known_sizes_are_written_out_so_that_a_batch_of_nothing_works() -> None:
    x, y = sg.input("x", ("N", 2, 6)), sg.input("y", ("N", 4))
    results = [x.unflatten(2, (2, -1)), x.reshape("N", -1), y.reshape("N", -1), x.reshape("N", -1, 3), x.flatten(1)]
    f = Evaluator([x, y], [*results, sg.grad(sum(r.sum() for r in results), x)])
    for n in (0, 2):
        found = f({"x": np.ones((n, 2, 6), np.float32), "y": np.ones((n, 4), np.float32)})
        assert [v.shape[1:] for v in found] == [(2, 2, 3), (12,), (4,), (4, 3), (12,), (2, 6)]
        assert all(len(v) == n for v in found)


def test_shapes_may_be_values_and_names() -> None:
    x = sg.input("x", ("N", 6))
    n = sg.ops.gather(sg.ops.shape(x), 0)
    assert x.reshape("N", 2, 3).shape == ("N", 2, 3) and x.reshape(n, 3, 2).shape == ("N", 3, 2)
    assert x.unsqueeze(0).expand(n, -1, -1).shape == ("N", "N", 6)
    assert x.flatten().shape == ("N*6",) and x.flatten().reshape(-1, 6).shape == ("N", 6)
    assert x.repeat(2, 1).shape == ("N*2", 6) and sg.cat([x, x]).shape == ("N*2", 6) and x[1:].shape == ("N-1", 6)


def test_where_as_a_method_takes_its_own_elements_where_the_condition_holds() -> None:
    values, gradients = run(lambda x, y: x.where(x > 0, y * 3.0), np.array([1.0, -1.0]), np.array([5.0, 7.0]))
    np.testing.assert_array_equal(values[0], [1, 21])
    np.testing.assert_array_equal(gradients, [[1, 0], [0, 3]])
