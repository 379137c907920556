"""The workloads in onnxsim's compiled training loop: its gradients of a forward model, one session."""

from __future__ import annotations

import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxsim
from onnx import TensorProto, helper, numpy_helper

from benchmarks.suite.program import Program, UnableError
from benchmarks.suite.workloads import Workload


def build(workload: Workload, folder: str) -> Program:
    """The program of a workload, whose forward model stands in `folder`.

    Its session has onnxruntime's default number of threads; there is no way to say another.
    """
    facts = json.loads((Path(folder) / "forward.json").read_text())
    model = onnx.load(str(Path(folder) / "forward.onnx"))
    if facts["loss"] is not None:
        _LOSSES[facts["loss"]](model)
    optimizers: dict[str, Any] = {
        "momentum": "sgd_momentum",
        "adam": "adam",
        "sgd": _sgd(),
        "adagrad": _adagrad(),
    }
    optimizer = optimizers.get(workload.optimizer)
    try:
        if model.opset_import[0].version > 17:
            model = onnx.version_converter.convert_version(model, 17)
        loop = onnxsim.compile_training_loop(model, "loss", facts["parameters"], optimizer or "adam")
        _ = loop.step_graph  # reading it compiles
    except Exception as error:
        reason = " ".join(str(error).split()).partition("; onnxsim.graph_grad differentiates")[0]
        raise UnableError(f"{reason[:300]}") from error
    if optimizer is None:
        raise UnableError(f"its optimizers are momentum and Adam; there is no {workload.optimizer}")
    batches = cycle([_feeds(facts["loss"], workload, batch) for batch in workload.data()])

    def run(count: int) -> list[float]:
        return [loop(batch, lr=workload.rate) for batch in islice(batches, count)]

    return run


def _feeds(loss: str | None, workload: Workload, batch: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a batch; classes as rows with a 1, for its gradients know no gathering by index along an axis."""
    if loss != "cross_entropy":
        return dict(batch)
    classes = workload.sizes.get("classes", workload.sizes.get("vocabulary"))
    return {"x": batch["x"], "target": np.eye(classes, dtype=np.float32)[batch["y"].reshape(-1)]}


def _cross_entropy(model: Any) -> None:
    """loss = -mean over rows of sum over classes of target * (z - log sum exp z), where z = logits - max."""
    graph = model.graph
    shape = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    graph.input.append(helper.make_tensor_value_info("target", TensorProto.FLOAT, shape))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "loss.axis"))
    graph.initializer.append(numpy_helper.from_array(np.array(-1.0 / shape[0], np.float32), "loss.scale"))
    graph.node.extend(
        [
            helper.make_node("Softmax", ["logits"], ["loss.p"], axis=1),
            helper.make_node("Log", ["loss.p"], ["loss.log"]),
            helper.make_node("Mul", ["loss.log", "target"], ["loss.each"]),
            helper.make_node("ReduceSum", ["loss.each"], ["loss.sum"], keepdims=0),
            helper.make_node("Mul", ["loss.sum", "loss.scale"], ["loss"]),
        ]
    )
    _ends_in_loss(graph)


def _binary_cross_entropy(model: Any) -> None:
    """loss = mean(softplus(z) - z y)."""
    graph = model.graph
    shape = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    graph.node.extend(
        [
            helper.make_node("Softplus", ["logits"], ["loss.soft"]),
            helper.make_node("Mul", ["logits", "y"], ["loss.chosen"]),
            helper.make_node("Sub", ["loss.soft", "loss.chosen"], ["loss.each"]),
            helper.make_node("ReduceMean", ["loss.each"], ["loss"], keepdims=0),
        ]
    )
    _ends_in_loss(graph)


def _ends_in_loss(graph: Any) -> None:
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("loss", TensorProto.FLOAT, []))


def _custom(nodes: list[Any], states: int) -> Any:
    """An update of its own, of param, grad, the states s0, s1, ... and lr, which computes param_next, s0_next, ..."""
    from onnxsim.compile_training import CustomOptimizer

    def info(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [] if name == "lr" else None)

    kept = [f"s{i}" for i in range(states)]
    inputs = [info(name) for name in ("param", "grad", *kept, "lr")]
    outputs = [info(name) for name in ("param_next", *(f"{name}_next" for name in kept))]
    graph = helper.make_graph(nodes, "update", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return CustomOptimizer(model, states)


def _constant(name: str, value: float) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, np.float32)))


def _sgd() -> Any:
    """param - lr * grad."""
    make = helper.make_node
    return _custom([make("Mul", ["lr", "grad"], ["change"]), make("Sub", ["param", "change"], ["param_next"])], 0)


def _adagrad() -> Any:
    """s' = s + grad^2, and param - lr * grad / (sqrt(s' + 0.1) + eps): its states begin at 0."""
    make = helper.make_node
    nodes = [
        _constant("first", 0.1),
        _constant("eps", 1e-7),
        make("Mul", ["grad", "grad"], ["square"]),
        make("Add", ["s0", "square"], ["s0_next"]),
        make("Add", ["s0_next", "first"], ["sum"]),
        make("Sqrt", ["sum"], ["root"]),
        make("Add", ["root", "eps"], ["below"]),
        make("Div", ["grad", "below"], ["direction"]),
        make("Mul", ["lr", "direction"], ["change"]),
        make("Sub", ["param", "change"], ["param_next"]),
    ]
    return _custom(nodes, 1)


_LOSSES = {"cross_entropy": _cross_entropy, "binary_cross_entropy_with_logits": _binary_cross_entropy}
