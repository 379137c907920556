"""Models that come from elsewhere: read, differentiated, trained, looked at."""

from staticgrad.models.gradient import gradient_model
from staticgrad.models.model import Model, from_onnx
from staticgrad.models.training import ModelStep, train_step_model

__all__ = ["Model", "ModelStep", "from_onnx", "gradient_model", "train_step_model"]
