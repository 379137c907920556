"""What is said of a model that came from elsewhere, and how its gradient is checked."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import staticgrad as sg
from staticgrad.methods import OPERATORS
from staticgrad.models.names import old_names

FLOAT = onnx.TensorProto.FLOAT


def array(name: str, *shape: int) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.random.default_rng(len(name)).random(shape, np.float32) + 0.5, name)


def built(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[Any]],
    outputs: list[str],
    initial: list[onnx.TensorProto] | None = None,
    element: int = FLOAT,
) -> onnx.ModelProto:
    formal = [helper.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, element, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", formal, results, initial or [])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def tanh(element: int = FLOAT) -> onnx.ModelProto:
    return built([helper.make_node("Tanh", ["x"], ["y"])], {"x": ["N"]}, ["y"], element=element)


# - inspection -


def test_states_literals_and_tied_weights_are_told_apart() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=array("c", 3, 3))
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "b", "mean", "var"], ["a"], "norm"),
        helper.make_node("Identity", ["w"], ["w_again"]),
        helper.make_node("MatMul", ["a", "w"], ["d"], "first"),
        helper.make_node("MatMul", ["d", "w_again"], ["e"], "second"),
        constant,
        helper.make_node("MatMul", ["e", "c"], ["f"], "third"),
        helper.make_node("Dropout", ["f", "half"], ["y"], "drop"),
    ]
    initial = [*(array(n, 3) for n in ("s", "b", "mean", "var")), array("w", 3, 3), array("half")]
    found = sg.inspect_model(built(nodes, {"x": ["N", 3]}, ["y"], initial))
    weights = {w.name: w for w in found.weights}
    assert {n: w.kind for n, w in weights.items()} == {
        "s": "parameter",
        "b": "parameter",
        "mean": "state",
        "var": "state",
        "w": "parameter",
        "half": "parameter",
        "c": "literal",
    }
    assert weights["w"].note == "tied: also called w_again"
    assert [use.node for use in weights["w"].read_by] == ["first", "second"]
    assert (weights["w"].elements, weights["w"].bytes) == (9, 36)
    assert [(layer.node, layer.changes) for layer in found.layers] == [("norm", True), ("drop", True)]
    assert found.outputs[0].by == ("x", "s", "b", "mean", "var", "w")
    text = str(found)
    assert "weights in Constant nodes, which are no parameters: 1 of 9 elements, 36 B\n  c  f32[3,3]" in text
    assert "states, which no optimizer trains: 2" in text
    assert json.loads(json.dumps(found.to_json()))["weights"][0]["read_by"][0]["node"] == "norm"


def test_zero_derivatives_block_nothing_and_give_nothing() -> None:
    nodes = [
        helper.make_node("Floor", ["x"], ["a"]),
        helper.make_node("Strange", ["a"], ["b"], domain="my"),
        helper.make_node("Shape", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["count"], to=FLOAT),
        helper.make_node("Mul", ["x", "count"], ["y"]),
    ]
    found = sg.inspect_model(built(nodes, {"x": [3]}, ["y", "a", "b"]))
    assert found.obstacles == ()
    assert {o.name: o.by for o in found.outputs} == {"y": ("x",), "a": (), "b": ()}
    assert "a  f32[3]    no derivative" in str(found)


def test_a_refused_use_of_a_known_operator_is_named_with_its_node() -> None:
    nodes = [helper.make_node("Col2Im", ["x", "image", "block"], ["y"], "columns")]
    model = built(nodes, {"x": [1, 4, 4]}, ["y"], [onnx.numpy_helper.from_array(np.array([4, 4]), "image")])
    model.graph.input.append(helper.make_tensor_value_info("block", onnx.TensorProto.INT64, [2]))
    (obstacle,) = sg.inspect_model(model).obstacles
    assert (obstacle.node, obstacle.operator, obstacle.blocks) == ("columns", "Col2Im", ("y",))
    assert obstacle.reason.startswith("block_shape is not known")


def test_former_names() -> None:
    def known(name: str, node: str, operator: str, position: int = 1) -> list[str]:
        inputs = ["x", "w", "b"][: position + 1]
        inputs[position] = name
        graph = onnx.GraphProto(name="g")
        graph.node.append(onnx.helper.make_node(operator, inputs, ["y"], node))
        graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), name))
        return old_names(onnx.helper.make_model(graph)).get(name, [])

    assert known("onnx::MatMul_17", "/encoder/fc/MatMul", "MatMul") == ["encoder.fc.weight"]
    assert known("onnx::Conv_23", "/features/features.0/Conv", "Conv") == ["features.0.weight"]
    assert known("onnx::Conv_24", "/a/b/b.3/b.3.0/Conv", "Conv", 2) == ["a.b.3.0.bias"]
    assert known("onnx::Conv_24", "/a/a.b/Conv", "Conv") == ["a.b.weight"]
    assert known("layer.weight", "/fc/MatMul", "MatMul") == []


def test_the_names_of_pytorch_come_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            convolution, inner = torch.nn.Conv2d(1, 4, 3), torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3))
            self.features = torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(4), torch.nn.ReLU(), inner)
            self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 3)])

        def forward(self, x: Any) -> Any:
            return self.layers[0](self.features(x).mean(-1).transpose(1, 2))

    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net().eval(), (torch.randn(2, 1, 8, 8),), path, dynamo=False)
    found = sg.inspect_model(path)
    assert {w.known_as or w.name: w.note for w in found.parameters} == {
        "features.0.weight": "folded with a BatchNormalization",
        "features.0.bias": "folded with a BatchNormalization",
        "features.3.0.weight": "",
        "features.3.0.bias": "",
        "layers.0.weight": "transposed",
        "layers.0.bias": "",
    }
    assert sg.check_gradient(path).right


# - checks -


def test_a_model_of_16_bits_is_compared_in_64() -> None:
    found = sg.check_gradient(tanh(onnx.TensorProto.FLOAT16))
    assert found.precision == "float64" and [c.verdict for c in found.checks] == ["right"]


def test_a_gradient_that_is_a_little_wrong_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OPERATORS["Tanh"], "rule", lambda g, y, x: g * (1 - y * y) * 1.001)
    found = sg.check_gradient(tanh())
    assert not found.right and found.checks[0].verdict == "wrong"


def test_a_gradient_that_is_wrong_where_float64_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built([helper.make_node("Gelu", ["x"], ["y"])], {"x": ["N"]}, ["y"])
    assert sg.check_gradient(model).right
    rule = OPERATORS["Gelu"].rule
    assert rule is not None
    monkeypatch.setattr(OPERATORS["Gelu"], "rule", lambda *values, **how: rule(*values, **how) * 1.01)
    assert not sg.check_gradient(model).right


def test_a_gradient_whose_parts_cancel_is_right() -> None:
    # An exporter stored the bias and the fresh running mean as one tensor: the derivative by it is almost 0.
    ones, zeros = (onnx.numpy_helper.from_array(np.full(3, v, np.float32), n) for n, v in (("s", 1), ("b", 0)))
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [5, 3, 9, 9]) for n in "xy")
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "b", "s"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [ones, zeros])
    found = sg.check_gradient(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))
    assert found.right, found


def test_a_kink_is_left_for_a_point_beside_it() -> None:
    model = built([helper.make_node("Relu", ["x"], ["y"])], {"x": ["N"]}, ["y"])
    found = sg.check_gradient(model, feeds={"x": np.zeros(3, np.float32)})
    assert found.right and found.checks[0].verdict == "right"


def test_a_scalar_output_and_the_gradient_of_a_gradient() -> None:
    loss = built([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": ["N"]}, ["y"])
    assert sg.check_gradient(loss).right
    twice = sg.check_gradient(sg.gradient_model(tanh(), "y", "x"), wrt=["x", "cotangent.y"])
    assert [c.name for c in twice.checks] == ["x", "cotangent.y"] and twice.right
    with pytest.raises(sg.DeclarationError, match="both a cotangent and a gradient"):
        sg.gradient_model(sg.gradient_model(tanh(), "y", "x"), wrt="cotangent.y", prefix="second")


def test_sizes_whole_numbers_and_chosen_names() -> None:
    gather = built([helper.make_node("Gather", ["e", "i"], ["y"])], {}, ["y"], [array("e", 5, 3)])
    gather.graph.input.append(helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ["N"]))
    assert sg.check_gradient(gather, sizes={"N": 4}).right
    with pytest.raises(sg.RunError, match="give feeds that it takes"):
        sg.check_gradient(gather, feeds={"i": np.array([7])})
    with pytest.raises(sg.FeedError, match="the input 'i' is i64"):
        sg.check_gradient(gather, feeds={"i": np.array([7.0])})
    with pytest.raises(sg.DeclarationError, match="has no input 'j'"):
        sg.check_gradient(gather, feeds={"j": np.array([7])})
    with pytest.raises(sg.DeclarationError, match="wrt names 'z'"):
        sg.check_gradient(gather, wrt="z")


def test_sparse_parameters_are_checked() -> None:
    model = built([helper.make_node("Mul", ["x", "w"], ["y"])], {"x": [3]}, ["y"])
    sparse = model.graph.sparse_initializer.add(dims=[3])
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 2], np.float32), "w"))
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 2]), "w.indices"))
    found = sg.check_gradient(model)
    assert [c.name for c in found.checks] == ["x", "w"] and found.right


def test_what_cannot_be_checked_is_refused() -> None:
    nodes = [helper.make_node("RandomUniformLike", ["x"], ["r"]), helper.make_node("Mul", ["x", "r"], ["y"])]
    with pytest.raises(sg.GradientError, match="other numbers in every run"):
        sg.check_gradient(built(nodes, {"x": ["N"]}, ["y"]))
    # onnxruntime's optimiser takes such a Dropout out.
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Dropout", ["a", "ratio", "training"], ["b"]),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    training = onnx.numpy_helper.from_array(np.array(True), "training")
    ratio = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "ratio")
    with pytest.raises(sg.GradientError, match="other numbers in every run"):
        sg.check_gradient(built(nodes, {"x": ["N"]}, ["y"], [ratio, training]), wrt="x", sizes={"N": 99})
    with pytest.raises(sg.GradientError, match="not finite"):
        sg.check_gradient(
            built([helper.make_node("Log", ["x"], ["y"])], {"x": ["N"]}, ["y"]), feeds={"x": -np.ones(2, np.float32)}
        )
    with pytest.raises(sg.UnsupportedOperatorError, match="Strange"):
        sg.check_gradient(built([helper.make_node("Strange", ["x"], ["y"], domain="my")], {"x": ["N"]}, ["y"]))


def test_batch_normalization_of_training() -> None:
    outputs = ["y", "mean.next", "var.next"]
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "mean", "var"], outputs, training_mode=1)
    initial = [array(n, 3) for n in ("s", "b", "mean", "var")]
    model = built([node], {"x": ["N", 3]}, ["y"], initial)
    onnx.checker.check_model(sg.gradient_model(model), full_check=True)
    found = sg.check_gradient(model, sizes={"N": 5})
    assert [(c.name, c.verdict) for c in found.checks] == [("x", "right"), ("s", "right"), ("b", "right")]


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    model = built([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["N", 4]}, ["y"], [array("w", 4, 3)])
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    found = sg.check_gradient(tmp_path / "m.onnx", wrt="x")
    assert found.right and sg.inspect_model(tmp_path / "m.onnx").parameters[0].bytes == 48
    assert sg.check_gradient(tmp_path / "m.onnx", wrt="w").right
