"""Formulations chosen by shape compute what the canonical ones do, over any number of images; where none is chosen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
from evaluation import Array
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph, Leaf
from staticgrad.optimise import optimise

Attributes = dict[str, Any]


def gradients(name: str, x: tuple[Any, ...], w: tuple[int, ...], dtype: str, **attributes: Any) -> Graph:
    """The cotangents of the image and of the weight of a convolution."""
    images, weight = sg.input("x", x, dtype), sg.input("w", w, dtype)
    y = ops.OPERATORS[name](images, weight, **attributes)
    g = Leaf("input", "g", y.type).outputs[0]
    to_images, to_weight = sg.vjp([y], [images, weight], [g])
    return Graph("f", {"x": images, "w": weight, "g": g}, {"dx": to_images, "dw": to_weight})


def names(graph: Graph, output: str) -> list[str]:
    return [n.op.name for n in Graph("f", graph.inputs, {output: graph.outputs[output]}).operators]


def computed(graph: Graph, feeds: dict[str, Array]) -> list[Array]:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_model(graph).SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], Attributes, bool | None, bool | None]] = [
    # Operator, image, weight, attributes; whether the weight's cotangent and the image's take another form (None: that
    # of the weight where the number of images is known, that of the image of more than a few).
    ("Conv", (16, 4, 4), (24, 16, 3, 3), {"pads": [1, 1, 1, 1]}, True, True),
    ("Conv", (16, 4, 3), (24, 16, 3, 2), {"pads": [2, 1, 2, 0], "dilations": [2, 1]}, True, True),
    ("Conv", (16, 8, 8), (24, 16, 3, 3), {"pads": [1, 1, 1, 1]}, True, False),
    ("Conv", (16, 9, 7), (24, 16, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, True, False),
    ("Conv", (16, 8, 8), (24, 16, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, True, False),
    ("Conv", (16, 9, 8), (24, 16, 3, 2), {"pads": [0, 1, 2, 0]}, True, False),
    ("Conv", (16, 11, 12), (24, 16, 3, 2), {"pads": [1, 2, 0, 3], "dilations": [2, 3]}, True, False),
    ("Conv", (16, 14, 12), (24, 16, 3, 3), {"strides": [2, 1], "dilations": [1, 2]}, True, False),
    ("Conv", (16, 12, 12), (24, 16, 2, 2), {"strides": [3, 3], "pads": [1, 0, 0, 1]}, True, False),
    ("Conv", (16, 8, 8), (24, 16, 3, 3), {"pads": [3, 3, 3, 3]}, True, False),
    ("Conv", (16, 8, 8), (24, 16, 3, 3), {"auto_pad": "SAME_LOWER"}, True, False),
    ("Conv", (16, 5, 3), (24, 16, 1, 1), {}, True, True),
    ("Conv", (16, 9, 8), (24, 16, 1, 1), {}, True, True),
    ("Conv", (16, 9, 8), (24, 16, 1, 1), {"pads": [1, 0, 0, 2]}, True, False),
    ("Conv", (16, 9, 8), (24, 16, 1, 1), {"strides": [2, 2]}, True, False),
    ("Conv", (16, 9, 9), (24, 16, 1, 1), {"strides": [2, 2]}, True, False),
    ("Conv", (16, 70), (24, 16, 1), {}, True, True),
    ("Conv", (16, 20), (24, 16, 5), {"pads": [2, 2], "strides": [2]}, True, False),
    ("Conv", (16, 20), (24, 16, 5), {"pads": [4, 2], "dilations": [2]}, True, False),
    ("Conv", (16, 4, 5, 4), (24, 16, 2, 2, 3), {"pads": [1, 0, 1, 0, 1, 0]}, True, False),
    ("Conv", (24, 7, 7), (24, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24}, True, True),
    ("Conv", (24, 9, 9), (24, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24}, True, True),
    ("Conv", (24, 9, 8), (24, 1, 2, 3), {"pads": [1, 2, 0, 1], "group": 24}, True, True),
    ("Conv", (24, 9, 10), (24, 1, 1, 3), {"group": 24}, True, True),
    ("Conv", (24, 13, 12), (24, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24, "strides": [2, 2]}, True, False),
    ("Conv", (24, 16, 14), (24, 1, 3, 2), {"pads": [1, 0, 0, 1], "group": 24, "strides": [2, 3]}, True, False),
    (
        "Conv",
        (24, 15, 14),
        (24, 1, 2, 3),
        {"pads": [0, 2, 1, 1], "group": 24, "strides": [2, 1], "dilations": [1, 2]},
        True,
        False,
    ),
    ("Conv", (24, 7, 7), (24, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24, "strides": [2, 2]}, True, None),
    ("Conv", (24, 8, 7), (24, 1, 3, 2), {"pads": [0, 1, 1, 0], "group": 24, "strides": [3, 2]}, True, None),
    (
        "Conv",
        (24, 7, 6),
        (24, 1, 2, 3),
        {"pads": [0, 2, 1, 1], "group": 24, "strides": [2, 1], "dilations": [1, 2]},
        True,
        None,
    ),
    ("Conv", (24, 9), (24, 1, 3), {"pads": [1, 0], "group": 24}, True, True),
    ("Conv", (24, 3, 4, 3), (24, 1, 2, 3, 2), {"group": 24}, True, True),
    ("Conv", (24, 80, 75), (24, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24}, True, True),
    ("Conv", (24, 20, 19), (24, 1, 2, 3), {"pads": [1, 3, 0, 0], "group": 24}, True, False),
    ("Conv", (24, 20, 19), (24, 1, 3, 2), {"pads": [0, 1, 2, 0], "group": 24, "dilations": [2, 3]}, True, True),
    ("Conv", (24, 90), (24, 1, 3), {"pads": [1, 0], "group": 24}, None, True),
    ("Conv", (24, 190), (24, 1, 3), {"pads": [1, 0], "group": 24, "strides": [3]}, None, False),
    ("Conv", (24, 5, 6, 7), (24, 1, 2, 3, 2), {"group": 24, "pads": [1, 0, 1, 0, 2, 0]}, None, True),
    ("Conv", (32, 7, 7), (32, 16, 3, 3), {"pads": [1, 1, 1, 1], "group": 2}, False, False),
    ("Conv", (24, 7, 7), (48, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 24}, False, False),
    ("Conv", (3, 8, 8), (24, 3, 3, 3), {"pads": [1, 1, 1, 1]}, True, False),
    ("Conv", (2, 9, 8), (3, 2, 4, 3), {"pads": [1, 2, 0, 1], "strides": [2, 1], "dilations": [1, 2]}, True, False),
    ("Conv", (1, 12), (6, 1, 5), {"pads": [2, 1]}, True, False),
    ("Conv", (2, 5, 6, 4), (3, 2, 2, 3, 2), {"strides": [1, 2, 1]}, True, False),
    ("Conv", (16, 34, 34), (16, 16, 3, 3), {"pads": [1, 0, 0, 1]}, True, True),
    ("Conv", (16, 20, 17), (24, 16, 5, 2), {"pads": [2, 1, 1, 0], "dilations": [1, 2]}, True, True),
    ("Conv", (16, 16, 16), (40, 16, 3, 2), {"pads": [1, 0, 1, 1]}, True, False),
    ("Conv", (16, 34, 34), (4, 16, 3, 3), {"pads": [1, 2, 0, 1], "dilations": [1, 2]}, True, False),
    ("Conv", (16, 33, 36), (20, 16, 2, 3), {"pads": [1, 0, 0, 1], "strides": [2, 2]}, True, False),
    ("Conv", (16, 9, 12, 13), (20, 16, 2, 2, 3), {"pads": [1, 0, 0, 1, 2, 1]}, True, False),
    ("Conv", (16, 1100), (20, 16, 4), {"pads": [1, 3]}, True, True),
    ("Conv", (16, 1100), (20, 16, 4), {"pads": [1, 2], "strides": [4]}, True, False),
    ("Conv", (16, 9, 8), (1, 16, 1, 1), {}, True, False),
    ("Conv", (3, 40, 40), (24, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, True, False),
    ("ConvTranspose", (3, 5, 6), (3, 4, 3, 3), {"strides": [2, 2]}, True, False),
    ("Conv", (16, 3, 3), (24, 16, 3, 3), {"pads": [1, 1, 1, 1]}, True, True),
    ("Conv", (16, 2, 2), (24, 16, 3, 3), {"pads": [1, 1, 1, 1]}, False, True),
    ("ConvTranspose", (16, 5, 6), (16, 24, 3, 3), {"pads": [1, 0, 1, 1]}, True, False),
    ("ConvTranspose", (16, 5, 6), (16, 24, 2, 2), {"strides": [2, 2]}, True, False),
    ("ConvTranspose", (16, 5, 6), (16, 24, 3, 3), {"strides": [2, 2], "output_padding": [1, 1]}, True, False),
]


@pytest.mark.parametrize("position", range(len(CASES)))
@pytest.mark.parametrize("batch", [0, 1, 3, "two numbers"])
def test_cotangents_of_convolutions_are_those_of_the_canonical_form(position: int, batch: Any) -> None:
    name, image, weight, attributes, other_weight, other_image = CASES[position]
    declared, size = (2, 2) if batch == "two numbers" else ("N", batch)
    graph = gradients(name, (declared, *image), weight, "float32", **attributes)
    canonical, chosen = optimise(graph, target="cuda"), optimise(graph)
    random = np.random.default_rng(position)
    feeds = {
        k: random.standard_normal([d if isinstance(d, int) else size for d in v.shape]).astype(np.float32)
        for k, v in graph.inputs.items()
    }
    for found, expected in zip(computed(chosen, feeds), computed(canonical, feeds), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)
    if other_weight is None:
        other_weight = batch == "two numbers"
    if other_image is None:
        other_image = batch != "two numbers"
    assert (names(chosen, "dw") != names(canonical, "dw"), names(chosen, "dx") != names(canonical, "dx")) == (
        other_weight,
        other_image,
    )


@pytest.mark.parametrize("reduction", [ops.reduce_sum, ops.reduce_mean])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_sums_of_products_over_images_are_those_of_the_canonical_form(reduction: Any, batch: int) -> None:
    x, y = (sg.input(name, ("N", 3, 24, 25)) for name in "xy")
    graph = Graph("f", {"x": x, "y": y}, {"sum": reduction(x * y, [0, 2, 3], keepdims=False)})
    canonical, chosen = optimise(graph, target="cuda"), optimise(graph)
    assert "MatMul" in names(chosen, "sum")
    random = np.random.default_rng(0)
    feeds = {k: random.standard_normal((batch, 3, 24, 25)).astype(np.float32) for k in "xy"}
    np.testing.assert_allclose(computed(chosen, feeds)[0], computed(canonical, feeds)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_forward_convolutions_are_those_of_the_canonical_form(name: str) -> None:
    for shape, size in (((2, 16, 5, 5), 5), ((2, 16, 6, 5), 3), ((3, 16, 4, 4), 1)):
        x, w = sg.input("x", shape), sg.input("w", (16, 16, size, size))
        b = sg.input("b", (16,))
        for bias in ((), (b,)):
            graph = Graph("f", {"x": x, "w": w, "b": b}, {"y": ops.OPERATORS[name](x, w, *bias)})
            random = np.random.default_rng(0)
            feeds = {k: random.standard_normal(v.shape).astype(np.float32) for k, v in graph.inputs.items()}
            (found,), (expected,) = (computed(optimise(graph, target=t), feeds) for t in ("cpu", "cuda"))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


def test_the_result_names_what_it_does() -> None:
    graph = optimise(gradients("Conv", ("N", 16, 4, 4), (24, 16, 1, 2), "float32"))
    lines = [line.strip() for line in str(graph).splitlines()[1:]]
    assert lines == PRINTED


PRINTED = [
    "a: f32[24,16,1,2] = Slice(w, [-1], [-4611686018427387904], [3], [-1])",
    "b: f32[16,24,1,2] = Transpose(a, perm=[1, 0, 2, 3])",
    "dx: f32[N,16,4,4] = Conv(g, b, dilations=[1, 1], pads=[0, 1, 0, 1], strides=[1, 1])",
    "c: f32[?,288] = Reshape(g, [-1, 288], allowzero=0)",
    "d: f32[288,?] = Transpose(c, perm=[1, 0])",
    "e: f32[24,?] = Reshape(d, [24, -1])",
    "f: f32[?,256] = Reshape(x, [-1, 256], allowzero=0)",
    "h: f32[256,?] = Transpose(f, perm=[1, 0])",
    "i: f32[16,4,4,?] = Reshape(h, [16, 4, 4, -1], allowzero=0)",
    "j: f32[16,4,3,?] = Slice(i, [0, 0], [4, 3], [1, 2], [1, 1])",
    "k: f32[16,?] = Reshape(j, [16, -1], allowzero=0)",
    "l: f32[24,16] = Gemm(e, k, transB=True)",
    "m: f32[16,4,3,?] = Slice(i, [0, 1], [4, 4], [1, 2], [1, 1])",
    "n: f32[16,?] = Reshape(m, [16, -1], allowzero=0)",
    "o: f32[24,16] = Gemm(e, n, transB=True)",
    "p: f32[48,16] = Concat(l, o, axis=0)",
    "q: f32[1,2,24,16] = Reshape(p, [1, 2, 24, 16], allowzero=0)",
    "dw: f32[24,16,1,2] = Transpose(q, perm=[2, 3, 0, 1])",
]


def test_other_widths_and_sizes_of_the_run_stay_as_they_are() -> None:
    shapes: list[tuple[tuple[Any, ...], str]] = [(("N", 16, 8, 8), "float64"), (("N", 16, "H", "W"), "float32")]
    for shape, dtype in shapes:
        graph = gradients("Conv", shape, (24, 16, 3, 3), dtype, pads=[1, 1, 1, 1])
        targets: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")
        chosen, canonical = (names(optimise(graph, target=t), "dw") for t in targets)
        assert chosen == canonical


def test_what_was_chosen_has_derivatives() -> None:
    x, w = sg.input("x", (2, 16, 5, 5)), sg.input("w", (16, 16, 3, 3))
    y = ops.conv(x, w)
    graph = optimise(Graph("f", {"x": x, "w": w}, {"g": sg.grad((y * y).sum(), [w])[0]}))
    again = sg.grad((graph.outputs["g"] ** 2).sum(), [x])[0]
    canonical = sg.grad((sg.grad((y * y).sum(), [w])[0] ** 2).sum(), [x])[0]
    random = np.random.default_rng(0)
    feeds = {k: random.standard_normal(v.shape).astype(np.float32) * 0.1 for k, v in graph.inputs.items()}
    inputs = {"x": x, "w": w}
    (found,), (expected,) = (computed(optimise(Graph("f", inputs, {"g": v})), feeds) for v in (again, canonical))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


def test_elements_added_behind_a_transposed_convolution_stay() -> None:
    x, w = sg.input("x", (2, 16, 5, 5)), sg.input("w", (16, 16, 2, 2))
    y = ops.conv_transpose(x, w, dilations=[2, 3], output_padding=[1, 2])
    # The runtime refuses these beside strides of 1, so that no numbers can be compared.
    assert names(optimise(Graph("f", {"x": x, "w": w}, {"y": y})), "y") == ["ConvTranspose"]
