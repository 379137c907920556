"""What all peers of a workload start from: the initial weights, and the forward model for those that read ONNX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from staticgrad.exporters import to_model

import staticgrad as sg
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import Workload
from staticgrad.declare import leaves_behind
from staticgrad.nn import functional

LOSSES = ("cross_entropy", "binary_cross_entropy_with_logits")


def write_inputs(workload: Workload, folder: Path) -> None:
    """Write `weights.npz`, by the names of `program.Weights`; `forward.onnx`; and `forward.json`, what is known of it.

    The model is that of the logits, for peers have losses of their own, in training; where the loss is not one of
    `LOSSES` the model ends in it. It has parameters and other states as initializers, under our names.
    """
    with _logits_kept() as kept:
        step = declare(workload)
    loss, result = kept[-1] if kept else (None, step.declared.outputs["loss"])
    of_optimizer = tuple(f"{name}." for name in step.parameters)
    state = {n: array for n, array in step.state.items() if n != "step" and not n.startswith(of_optimizer)}
    np.savez(folder / "weights.npz", **{name.replace("/", "."): array for name, array in state.items()})
    inputs = {leaf.name: leaf.outputs[0] for leaf in leaves_behind([result])}
    initial = {name: array for name, array in state.items() if name in inputs}
    output = "loss" if loss is None else "logits"
    graph = sg.optimise(sg.Graph("forward", inputs, {output: result}))
    onnx.save(to_model(graph, initial=initial), folder / "forward.onnx")
    facts = {
        "parameters": list(step.parameters),
        "inputs": [name for name in inputs if name not in initial],
        "output": output,
        "loss": loss,
    }
    (folder / "forward.json").write_text(json.dumps(facts))


@contextmanager
def _logits_kept() -> Iterator[list[tuple[str, Any]]]:
    """Note which loss a model calls, and on what."""
    kept: list[tuple[str, Any]] = []

    def noting(name: str) -> Any:
        plain = getattr(functional, name)

        def call(logits: sg.Value, *rest: Any) -> Any:
            kept.append((name, logits))
            return plain(logits, *rest)

        return call

    with patch.multiple(functional, **{name: noting(name) for name in LOSSES}):
        yield kept
