"""What stands around a matrix product and is part of it: factors, an addend, a transposition of the result.

A product that others read too stays, for it would be computed twice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.optimise.equations import splat
from staticgrad.rewrite import Fusion
from staticgrad.types import DType

ReadOnce = Callable[[Value], bool]

FUSIONS: dict[str, list[Fusion]] = {}

_WIDTHS = (DType.float32, DType.float64)


def fusion(*operators: str) -> Callable[[Fusion], Fusion]:
    """Decorator: an equation for nodes of these operators, which is told who is read once."""

    def register(rule: Fusion) -> Fusion:
        for name in operators:
            FUSIONS.setdefault(name, []).append(rule)
        return rule

    return register


def _product(value: Value | None, read_once: ReadOnce) -> Node | None:
    """The product of two matrices that `value` is, if nobody else reads it."""
    if (
        value is None
        or value.node.op.name not in ("Gemm", "MatMul")
        or value.type.dtype not in _WIDTHS
        or not read_once(value)
        or any(v is not None and len(v.type.shape) != 2 for v in value.node.inputs[:2])
    ):
        return None
    return value.node


def _addend(product: Node) -> Value | None:
    return product.inputs[2] if len(product.inputs) > 2 else None


def _rebuilt(product: Node, result: Value, c: Value | None = None, alpha: float = 1.0, beta: float = 1.0) -> Value:
    """`alpha` times a product, plus `beta` times `c`, in the place of `result`."""
    given = product.attributes if product.op.name == "Gemm" else ops.gemm.attributes
    (a, b), own = product.inputs[:2], _addend(product)
    factors = {key: _stored(given[key] * k) for key, k in (("alpha", alpha), ("beta", beta)) if k != 1}
    found: Value = ops.gemm.apply((a, b, own if c is None else c), {**given, **factors}, (result.type,)).outputs[0]
    return found


def _stored(number: float) -> float:
    """A number as an attribute holds it, in as few digits as say so."""
    return float(str(np.float32(number)))


def _factor(value: Value | None, result: Value) -> float | None:
    """The number that every element of a literal is, if the float32 of an attribute holds it; NaN times 0 is not 0."""
    number = None if value is None or value.type.shape != () else splat(value)
    if number is None or number == 0 or not np.isfinite(number):
        return None
    if result.type.dtype is DType.float64 and float(np.float32(number)) != number:
        return None
    return number


def _scaled(value: Value | None, result: Value, read_once: ReadOnce) -> tuple[Value, float] | None:
    """`x` and `k` of a value `k x` that nobody else reads."""
    if value is None or value.node.op.name != "Mul" or not read_once(value):
        return None
    for x, k in (value.node.inputs, value.node.inputs[::-1]):
        number = _factor(k, result)
        if number is not None and x is not None and x.type == value.type:
            return x, number
    return None


@fusion("Mul")
def _scaled_product(node: Node, read_once: ReadOnce) -> Value | None:
    """k gemm(a, b, c) = gemm(a, b, c, k alpha, k beta)"""
    y = node.outputs[0]
    for x, k in (node.inputs, node.inputs[::-1]):
        product, number = _product(x, read_once), _factor(k, y)
        if product is not None and number is not None and x is not None and x.type == y.type:
            alpha = number * product.attributes.get("alpha", 1.0)
            if not float(np.finfo(np.float32).tiny) <= abs(alpha) <= float(np.finfo(np.float32).max):
                return None
            return _rebuilt(product, y, None, number, 1.0 if _addend(product) is None else number)
    return None


@fusion("Add")
def _product_and_addend(node: Node, read_once: ReadOnce) -> Value | None:
    """gemm(a, b) + k c = gemm(a, b, c, beta=k) where c does not widen the product"""
    y = node.outputs[0]
    for x, c in (node.inputs, node.inputs[::-1]):
        product = _product(x, read_once)
        if product is None or x is None or c is None or x.type != y.type or _addend(product) is not None:
            continue
        scaled = _scaled(c, y, read_once)
        addend, beta = scaled if scaled is not None else (c, 1.0)
        attributes = product.attributes
        if product.op.name == "Gemm" and attributes["beta"] != 1.0:
            product = ops.gemm.apply(product.inputs, {**attributes, "beta": 1.0}, (y.type,))
        return _rebuilt(product, y, addend, 1.0, beta)
    return None


@fusion("Sub")
def _addend_less_product(node: Node, read_once: ReadOnce) -> Value | None:
    """k c - gemm(a, b) = gemm(a, b, c, -alpha, k) where c does not widen the product"""
    y = node.outputs[0]
    c, x = node.inputs
    product = _product(x, read_once)
    if product is None or x is None or c is None or x.type != y.type or _addend(product) is not None:
        return None
    scaled = _scaled(c, y, read_once)
    addend, beta = scaled if scaled is not None else (c, 1.0)
    return _rebuilt(product, y, addend, -1.0, beta)


@fusion("Transpose")
def _transposed_product(node: Node, read_once: ReadOnce) -> Value | None:
    """transpose(gemm(a, b)) = gemm(b, a) of what was transposed, or not, the other way"""
    y = node.outputs[0]
    product = _product(node.inputs[0], read_once)
    if product is None or tuple(node.attributes["perm"] or (1, 0)) != (1, 0):
        return None
    if _addend(product) is not None:
        return None
    a, b = product.inputs[:2]
    given = product.attributes if product.op.name == "Gemm" else ops.gemm.attributes
    turned = {"transA": not given["transB"], "transB": not given["transA"]}
    return ops.gemm.apply((b, a, None), {**given, **turned}, (y.type,)).outputs[0]
