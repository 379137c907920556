"""What all peers of a workload start from: the initial weights, and the model of the loss for those that read ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from staticgrad.exporters import to_model

import staticgrad as sg
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import Workload


def write_inputs(workload: Workload, folder: Path) -> None:
    """`weights.npz`, by the names of `program.Weights`; `forward.onnx`, the loss in training; `forward.json`.

    The model has the parameters and other states as initializers, of the same names but for `/`.
    """
    step = declare(workload)
    np.savez(folder / "weights.npz", **{name.replace("/", "."): step.state[name] for name in step.parameters})
    loss = step.declared.outputs["loss"]
    inputs = {name: step.declared.inputs[name] for name in step.declared.inputs}
    graph = sg.optimise(sg.Graph("forward", inputs, {"loss": loss}))
    initial = {name: array for name, array in step.state.items() if name in graph.inputs}
    onnx.save(to_model(graph, initial=initial), folder / "forward.onnx")
    (folder / "forward.json").write_text(json.dumps({"parameters": list(step.parameters), "inputs": list(step.feeds)}))
