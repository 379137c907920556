"""Indexing of symbolic values against numpy, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import SETTINGS, Evaluator, run
from function_rows.elementary import X
from function_rows.row import draw
from test_eager_functions import cotangent

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import StaticgradError
from staticgrad.graph import Leaf

CUBE = draw(4, 3, 5)
INDICES: list[Any] = [
    0,
    -1,
    slice(1, 3),
    slice(None, None, -1),
    slice(None, None, 2),
    slice(-2, None),
    slice(3, 0, -2),
    slice(-100, 100),
    slice(-1, -3, -1),
    slice(-100, None, -1),
    slice(100, None, -1),
    slice(2, 2),
    slice(3, 1),
    (0, 1),
    (slice(None), -1),
    (slice(1, 3), slice(None), slice(0, 4, 2)),
    (slice(None, None, -2), 1, slice(None, None, -1)),
    None,
    (None, 0),
    (0, None, slice(1, 2), None),
    (..., None),
    ...,
    (..., 0),
    (0, ...),
    (0, ..., -1),
    (slice(1, None), ..., slice(None, 2)),
    [0, 2, 2],
    np.array([[0, -1], [3, 1]]),
    (slice(None), [2, 0]),
    (..., np.array([0, 0, 4])),
    (slice(1, 3), [0, 1]),
    (0, [1, 2]),
    ([1, 2], 0),
    (slice(None), 0, [1, 2]),
    (0, slice(None), [1, 2]),
    ([1, 2], slice(None), 0),
    (0, slice(1, 3), np.array([[1, 2]])),
    ([0, 1], [2, 0]),
    ([0, 1], slice(None), [3, 4]),
    (slice(None), [0, 1], [3, 4]),
    (np.array([[0], [3]]), np.array([1, 2])),
    ([0, -1], [1, 2], [4, -5]),
    (np.array([[0], [3]]), slice(None), np.array([1, 2])),
    (slice(None), np.array(1), [2, 3]),
    (0, slice(None), [0, 1]),
    ([0, 1], slice(None), 0),
    (np.array(1), slice(None), [0, 1]),
    ([0, 1], 2, [1, 3]),
    (2, [0, 1], [1, 3]),
    (None, [0, 1]),
    ([0, 1], None, slice(1, 3), 2),
    ([0, 1], None, [1, 2]),
    (0, None, [0, 1], slice(None, None, -1)),
]
M4, M3 = np.array([True, False, True, True]), np.array([False, True, True])
M43 = CUBE[:, :, 0] > 0
MASKED: list[Any] = [
    M4,
    [True, False, False, True],
    M43,
    CUBE > 0.5,
    CUBE > 9,
    (slice(None), M3),
    (..., CUBE[0, 0] > 0),
    (M4, 1),
    (1, M3),
    (M4, slice(None), [2]),
    (M4, slice(None), np.array([[2], [0]])),
    ([0, 1], M3),
    (M4, [0, 1, 2], 3),
    (slice(None), [[1], [0]], CUBE[0, 0] > 9),
    (None, M4),
    (M4, None, slice(1, 3)),
    (slice(1, 3), M3, slice(None, None, 2)),
    (M43, [1]),
    (M43, None),
    (0, None, M3, -1),
    True,
    False,
    np.array(True),
    (slice(None), True),
    (..., np.array(False)),
    (True, 0),
    ([0, 1], True, slice(None), 2),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
@pytest.mark.parametrize("sizes", ["fixed", "named"])
def test_indexing_is_that_of_eager_tensors(index: Any, sizes: str) -> None:
    x = sg.input("x", CUBE.shape if sizes == "fixed" else ("A", "B", "C"), "float64")
    places = sg.eager.tensor(np.arange(CUBE.size).reshape(CUBE.shape))[index].numpy()
    wanted = CUBE.ravel()[places]
    try:
        y = x[index]
    except sg.UnsupportedOperatorError:
        assert sizes == "named" and index == slice(-100, None, -1)
        return
    weights = cotangent(wanted, 3)
    gradient = np.zeros(CUBE.size)
    np.add.at(gradient, places, weights)
    seed = Leaf("input", "g", y.type).outputs[0]
    value, g = Evaluator([x, seed], [y, sg.vjp(y, x, seed)], rewritten=True)({"x": CUBE, "g": weights})
    np.testing.assert_array_equal(value, wanted)
    np.testing.assert_allclose(g.ravel(), gradient, rtol=1e-14)


@pytest.mark.parametrize("index", MASKED, ids=lambda i: " ".join(repr(i).split())[:60])
@pytest.mark.parametrize("kind", ["literals", "values", "dynamic"])
def test_boolean_indices_are_those_of_torch(index: Any, kind: str) -> None:
    torch = pytest.importorskip("torch")
    leaves: list[Any] = [sg.input("x", CUBE.shape if kind != "dynamic" else (None, "B", None), "float64")]
    feeds = {"x": CUBE}

    def part(item: Any, as_tensor: bool) -> Any:
        array = np.asarray(item)
        if item is None or item is ... or isinstance(item, (slice, int)):
            return item
        if as_tensor:
            return torch.tensor(array)
        if kind == "literals":
            return item
        name = f"i{len(leaves)}"
        shape = array.shape if kind == "values" else [None] * array.ndim
        leaves.append(sg.input(name, shape, str(array.dtype)))
        feeds[name] = array
        return leaves[-1]

    parts = index if isinstance(index, tuple) else (index,)
    t = torch.tensor(CUBE, requires_grad=True)
    expected = t[tuple(part(i, True) for i in parts)]
    y = leaves[0][tuple(part(i, False) for i in parts)]
    assert all(d == n for d, n in zip(y.shape, expected.shape, strict=True) if isinstance(d, int))
    if kind == "literals":
        assert y.shape == tuple(expected.shape)
    weights = cotangent(expected.detach().numpy(), 3)
    seed = Leaf("input", "g", y.type).outputs[0]
    value, g = Evaluator([*leaves, seed], [y, sg.vjp(y, leaves[0], seed)], rewritten=True)({**feeds, "g": weights})
    expected.backward(torch.tensor(weights))
    np.testing.assert_array_equal(value, expected.detach().numpy())
    np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-14)
    if kind == "literals":
        e = sg.eager.tensor(CUBE, requires_grad=True)
        z = e[tuple(parts)]
        assert z.shape == tuple(expected.shape)
        (z * sg.eager.tensor(weights)).sum().backward()
        np.testing.assert_array_equal(z.numpy(), value)
        np.testing.assert_allclose(e.grad.numpy(), g, rtol=1e-14)


def test_the_gradient_of_a_masked_gradient() -> None:
    x = sg.input("x", ("N", 4), "float64")
    second = sg.grad((sg.grad((x[x > 0] ** 3).sum(), x) ** 2).sum(), x)
    np.testing.assert_allclose(Evaluator([x], [second])({"x": X})[0], 36 * X**3 * (X > 0), rtol=1e-12)


def test_an_int_beside_an_array_is_applied_first_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    x = sg.input("x", (4, 3, 5), "float64")
    for index in ((0, slice(None), [0, 1]), ([0, 1], slice(None), 0), ([0, 1], 2, [1, 3])):
        wanted = torch.tensor(CUBE)[index].numpy()
        assert x[index].shape == wanted.shape
        np.testing.assert_array_equal(Evaluator([x], [x[index]])({"x": CUBE})[0], wanted)


def test_a_single_position_may_be_a_value() -> None:
    x, i = sg.input("x", (4, 3, 5), "float64"), sg.input("i", (), "int64")
    found = Evaluator([x, i], [x[i, :, [0, 1]], x[[0, 1], 1, i], x[:, i, None]])({"x": CUBE, "i": np.array(2)})
    for value, wanted in zip(found, (CUBE[2][:, [0, 1]], CUBE[[0, 1], 1, 2], CUBE[:, 2, None]), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_indexing_by_values_and_its_second_derivative() -> None:
    i = np.array([2, 0, 2])
    (value,), (g,) = run(lambda x, i: x[i] ** 2, X, i)
    np.testing.assert_array_equal(value, X[i] ** 2)
    np.testing.assert_allclose(g, 2 * X * np.array([[1], [0], [2]]))
    x = sg.input("x", (3, 4), "float64")
    second = sg.grad((sg.grad((x[[2, 0, 2]] ** 3).sum(), x) ** 2).sum(), x)
    count = np.array([[1], [0], [2]])
    np.testing.assert_allclose(Evaluator([x], [second])({"x": X})[0], 36 * X**3 * count**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (7, "out of range"),
        ([0, 9], "out of range"),
        (X > 0, "boolean"),
        ((slice(None), [True, False]), "boolean"),
        (0.5, "not an index|int32 or int64"),
        ((0, 0, 0, 0), "4 indices"),
        ((..., ...), "more than one"),
        (slice(None, None, 0), "step of 0"),
    ],
)
def test_bad_indices_are_refused(index: Any, words: str) -> None:
    with pytest.raises(StaticgradError, match=words):
        sg.input("x", (4, 3, 5))[index]


def test_a_range_computed_from_known_sizes_is_a_literal() -> None:
    # Exporters write unflatten(-1, (2, 3)) so, with the axis as a remainder.
    x = sg.input("x", ("N", 5, 6))
    axis = ops.reshape(ops.mod(sg.constant(np.array(-1)), sg.constant(np.array(3))), [1])
    front, behind = ops.slice_(ops.shape(x), [0], axis), ops.slice_(ops.shape(x), ops.add(axis, 1), [2**62])
    y = ops.reshape(x, ops.concat(front, [2, 3], behind, axis=0))
    assert y.type.shape == ("N", 5, 2, 3)
    assert ops.slice_(x, [0, 0], ops.mod(ops.shape(x, start=1), [4, 4])).type.shape[1:] == (2, 6)
    given = np.arange(60, dtype=np.float32).reshape(2, 5, 6)
    assert (sg.function(sg.grad((y * y).sum(), x))(x=given) == 2 * given).all()


@pytest.mark.parametrize("fmod", [False, True])
def test_remainders_of_sizes_are_those_of_the_run(fmod: bool) -> None:
    a, b = (np.array(v, np.int64) for v in ([7, -7, 7, -7, 6], [3, 3, -3, -3, 3]))
    y = ops.mod(sg.constant(a), sg.constant(b), fmod=fmod)
    assert y.content == tuple((np.fmod if fmod else np.mod)(a, b))
    assert ops.mod(sg.constant(a), sg.constant(0 * b), fmod=fmod).content is None


@pytest.mark.parametrize(
    "text",
    [
        "(float[a,b] x, int64[k] n) => (float[] y) { y, places = TopK (x, n) }",
        "(float[2] x, int64[k] n) => (float[] y) { places = Constant <value: tensor = int64[2] {1, 0}> ()  "
        "y = OneHot (places, n, x) }",
    ],
)
def test_a_list_of_one_number_whose_length_the_model_does_not_tell(text: str) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> g {text}')
    found = sg.gradient_model(model)
    session = onnxruntime.InferenceSession(found.SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
    x = np.array([3, 7] if "OneHot" in text else [[3, 7], [2, 1]], np.float32)
    g = np.array([[1, 2], [4, 8]], np.float32)
    y, to_x = session.run(None, {"x": x, "n": np.array([2]), "cotangent.y": g})
    np.testing.assert_allclose((to_x * x).sum(), (g * y).sum())
