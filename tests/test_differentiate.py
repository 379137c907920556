"""What grad, vjp, jvp, hvp, jacobian, hessian, stop_gradient and custom_vjp mean."""

from __future__ import annotations

import copy
import inspect
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from evaluation import SETTINGS, Array, Evaluator
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, GradientError, ShapeError, UnsupportedOperatorError
from staticgrad.graph import Graph, Value, topological
from staticgrad.methods import OPERATORS
from staticgrad.optimise import optimise

RANDOM = np.random.default_rng(0)


def evaluate(inputs: dict[Value, Any], outputs: Sequence[Value]) -> list[Array]:
    feeds = {x.name or "": np.asarray(a, x.dtype.numpy) for x, a in inputs.items()}
    return Evaluator(inputs, outputs, rewritten=True)(feeds)


def here() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def central(f: Callable[[Array], Array], x: Array, step: float = 1e-6) -> Array:
    """The Jacobian of `f` at `x` by central differences, of shape f.shape + x.shape."""
    columns = []
    for i in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[i] = step
        columns.append((f(x + h) - f(x - h)) / (2 * step))
    return np.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


def network(x: Value, parameters: Sequence[Value]) -> Value:
    """A small smooth network with a scalar loss."""
    w1, b1, w2 = parameters
    return (sg.tanh(x @ w1 + b1) @ w2).log_softmax(-1).pow(2).mean()


def declared_network(batch: int | str = 5) -> tuple[Value, list[Value], dict[Value, Array]]:
    shapes: list[tuple[Any, ...]] = [(batch, 3), (3, 4), (4,), (4, 2)]
    values = [sg.input(name, shape, "float64") for name, shape in zip(("x", "w1", "b1", "w2"), shapes, strict=True)]
    numbers = {v: RANDOM.standard_normal([5 if d == batch else d for d in v.shape]) for v in values}
    return network(values[0], values[1:]), values, numbers


# - higher derivatives -


def test_three_derivatives_of_a_network() -> None:
    loss, values, numbers = declared_network()
    x = values[0]
    directions = [RANDOM.standard_normal(numbers[v].shape) for v in values]
    order: Value = loss
    for depth in range(3):
        gradients = sg.grad(order, values)
        following = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
        run = Evaluator(values, [order])

        def along(t: Array, run: Evaluator = run) -> Array:
            return run({v.name or "": numbers[v] + t[0] * d for v, d in zip(values, directions, strict=True)})[0]

        found = evaluate(numbers, [following])[0]
        np.testing.assert_allclose(
            found, central(along, np.zeros(1), 1e-5)[0], rtol=2e-7, atol=1e-7, err_msg=str(depth)
        )
        elementwise = evaluate(numbers, [gradients[0]])[0]
        wanted = central(
            lambda a, run=run: run({v.name or "": a if v is x else numbers[v] for v in values})[0], numbers[x], 1e-5
        )
        np.testing.assert_allclose(elementwise, wanted, rtol=5e-7, atol=1e-6)
        order = following


