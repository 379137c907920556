"""The rule of recurrent layers of the usual kind, against central differences and against the layer's body."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from derivative_checks import Array, check
from drawing import draw
from evaluation import Evaluator

import staticgrad as sg
from staticgrad.graph import Graph, Value
from staticgrad.methods import OPERATORS
from staticgrad.optimise import optimise
from staticgrad.substitute import substituted

CASES: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"activations": ("Relu",)}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": True}),
    ("LSTM", {}),
]
EACH = pytest.mark.parametrize(("kind", "how"), CASES, ids=["rnn", "relu", "gru", "gru-linear", "lstm"])
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def arguments(kind: str, direction: str, layout: int = 0, steps: int = 3, batch: int = 2, hidden: int = 2) -> list[Any]:
    """X, W, R, B, no lengths, and the initial states."""
    count, gates = 1 + (direction == "bidirectional"), GATES[kind]
    states = [draw(count, batch, hidden, seed=4 + i) for i in range(1 + (kind == "LSTM"))]
    x = draw(steps, batch, 3)
    if layout:
        x, *states = (np.ascontiguousarray(v.transpose(1, 0, 2)) for v in (x, *states))
    w, r = draw(count, gates * hidden, 3, seed=1), draw(count, gates * hidden, hidden, seed=2)
    return [x, w, r, draw(count, 2 * gates * hidden, seed=3), None, *states]


def layer(kind: str, given: list[Any], **how: Any) -> tuple[list[Value], tuple[Value, ...], dict[str, Array]]:
    """Leaves for the arrays that are given, the outputs, and the feeds."""
    if "activations" in how and how.get("direction") == "bidirectional":
        how["activations"] *= 2
    feeds = {f"x{i}": a for i, a in enumerate(given) if a is not None}
    leaves = [None if a is None else sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(given)]
    made = OPERATORS[kind](*leaves, hidden_size=given[2].shape[-1], **how)
    return [x for x in leaves if x is not None], made, feeds


@EACH
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_all_derivatives(kind: str, how: dict[str, Any], direction: str, layout: int) -> None:
    given = arguments(kind, direction, layout)
    assert OPERATORS[kind].shortcut is not None
    if direction == "bidirectional" and "activations" in how:
        how = {"activations": how["activations"] * 2}

    def build(*xs: Any) -> Any:
        return OPERATORS[kind](*xs[:4], None, *xs[4:], hidden_size=2, direction=direction, layout=layout, **how)

    check(build, *[a for a in given if a is not None], second=direction == "reverse" and layout == 0)


@EACH
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("steps", "batch", "hidden", "states"), [(5, 3, 4, True), (1, 2, 3, False), (4, 1, 1, True)])
def test_the_rule_is_the_derivative_of_the_body(
    kind: str,
    how: dict[str, Any],
    direction: str,
    steps: int,
    batch: int,
    hidden: int,
    states: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = arguments(kind, direction, 0, steps, batch, hidden)
    leaves, made, feeds = layer(kind, given if states else given[:4], direction=direction, **how)
    seeds = [draw(*y.type.shape, seed=7 + i) for i, y in enumerate(made)]  # type: ignore[misc]
    for count in range(1, len(made) + 1):
        for chosen in itertools.combinations(range(len(made)), count):
            pulled = [sg.vjp([made[i] for i in chosen], leaves, [seeds[i] for i in chosen])]
            with monkeypatch.context() as without:
                without.setattr(OPERATORS[kind], "shortcut", None)
                pulled.append(sg.vjp([made[i] for i in chosen], leaves, [seeds[i] for i in chosen]))
            found, expected = (Evaluator(leaves, list(g), rewritten=True)(feeds) for g in pulled)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@EACH
def test_jvp_is_that_of_the_body(kind: str, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    leaves, made, feeds = layer(kind, arguments(kind, "bidirectional"), direction="bidirectional", **how)
    tangents = [draw(*x.type.shape, seed=9 + i) for i, x in enumerate(leaves)]  # type: ignore[misc]
    pushed = [sg.jvp(list(made), leaves, tangents)]
    with monkeypatch.context() as without:
        without.setattr(OPERATORS[kind], "shortcut", None)
        pushed.append(sg.jvp(list(made), leaves, tangents))
    found, expected = (Evaluator(leaves, list(t))(feeds) for t in pushed)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@EACH
@pytest.mark.parametrize("sizes", ["named", "unknown"])
def test_sizes_of_the_run(kind: str, how: dict[str, Any], sizes: str) -> None:
    given = arguments(kind, "forward")

    def build(x: Any, w: Any, r: Any, b: Any) -> Any:
        # The number of features is known.
        return OPERATORS[kind](sg.cat([x, x, x], 2), w, r, b, hidden_size=2, **how)

    check(build, given[0][:, :, :1], *given[1:4], sizes=sizes, fixed=3, second=False, dtype="float32")


def operators(outputs: dict[str, Value], leaves: list[Value]) -> list[str]:
    graph = optimise(Graph("g", {x.name or "": x for x in leaves}, outputs))
    return [node.op.name for node in graph.operators]


@EACH
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_a_layer_with_its_derivative_runs_once(kind: str, how: dict[str, Any], direction: str) -> None:
    """Two layers, the second over what the first gives, against their kernels and the unoptimised graph."""
    first, second = arguments(kind, direction, hidden=3), arguments(kind, direction, hidden=3)
    count = 1 + (direction == "bidirectional")
    second[1] = draw(count, GATES[kind] * 3, 3 * count, seed=8)
    narrow = [a.astype(np.float32) for a in (*first, *second[1:4]) if a is not None]
    leaves = [sg.input(f"x{i}", a.shape) for i, a in enumerate(narrow)]
    if "activations" in how:
        how = {"activations": how["activations"] * count}
    how = {**how, "direction": direction, "hidden_size": 3}
    states = len(first) - 5
    lower = OPERATORS[kind](*leaves[:4], None, *leaves[4 : 4 + states], **how)
    joined = lower[0].permute(0, 2, 1, 3).reshape(3, 2, 3 * count)
    upper = OPERATORS[kind](joined, *leaves[4 + states :], **how)
    results = [*lower, *upper]
    loss = sum((y * y).sum() for y in results)
    gradients = list(sg.grad(loss, leaves))
    named = {f"out{i}": y for i, y in enumerate([*results, *gradients])}
    assert kind not in operators(named, leaves)
    assert operators({"y": upper[0]}, leaves).count(kind) == 2
    feeds = {f"x{i}": a for i, a in enumerate(narrow)}
    found = Evaluator(leaves, list(named.values()), rewritten=True)(feeds)
    expected = Evaluator(leaves, list(named.values()))(feeds)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@EACH
def test_the_derivative_at_another_place_leaves_the_layer_as_it_is(kind: str, how: dict[str, Any]) -> None:
    given = [v if v is None else v.astype(np.float32) for v in arguments(kind, "forward", steps=3, hidden=3)]
    leaves, made, feeds = layer(kind, given, **how)
    loss = sum((y * y).sum() for y in made)
    x, w, r = leaves[:3]
    for place in ({w: w * 2.0}, {w: r, r: w}, {x: x + 1.0}):
        there = [substituted(g, place) for g in sg.grad(loss, leaves)]
        assert kind in operators({"loss": loss, **{f"g{i}": g for i, g in enumerate(there)}}, leaves)
        found = Evaluator(leaves, [loss, *there], rewritten=True)(feeds)
        for a, b in zip(found, Evaluator(leaves, [loss, *there])(feeds), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_a_layer_that_is_not_of_the_usual_kind_keeps_its_kernel() -> None:
    leaves, _, _ = layer("LSTM", [v if v is None else v.astype(np.float32) for v in arguments("LSTM", "forward")])
    clipped = OPERATORS["LSTM"](*leaves[:4], hidden_size=2, clip=0.5)
    outputs = {"loss": clipped[0].sum(), "g": sg.grad(clipped[0].sum(), leaves[1])}
    assert "LSTM" in operators(outputs, leaves)


@pytest.mark.parametrize(("wanted", "products"), [([0], 2), ([1], 2), ([2], 2), ([3], 1), ([5], 1), ([0, 1, 2], 4)])
def test_only_what_is_wanted_is_computed(wanted: list[int], products: int) -> None:
    leaves, made, _ = layer("LSTM", [v if v is None else v.astype(np.float32) for v in arguments("LSTM", "forward")])
    by_name = {x.name: x for x in leaves}
    gradients = sg.grad(made[0].sum(), [by_name[f"x{i}"] for i in wanted])
    found = operators({f"g{i}": g for i, g in enumerate(gradients)}, leaves)
    assert found.count("Scan") == 2
    assert sum(name in ("Gemm", "MatMul") for name in found) == products


def test_explain_names_the_rule_of_the_usual_kind_and_the_body_of_others() -> None:
    leaves, made, _ = layer("GRU", arguments("GRU", "forward"))
    clipped = OPERATORS["GRU"](*leaves[:4], hidden_size=2, clip=0.5)
    for y, expected in ((made[0], "own rule (recurrent_rules.py:"), (clipped[0], "body (recurrent.py:")):
        steps = sg.explain(sg.grad(y.sum(), leaves[1])).steps
        assert any(s.operator == "GRU" and s.rule.startswith(expected) for s in steps), steps
