"""Equations that save passes over large tensors: reductions of little, and sums with what is nearly all zeros."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.kinds import known_axes
from staticgrad.ops.registry import Operator, constant
from staticgrad.optimise.equations import STRETCHING, equation, splat
from staticgrad.types import broadcast_shapes


@equation("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
def _reduced_single(node: Node) -> Value | None:
    """mean, max, min, product over axes of size 1 = x or squeeze(x)"""
    x, axes = node.inputs[:2]
    if x is None or axes is None or not x.type.dtype.is_float:
        return None
    positions = known_axes(axes, len(x.type.shape))
    if not positions or any(x.type.shape[a] != 1 for a in positions):
        return None
    return x if node.attributes["keepdims"] else ops.squeeze(x, constant(np.array(positions)))


def _scattered(value: Value | None) -> tuple[Value, Value, int] | None:
    """Indices, updates and axis of what adds updates to zeros, where they cover all rows along one axis."""
    if value is None or value.node.op.name != "ScatterElements" or value.node.attributes["reduction"] != "add":
        return None
    data, indices, updates = value.node.inputs
    assert indices is not None and updates is not None
    axis = value.node.attributes["axis"] % len(value.type.shape)
    own, whole = updates.type.shape, value.type.shape
    if splat(data) != 0 or own[:axis] != whole[:axis] or own[axis + 1 :] != whole[axis + 1 :]:
        return None
    return indices, updates, axis


@equation("ReduceSum")
def _sum_of_scattered(node: Node) -> Value | None:
    """sum(scatter(0, i, u)) = sum(u) along the axis of the indices"""
    scattered = _scattered(node.inputs[0])
    if scattered is None or node.inputs[1] is None:
        return None
    _, updates, axis = scattered
    if known_axes(node.inputs[1], len(updates.type.shape)) != (axis,):
        return None
    return ops.reduce_sum(updates, node.inputs[1], keepdims=node.attributes["keepdims"])


@equation("Sub")
def _scattered_difference(node: Node) -> Value | None:
    """scatter(0, i, u) - x r = scatter(x (-r), i, u) where r has fewer elements"""
    a, product = node.inputs
    scattered = _scattered(a)
    if scattered is None or product is None or product.node.op.name != "Mul" or product.type != node.outputs[0].type:
        return None
    indices, updates, axis = scattered
    for x, r in (product.node.inputs, product.node.inputs[::-1]):
        if x is not None and r is not None and x.type == product.type and _is_smaller(r, x):
            return ops.scatter_elements(ops.mul(x, ops.neg(r)), indices, updates, axis=axis, reduction="add")
    return None


def _is_smaller(r: Value, x: Value) -> bool:
    """Whether `r`, which broadcasts to `x`, is sure to have fewer elements: it has 1 along an axis of more."""
    own = (1,) * (len(x.type.shape) - len(r.type.shape)) + r.type.shape
    return any(isinstance(d, int) and d > 1 and n == 1 for d, n in zip(x.type.shape, own, strict=True))


@equation("Where")
def _chosen_by_not(node: Node) -> Value | None:
    """where(not c, a, b) = where(c, b, a)"""
    condition, a, b = node.inputs
    if condition is None or a is None or b is None or condition.node.op.name != "Not":
        return None
    inner = condition.node.inputs[0]
    assert inner is not None
    return ops.where(inner, b, a)


@equation(*STRETCHING)
def _unsqueezed_operand(node: Node) -> Value | None:
    """f(unsqueeze(x), y) = f(x, y) where broadcasting does the same"""
    for position, value in enumerate(node.inputs):
        if value is None or value.node.op.name != "Unsqueeze":
            continue
        narrow = value.node.inputs[0]
        assert narrow is not None
        own, whole = narrow.type.shape, value.type.shape
        lead = len(whole) - len(own)
        if whole != (1,) * lead + own:
            continue
        inputs = (*node.inputs[:position], narrow, *node.inputs[position + 1 :])
        if broadcast_shapes(*[v.type.shape for v in inputs if v is not None]) == node.outputs[0].type.shape:
            entry = node.op
            assert isinstance(entry, Operator)
            return entry.apply(inputs, node.attributes, (node.outputs[0].type,)).outputs[0]
    return None
