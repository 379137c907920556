"""Run graphs and training steps on onnxruntime."""

from staticgrad.runtime.device import resolve_device, warn_of_two_packages
from staticgrad.runtime.function import Function, function
from staticgrad.runtime.session import SessionSettings
from staticgrad.runtime.trainer import StepResult, Trainer

__all__ = [
    "Function",
    "SessionSettings",
    "StepResult",
    "Trainer",
    "function",
    "resolve_device",
    "warn_of_two_packages",
]
