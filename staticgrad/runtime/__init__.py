"""Run graphs and training steps on onnxruntime."""

from staticgrad.runtime.device import resolve_device, warn_of_two_packages
from staticgrad.runtime.function import Function, function
from staticgrad.runtime.session import SessionSettings

__all__ = [
    "Function",
    "SessionSettings",
    "function",
    "resolve_device",
    "warn_of_two_packages",
]