def test_the_hessian_of_a_small_network() -> None:
    loss, values, numbers = declared_network()
    for v in values[1:]:
        run = Evaluator(values, [sg.grad(loss, v)])
        wanted = central(
            lambda a, v=v, run=run: run({u.name or "": a if u is v else numbers[u] for u in values})[0], numbers[v]
        )
        hessian = sg.hessian(loss, v)
        assert hessian.shape == v.shape + v.shape
        found = evaluate(numbers, [hessian])[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
        vector = RANDOM.standard_normal(numbers[v].shape)
        product = evaluate(numbers, [sg.hvp(loss, v, vector)])[0]
        np.testing.assert_allclose(product, np.tensordot(found, vector, vector.ndim), rtol=1e-9, atol=1e-12)


def test_hvp_over_several_values_has_the_mixed_terms() -> None:
    x, y = sg.input("x", (), "float64"), sg.input("y", (), "float64")
    a, b = sg.hvp(x**2 * y**3, [x, y], [np.float64(1), np.float64(10)])
    found = evaluate({x: 2.0, y: 3.0}, [a, b])
    assert [float(f) for f in found] == pytest.approx([2 * 27 + 10 * 2 * 2 * 27, 2 * 2 * 27 + 10 * 4 * 6 * 3])


def test_jacobian_and_jvp_and_vjp_agree() -> None:
    x, w = sg.input("x", (2, 3), "float64"), sg.input("w", (3, 2), "float64")
    y = sg.sin(x @ w) * x[:, :2]
    numbers = {x: RANDOM.standard_normal((2, 3)), w: RANDOM.standard_normal((3, 2))}
    jx, jw = sg.jacobian(y, [x, w])
    assert jx.shape == (2, 2, 2, 3) and jw.shape == (2, 2, 3, 2)
    tx, tw, g = (RANDOM.standard_normal(s) for s in ((2, 3), (3, 2), (2, 2)))
    forward = sg.jvp(y, [x, w], [tx, tw])
    vx, vw = sg.vjp(y, [x, w], g)
    a, b, f, p, q = evaluate(numbers, [jx, jw, forward, vx, vw])
    np.testing.assert_allclose(f, np.tensordot(a, tx, 2) + np.tensordot(b, tw, 2), rtol=1e-12)
    np.testing.assert_allclose(p, np.tensordot(g, a, 2), rtol=1e-12)
    np.testing.assert_allclose(q, np.tensordot(g, b, 2), rtol=1e-12)
    np.testing.assert_allclose(
        a, central(lambda v: evaluate({x: v, w: numbers[w]}, [y])[0], numbers[x]), rtol=1e-6, atol=1e-8
    )


def test_jacobians_of_all_ranks() -> None:
    x = sg.input("x", ("N", 2), "float64")
    a = RANDOM.standard_normal((3, 2))
    scalar, vector, matrix = x.pow(2).sum(), x.pow(2).sum(0), (x.sum(0) * x.sum()).reshape(2, 1)
    found = evaluate({x: a}, [sg.jacobian(y, x) for y in (scalar, vector)])
    np.testing.assert_allclose(found[0], 2 * a)
    np.testing.assert_allclose(
        found[1], [np.stack([2 * a[:, i] if j == i else 0 * a[:, 0] for j in range(2)], 1) for i in range(2)]
    )
    assert sg.jacobian(matrix, x).shape == (2, 1, "N", 2)
    assert sg.jacobian(sg.input("u", ()), sg.input("v", ())).shape == ()
    with pytest.raises(ShapeError, match="known"):
        sg.jacobian(x, x)


def test_jvp_of_inputs_that_share_a_cotangent_and_of_outputs_that_are_inputs() -> None:
    x, y = sg.input("x", (2,), "float64"), sg.input("y", (2,), "float64")
    s, t = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    total, same, none = sg.jvp([x + y, x, y * 0 + 1], [x, y], [s, t])
    found = evaluate({x: s, y: t}, [total, same, none])
    assert [f.tolist() for f in found] == [[11.0, 22.0], [1.0, 2.0], [0.0, 0.0]]
    assert evaluate({x: s, y: t}, [sg.jvp(y, x, s)])[0].tolist() == [0.0, 0.0]


# - what is reached -


def test_one_exported_model_has_right_gradients_at_every_batch_size() -> None:
    loss, values, _ = declared_network("N")
    graph = Graph("g", {v.name or "": v for v in values}, {f"g{i}": g for i, g in enumerate(sg.grad(loss, values))})
    assert [g.type for g in graph.outputs.values()] == [v.type for v in values]
    session = onnxruntime.InferenceSession(
        to_model(optimise(graph)).SerializeToString(), SETTINGS, ["CPUExecutionProvider"]
    )
    run = Evaluator(values, [loss])
    for batch in (1, 7, 64):
        feeds = {v.name or "": RANDOM.standard_normal([batch if d == "N" else d for d in v.shape]) for v in values}
        for v, g in zip(values, session.run(None, feeds), strict=True):
            if v.name != "x" or batch < 10:
                wanted = central(lambda a, v=v, feeds=feeds: run(feeds | {v.name or "": a})[0], feeds[v.name or ""])
                np.testing.assert_allclose(g, wanted, rtol=1e-6, atol=1e-8)


def test_a_batch_of_nothing_has_gradient_zero() -> None:
    x, w, b = sg.input("x", ("N", 3, 4), "float64"), sg.input("w", (4, 2), "float64"), sg.input("b", (2,), "float64")
    y = sg.cat([(x @ w + b).relu(), x[..., :2]], 1).flatten(1).softmax(-1)[:, ::2]
    gradients = sg.grad((y * y).sum(), [x, w, b])
    found = evaluate({x: np.zeros((0, 3, 4)), w: np.ones((4, 2)), b: np.ones(2)}, gradients)
    assert [g.shape for g in found] == [(0, 3, 4), (4, 2), (2,)] and not any(g.any() for g in found)
    numbers = {x: RANDOM.standard_normal((2, 3, 4)), w: RANDOM.standard_normal((4, 2)), b: RANDOM.standard_normal(2)}
    for v, g in zip(numbers, evaluate(numbers, gradients), strict=True):
        wanted = central(lambda a, v=v: evaluate(numbers | {v: a}, [(y * y).sum()])[0], numbers[v])
        np.testing.assert_allclose(g, wanted, rtol=1e-6, atol=1e-8)


def test_products_of_batches_of_nothing_have_gradient_zero() -> None:
    a, b = sg.input("a", ("B", "N", "K"), "float64"), sg.input("b", ("K", "M"), "float64")
    gradients = sg.grad(((a @ b) ** 2).sum(), [a, b])
    for batch, n in ((0, 2), (2, 0), (0, 0), (2, 4)):
        x, y = np.ones((batch, n, 3)), np.ones((3, 2))
        found = evaluate({a: x, b: y}, gradients)
        np.testing.assert_array_equal(found[0], 2 * (x @ y) @ y.T)
        np.testing.assert_array_equal(found[1], 2 * x.reshape(-1, 3).T @ (x @ y).reshape(-1, 2))


def test_unknown_sizes_that_turn_out_to_be_1_are_summed() -> None:
    x, y = sg.input("x", (None, None), "float64"), sg.input("y", (None, None), "float64")
    total = (x * y).sum()
    gradients = sg.grad(total, [x, y])
    for a, b in [
        ((3, 4), (3, 4)),
        ((1, 4), (3, 4)),
        ((3, 1), (1, 4)),
        ((3, 4), (1, 1)),
        ((1, 1), (1, 1)),
        ((0, 4), (1, 4)),
    ]:
        u, v = RANDOM.standard_normal(a), RANDOM.standard_normal(b)
        found = evaluate({x: u, y: v}, gradients)
        wide = np.broadcast_shapes(a, b)
        for g, own, other in ((found[0], u, v), (found[1], v, u)):
            axes = tuple(i for i in range(2) if own.shape[i] == 1)
            assert g.shape == own.shape
            np.testing.assert_allclose(g, np.broadcast_to(other, wide).sum(axes, keepdims=True).reshape(own.shape))


def test_what_the_loss_does_not_reach() -> None:
    x, y, z = (sg.input(n, (2,)) for n in "xyz")
    loss = (x * 2).sum() + y.floor().sum() + y.long().float().sum()
    with pytest.raises(GradientError, match=r"does not depend on z \(declared at test_differentiate.py:"):
        sg.grad(loss, [x, y, z])
    for unused in ("zero", "none"):
        a, b, c = sg.grad(loss, [x, y, z], unused=unused)
        assert (c is None) == (unused == "none")
        zeros = [v for v in (b, c) if v is not None]
        assert all(v.type == x.type for v in zeros)
        assert [f.tolist() for f in evaluate({x: [1, 2], y: [3, 4]}, [a, *zeros])] == [[2, 2]] + [[0, 0]] * len(zeros)
    assert evaluate({z: [1, 1]}, [sg.vjp(x, z, np.ones(2, np.float32))])[0].tolist() == [0, 0]
    with pytest.raises(DeclarationError, match="unused='no'"):
        sg.grad(loss, x, unused="no")


def test_intermediate_values_repeated_outputs_and_outputs_that_are_inputs() -> None:
    x = sg.input("x", (2,), "float64")
    h = x * x
    y = h * 3 + x
    gx, gh, again = sg.grad(y.sum(), [x, h, x])
    found = evaluate({x: [1.0, 2.0]}, [gx, gh, again])
    assert [f.tolist() for f in found] == [[7.0, 13.0], [3.0, 3.0], [7.0, 13.0]]
    one, two = np.array([1.0, 1.0]), np.array([10.0, 100.0])
    assert evaluate({x: [1.0, 2.0]}, [sg.vjp([h, h, x], x, [one, two, one])])[0].tolist() == [23.0, 405.0]
    assert evaluate({x: [1.0, 2.0]}, [sg.vjp([y, h], h, [one, two])])[0].tolist() == [13.0, 103.0]
    s = sg.input("s", (), "float64")
    assert float(evaluate({s: 3.0}, [sg.grad(s, s)])[0]) == 1.0
    assert sg.grad((x * 1).sum(), [x])[0].type == x.type


def test_one_value_and_lists() -> None:
    x = sg.input("x", (2,))
    assert isinstance(sg.grad(x.sum(), x), Value)
    assert isinstance(sg.grad(x.sum(), [x]), tuple) and isinstance(
        sg.vjp([x * 2], [x], [np.ones(2, np.float32)]), tuple
    )
    assert isinstance(sg.jvp(x * 2, [x], [np.ones(2, np.float32)]), Value) and isinstance(
        sg.hvp(x.sum(), [x], [np.ones(2, np.float32)]), tuple
    )


def test_outputs_of_several_parts_of_which_one_is_used() -> None:
    x = sg.input("x", (5,), "float64")
    a, b, c = sg.split(x, [1, 2, 2])
    assert evaluate({x: np.arange(5.0)}, [sg.grad((b * b).sum(), x)])[0].tolist() == [0.0, 2.0, 4.0, 0.0, 0.0]
    assert evaluate({x: np.arange(5.0)}, [sg.grad((b * c).sum() + a.sum(), x)])[0].tolist() == [1.0, 3.0, 4.0, 1.0, 2.0]


# - replaced derivatives -


def test_stop_gradient() -> None:
    x = sg.input("x", (2,), "float64")
    y = sg.stop_gradient(x * x) * x
    assert evaluate({x: [2.0, 3.0]}, [y, sg.grad(y.sum(), x)])[1].tolist() == [4.0, 9.0]
    assert evaluate({x: [2.0, 3.0]}, [sg.grad(sg.stop_gradient(x).sum(), x)])[0].tolist() == [0.0, 0.0]
    pushed = sg.jvp(y, x, np.array([1.0, 1.0]))
    assert evaluate({x: [2.0, 3.0]}, [pushed])[0].tolist() == [4.0, 9.0]


def test_custom_vjp_replaces_the_rule_at_every_order() -> None:
    x, y = sg.input("x", (2,), "float64"), sg.input("y", (2,), "float64")
    cube = sg.custom_vjp(lambda x: x**3, lambda g, y, x: g * 10 * x)
    first = sg.grad(cube(x).sum(), x)
    second = sg.grad(first.sum(), x)
    value, a, b = evaluate({x: [2.0, 3.0]}, [cube(x), first, second])
    assert value.tolist() == [8.0, 27.0] and a.tolist() == [20.0, 30.0] and b.tolist() == [10.0, 10.0]
    product = sg.custom_vjp(lambda x, y: x * y, lambda g, z, x, y: (g * y, None))
    a, b = sg.grad(product(x, y).sum(), [x, y])
    assert [f.tolist() for f in evaluate({x: [2.0, 3.0], y: [5.0, 7.0]}, [a, b])] == [[5.0, 7.0], [0.0, 0.0]]
    reversal = sg.custom_vjp(lambda x: x, lambda g, y, x: -g)
    assert evaluate({x: [2.0, 3.0]}, [sg.grad((reversal(x) * x).sum(), x)])[0].tolist() == [0.0, 0.0]


def test_a_custom_rule_may_use_its_result_and_only_reach_its_inputs() -> None:
    x = sg.input("x", (2,), "float64")
    root = sg.custom_vjp(sg.sqrt, lambda g, y, x: g / (2 * y))
    second = sg.grad(sg.grad(root(x).sum(), x).sum(), x)
    np.testing.assert_allclose(evaluate({x: [4.0, 9.0]}, [second])[0], [-1 / 32, -1 / 108])


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        (lambda g, y, x: (g, g), DeclarationError, "2 cotangents for 1 inputs"),
        (lambda g, y, x: g.sum(), ShapeError, r"cotangent f64\[\] came for f64\[3,2\]"),
        (lambda g, y, x: g[:1], ShapeError, r"cotangent f64\[1,2\] came for f64\[3,2\]"),
        (lambda g, y, x: g[:2], ShapeError, r"cotangent f64\[2,2\] came for f64\[3,2\]"),
        (lambda g, y, x: g.float(), DTypeError, "cotangent of float32 came for float64"),
    ],
)
def test_custom_rules_that_give_something_else_are_refused(rule: Any, error: type[Exception], words: str) -> None:
    x = sg.input("x", (3, 2), "float64")
    with pytest.raises(error, match=words) as caught:
        y = sg.custom_vjp(lambda x: x * 2, rule)(x)
        line = here() + 1
        sg.grad(y.sum(), x)
    assert str(caught.value).endswith(f"(test_differentiate.py:{line})")


