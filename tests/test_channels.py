"""Numbers for each channel of small images are multiplied and subtracted by the kernel of a normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_formulations import computed

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph
from staticgrad.optimise import optimise

IMAGES: list[tuple[Any, ...]] = [(4, 5, 3, 3), ("N", 5, 8, 8), ("N", 1, 2), (2, 6, 2, 3, 4), ("N", 3, 4, 1)]


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.operators if n.op.name in ("Sub", "Mul", "BatchNormalization")]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("batch", [0, 1, 7])
def test_a_difference_is_the_same_to_the_last_digit(image: tuple[Any, ...], batch: int) -> None:
    each = (1, image[1], *[1] * (len(image) - 2))
    x, m = sg.input("x", image), sg.input("m", each)
    graph = Graph("f", {"x": x, "m": m}, {"y": x - m})
    chosen = optimise(graph)
    assert names(chosen) == ["BatchNormalization"]
    random = np.random.default_rng(0)
    feeds = {
        k: random.standard_normal([d if isinstance(d, int) else batch for d in v.shape]).astype(np.float32)
        for k, v in graph.inputs.items()
    }
    feeds["m"][0, 0] = np.inf
    (found,) = computed(chosen, feeds)
    np.testing.assert_array_equal(found, feeds["x"] - feeds["m"])


@pytest.mark.parametrize("image", IMAGES)
def test_a_derived_product_is_the_same_to_the_last_digit(image: tuple[Any, ...]) -> None:
    x, s, g = sg.input("x", image), sg.input("s", (image[1], *[1] * (len(image) - 2))), sg.input("g", image)
    graph = Graph("f", {"s": s, "g": g}, {"to_x": sg.vjp(x * s, x, g)})
    chosen = optimise(graph)
    assert names(chosen) == ["BatchNormalization"]
    random = np.random.default_rng(0)
    feeds = {
        k: random.standard_normal([d if isinstance(d, int) else 3 for d in v.shape]).astype(np.float32)
        for k, v in graph.inputs.items()
    }
    (found,) = computed(chosen, feeds)
    np.testing.assert_array_equal(found, feeds["g"] * feeds["s"])


def test_others_stay() -> None:
    x, m = sg.input("x", (2, 3, 4, 4)), sg.input("m", (3, 1, 1))
    large, flat, wide = sg.input("l", (2, 3, 9, 9)), sg.input("f", (2, 3)), sg.input("w", (2, 3, 4, 4), "float64")
    along, few = sg.input("a", (1, 3, 4, 1)), sg.input("n", (2, 3, 1, 1))
    inputs = {str(v.name): v for v in (x, m, large, flat, wide, along, few)}
    kept = [x * m, m - x, x - along, x - 1.0, x - few, large - m, flat - flat[:1], wide - ops.cast(m, to="float64")]
    for y in kept:
        assert "BatchNormalization" not in names(optimise(Graph("f", inputs, {"y": y})))
