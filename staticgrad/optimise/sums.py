"""How sums over rows and over images are computed; `benchmarks/formulations.py` measures it."""

from __future__ import annotations

import math

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.kinds import known_axes, reshape_like
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import spatial
from staticgrad.optimise.formulations import arranged, batch_of, formulation, summed
from staticgrad.types import DType, TensorType, count_elements, unknown

_FEW = 1 << 10
"""Elements up to which a sum costs no more than a product."""

_FEW_COLUMNS = 16
"""Columns up to which that holds for the rows of a usual batch, where their number is not known."""

_LONG = 576
"""Elements of a channel of an image from which the product of two vectors costs less than products, summed up."""


@formulation("cpu", "ReduceMean", "ReduceSum")
def _sum_of_products(node: Node) -> Value | None:
    """sum(x y), or mean(x y), over images and places = the sum of a product of vectors for each image and channel"""
    product, axes = (*node.inputs, None)[:2]
    if product is None or product.node.op.name != "Mul" or product.type.dtype is not DType.float32:
        return None
    x, y = product.node.inputs
    rank, channels = len(product.type.shape), product.type.shape[1] if len(product.type.shape) > 2 else None
    over, places = known_axes(axes, rank) if axes is not None else None, spatial(product)
    if x is None or y is None or not x.type == y.type == product.type or not isinstance(channels, int):
        return None
    if not over or sorted(over) != [0, *range(2, rank)] or not all(isinstance(d, int) for d in places):
        return None
    size = math.prod(int(d) for d in places)
    if size < _LONG:
        return None
    rows, others = (arranged(v, (batch_of(v), channels, 1, size)) for v in (x, y))
    products = arranged(rows @ ops.transpose(others, perm=(0, 1, 3, 2)), (batch_of(x), channels))
    if node.op.name == "ReduceSum":
        total = summed(products)
    else:
        # The runtime's mean over no images is 0.
        total = ops.reduce_mean(products, constant(np.array([0])), keepdims=False) / float(size)
    return arranged(total, node.outputs[0].type.shape)


@formulation("cpu", "ReduceSum")
def _sum_of_rows(node: Node) -> Value | None:
    """sum(x) over the first axes = ones @ the rows of x, which several threads compute"""
    x, axes = (*node.inputs, None)[:2]
    if x is None or axes is None or x.type.dtype is not DType.float32:
        return None
    shape, over = x.type.shape, known_axes(axes, len(x.type.shape))
    if not over or sorted(over) != list(range(len(over))) or len(over) == len(shape):
        return None
    count, columns = count_elements(shape[: len(over)]), count_elements(shape[len(over) :])
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
