"""Scan in Python with axes and directions, of which onnx.reference has the default ones only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference.ops import op_scan

LAYING = ("scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions")


class Scan(op_scan.Scan):  # type: ignore[misc]
    """The plain Scan over sequences that are laid as it wants them, and its outputs laid as they are wanted."""

    op_domain = ""

    def __init__(self, node: onnx.NodeProto, run_params: dict[str, Any]) -> None:
        self.laying = {a.name: list(a.ints) for a in node.attribute if a.name in LAYING}
        plain = onnx.NodeProto()
        plain.CopyFrom(node)
        del plain.attribute[:]
        plain.attribute.extend(a for a in node.attribute if a.name not in LAYING)
        super().__init__(plain, run_params)

    def _run(self, *given: NDArray[Any], **how: Any) -> tuple[NDArray[Any], ...]:
        states = len(given) - self.num_scan_inputs
        moved = [np.moveaxis(s, axis, 0) for s, axis in self._with("scan_input_axes", given[states:])]
        turned = [np.flip(s, 0) if way else s for s, way in self._with("scan_input_directions", moved)]
        found = super()._run(*given[:states], *turned, **how)
        stacked = [np.flip(y, 0) if way else y for y, way in self._with("scan_output_directions", found[states:])]
        return (*found[:states], *[np.moveaxis(y, 0, axis) for y, axis in self._with("scan_output_axes", stacked)])

    def _with(self, attribute: str, values: Sequence[NDArray[Any]]) -> list[tuple[NDArray[Any], int]]:
        """The values, each with the number that the attribute has for it."""
        numbers = self.laying.get(attribute) or [0] * len(values)
        return list(zip(values, numbers, strict=True))
