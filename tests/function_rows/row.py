"""What a row of the table of functions is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from drawing import distinct, draw

__all__ = ["Row", "distinct", "draw"]


@dataclass
class Row:
    """A call: numpy arrays become tensors, the float64 ones are differentiated."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    in_torch: bool = True  # whether PyTorch has this case
