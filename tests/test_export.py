"""The exported files (the step, the bundle, ONNX's training form): names, opsets, metadata, and what they compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from staticgrad.exporters.opset import lowest_opset

import staticgrad as sg
from staticgrad import exporters, ops
from staticgrad.graph import Graph
from staticgrad.types import DType

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((12, 5)).astype("float32")
Y = RANDOM.integers(0, 3, 12)


def small_step(optimizer: Any = None) -> sg.TrainStep:
    """A classifier with a hidden layer, trained with Adam, with a metric and predictions."""
    random = np.random.default_rng(1)
    x = sg.input("x", ("N", 5))
    y = sg.input("y", ("N",), "int64")
    w = sg.parameter("layer1/weight", random.standard_normal((5, 4)).astype("float32"))
    b = sg.parameter("layer1/bias", np.zeros(4, np.float32))
    v = sg.parameter("v", random.standard_normal((4, 3)).astype("float32"))
    logits = sg.tanh(x @ w + b) @ v
    return sg.train_step(
        sg.nn.functional.cross_entropy(logits, y),
        optimizer or sg.optim.adam(1e-2),
        metrics={"accuracy": (logits.argmax(-1) == y).float().mean()},
        predictions={"probabilities": logits.softmax(-1)},
    )


def session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_names_and_order_of_the_step() -> None:
    model = small_step().model()
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == [
        *("x", "y", "layer1/weight", "layer1/bias", "v"),
        *("step", "layer1/weight.mu", "layer1/bias.mu", "v.mu", "layer1/weight.nu", "layer1/bias.nu", "v.nu"),
    ]
    state = [i.name for i in model.graph.input][2:]
    assert [o.name for o in model.graph.output] == ["loss", "accuracy", *(f"{name}.next" for name in state)]
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["staticgrad.kind"] == "train_step"
    assert properties["staticgrad.version"]
    assert json.loads(properties["staticgrad.state"]) == {name: f"{name}.next" for name in state}
    assert {node.domain for node in model.graph.node} == {""}
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_every_node_carries_the_users_file_name_and_line() -> None:
    model = small_step().model()
    sources = [{p.key: p.value for p in node.metadata_props}["staticgrad.source"] for node in model.graph.node]
    assert all(source.startswith("test_export.py:") for source in sources)


def test_dimensions_keep_their_names() -> None:
    shape = small_step().model().graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_param == "N"
    assert shape.dim[1].dim_value == 5


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        small_step().export(tmp_path / f"{name}.onnx")
        small_step().export_bundle(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


F32, BF16, F64, I64, I32, BOOL = DType.float32, DType.bfloat16, DType.float64, DType.int64, DType.int32, DType.bool


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "attributes", "opset"),
    [
        ("Add", [F32, F32], [F32], {}, 13),
        ("Gelu", [F32], [F32], {}, 20),
        ("Trilu", [F32], [F32], {}, 14),
        ("Where", [BOOL, BF16, BF16], [BF16], {}, 16),
        ("ReduceSum", [F32, I64], [F32], {}, 13),
        ("ReduceMean", [F32, I64], [F32], {}, 18),
        ("ReduceMean", [F32], [F32], {}, 13),
        ("ScatterElements", [F32, I64, F32], [F32], {}, 13),
        ("ScatterElements", [F32, I64, F32], [F32], {"reduction": "add"}, 16),
        ("ScatterElements", [F32, I64, F32], [F32], {"reduction": "max"}, 18),
        ("Shape", [F32], [I64], {}, 13),
        ("Shape", [F32], [I64], {"start": 1}, 15),
        ("Reshape", [F32, I64], [F32], {"allowzero": True}, 14),
        ("Split", [F32, I64], [F32, F32], {}, 13),
        ("Split", [F32], [F32, F32], {"num_outputs": 2}, 18),
        ("Celu", [F32], [F32], {}, 13),
        ("Relu", [F64], [F64], {}, 13),
        ("Relu", [I32], [I32], {}, 14),
        ("Max", [F32, F32, F32], [F32], {}, 13),
        ("AveragePool", [F32], [F32], {"kernel_shape": (2,)}, 19),
        ("Pad", [F32, I64], [F32], {"mode": "wrap"}, 19),
        ("Cast", [F32], [BF16], {"to": DType.bfloat16}, 13),
    ],
)
def test_the_opset_is_the_lowest_that_means_the_same(
    name: str, inputs: list[DType], outputs: list[DType], attributes: dict[str, Any], opset: int
) -> None:
    assert lowest_opset(name, inputs, outputs, attributes) == opset


def test_the_tutorial_needs_opset_13_and_ir_version_10() -> None:
    x = sg.input("x", ("N", 3))
    w = sg.parameter("w", np.ones((3, 2), np.float32))
    model = sg.train_step((x @ w).pow(2).sum(), sg.optim.sgd(0.1)).model()
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    assert model.ir_version == 10


LOOP = """
import json, sys
import numpy as np, onnxruntime
folder = sys.argv[1]
batch = dict(np.load(folder + "/batch.npz"))
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
def load(name):
    return onnxruntime.InferenceSession(f"{folder}/{name}", options, providers=["CPUExecutionProvider"])
