"""Tables of which few rows change: the same numbers as by whole tables, from few rows of work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from drawing import draw

import staticgrad as sg
from exporters import to_model
from staticgrad.graph import Graph
from staticgrad.nn import functional as F
from staticgrad.optimise import optimise

ROWS, WIDTH = 60, 8

OPTIMIZERS = {
    "sgd": lambda: sg.optim.sgd(0.1),
    "adagrad": lambda: sg.optim.adagrad(0.1),
    "clipped": lambda: sg.optim.chain(sg.optim.clip_by_global_norm(0.5), sg.optim.sgd(0.1)),
    "clipped adagrad": lambda: sg.optim.chain(sg.optim.clip_by_global_norm(0.5), sg.optim.adagrad(0.1)),
    "scheduled": lambda: sg.optim.sgd(sg.optim.exponential_decay(0.1, 1, 0.5)),
}


def declared(optimizer: Callable[[], Any], batch: int | str = 4) -> sg.TrainStep:
    x = sg.input("x", (batch,), dtype="int64")
    rows = 60 if isinstance(batch, int) else 1 << 18
    table = sg.nn.Embedding(rows, WIDTH, name="table")
    out = sg.nn.Linear(WIDTH, 3, name="out")
    return sg.train_step(out(table(x)).tanh().square().sum(), optimizer())


def run(model: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("ids", [[1, 1, 7, 59], [3, -57, -1, 59], [0, 0, 0, 0]])
def test_few_rows_are_the_whole_table(name: str, ids: list[int]) -> None:
    step = declared(OPTIMIZERS[name])
    feeds = {"x": np.array(ids), **step.state}
    few, whole = run(step.model(), feeds), run(to_model(step.declared), feeds)
    assert few.keys() == whole.keys()
    for key, array in whole.items():
        np.testing.assert_allclose(few[key], array, rtol=1e-6, atol=1e-7)
    untouched = np.setdiff1d(np.arange(ROWS), np.array(ids) % ROWS)
    np.testing.assert_array_equal(few["table/weight.next"][untouched], step.state["table/weight"][untouched])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_operator_but_the_writing_gives_a_table(name: str) -> None:
    graph = declared(OPTIMIZERS[name]).graph
    table = graph.inputs["table/weight"].type
    assert {n.op.name for n in graph.operators for y in n.outputs if y.type == table} == {"ScatterND"}


def test_equal_places_are_looked_for_once() -> None:
    for batch in (4, "N"):
        operators = [node.op.name for node in declared(OPTIMIZERS["clipped adagrad"], batch).graph.operators]
        assert operators.count("TopK") == 1


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
@pytest.mark.parametrize("ids", [[], [5], [9, 9, -1, 4, 4]])
def test_a_batch_of_any_size(name: str, ids: list[int]) -> None:
    step = declared(OPTIMIZERS[name], "N")
    trainer = sg.Trainer(step, device="cpu")
    before = trainer.state()
    trainer.step(x=np.array(ids, np.int64))
    after = trainer.state()
    changed = np.flatnonzero((before["table/weight"] != after["table/weight"]).any(1))
    assert set(changed) == set(np.array(ids, np.int64) % (1 << 18))


def test_momentum_moves_all_rows() -> None:
    step = declared(lambda: sg.optim.sgd(0.1, momentum=0.9))
    feeds = {"x": np.array([1, 2, 2, 5]), **step.state}
    feeds["table/weight.trace"] = np.ones((ROWS, WIDTH), np.float32)
    few, whole = run(step.model(), feeds), run(to_model(step.declared), feeds)
    np.testing.assert_allclose(few["table/weight.next"], whole["table/weight.next"], rtol=1e-6, atol=1e-7)
    assert (few["table/weight.next"] != feeds["table/weight"]).all()


def test_a_table_read_twice() -> None:
    x = sg.input("x", (4,), dtype="int64")
    table = sg.nn.Embedding(ROWS, WIDTH, name="table")
    loss = (table(x) * F.embedding(x + 1, table.weight)).sum()
    for optimizer in (sg.optim.sgd(0.1), sg.optim.adagrad(0.1)):
        step = sg.train_step(loss, optimizer)
        feeds = {"x": np.array([1, 2, 2, 5]), **step.state}
        few, whole = run(step.model(), feeds), run(to_model(step.declared), feeds)
        np.testing.assert_allclose(few["table/weight.next"], whole["table/weight.next"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("output", range(4))
def test_rows_by_what_a_model_has_from_unique(output: int) -> None:
    x = sg.input("x", ("N",), dtype="int64")
    table = sg.nn.Embedding(1 << 18, WIDTH, name="table")
    taken = F.embedding(sg.ops.unique(x)[output], table.weight)
    gradient = sg.grad(taken.square().sum() + taken.sum(), table.weight)
    ids = np.array([-1, 3, (1 << 18) - 1, 3, 5])
    feeds = {"x": ids, "table/weight": draw(1 << 18, WIDTH).astype("float32")}
    graph = Graph("f", {"x": x, "table/weight": table.weight}, {"square": gradient * gradient})
    few, whole = run(to_model(optimise(graph)), feeds), run(to_model(graph), feeds)
    np.testing.assert_allclose(few["square"], whole["square"], rtol=1e-5)


@pytest.mark.parametrize("scaled", [lambda g: g * np.inf, lambda g: g * np.nan, lambda g: g / 0.0])
def test_zeros_times_what_is_no_number_are_none(scaled: Callable[[sg.Value], sg.Value]) -> None:
    x = sg.input("x", (2,), dtype="int64")
    table = sg.nn.Embedding(ROWS, WIDTH, name="table")
    found = sg.function(scaled(sg.grad(table(x).sum(), table.weight)))(x=np.array([1, 2]))
    assert np.isnan(np.delete(found, [1, 2], axis=0)).all()
