"""Models that come from elsewhere: read, differentiated, trained, looked at."""

from staticgrad.models.gradient import gradient_model
from staticgrad.models.model import Model, from_onnx

__all__ = ["Model", "from_onnx", "gradient_model"]
