"""Graphs to files: ONNX models, the training bundle, ONNX's own training form; imported as `staticgrad.exporters`."""

from .bundle import init_model, write_bundle
from .files import write_model
from .model import to_model
from .training_info import to_training_info

__all__ = ["init_model", "to_model", "to_training_info", "write_bundle", "write_model"]
