"""The workloads in ONNX Runtime Training's on-device API: artifacts from a forward model, then Module and Optimizer."""

from __future__ import annotations

import json
import os
import re
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.training import artifacts, onnxblock
from onnxruntime.training.api import CheckpointState, Module, Optimizer

from benchmarks.suite.program import Program, UnableError
from benchmarks.suite.workloads import Workload

OUTPUTS = {"LayerNormalization": 3, "LSTM": 3}
"""Operators whose gradient here reads outputs that the forward model does not name."""


def build(workload: Workload, folder: str, threads: int | None = None) -> Program:
    """The program of a workload, whose forward model stands in `folder`."""
    optimizer = _optimizer_of(workload)
    facts = json.loads((Path(folder) / "forward.json").read_text())
    with tempfile.TemporaryDirectory() as made:
        try:
            model = _readied(onnx.load(str(Path(folder) / "forward.onnx")), workload)
            artifacts.generate_artifacts(
                model,
                requires_grad=facts["parameters"],
                frozen_params=[t.name for t in model.graph.initializer if t.name not in facts["parameters"]],
                loss=_loss_of(facts["loss"]),
                optimizer=optimizer,
                artifact_directory=made,
            )
            options = onnxruntime.SessionOptions()
            if threads is not None:
                options.intra_op_num_threads = threads
            state = CheckpointState.load_checkpoint(os.path.join(made, "checkpoint"))
            paths = [os.path.join(made, f"{name}_model.onnx") for name in ("training", "eval", "optimizer")]
            module = Module(paths[0], state, paths[1], device="cpu", session_options=options)
            stepper = Optimizer(paths[2], module)
        except Exception as error:
            raise UnableError(_reason(error)) from error
    stepper.set_learning_rate(workload.rate)
    module.train()
    batches = cycle([_arguments(module.input_names(), batch) for batch in workload.data()])

    def run(count: int) -> list[float]:
        losses = []
        for batch in islice(batches, count):
            losses.append(float(module(*batch)))
            stepper.step()
            module.lazy_reset_grad()
        return losses

    return run


def _arguments(names: list[str], batch: dict[str, Any]) -> list[Any]:
    """The arrays of a batch as the module takes them: `labels` has an element for each row of the logits."""
    return [batch["y"].reshape(-1) if name == "labels" else batch["y" if name == "target" else name] for name in names]


def _readied(model: Any, workload: Workload) -> Any:
    """The forward model with what the gradients here need of it.

    Outputs that they read have names, the tanh form of Gelu is the operator that has a gradient, and an LSTM is given
    its initial states.
    """
    fresh = (f"unread.{i}" for i in range(10**6))
    for node in model.graph.node:
        wanted = OUTPUTS.get(node.op_type, 0)
        names = [*node.output, *[""] * (wanted - len(node.output))]
        if wanted:
            del node.output[:]
            node.output.extend(name or next(fresh) for name in names)
        if node.op_type == "LSTM":
            node.input.extend(["", "initial.h", "initial.c"])
        if node.op_type == "Gelu" and any(a.s == b"tanh" for a in node.attribute):
            node.op_type, node.domain = "FastGelu", "com.microsoft"
            del node.attribute[:]
    if any(node.op_type == "LSTM" for node in model.graph.node):
        zeros = np.zeros((1, workload.sizes["batch"], workload.sizes["hidden"]), np.float32)
        model.graph.initializer.extend(onnx.numpy_helper.from_array(zeros, f"initial.{key}") for key in "hc")
    if any(node.domain == "com.microsoft" for node in model.graph.node):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


def _loss_of(name: str | None) -> Any:
    """Its own loss on top of the logits; None where the model ends in the loss."""
    if name is None:
        return None
    return {
        "cross_entropy": artifacts.LossType.CrossEntropyLoss,
        "binary_cross_entropy_with_logits": artifacts.LossType.BCEWithLogitsLoss,
    }[name]


def _optimizer_of(workload: Workload) -> Any:
    """Its own SGD or AdamW, there is no other; AdamW with the decay and eps of the workload."""
    if workload.optimizer == "sgd":
        return onnxblock.optim.SGD()
    if workload.optimizer in ("adam", "adamw"):
        return onnxblock.optim.AdamW(eps=1e-8, weight_decay=workload.weight_decay)
    raise UnableError(f"its optimizers are SGD and AdamW; there is no {workload.optimizer}")


def _reason(error: Exception) -> str:
    """What a message from C++ says, without the place in its source."""
    text = re.sub(r"^/\S+:\d+ .*? (?=was false|\[ONNXRuntimeError\])", "", " ".join(str(error).split()))
    return text.removeprefix("was false.").strip()[:300] or type(error).__name__
