"""The workloads in ONNX Runtime Training's on-device API: artifacts from a forward model, then Module and Optimizer."""

from __future__ import annotations

import json
import os
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.suite.program import Program, UnableError
from benchmarks.suite.workloads import Workload


def build(workload: Workload, folder: str, threads: int | None = None) -> Program:
    """The program of a workload, whose forward model with the loss stands in `folder`."""
    import onnx
    import onnxruntime
    from onnxruntime.training import artifacts
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    optimizer = _optimizer_of(workload)
    facts = json.loads((Path(folder) / "forward.json").read_text())
    with tempfile.TemporaryDirectory() as made:
        try:
            model = onnx.load(str(Path(folder) / "forward.onnx"))
            artifacts.generate_artifacts(
                model,
                requires_grad=facts["parameters"],
                frozen_params=[t.name for t in model.graph.initializer if t.name not in facts["parameters"]],
                loss=None,
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
            raise UnableError(f"{type(error).__name__}: {str(error).strip()[:300]}") from error
    stepper.set_learning_rate(workload.rate)
    module.train()
    batches = cycle([[batch[name] for name in facts["inputs"]] for batch in workload.data()])

    def run(count: int) -> list[float]:
        losses = []
        for batch in islice(batches, count):
            losses.append(float(module(*batch)))
            stepper.step()
            module.lazy_reset_grad()
        return losses

    return run


def _optimizer_of(workload: Workload) -> Any:
    """Its own SGD or AdamW, there is no other; AdamW with the decay and eps of the workload."""
    from onnxruntime.training import onnxblock

    if workload.optimizer == "sgd":
        return onnxblock.optim.SGD()
    if workload.optimizer in ("adam", "adamw"):
        return onnxblock.optim.AdamW(eps=1e-8, weight_decay=workload.weight_decay)
    raise UnableError(f"its optimizers are SGD and AdamW; there is no {workload.optimizer}")