def test_what_a_custom_function_captures_is_refused() -> None:
    x, w, i = sg.input("x", (2,)), sg.parameter("w", np.ones(2, np.float32)), sg.input("i", (2,), "int64")
    for captured in (w, w * 2):
        with pytest.raises(GradientError, match=r"uses w \(test_differentiate.py:.*not an argument"):
            sg.custom_vjp(lambda x, c=captured: x * c, lambda g, y, x: g)(x)
    blocked = sg.stop_gradient(w)
    assert sg.custom_vjp(lambda x: x * blocked * i.float() * sg.sign(w), lambda g, y, x: g)(x * w).type == x.type


# - errors -


def test_errors_name_the_cause() -> None:
    x, i = sg.input("x", ("N", 3)), sg.input("i", (3,), "int64")
    for call, error, words in [
        (lambda: sg.grad(x, x), GradientError, r"one number, its shape is \['N', 3\].*sum\(\)"),
        (lambda: sg.grad(x.sum(), i), DTypeError, "wrt 'i' is i64"),
        (lambda: sg.grad(i.sum(), x), DTypeError, "loss is i64"),
        (lambda: sg.grad(1.0, x), DeclarationError, "loss must be a Value"),
        (lambda: sg.grad(x.sum(), [np.ones(3)]), DeclarationError, "wrt must be Values"),
        (lambda: sg.vjp(x, x, np.ones((2, 4), np.float32)), ShapeError, "shapes must agree"),
        (lambda: sg.vjp(x, x, x.double()), DTypeError, "cotangent is f64"),
        (lambda: sg.vjp([x, x], x, [x]), DeclarationError, "2 cotangents are expected, 1 came"),
        (lambda: sg.jvp(x, x, x[0]), ShapeError, "tangent is f32"),
        (lambda: sg.hvp((x * x).sum(), x, x[0]), ShapeError, "^vector is f32"),
        (lambda: sg.hvp((x * x).sum(), [x], []), DeclarationError, "1 vectors are expected, 0 came"),
        (lambda: sg.vjp([x], [x], 1.0), DeclarationError, "1 cotangents are expected"),
        (lambda: sg.grad(x.sum(), [np.ones((30, 30))]), DeclarationError, "wrt must be Values"),
        (lambda: sg.stop_gradient("a"), DTypeError, "neither a Value nor numbers"),
    ]:
        with pytest.raises(error, match=words) as caught:
            call()
        assert "\n" not in str(caught.value) and "test_differentiate.py:" in str(caught.value)


