"""What every peer gives: a program that trains one workload from given weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Weights = dict[str, Any]
"""Initial parameters by name, `.` between the parts: `stage1.0.conv1.weight`, in PyTorch's layouts (but `lstm0.w`, `.r`
and `.b` in ONNX's, the gates in the order i, o, f, c)."""

Program = Callable[[int], list[float]]
"""Run so many further steps, over the batches in turn, and return the loss of each, from before its update."""


class UnableError(Exception):
    """A peer cannot do a workload; the text says why, in a few words."""
