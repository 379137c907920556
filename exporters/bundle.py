"""The training bundle: init, train_step, eval and predict models, a manifest, and the initial state."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx

from staticgrad.graph import Array, Graph
from staticgrad.types import TensorType, is_unknown

from .files import write_bytes, write_folder, write_model
from .model import empty_model, to_model, value_info, write_tensor
from .opset import FLOOR, stamp
from .tensors import write_tensors

FORMAT = "1"


def following(state: Iterable[str]) -> dict[str, str]:
    """Every state input with the output that holds its next value."""
    return {name: f"{name}.next" for name in state}


def metadata_of(kind: str, state: Iterable[str] = ()) -> dict[str, str]:
    """The keys by which a reader knows the model: its kind, the format, and which output feeds which input."""
    return {
        "staticgrad.kind": kind,
        "staticgrad.version": FORMAT,
        "staticgrad.state": json.dumps(following(state), separators=(",", ":")),
    }


def step_model(graph: Graph, state: Iterable[str]) -> onnx.ModelProto:
    """The model of a step whose outputs `S.next` follow on the inputs `S` of `state`."""
    return to_model(graph, metadata_of("train_step", state))


def init_model(state: Mapping[str, Array], types: Mapping[str, TensorType]) -> onnx.ModelProto:
    """A model without inputs whose outputs are the initial state."""
    model = empty_model(metadata_of("init"))
    graph = model.graph
    graph.name = "init"
    for name, array in state.items():
        initial = f"{name}.initial"
        while initial in state:
            initial += "_"
        write_tensor(graph.initializer.add(), initial, array)
        graph.node.add(op_type="Identity", name=name, input=[initial], output=[name])
        value_info(graph.output, name, types[name])
    stamp(model, FLOOR)
    return model


def write_bundle(
    folder: str | os.PathLike[str],
    step: Graph,
    evaluate: Graph,
    predict: Graph | None,
    state: Mapping[str, Array],
    metrics: Iterable[str],
    parameters: Iterable[str],
) -> None:
    """Write the models, `manifest.json` and `state.safetensors` into `folder`, which is made if it is not there."""
    types = {name: step.inputs[name].type for name in state}
    models = {"init": init_model(state, types), "train_step": step_model(step, state)}
    models["eval"] = to_model(evaluate, metadata_of("eval"))
    if predict is not None:
        models["predict"] = to_model(predict, metadata_of("predict"))
    graphs = {"train_step": step, "eval": evaluate, "predict": predict}
    files: dict[str, Any] = {"init": {"file": "init.onnx", "inputs": [], "outputs": _described(types)}}
    for name, graph in graphs.items():
        if graph is not None:
            files[name] = {
                "file": f"{name}.onnx",
                "inputs": _described({k: v.type for k, v in graph.inputs.items()}),
                "outputs": _described({k: v.type for k, v in graph.outputs.items()}),
            }
    manifest = {
        "format": FORMAT,
        "models": files,
        "state": following(state),
        "parameters": list(parameters),
        "loss": "loss",
        "metrics": list(metrics),
        "initial_state": "state.safetensors",
    }

    def fill(into: Path) -> None:
        for name, model in models.items():
            write_model(model, into / f"{name}.onnx")
        write_tensors(into / "state.safetensors", state, {"staticgrad.version": FORMAT})
        write_bytes(into / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())

    # What an older bundle had and this one may not have.
    stale = ["predict.onnx", *(f"{name}.onnx.data" for name in ("init", "train_step", "eval", "predict"))]
    write_folder(folder, fill, stale)


def _described(types: Mapping[str, TensorType]) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": str(type.dtype), "shape": [None if is_unknown(d) else d for d in type.shape]}
        for name, type in types.items()
    ]