def run(session, feeds):
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))
def train(step, state):
    feedback = json.loads(step.get_modelmeta().custom_metadata_map["staticgrad.state"])
    losses = []
    for _ in range(10):
        results = run(step, {**batch, **state})
        losses.append(float(results["loss"]))
        state = {name: results[following] for name, following in feedback.items()}
    return losses, state
initial = run(load("bundle/init.onnx"), {})
losses, state = train(load("step.onnx"), initial)
again, _ = train(load("bundle/train_step.onnx"), initial)
needed = lambda s, pool: {i.name: pool[i.name] for i in s.get_inputs()}
evaluate, predict, inference = load("bundle/eval.onnx"), load("bundle/predict.onnx"), load("inference.onnx")
print(json.dumps({
    "losses": losses, "again": again,
    "eval": {k: float(v) for k, v in run(evaluate, needed(evaluate, {**batch, **state})).items()},
    "predict": run(predict, needed(predict, {**batch, **state}))["probabilities"].tolist(),
    "inference": run(inference, {"x": batch["x"]})["probabilities"].tolist(),
    "loaded": sorted(m for m in sys.modules if m.split(".")[0] in ("staticgrad", "onnx")),
}))
"""


def test_a_bare_onnxruntime_trains_to_the_same_losses(tmp_path: Path, bare_python: Callable[..., str]) -> None:
    step = small_step(sg.optim.adam(sg.optim.cosine_decay_schedule(1e-2, 20)))
    step.export(tmp_path / "step.onnx")
    step.export_bundle(tmp_path / "bundle")
    trainer = sg.Trainer(step, device="cpu")
    losses = [float(trainer.step(x=X, y=Y)) for _ in range(10)]
    trainer.export_inference(tmp_path / "inference.onnx")
    np.savez(tmp_path / "batch.npz", x=X, y=Y)
    got = json.loads(bare_python(LOOP, str(tmp_path)))
    assert got["loaded"] == []
    assert got["losses"] == got["again"]
    np.testing.assert_allclose(got["losses"], losses, rtol=1e-6)
    assert losses[-1] < losses[0]
    assert got["eval"] == pytest.approx(trainer.evaluate({"x": X, "y": Y}), rel=1e-6)
    probabilities = trainer.predict(x=X)["probabilities"]
    np.testing.assert_allclose(got["predict"], probabilities, rtol=1e-6)
    np.testing.assert_allclose(got["inference"], probabilities, rtol=1e-6)


def test_the_bundle_says_what_it_holds(tmp_path: Path) -> None:
    step = small_step()
    step.export_bundle(tmp_path / "bundle")
    assert sorted(f.name for f in (tmp_path / "bundle").iterdir()) == [
        *("eval.onnx", "init.onnx", "manifest.json", "predict.onnx", "state.safetensors", "train_step.onnx"),
    ]
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["state"]["v"] == "v.next"
    assert manifest["parameters"] == ["layer1/weight", "layer1/bias", "v"]
    for name, described in manifest["models"].items():
        model = onnx.load(tmp_path / "bundle" / described["file"])
        onnx.checker.check_model(model, full_check=True)
        assert [i.name for i in model.graph.input] == [i["name"] for i in described["inputs"]], name
        assert [o.name for o in model.graph.output] == [o["name"] for o in described["outputs"]], name
    assert manifest["models"]["train_step"]["inputs"][0] == {"name": "x", "type": "float32", "shape": ["N", 5]}
    assert [o["name"] for o in manifest["models"]["eval"]["outputs"]] == ["loss", "accuracy"]
    arrays, _ = exporters.read_tensors(tmp_path / "bundle" / "state.safetensors")
    assert {n: a.tolist() for n, a in arrays.items()} == {n: a.tolist() for n, a in step.state.items()}


def test_a_bundle_replaces_an_older_one_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "notes.txt").write_text("kept")
    (folder / "init.onnx").write_text("old")
    small_step().export_bundle(folder)
    onnx.load(folder / "init.onnx")
    assert (folder / "notes.txt").read_text() == "kept"
    assert not [f for f in folder.iterdir() if f.name.startswith(".")]
    w = sg.parameter("w", 1.0)
    sg.train_step(w * w, sg.optim.sgd(0.1)).export_bundle(folder)
    assert not (folder / "predict.onnx").exists()


def test_states_may_be_called_as_the_bundle_would_call_them(tmp_path: Path) -> None:
    w, other = sg.parameter("w", 1.0), sg.parameter("w.initial", 2.0)
    sg.train_step(w * other, sg.optim.sgd(0.1)).export_bundle(tmp_path / "bundle")
    model = onnx.load(tmp_path / "bundle" / "init.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [float(v) for v in session(model).run(None, {})] == [1, 2]


def test_training_info(tmp_path: Path) -> None:
    step = small_step()
    step.export_training_info(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (training,) = model.training_info
    assert [i.name for i in training.algorithm.input] == ["x", "y"]
    assert {b.key: b.value for b in training.update_binding} == {n: f"{n}.next" for n in step.state}
    shared = {t.name for t in model.graph.initializer}
    assert {"layer1/weight", "layer1/bias", "v"} <= shared
    own = {t.name for t in training.algorithm.initializer}
    assert set(step.state) <= shared | own
    # A runtime that knows inference only runs the main graph.
    (probabilities,) = session(model).run(["probabilities"], {"x": X})
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    # One pass through the algorithm by hand is one step.
    state = {t.name: onnx.numpy_helper.to_array(t) for t in [*model.graph.initializer, *training.algorithm.initializer]}
    algorithm = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=training.algorithm)
    del algorithm.graph.initializer[:]
    literals = [t for t in training.algorithm.initializer if t.name not in step.state]
    algorithm.graph.initializer.extend(literals)
    algorithm.graph.input.extend(step.model().graph.input[2:])
    feeds = {"x": X, "y": Y, **{name: state[name] for name in step.state}}
    loss, following = session(algorithm).run(["loss", "v.next"], feeds)
    trainer = sg.Trainer(step, device="cpu")
    assert float(trainer.step(x=X, y=Y)) == pytest.approx(float(loss), rel=1e-6)
    np.testing.assert_allclose(trainer.state()["v"], following, rtol=1e-6)


def test_large_weights_go_to_a_file_beside_the_model(tmp_path: Path) -> None:
    step = small_step()
    model = exporters.init_model(step.state, {n: v.type for n, v in step.graph.inputs.items()})
    exporters.write_model(model, tmp_path / "init.onnx", external_from=64)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["init.onnx", "init.onnx.data"]
    onnx.checker.check_model(tmp_path / "init.onnx", full_check=True)
    for name, array in zip(step.state, session(tmp_path / "init.onnx").run(None, {}), strict=True):
        np.testing.assert_array_equal(array, step.state[name])
    # The model in memory is left as it was.
    assert not any(t.external_data for t in model.graph.initializer)


def test_a_function_exports_its_parameters_as_initializers(tmp_path: Path) -> None:
    x = sg.input("x", ("N", 3))
    w = sg.parameter("w", np.arange(6, dtype=np.float32).reshape(3, 2))
    sg.function([x @ w, x]).export(tmp_path / "f.onnx")
    bare = session(tmp_path / "f.onnx")
    assert [i.name for i in bare.get_inputs()] == ["x"]
    given = np.ones((2, 3), np.float32)
    product, same = bare.run(None, {"x": given})
    np.testing.assert_array_equal(product, given @ np.arange(6, dtype=np.float32).reshape(3, 2))
    np.testing.assert_array_equal(same, given)


def test_a_function_exports_running_state_as_inputs_with_a_default(tmp_path: Path) -> None:
    x, total = sg.input("x", ()), sg.state("total", 5.0)
    f = sg.function({"total now": total + x}, updates={total: total + x})
    assert f(1.0) == {"total now": 6.0}
    f.export(tmp_path / "f.onnx")
    onnx.checker.check_model(tmp_path / "f.onnx", full_check=True)
    bare = session(tmp_path / "f.onnx")
    one = np.ones((), np.float32)
    (first, following) = bare.run(["total now", "total.next"], {"x": one})
    (second,) = bare.run(["total now"], {"x": one, "total": following})
    assert (float(first), float(second)) == (6, 7)


def test_outputs_that_are_inputs_literals_or_the_same_value() -> None:
    x = sg.input("x", (2,))
    y = x + 1
    model = exporters.to_model(sg.Graph("g", {"x": x}, {"a": x, "b": y, "c": y, "d": sg.constant([1.0, 2.0])}))
    onnx.checker.check_model(model, full_check=True)
    a, b, c, d = session(model).run(None, {"x": np.zeros(2, np.float32)})
    assert (a.tolist(), b.tolist(), c.tolist(), d.tolist()) == ([0, 0], [1, 1], [1, 1], [1, 2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint64", "bool"])
def test_every_element_type_survives_a_checkpoint(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(6).reshape(2, 3) % 2).astype(DType(dtype).numpy)
    exporters.write_tensors(tmp_path / "t", {"a": array, "scalar": array[0, 1]}, {"k": "v"})
    arrays, metadata = exporters.read_tensors(tmp_path / "t")
    assert arrays["a"].dtype == array.dtype
    assert arrays["scalar"].shape == ()
    np.testing.assert_array_equal(arrays["a"], array)
    assert metadata == {"k": "v"}


def test_batch_normalization_of_training_gives_the_statistics_that_onnx_asks_for() -> None:
    x = sg.input("x", ("N", 3))
    ones, zeros = (sg.constant(np.full(3, v, np.float32)) for v in (1, 0))
    y = ops.batch_normalization(x, ones, zeros, zeros, ones, training_mode=True)[0]
    model = exporters.to_model(Graph("f", {"x": x}, {"y": y}))
    onnx.checker.check_model(model, full_check=True)
    (found,) = session(model).run(None, {"x": X[:, :3]})
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)


def test_a_dropout_whose_mask_nothing_reads_still_drops() -> None:
    x = sg.input("x", ("N", 50))
    w = sg.parameter("w", np.ones((50, 1), np.float32))
    dropped = sg.ops.flatten(sg.ops.dropout(x * 1.5, 0.5, True)[0])
    trainer = sg.Trainer(sg.train_step((dropped @ w).sum(), sg.optim.sgd(0.0)), device="cpu")
    ones = np.ones((8, 50), np.float32)
    assert len({float(trainer.step(x=ones)) for _ in range(4)}) > 1
