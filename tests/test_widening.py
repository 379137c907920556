"""Normalizations behind convolutions of 1x1 that widen, computed from what is narrow, are those of what is wide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation import Array
from test_formulations import computed

import staticgrad as sg
import staticgrad.nn.functional as F
from staticgrad import ops
from staticgrad.graph import Graph, Node, constant_of
from staticgrad.optimise import optimise, widening
from staticgrad.optimise.formulations import FORMULATIONS

Attributes = dict[str, Any]


def layer(
    x: sg.Value, w: sg.Value, parameters: dict[str, sg.Value | None], running: bool = True, **attributes: Any
) -> tuple[sg.Value, sg.Value]:
    """A convolution normalized by its batch, and the convolution."""
    c = ops.conv(x, w, parameters.get("b"), **attributes)
    size = w.shape[0]
    mean, variance = (sg.state(name, np.full(size, n, np.float32)) for name, n in (("mean", 0), ("variance", 1)))
    statistics = (mean, variance) if running else (None, None)
    return F.batch_norm(c, *statistics, parameters.get("scale"), parameters.get("shift"), training=True), c


def graph_of(
    image: tuple[Any, ...],
    weight: tuple[int, ...],
    given: str = "scale shift",
    skip: bool = False,
    running: bool = True,
    **attributes: Any,
) -> Graph:
    """Everything that such a layer gives: result, running statistics and cotangents."""
    x, w = sg.input("x", image), sg.input("w", weight)
    parameters = {name: sg.input(name, weight[:1]) for name in given.split()}
    y, c = layer(x, w, dict(parameters), running, **attributes)
    g = sg.input("g", y.shape)
    total = (y * g).sum() + ((c * c * c).sum() * 0.01 if skip else 0)
    wrt = {"x": x, "w": w, **parameters}
    cotangents = sg.grad(total, list(wrt.values()), unused="zero")
    outputs = {"y": y, **{f"to_{k}": v for k, v in zip(wrt, cotangents, strict=True)}}
    if running:
        moved = dict(y.node.training.updates) if y.node.training is not None else {}
        outputs |= {f"{k.name}.next": v for k, v in moved.items()}
        wrt |= {str(k.name): k for k in moved}
    return Graph("f", {**wrt, "g": g}, outputs)


def feeds_of(graph: Graph, batch: int = 3, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    sizes = {k: [d if isinstance(d, int) else batch for d in v.shape] for k, v in graph.inputs.items()}
    return {k: random.standard_normal(s).astype(np.float32) + (k == "variance") for k, s in sizes.items()}


def _axes(node: Node) -> list[int] | None:
    axes = constant_of(node.inputs[1])
    return None if axes is None else [int(a) for a in axes.flat]


def is_narrow(graph: Graph, wide: int) -> bool:
    """Whether nothing with so many channels is reduced or normalized but the cotangent, for its own sum."""
    reduced = [
        n
        for n in graph.operators
        if n.op.name in ("ReduceMean", "ReduceSum", "BatchNormalization")
        and len(n.inputs[0].type.shape) > 2  # type: ignore[union-attr]
        and n.inputs[0].type.shape[1] == wide  # type: ignore[union-attr]
        # The sum over images of products with each is over one axis.
        and not (n.op.name == "ReduceSum" and _axes(n) == [0])
    ]
    return [n.op.name for n in reduced] == ["ReduceSum"]


CASES: list[tuple[tuple[Any, ...], tuple[int, ...], Attributes]] = [
    ((3, 16, 6, 5), (40, 16, 1, 1), {}),
    (("N", 16, 6, 5), (40, 16, 1, 1), {}),
    (("N", 16, 6, 5), (40, 16, 1, 1), {"given": "b scale shift"}),
    ((3, 16, 6, 5), (40, 16, 1, 1), {"given": "scale", "running": False}),
    ((3, 16, 6, 5), (40, 16, 1, 1), {"given": "b shift"}),
    ((3, 16, 6, 5), (40, 16, 1, 1), {"given": ""}),
    ((3, 16, 30), (32, 16, 1), {}),
    ((2, 4, 3, 4, 5), (8, 4, 1, 1, 1), {}),
    ((1, 3, 4, 4), (7, 3, 1, 1), {}),
    ((3, 1, 4, 4), (7, 1, 1, 1), {}),
    ((3, 5, 4, 4), (5, 5, 1, 1), {}),
]


@pytest.mark.parametrize("position", range(len(CASES)))
def test_what_is_narrow_gives_the_same(position: int) -> None:
    image, weight, settings = CASES[position]
    graph = graph_of(image, weight, **settings)
    canonical, chosen = optimise(graph, target="cuda"), optimise(graph)
    assert weight[0] == weight[1] or (is_narrow(chosen, weight[0]) and not is_narrow(canonical, weight[0]))
    for batch in (3, 1) if "N" in image else (3,):
        feeds = feeds_of(graph, batch)
        for found, expected in zip(computed(chosen, feeds), computed(canonical, feeds), strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def test_what_is_written_so_by_hand_keeps_its_bias_and_its_statistics() -> None:
    shapes: dict[str, tuple[int, ...]] = {"x": (3, 4, 3, 5), "w": (6, 4, 1, 1), "g": (3, 6, 3, 5), "p": (6,)}
    inputs = {k: sg.input(k, shape) for k, shape in (shapes | dict.fromkeys("bqrs", (6,))).items()}
    x, w, g, p, b, q, r, s = inputs.values()
    z = x - x.mean((0, 2, 3), keepdim=True)
    outputs = {}
    for name, c in (("bare", ops.conv(z, w)), ("biased", ops.conv(z, w, b))):
        outputs |= {
            f"{name} variance": (c * c).mean((0, 2, 3), keepdim=True),
            f"{name} products": (g * c).sum((0, 2, 3)),
            f"{name} scaled": ops.batch_normalization(c, p, q, r, s * s + 1, epsilon=0.1),
        }
    graph = Graph("f", inputs, outputs)
    feeds = feeds_of(graph)
    canonical, chosen = (computed(optimise(graph, target=t), feeds) for t in ("cuda", "cpu"))  # type: ignore[arg-type]
    for found, expected in zip(chosen, canonical, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_every_equation_is_used() -> None:
    used: set[str] = set()
    for image, weight, settings in CASES:
        optimise(graph_of(image, weight, **settings), trace=lambda line: used.add(line.split(": ")[0]))
    rules = {rule for found in FORMULATIONS["cpu"].values() for rule in found}
    assert {str(rule.__doc__) for rule in rules if rule.__module__ == widening.__name__} <= used


def test_who_reads_the_convolution_too_gets_it() -> None:
    graph = graph_of(("N", 16, 6, 5), (40, 16, 1, 1), "b scale shift", skip=True)
    feeds = feeds_of(graph)
    canonical, chosen = (computed(optimise(graph, target=t), feeds) for t in ("cuda", "cpu"))  # type: ignore[arg-type]
    for found, expected in zip(chosen, canonical, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("image", "weight", "settings"),
    [
        ((3, 16, 6, 5), (15, 16, 1, 1), {}),
        ((3, 16, 8, 8), (40, 16, 1, 1), {"strides": [2, 2]}),
        ((3, 16, 6, 5), (40, 16, 1, 1), {"pads": [1, 0, 0, 0]}),
        ((3, 16, 6, 5), (40, 8, 1, 1), {"group": 2}),
        ((3, 16, 6, 5), (40, 16, 3, 3), {}),
        ((3, 16, 6, 5), (40, 16, 1, 1), {"auto_pad": "SAME_UPPER"}),
        ((2, 128, 2, 2), (512, 128, 1, 1), {}),
    ],
)
def test_others_stay(image: tuple[int, ...], weight: tuple[int, ...], settings: Attributes) -> None:
    assert not is_narrow(optimise(graph_of(image, weight, **settings)), weight[0])


def test_parameters_of_another_type_stay() -> None:
    x, w, p = sg.input("x", (3, 4, 3, 5)), sg.input("w", (6, 4, 1, 1)), sg.input("p", (6,), "float16")
    y = ops.batch_normalization(ops.conv(x - x.mean((0, 2, 3), keepdim=True), w), p, p, p, p)
    assert optimise(Graph("f", {"x": x, "w": w, "p": p}, {"y": y})).operators[-1].op.name == "BatchNormalization"


def test_variances_that_are_small_differences_are_exact() -> None:
    # The channels are nearly equal, and the rows of the weight take their differences.
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 1, 16, 16)) * 100 + 300 + random.standard_normal((4, 8, 16, 16)) * 0.01
    w = random.standard_normal((16, 8, 1, 1))
    w -= w.mean(1, keepdims=True)
    x, w = x.astype(np.float32), w.astype(np.float32)
    c = np.einsum("ncij,mc->nmij", x.astype(np.float64), w[:, :, 0, 0].astype(np.float64))
    exact = (c - c.mean((0, 2, 3), keepdims=True)) / np.sqrt(c.var((0, 2, 3), keepdims=True) + 1e-5)
    graph = graph_of((4, 8, 16, 16), (16, 8, 1, 1), "", running=False)
    feeds = {**feeds_of(graph), "x": x, "w": w}
    errors = [
        float(np.abs(computed(optimise(graph, target=t), feeds)[0] - exact).max())  # type: ignore[arg-type]
        for t in ("cpu", "cuda")
    ]
    assert errors[0] < 1.5 * errors[1]


def test_channels_without_any_variance_stay_finite() -> None:
    graph = graph_of((3, 4, 5, 5), (8, 4, 1, 1), running=False)
    feeds = feeds_of(graph)
    feeds["w"][2] = 0
    feeds["x"][:, 1] = 3
    canonical, chosen = (computed(optimise(graph, target=t), feeds) for t in ("cuda", "cpu"))  # type: ignore[arg-type]
    for found, expected in zip(chosen, canonical, strict=True):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * float(np.abs(expected).max()))


def test_a_net_trains_to_the_same_losses() -> None:
    def loss() -> sg.Value:
        x = sg.input("x", ("N", 8, 6, 6))
        for i in range(2):
            wide = F.relu6(sg.nn.BatchNorm2d(24, name=f"n{i}")(sg.nn.Conv2d(8, 24, 1, name=f"w{i}", seed=i)(x)))
            x = x + sg.nn.BatchNorm2d(8, name=f"m{i}")(sg.nn.Conv2d(24, 8, 1, name=f"v{i}", seed=i + 9)(wide))
        return (x.mean((2, 3)) - sg.input("y", ("N", 8))).pow(2).mean()

    random = np.random.default_rng(0)
    batches = [
        {k: random.standard_normal((4, *s)).astype(np.float32) for k, s in (("x", (8, 6, 6)), ("y", (8,)))}
        for _ in range(8)
    ]
    step = sg.train_step(loss(), sg.optim.sgd(0.1, momentum=0.9))
    trainer = sg.Trainer(step, device="cpu")
    state = {name: np.array(value) for name, value in step.state.items()}
    canonical = optimise(step.declared, target="cuda")
    for batch in batches:
        results = dict(zip(canonical.outputs, computed(canonical, {**batch, **state}), strict=True))
        np.testing.assert_allclose(float(trainer.step(batch)), results["loss"], rtol=1e-4)
        state = {name: results[f"{name}.next"] for name in state}
