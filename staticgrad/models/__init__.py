"""Models that come from elsewhere: read, differentiated, trained, looked at."""

from staticgrad.models.check import Check, GradientCheck, check_gradient
from staticgrad.models.gradient import gradient_model
from staticgrad.models.inspection import Inspection, inspect_model
from staticgrad.models.model import Model, from_onnx
from staticgrad.models.training import ModelStep, train_step_model

__all__ = [
    "Check",
    "GradientCheck",
    "Inspection",
    "Model",
    "ModelStep",
    "check_gradient",
    "from_onnx",
    "gradient_model",
    "inspect_model",
    "train_step_model",
]
