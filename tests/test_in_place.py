"""States that a step overwrites: who may be, and that it changes no number; several steps in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

import staticgrad as sg
from staticgrad.graph import Graph, Leaf
from staticgrad.nn import functional as F
from staticgrad.runtime import trainer as trainer_module
from staticgrad.runtime.in_place import overwritten

RANDOM = np.random.default_rng(0)


def perceptron(optimizer: Any) -> tuple[sg.TrainStep, dict[str, Any]]:
    x, y = sg.input("x", ("N", 12)), sg.input("y", ("N",), dtype="int64")
    net = sg.nn.Sequential(
        sg.nn.Linear(12, 40, name="first"), sg.relu, sg.nn.Linear(40, 30, name="second"), sg.tanh,
        sg.nn.Linear(30, 5, name="third"),
    )  # fmt: skip
    feeds = {"x": RANDOM.standard_normal((16, 12), np.float32), "y": RANDOM.integers(0, 5, 16)}
    return sg.train_step(F.cross_entropy(net(x), y), optimizer), feeds


def images(optimizer: Any) -> tuple[sg.TrainStep, dict[str, Any]]:
    x = sg.input("x", (4, 3, 8, 8))
    net = sg.nn.Sequential(
        sg.nn.Conv2d(3, 6, 3, padding=1, name="conv1"), sg.nn.BatchNorm2d(6, name="bn1"), sg.relu,
        sg.nn.MaxPool2d(2), sg.nn.Conv2d(6, 4, 3, name="conv2"), sg.nn.BatchNorm2d(4, name="bn2"),
    )  # fmt: skip
    feeds = {"x": RANDOM.standard_normal((4, 3, 8, 8), np.float32)}
    return sg.train_step(net(x).square().mean(), optimizer), feeds


def tied(optimizer: Any) -> tuple[sg.TrainStep, dict[str, Any]]:
    x, y = sg.input("x", ("N", 6), dtype="int64"), sg.input("y", ("N", 6), dtype="int64")
    table = sg.nn.Embedding(50, 8, name="table")
    logits = table(x).tanh() @ table.weight.T
    feeds = {"x": RANDOM.integers(0, 50, (3, 6)), "y": RANDOM.integers(0, 50, (3, 6))}
    return sg.train_step(F.cross_entropy(logits.flatten(0, 1), y.flatten()), optimizer), feeds


MODELS = [perceptron, images, tied]
OPTIMIZERS = {
    "sgd": lambda: sg.optim.sgd(0.1),
    "momentum": lambda: sg.optim.sgd(0.1, momentum=0.9),
    "nesterov": lambda: sg.optim.sgd(0.1, momentum=0.9, nesterov=True),
    "adamw": lambda: sg.optim.adamw(0.01, weight_decay=0.1),
    "adagrad": lambda: sg.optim.adagrad(0.1),
    "clipped": lambda: sg.optim.chain(sg.optim.clip_by_global_norm(0.1), sg.optim.rmsprop(0.01)),
}


def by_copies(step: sg.TrainStep, feeds: dict[str, Any], count: int) -> tuple[list[float], dict[str, Any]]:
    """The losses and the last state of steps that get copies of everything."""
    session = onnxruntime.InferenceSession(step.model().SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    state = dict(step.state)
    losses = []
    for _ in range(count):
        found = dict(zip(names, session.run(names, {**feeds, **state}), strict=True))
        losses.append(float(found["loss"]))
        state = {name: found[f"{name}.next"] for name in state}
    return losses, state


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_overwriting_changes_no_bit(model: Callable[[Any], Any], optimizer: str) -> None:
    step, feeds = model(OPTIMIZERS[optimizer]())
    losses, state = by_copies(step, feeds, 5)
    trainer = sg.Trainer(step, device="cpu")
    assert trainer._overwritten
    assert [float(trainer.step(feeds)) for _ in range(5)] == losses
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)


def test_the_order_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    # With everything overwritten, a weight is written before the derivative by its layer's input has read it.
    step, feeds = perceptron(sg.optim.sgd(0.1))
    losses, _ = by_copies(step, feeds, 5)
    monkeypatch.setattr(trainer_module, "overwritten", lambda graph, states, results: set(states))
    trainer = sg.Trainer(step, device="cpu")
    assert [float(trainer.step(feeds)) for _ in range(5)] != losses


def test_who_is_overwritten() -> None:
    step, _ = perceptron(sg.optim.adam(0.1))
    kept = {"second/weight", "third/weight"}
    assert overwritten(step.graph, step.state, ["loss"]) == set(step.state) - kept - {"step"}
    # All that reads it goes into what is added to it.
    step, _ = tied(sg.optim.sgd(0.1))
    assert overwritten(step.graph, step.state, ["loss"]) == {"table/weight"}
    step, _ = images(sg.optim.sgd(0.1))
    assert {"bn1/weight", "conv2/weight"}.isdisjoint(overwritten(step.graph, step.state, ["loss"]))


def graph_of(build: Callable[..., dict[str, sg.Value]]) -> Graph:
    a, b, x = sg.state("a", np.zeros(4, np.float32)), sg.state("b", np.zeros(4, np.float32)), sg.input("x", (4,))
    return Graph("f", {"a": a, "b": b, "x": x}, {"loss": x.sum(), **build(a, b, x)})


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda a, b, x: {"a.next": a + x, "b.next": b * 2}, {"a", "b"}),
        (lambda a, b, x: {"a.next": b + x, "b.next": a + x}, set()),  # each is read after the other is written
        (lambda a, b, x: {"a.next": b, "b.next": a}, set()),
        (lambda a, b, x: {"a.next": a + x, "b.next": a + x + b}, {"b"}),
        (lambda a, b, x: {"a.next": (c := a + b), "b.next": c * 2}, {"a", "b"}),
        (lambda a, b, x: {"a.next": a + x, "b.next": b + a.reshape(2, 2).sum()}, {"b"}),
        (lambda a, b, x: {"a.next": a + a.reshape(2, 2).T.reshape(4), "b.next": b + 1}, {"b"}),
        (lambda a, b, x: {"a.next": a.flip(0), "b.next": b + 1}, {"b"}),
        (lambda a, b, x: {"a.next": a.flip(0) + 1, "b.next": b + sg.ops.cast(sg.ops.size(a + 1), to="float32")}, {"b"}),
        (lambda a, b, x: {"a.next": a.sum() + x, "b.next": b.cumsum(0) * 2}, {"a", "b"}),
        (lambda a, b, x: {"a.next": a, "b.next": b + a}, {"b"}),
        (lambda a, b, x: {"a.next": a + 1, "b.next": b + 1, "metric": b}, {"a"}),
    ],
)
def test_dependence_decides(build: Callable[..., dict[str, sg.Value]], names: set[str]) -> None:
    found = overwritten(graph_of(build), ["a", "b"], ["loss"])
    assert found == names


def test_a_failed_step_leaves_the_state() -> None:
    for optimizer in (sg.optim.sgd(0.1), sg.optim.adagrad(0.1)):
        step, feeds = tied(optimizer)
        for model, bad in ((step, {**feeds, "x": feeds["x"] + 100}), (step, {**feeds, "y": feeds["y"] + 100})):
            trainer = sg.Trainer(model, device="cpu")
            trainer.step(feeds)
            before = trainer.state()
            with pytest.raises(sg.StaticgradError):
                trainer.step(bad)
            for name, array in trainer.state().items():
                np.testing.assert_array_equal(array, before[name])


def test_nothing_is_overwritten_where_a_step_may_be_taken_back() -> None:
    step, _ = perceptron(sg.optim.sgd(0.1))
    assert not sg.Trainer(step, device="cpu", check_finite=True)._overwritten


@pytest.mark.parametrize("model", MODELS)
def test_steps_in_one_call(model: Callable[[Any], Any]) -> None:
    step, feeds = model(sg.optim.adam(0.01))
    batches = [{name: np.roll(array, i, 0) for name, array in feeds.items()} for i in range(5)]
    one, many = sg.Trainer(step, device="cpu"), sg.Trainer(step, device="cpu")
    expected = [float(one.step(batch)) for batch in batches] + [float(one.step(feeds)) for _ in range(4)]
    results = many.steps(batches) + many.steps(feeds, count=3) + [many.step(feeds)]
    np.testing.assert_allclose([float(r) for r in results], expected, rtol=1e-6)
    for name, array in one.state().items():
        np.testing.assert_allclose(many.state()[name], array, rtol=1e-5, atol=1e-6)


def test_steps_on_batches_of_several_shapes() -> None:
    step, feeds = perceptron(sg.optim.sgd(0.1))
    batches = [{name: array[:n] for name, array in feeds.items()} for n in (16, 16, 8, 16)]
    one, many = sg.Trainer(step, device="cpu"), sg.Trainer(step, device="cpu")
    results = many.steps(iter(batches))
    assert [float(r) for r in results] == [float(one.step(batch)) for batch in batches]
    assert many.steps([]) == []


def test_steps_refuse() -> None:
    step, feeds = perceptron(sg.optim.sgd(0.1))
    trainer = sg.Trainer(step, device="cpu")
    for call, message in (
        (lambda: trainer.steps(feeds, 0), "count must be 1 or more"),
        (lambda: trainer.steps([feeds], 2), "count is for one batch"),
        (lambda: trainer.steps(7), "data is a dict of arrays, or batches of those"),
        (lambda: trainer.steps([feeds, {"x": feeds["x"]}]), "y"),
    ):
        with pytest.raises(sg.FeedError, match=message):
            call()  # type: ignore[no-untyped-call]


def test_metrics_of_several_steps() -> None:
    x = sg.input("x", ("N",))
    w = sg.parameter("w", np.float32(1))
    fixed = sg.state("fixed", np.float32(3))
    step = sg.train_step((x * w * fixed).square().sum(), sg.optim.sgd(0.01), metrics={"sums": x + w})
    trainer, other = sg.Trainer(step, device="cpu"), sg.Trainer(step, device="cpu")
    batch = {"x": np.arange(3, dtype=np.float32)}
    expected = [other.step(batch)["sums"] for _ in range(4)]
    np.testing.assert_allclose([r["sums"] for r in trainer.steps(batch, 4)], expected, rtol=1e-6)
    assert isinstance(step.graph.inputs["fixed"].node, Leaf)