def test_cases_without_rule_are_refused_by_name() -> None:
    x = sg.input("x", (3, 4))
    xs = ops.sequence_construct(x, x)
    part = ops.sequence_at(ops.sequence_map(lambda a: a * ops.sequence_at(xs, 0), xs), 0)
    with pytest.raises(UnsupportedOperatorError, match=r"SequenceMap \(.*\): .* hand it to the map"):
        sg.grad(part.sum(), x)
    # Where no derivative is asked for, it is only a value.
    assert sg.grad((sg.stop_gradient(part).sum() * x).sum(), x).type == x.type


# - size -


def test_a_long_chain_and_a_deep_diamond() -> None:
    x = sg.input("x", (2,), "float64")
    y = x
    for _ in range(20000):
        y = y * 0.9999
    start = time.perf_counter()
    g = sg.grad(y.sum(), x)
    graph = optimise(Graph("g", {"x": x}, {"g": g}))
    assert time.perf_counter() - start < 60
    assert len(graph.operators) < 60
    y = x
    for _ in range(5000):
        y = sg.sin(y) + sg.cos(y)
    g = sg.grad(y.sum(), x)
    value = np.array([0.3, 0.7])
    wanted = np.ones(2)
    for _ in range(5000):
        wanted *= np.cos(value) - np.sin(value)
        value = np.sin(value) + np.cos(value)
    found = evaluate({x: [0.3, 0.7]}, [y, g])
    np.testing.assert_allclose(found[0], value, rtol=1e-9)
    np.testing.assert_allclose(found[1], wanted, rtol=1e-9, atol=1e-300)
    assert len(topological([g])) < 60000


