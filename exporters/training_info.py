"""ONNX's own training form: an inference model with a TrainingInfoProto."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from staticgrad.graph import Array, Graph

from .bundle import metadata_of
from .model import to_model, write_tensor
from .opset import stamp


def to_training_info(step: Graph, inference: Graph, state: Mapping[str, Array]) -> onnx.ModelProto:
    """The model of `inference` with its state as initializers, and `step` as its training algorithm.

    The algorithm's `update_binding` says which of its outputs replaces which initializer; state of the optimizer alone
    is an initializer of the algorithm (ONNX IR specification, "Training Related Information").
    """
    model = to_model(inference, metadata_of("training_info"), state)
    training = model.training_info.add()
    algorithm = to_model(step)
    training.algorithm.CopyFrom(algorithm.graph)
    shared = {tensor.name for tensor in model.graph.initializer}
    kept = [info for info in training.algorithm.input if info.name not in state]
    del training.algorithm.input[:]
    training.algorithm.input.extend(kept)
    for name, array in state.items():
        if name not in shared:
            write_tensor(training.algorithm.initializer.add(), name, array)
        training.update_binding.add(key=name, value=f"{name}.next")
    stamp(model, max(model.opset_import[0].version, algorithm.opset_import[0].version))
    return model
