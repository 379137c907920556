"""Elementwise operators of a tensor and one number."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value, constant_of
from staticgrad.ops.registry import Operator, constant
from staticgrad.optimise.equations import STRETCHING
from staticgrad.optimise.formulations import formulation
from staticgrad.types import count_elements

_FEW = 1024


@formulation("cpu", *STRETCHING)
def _number_of_full_rank(node: Node) -> Value | None:
    """f(x, k) = f(x, k of the rank of x) where x has sizes of 1, which the runtime else goes through one by one"""
    shape = node.outputs[0].type.shape
    count = count_elements(shape)
    if 1 not in shape or (isinstance(count, int) and count < _FEW):
        return None
    inputs = [_widened(v, len(shape)) for v in node.inputs]
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return None
    entry = node.op
    assert isinstance(entry, Operator)
    return entry.apply(tuple(inputs), node.attributes, (node.outputs[0].type,)).outputs[0]


def _widened(value: Value | None, rank: int) -> Value | None:
    """One number as a tensor of that rank, anything else as it is."""
    if value is None or len(value.type.shape) == rank or any(d != 1 for d in value.type.shape):
        return value
    array = constant_of(value)
    ones = (1,) * rank
    return ops.reshape(value, constant(np.array(ones))) if array is None else constant(array.reshape(ones))