def test_the_same_program_prints_the_same_graph() -> None:
    texts = []
    for _ in range(2):
        loss, values, _ = declared_network("N")
        gradients = sg.grad(loss, values)
        second = sg.hvp(loss, values[1], values[1])
        graph = Graph("g", {v.name or "": v for v in values}, {f"g{i}": g for i, g in enumerate([*gradients, second])})
        texts.append((str(graph), str(optimise(graph)), to_model(optimise(graph)).SerializeToString()))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_values_and_graphs_are_not_copied(copied: Any) -> None:
    x = sg.input("x", (2,))
    for whole in (x, [x * 2], Graph("g", {"x": x}, {"y": x * 2})):
        if copied is copy.copy and isinstance(whole, list):
            continue
        with pytest.raises(sg.SymbolicValueError, match="cannot be copied or pickled") as caught:
            copied(whole)
        assert "test_differentiate.py:" in str(caught.value)


def test_gradients_carry_the_line_of_what_they_derive() -> None:
    x = sg.input("x", (2,))
    y = sg.tanh(x)
    line = y.source
    g = sg.grad((y * 3).sum(), x)
    made = [n for n in topological([g]) if n.derives_from is y.node]
    assert made and all(n.source == line for n in made)


def test_the_tutorial_gives_the_gradients_of_its_closed_form() -> None:
    x, y = sg.input("x", ("N", 6)), sg.input("y", ("N", 2))
    w1, w2 = sg.input("w1", (6, 5)), sg.input("w2", (5, 2))
    loss = (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum()
    graph = optimise(
        Graph(
            "g", {v.name or "": v for v in (x, y, w1, w2)}, dict(zip(("a", "b"), sg.grad(loss, [w1, w2]), strict=True))
        )
    )
    assert sum(n.op.name in ("MatMul", "Gemm") for n in graph.operators) == 5
    assert "= Clip(" in str(graph) and ", 0.0, inf)" in str(graph)
    a, b, u, v = (RANDOM.standard_normal(s).astype(np.float32) for s in ((4, 6), (4, 2), (6, 5), (5, 2)))
    h = np.maximum(a @ u, 0)
    d = 2 * (h @ v - b)
    found = evaluate({x: a, y: b, w1: u, w2: v}, sg.grad(loss, [w1, w2]))
    np.testing.assert_allclose(found[1], h.T @ d, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[0], a.T @ ((d @ v.T) * (a @ u >= 0)), rtol=1e-4, atol=1e-4)
    assert all(n.op.name in OPERATORS for n in graph.operators)


def test_products_at_positions_have_three_derivatives_also_at_zeros() -> None:
    x = sg.input("x", (4,))
    product = sg.ops.scatter_elements(np.ones(1, np.float32), np.array([0, 0, 0, 0]), x, reduction="mul").sum()
    first = sg.grad(product, x)
    second = sg.grad(first[0], x)
    third = sg.grad(second[1], x)
    at = np.array([0.0, 0.0, 0.0, 5.0], np.float32)
    assert [v.tolist() for v in sg.function([first, second, third])(at)] == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 5, 0]]
    with pytest.raises(sg.GradientError, match=r"has derivatives up to the third only; .*test_differentiate"):
        sg.grad(third.sum(), x)
