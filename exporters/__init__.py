"""Graphs to files: ONNX models, the training bundle, ONNX's own training form; imported as `staticgrad.exporters`."""

from .bundle import init_model, metadata_of, step_model, write_bundle
from .files import write_model
from .model import to_model, write_tensor
from .opset import MixedOpsetsError
from .page import write_page
from .tensors import read_tensors, write_tensors
from .training_info import to_training_info

__all__ = [
    "MixedOpsetsError",
    "init_model",
    "metadata_of",
    "read_tensors",
    "step_model",
    "to_model",
    "to_training_info",
    "write_bundle",
    "write_model",
    "write_page",
    "write_tensor",
    "write_tensors",
]
