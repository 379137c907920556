"""Where methods look up operators and functions by name; the rooms that have them fill these in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from staticgrad.graph import Value

    Operand: TypeAlias = Value | float

OPERATORS: dict[str, Any] = {}
"""The operator registry: ONNX name -> entry; filled by `staticgrad.ops`."""

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""PyTorch name -> function; filled by `staticgrad.tensor`."""
