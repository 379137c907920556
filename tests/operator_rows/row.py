"""What a row of the table of operators is, and short ways to write one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from drawing import distinct, draw
from numpy.typing import NDArray

__all__ = ["Array", "Fixed", "Row", "distinct", "draw", "ints", "number", "row"]

Array = NDArray[Any]


class Fixed:
    """An argument that is a literal of the graph, not an input of it."""

    def __init__(self, *numbers: Any, dtype: str = "int64") -> None:
        self.array = np.array(numbers[0] if len(numbers) == 1 and not isinstance(numbers[0], int) else numbers, dtype)


@dataclass
class Row:
    """A call of an operator. Arrays become inputs; those of float64 are differentiated, if the operator can be."""

    operator: str
    inputs: tuple[Array | Fixed | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    dynamic: str = "works"
    """With dynamic sizes: "works", "unknown" (not with names, which literals contradict), "never", or "refused"."""
    dtype: str = "float64"
    """In what its derivatives are compared: float32 where ONNX has nothing else."""
    expected: Array | None = None
    """The value, where onnx.reference does not have it."""

    def __str__(self) -> str:
        shapes = "-".join(
            "_" if x is None else "x".join(map(str, x.array.shape if isinstance(x, Fixed) else x.shape)) or "0"
            for x in self.inputs
        )
        given = ",".join(f"{k}={v}" for k, v in self.attributes.items() if not isinstance(v, np.ndarray))
        return f"{self.operator}-{shapes}-{given}"


def row(
    operator: str,
    *inputs: Array | Fixed | None,
    dynamic: str = "works",
    dtype: str = "float64",
    expected: Array | None = None,
    **attributes: Any,
) -> Row:
    return Row(operator, inputs, attributes, dynamic, dtype, expected)


def number(x: float) -> Array:
    return np.array(x)


def ints(*numbers: Any, dtype: str = "int64") -> Array:
    return np.array(numbers[0] if len(numbers) == 1 and not isinstance(numbers[0], int) else numbers, dtype)
