"""How cotangents are masked, as under a relu; `benchmarks/formulations.py` measures it."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.optimise.equations import splat
from staticgrad.optimise.formulations import formulation
from staticgrad.types import DType

_FEW = 1 << 15
"""Elements, of one example where their number is not known, up to which a choice costs no more than a product."""
_FAR = 64
"""Nodes up to which it is followed what a cotangent is a sum of."""
_PRODUCTS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
_OF_FIRST = frozenset("Expand Pad Reshape Slice Squeeze Transpose Unsqueeze".split())


@formulation("cpu", "Where")
def _product_with_mask(node: Node) -> Value | None:
    """where(c, g, 0) = g cast(c) where g is a sum of products, in which what is not finite spreads anyway"""
    condition, g, other = node.inputs
    assert condition is not None and g is not None
    shape = node.outputs[0].type.shape
    # What is declared so, and not derived, may be to keep out what is no number.
    if node.origin is None or g.type.dtype is not DType.float32 or splat(other) != 0:
        return None
    if condition.type.shape != shape or math.prod(d for d in shape if isinstance(d, int)) <= _FEW:
        return None
    return ops.mul(g, ops.cast(condition, to=DType.float32)) if _is_sum_of_products(g) else None


def _is_sum_of_products(value: Value) -> bool:
    """Whether all that a value is a sum of are products of matrices or convolutions, also masked or scaled."""
    waiting, seen = [value.node], set[Node]()
    while waiting and len(seen) < _FAR:
        node = waiting.pop()
        name = node.op.name
        if node in seen or name in _PRODUCTS:
            continue
        seen.add(node)
        inputs = [v for v in node.inputs if v is not None]
        others = [v for v in inputs if not _is_factor(v)]
        if name in ("Add", "Sub"):
            waiting += [v.node for v in inputs]
        elif name in _OF_FIRST or (name == "Div" and splat(inputs[1])):
            waiting.append(inputs[0].node)
        elif name == "Mul" and len(others) < len(inputs):
            waiting += [v.node for v in others]
        else:
            return False
    return not waiting


def _is_factor(value: Value) -> bool:
    """Whether a value is a literal or a mask."""
    before = value.node.inputs[0] if value.node.op.name == "Cast" else None
    return splat(value) is not None or (before is not None and before.type.dtype is DType.bool)
