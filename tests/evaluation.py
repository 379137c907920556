"""How tests run a graph: on onnxruntime, or in Python where onnxruntime lacks a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
import reference_recurrent
import reference_scan
import reference_windows
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad.graph import Graph, Value
from staticgrad.optimise import optimise

Array = NDArray[Any]
SETTINGS = onnxruntime.SessionOptions()
SETTINGS.intra_op_num_threads = 1
SETTINGS.log_severity_level = 4
SETTINGS.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


class Erf(OpRun):  # type: ignore[misc]
    """onnx.reference computes it in float32."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.vectorize(math.erf, otypes=[x.dtype])(x),)


class Gelu(OpRun):  # type: ignore[misc]
    """onnx.reference computes it in float32."""

    op_domain = ""

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (0.5 * x * (1 + np.vectorize(math.erf, otypes=[x.dtype])(x / math.sqrt(2))),)


PYTHON_OPERATORS = [Erf, Gelu, reference_scan.Scan, *reference_recurrent.OPERATORS, *reference_windows.OPERATORS]


def only_python_runs(node: onnx.NodeProto, dtypes: Mapping[str, int]) -> bool:
    """Whether onnxruntime takes a node and fails when it runs."""
    batch_first = any(a.name == "layout" and a.i == 1 for a in node.attribute)
    exact = dtypes.get(node.input[0] if node.input else "") == onnx.TensorProto.DOUBLE
    return node.op_type in ("RNN", "GRU", "LSTM") and (batch_first or exact)


class Evaluator:
    """A graph that runs on onnxruntime, or in Python where onnxruntime lacks a kernel for float64."""

    def __init__(self, inputs: Iterable[Value], outputs: Sequence[Value], rewritten: bool = False) -> None:
        graph = Graph("g", {x.name: x for x in inputs if x.name}, {f"out{i}": y for i, y in enumerate(outputs)})
        model = to_model(optimise(graph) if rewritten else graph, {})
        onnx.checker.check_model(model, full_check=len(graph.nodes) < 1000)
        self.names = list(graph.inputs)
        dtypes = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        if any(only_python_runs(node, dtypes) for node in model.graph.node):
            self.run = onnx.reference.ReferenceEvaluator(model, new_ops=PYTHON_OPERATORS).run
            return
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
            self.run = session.run
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            self.run = onnx.reference.ReferenceEvaluator(model, new_ops=PYTHON_OPERATORS).run

    def __call__(self, arrays: Mapping[str, Array]) -> list[Array]:
        return [np.asarray(y) for y in self.run(None, {name: arrays[name] for name in self.names})]


def run(build: Callable[..., Any], *arrays: Any, dtype: str | None = "float64") -> tuple[list[Array], list[Array]]:
    """Values and gradients (of the sum of all) of a function of arrays."""
    converted = [a.astype(dtype) if dtype and a.dtype == np.float64 else a for a in map(np.asarray, arrays)]
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(converted)]
    result = build(*leaves)
    outputs = list(result) if isinstance(result, tuple) else [result]
    floats = [y for y in outputs if y.type.dtype.is_float]
    inputs = [x for x in leaves if x.type.dtype.is_float]
    total: Any = None
    for y in floats:
        total = y.sum() if total is None else total + y.sum()
    gradients = list(sg.grad(total, inputs, unused="zero")) if floats and inputs else []
    found = Evaluator(leaves, [*outputs, *gradients], rewritten=True)({f"x{i}": a for i, a in enumerate(converted)})
    for y, value in zip(outputs, found, strict=False):
        assert value.dtype == y.type.dtype.numpy and value.shape == y.type.shape
    return found[: len(outputs)], found[len(outputs) :]


def slope(build: Callable[..., Any], *points: float) -> list[float]:
    result: list[float] = run(build, np.array(points))[1][0].tolist()
    return result


def torch_pulled(f: Callable[..., Any], *arrays: Array) -> list[Array]:
    """The value of a function of PyTorch tensors, and the gradients of the sum of its squares."""
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = f(*tensors)
    y.pow(2).sum().backward()
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors if t.requires_grad)]
