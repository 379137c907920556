"""Cotangents under masks: by products where they are sums of products, by choice where a slope may be infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_formulations import computed

import staticgrad as sg
from staticgrad.graph import Graph
from staticgrad.nn import functional as F
from staticgrad.optimise import optimise

RANDOM = np.random.default_rng(0)
LONG = 40000


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype("float32")


def operators(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.operators]


def of_target(outputs: list[sg.Value], inputs: list[sg.Value], target: Any) -> Graph:
    named = {f"x{i}": v for i, v in enumerate(inputs)}
    return optimise(Graph("f", named, {f"y{i}": v for i, v in enumerate(outputs)}), target=target)


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "on two ways": lambda x: F.relu(x) + F.relu(2 * x),
    "one behind another": lambda x: F.relu(0.1 + F.relu(x)),
    "turned": lambda x: F.relu(x.transpose(2, 3)).transpose(2, 3),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_products_with_masks_are_choices(name: str, batch: int) -> None:
    x, w = sg.input("x", ("N", 4, 96, 97)), sg.parameter("w", np.zeros((5, 4, 3, 3), "float32"))
    y = F.conv2d(ACTIVATIONS[name](x), w)
    to_x, to_w = sg.grad((y * y).sum(), [x, w])
    second = sg.grad((to_w * to_w).sum() + (to_x * to_x).sum(), [x, w])
    outputs = [to_x, to_w, *second]
    chosen, canonical = (of_target(outputs, [x, w], target) for target in ("cpu", "cuda"))
    assert operators(chosen).count("Where") < operators(canonical).count("Where")
    arrays = np.round(4 * draw(batch, 4, 96, 97)) / 4, 0.3 * draw(5, 4, 3, 3)

    results = [computed(g, dict(zip(g.inputs, arrays, strict=True))) for g in (chosen, canonical)]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(initial=1))


def test_a_net_with_residual_blocks_has_masks_only() -> None:
    x, w = sg.input("x", (2, 8, 64, 64)), sg.parameter("w", draw(8, 8, 3, 3))
    y = x
    for _ in range(3):
        y = F.relu(y + F.conv2d(F.relu(F.conv2d(y, w, padding=1)), w, padding=1))
    head = F.adaptive_avg_pool2d(y, 1).flatten(1) @ sg.constant(draw(8, 3))
    graph = optimise(Graph("f", {"x": x, "w": w}, {"g": sg.grad((head * head).sum(), w)}))
    assert operators(graph).count("Greater") == operators(graph).count("Cast") == 6
    assert "Where" not in operators(graph)


@pytest.mark.parametrize(
    "loss",
    [
        lambda y: y.sqrt().sum(),
        lambda y: (y @ sg.constant(np.ones((LONG, 1), "float32"))).sqrt().sum() + y.sqrt().sum(),
        lambda y: y.log().sum(),
        lambda y: (1 / y).sum(),
        lambda y: (y**0.5).sum(),
        lambda y: y.norm(),
        lambda y: (y / (y.sum(1, keepdim=True) + 1e-3).sqrt()).pow(0.3).sum(),
    ],
)
def test_infinite_slopes_at_masked_places_stay_out(loss: Any) -> None:
    x = sg.input("x", (2, LONG))
    graph = optimise(Graph("f", {"x": x}, {"g": sg.grad(loss(F.relu(x)), x)}))
    assert "Where" in operators(graph)
    found = computed(graph, {"x": -np.ones((2, LONG), "float32")})[0]
    assert np.isfinite(found).all()


def test_what_is_declared_or_given_may_be_infinite() -> None:
    x, g, w = sg.input("x", (2, LONG)), sg.input("g", (2, LONG)), sg.input("w", (1, LONG))
    masked = sg.vjp([F.relu(x)], [x], [g])[0]
    turned = sg.vjp([F.relu(x).reshape(-1)], [x], [g.reshape(-1)])[0]
    declared = sg.where(x > 0, g[:, :1] @ w, 0)
    arrays = {"x": -np.ones((2, LONG), "float32"), "g": np.full((2, LONG), np.inf, "float32")}
    arrays["w"] = np.ones((1, LONG), "float32")
    for y in (masked, turned, declared):
        graph = optimise(Graph("f", {"x": x, "g": g, "w": w}, {"y": y}))
        assert "Where" in operators(graph)
        np.testing.assert_array_equal(computed(graph, arrays)[0], 0)
