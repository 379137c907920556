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
from staticgrad.runtime.in_place import overwritten

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


@pytest.mark.parametrize(
    "optimizer",
    [
        sg.optim.sgd(0.1, momentum=0.9),
        sg.optim.adam(0.1),
        sg.optim.rmsprop(0.1),
        sg.optim.rmsprop(0.1, centered=True),
        sg.optim.adagrad(0.1, eps=0.0),
        sg.optim.adamw(0.1),
    ],
)
def test_optimizers_that_move_all_rows(optimizer: Any) -> None:
    step = declared(lambda: optimizer)
    feeds = {"x": np.array([1, -58, 2, 5]), **step.state}
    feeds |= {name: draw(*v.shape, low=0.5).astype("float32") for name, v in step.state.items() if v.shape}
    few, whole = run(step.model(), feeds), run(to_model(step.declared), feeds)
    for name, array in whole.items():
        np.testing.assert_allclose(few[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("number", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 3), ("N", 3), ("N", "M"), (1, 2, 3)])
@pytest.mark.parametrize("name", ["sgd", "clipped adagrad"])
def test_places_of_any_rank(name: str, shape: tuple[int | str, ...], number: str, dtype: str) -> None:
    x = sg.input("x", shape, dtype=dtype)
    table = sg.parameter("table", draw(1 << 14, 8, 8).astype(number))
    step = sg.train_step(sg.ops.gather(table, x).square().sum(), OPTIMIZERS[name]())
    ids = np.array([[3, -2, 3], [3, (1 << 14) - 2, 0]], dtype).reshape([1] * (len(shape) - 2) + [2, 3])
    feeds = {"x": ids, **step.state}
    few, whole = run(step.model(), feeds), run(to_model(step.declared), feeds)
    for key, array in whole.items():
        np.testing.assert_allclose(few[key], array, rtol=1e-5, atol=1e-7)
    written = [n.op.name for n in step.graph.operators if n.outputs[0].type.shape[:1] == (1 << 14,)]
    assert set(written) == {"ScatterND"}
    for empty in ((0, 3), (2, 0)) if shape == ("N", "M") else ():
        few = run(step.model(), {**feeds, "x": np.zeros(empty, dtype)})
        np.testing.assert_array_equal(few["table.next"], step.state["table"])


@pytest.mark.parametrize("batch", [6, "N"])
def test_steps_are_those_of_pytorch(batch: int | str) -> None:
    torch = pytest.importorskip("torch")
    step = declared(lambda: sg.optim.adagrad(0.1, eps=1e-12), batch)
    trainer = sg.Trainer(step, device="cpu")
    state = {name: torch.tensor(np.array(v)) for name, v in step.state.items()}
    names = ("table/weight", "out/weight", "out/bias")
    table, weight, bias = parameters = [state[name].requires_grad_() for name in names]
    optimizer = torch.optim.Adagrad(parameters, 0.1, initial_accumulator_value=0.1, eps=0.0)
    rows = len(step.state["table/weight"])
    for number in range(5):
        ids = np.array([1, 1, number, -number - 1, rows - 1, -1])
        optimizer.zero_grad()
        loss = (table[torch.tensor(ids % rows)] @ weight.T + bias).tanh().square().sum()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(float(trainer.step(x=ids)), float(loss.detach()), rtol=1e-5)
    for name, value in zip(names, parameters, strict=True):
        np.testing.assert_allclose(trainer.state()[name], value.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [4, "N"])
def test_no_table_has_two_buffers(batch: int | str) -> None:
    step = declared(OPTIMIZERS["adagrad"], batch)
    names = {"table/weight", "table/weight.sum"}
    assert names <= overwritten(step.graph, step.state, ["loss"])


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


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("amounts", [[1, -1], [2, -2], [0, 0]])
@pytest.mark.parametrize("literal", [False, True])
def test_rows_by_what_a_model_sorts(front: bool, largest: bool, amounts: list[int], literal: bool) -> None:
    ids = np.array([-1, 3, (1 << 18) - 1, 3, 5, 3])
    x = sg.constant(ids) if literal else sg.input("x", ("N",), dtype="int64")
    listed = sg.where(x < 0, x + (1 << 18), x) if front else x
    ordered = sg.ops.topk(listed, sg.ops.shape(x), largest=largest)[0]
    kept = sg.ops.compress(ordered, sg.ops.greater(ordered, sg.ops.pad(ordered, amounts, np.int64(-(1 << 20)))))
    table = sg.parameter("table", draw(1 << 18, WIDTH).astype("float32"))
    taken = F.embedding(kept, table)
    gradient = sg.grad(taken.square().sum() + taken.sum(), table)
    graph = Graph("f", {"table": table} | ({} if literal else {"x": x}), {"square": gradient * gradient})
    feeds = {"table": draw(1 << 18, WIDTH).astype("float32")} | ({} if literal else {"x": ids})
    few, whole = run(to_model(optimise(graph)), feeds), run(to_model(graph), feeds)
    np.testing.assert_allclose(few["square"], whole["square"], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["add", "none"])
def test_rows_that_a_model_writes_in_equal_places(reduction: str) -> None:
    x, a = sg.input("x", (3,), dtype="int64"), sg.input("a", (3, WIDTH))
    table = sg.input("table", (ROWS, WIDTH))
    written = sg.ops.scatter_nd(table, x.unsqueeze(1), a * a, reduction=reduction)
    graph = Graph("f", {"x": x, "a": a, "table": table}, {"written": written, "read": sg.ops.gather(written, x)})
    arrays = draw(3, WIDTH).astype("float32"), draw(ROWS, WIDTH).astype("float32")
    expected = arrays[1].copy()
    for i in (0, 1, 2):
        expected[4 - (i > 1)] = arrays[0][i] ** 2 + (expected[4 - (i > 1)] if reduction == "add" else 0)
    found = run(to_model(optimise(graph)), {"x": np.array([4, 4, 3]), "a": arrays[0], "table": arrays[1]})
    np.testing.assert_allclose(found["written"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["read"], expected[[4, 4, 3]], rtol=1e-6)


@pytest.mark.parametrize("read", [[4, 7], [7, 4], [4, 7, 7], [-56, 7], [4], [[4], [7]]])
def test_rows_that_a_model_reads_where_others_were_written(read: list[Any]) -> None:
    a, table = sg.input("a", (2, WIDTH)), sg.input("table", (ROWS, WIDTH))
    written = sg.ops.scatter_nd(table, np.array([[4], [7]]), a * a)
    graph = Graph("f", {"a": a, "table": table}, {"read": sg.ops.gather(written, np.array(read))})
    feeds = {"a": draw(2, WIDTH).astype("float32"), "table": draw(ROWS, WIDTH).astype("float32")}
    expected = feeds["table"].copy()
    expected[[4, 7]] = feeds["a"] ** 2
    np.testing.assert_array_equal(run(to_model(optimise(graph)), feeds)["read"], expected[np.array(read)])


@pytest.mark.parametrize("scaled", [lambda g: g * np.inf, lambda g: g * np.nan, lambda g: g / 0.0])
def test_zeros_times_what_is_no_number_are_none(scaled: Callable[[sg.Value], sg.Value]) -> None:
    x = sg.input("x", (2,), dtype="int64")
    table = sg.nn.Embedding(ROWS, WIDTH, name="table")
    found = sg.function(scaled(sg.grad(table(x).sum(), table.weight)))(x=np.array([1, 2]))
    assert np.isnan(np.delete(found, [1, 2], axis=0)).all()
