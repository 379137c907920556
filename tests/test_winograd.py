"""Convolutions of 3x3 from products at points compute what the canonical ones do; where they are chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from evaluation import Array
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph, Leaf
from staticgrad.optimise import optimise, winograd


def layer(batch: Any, columns: int, rows: int, size: tuple[int, int], **attributes: Any) -> Graph:
    """A convolution of 3x3 with a bias and all of its cotangents."""
    x, w, b = sg.input("x", (batch, columns, *size)), sg.input("w", (rows, columns, 3, 3)), sg.input("b", (rows,))
    y = ops.conv(x, w, b, **attributes)
    g = Leaf("input", "g", y.type).outputs[0]
    dx, dw, db = sg.vjp([y], [x, w, b], [g])
    return Graph("f", {"x": x, "w": w, "b": b, "g": g}, {"y": y, "dx": dx, "dw": dw, "db": db})


def computed(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(to_model(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(graph.outputs, session.run(None, feeds), strict=True))


def convolutions(graph: Graph) -> int:
    return sum(node.op.name in ("Conv", "ConvTranspose") for node in graph.operators)


CASES: list[tuple[int, int, tuple[int, int], dict[str, Any]]] = [
    (64, 64, (8, 8), {"pads": [1, 1, 1, 1]}),
    (64, 48, (9, 7), {"pads": [1, 0, 2, 1]}),
    (96, 128, (16, 13), {}),
    (128, 128, (4, 4), {"pads": [1, 1, 1, 1]}),
    (128, 128, (4, 5), {"pads": [2, 2, 2, 2]}),
    (64, 64, (6, 10), {}),
    (64, 48, (14, 10), {"auto_pad": "VALID"}),
]


@pytest.mark.parametrize("position", range(len(CASES)))
@pytest.mark.parametrize("batch", [0, 1, 3, 16, "a number"])
def test_results_and_cotangents_are_those_of_the_canonical_form(position: int, batch: Any) -> None:
    columns, rows, size, attributes = CASES[position]
    declared, count = (16, 16) if batch == "a number" else ("N", batch)
    graph = layer(declared, columns, rows, size, **attributes)
    canonical, chosen = optimise(graph, target="cuda"), optimise(graph)
    assert convolutions(canonical) == 3 and convolutions(chosen) == 0
    assert [v.type for v in chosen.outputs.values()] == [v.type for v in canonical.outputs.values()]
    random = np.random.default_rng(position)
    feeds = {
        k: random.standard_normal([d if isinstance(d, int) else count for d in v.shape]).astype(np.float32)
        for k, v in graph.inputs.items()
    }
    expected = computed(canonical, feeds)
    for name, found in computed(chosen, feeds).items():
        assert found.shape == expected[name].shape
        # Of all errors the largest, against the size of what is summed.
        if found.size and expected[name].any():
            assert np.abs(found - expected[name]).max() < 1e-5 * np.abs(expected[name]).max()
        else:
            np.testing.assert_array_equal(found, expected[name])


def test_the_three_products_share_what_they_have_in_common() -> None:
    graph = optimise(layer(32, 64, 64, (16, 16), pads=[1, 1, 1, 1]))
    counts: dict[str, int] = {}
    for node in graph.operators:
        counts[node.op.name] = counts.get(node.op.name, 0) + 1
    # Images, cotangents and the weight go to points once; two images and a weight come back.
    assert (counts["Gemm"], counts["MatMul"]) == (2 + 1 + 2 + 1, 2 + 3 + 2)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1], "strides": [2, 2]},
        {"pads": [2, 2, 2, 2], "dilations": [2, 2]},
        {"pads": [1, 1, 1, 1], "strides": [1, 2]},
    ],
)
def test_what_is_not_of_stride_one_is_left(attributes: dict[str, Any]) -> None:
    graph = layer(32, 64, 64, (16, 16), **attributes)
    assert convolutions(Graph("f", graph.inputs, {"y": optimise(graph).outputs["y"]})) == 1


@pytest.mark.parametrize(
    ("columns", "rows", "size"),
    [(3, 64, (32, 32)), (64, 8, (16, 16)), (16, 16, (64, 64)), (32, 32, (128, 128))],
)
def test_few_channels_and_wide_images_are_left(columns: int, rows: int, size: tuple[int, int]) -> None:
    graph = layer(8, columns, rows, size, pads=[1, 1, 1, 1])
    assert convolutions(Graph("f", graph.inputs, {"y": optimise(graph).outputs["y"]})) == 1


def test_the_second_derivative_is_that_of_the_canonical_form() -> None:
    x, w = sg.input("x", ("N", 32, 8, 8)), sg.input("w", (32, 32, 3, 3))
    loss = ops.reduce_sum(ops.conv(x, w, pads=[1, 1, 1, 1]) ** 3.0, keepdims=False)
    gradients = sg.grad(loss, [x, w])
    both = sum((ops.reduce_sum(g * g, keepdims=False) for g in gradients), start=sg.constant(np.float32(0)))
    second = sg.grad(both, [x, w])
    graph = Graph("f", {"x": x, "w": w}, dict(zip("ab", second, strict=True)))
    random = np.random.default_rng(0)
    feeds = {
        "x": random.standard_normal((5, 32, 8, 8)).astype(np.float32),
        "w": (random.standard_normal((32, 32, 3, 3)) / 17).astype(np.float32),
    }
    chosen, expected = (computed(optimise(graph, target=t), feeds) for t in ("cpu", "cuda"))
    assert convolutions(optimise(graph)) < convolutions(optimise(graph, target="cuda"))
    for name, found in chosen.items():
        assert np.abs(found - expected[name]).max() < 3e-5 * np.abs(expected[name]).max()


@pytest.mark.parametrize("size", sorted(winograd._POINTS))
def test_the_matrices_are_exact(size: int) -> None:
    results, weights, images = winograd._transforms(size)
    # The sum over points of A[j] G[k] B[l] is 1 where l = j + k, else 0.
    found = np.einsum("fj,fk,fl->jkl", results, weights, images)
    expected = [[[float(i == j + k) for i in range(size + 2)] for k in range(3)] for j in range(size)]
    np.testing.assert_allclose(found, expected, atol=1e-13)
