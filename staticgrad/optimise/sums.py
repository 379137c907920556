"""How sums over rows are computed; `benchmarks/formulations.py` measures it."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.kinds import known_axes, reshape_like
from staticgrad.ops.registry import constant
from staticgrad.optimise.formulations import formulation
from staticgrad.types import DType, TensorType, count_elements, unknown

_FEW = 1 << 10
"""Elements up to which a sum costs no more than a product."""

_FEW_COLUMNS = 16
"""Columns up to which that holds for the rows of a usual batch, where their number is not known."""


@formulation("cpu", "ReduceSum")
def _sum_of_rows(node: Node) -> Value | None:
    """sum(x) over the first axes = ones @ the rows of x, which several threads compute"""
    x, axes = (*node.inputs, None)[:2]
    if x is None or axes is None or x.type.dtype is not DType.float32:
        return None
    shape, summed = x.type.shape, known_axes(axes, len(x.type.shape))
    if not summed or sorted(summed) != list(range(len(summed))) or len(summed) == len(shape):
        return None
    count, columns = count_elements(shape[: len(summed)]), count_elements(shape[len(summed) :])
    if not isinstance(columns, int):
        return None
    if isinstance(count, int):
        few = count == 1 or count * columns <= _FEW
    else:
        few = columns <= _FEW_COLUMNS
    if few:
        return None
    rows = x
    if len(shape) > 2:
        type = TensorType(DType.float32, (count if isinstance(count, int) else unknown(), columns))
        sizes = constant(np.array([-1, columns]))
        rows = ops.reshape.apply((x, sizes), {"allowzero": False}, (type,)).outputs[0]
    length = constant(np.array([count])) if isinstance(count, int) else ops.shape(rows, start=0, end=1)
    ones = ops.constant_of_shape(ops.concat([1], length, axis=0), value=np.ones(1, np.float32))
    return reshape_like(ops.matmul(ones, rows), node.outputs[0])
