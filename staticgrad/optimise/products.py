"""What stands around a matrix product and is part of it: factors, an addend, a transposition of the result.

A product that others read too stays, for it would be computed twice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.kinds import stored
from staticgrad.ops.registry import constant
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


def _factors(product: Node) -> tuple[float, float]:
    """`alpha` of a product, and the factor of its addend, which is 1 where it has none, as attributes hold them."""
    given = product.attributes if product.op.name == "Gemm" else ops.gemm.attributes
    return stored(given["alpha"]), 1.0 if _addend(product) is None else stored(given["beta"])


def _rebuilt(product: Node, result: Value, c: Value | None, alpha: float, beta: float) -> Value | None:
    """A product with another addend and other factors in the place of `result`, if attributes hold these."""
    usual = ops.gemm.attributes
    held = {key: _held(k, result.type.dtype) for key, k in (("alpha", alpha), ("beta", beta))}
    # Seen on the CPU: a sum over nothing takes the addend as it is.
    if None in held.values() or (held["beta"] != 1 and not _multiplies_something(product)):
        return None
    given = product.attributes if product.op.name == "Gemm" else usual
    attributes = {**given, **{key: usual[key] if k == usual[key] else k for key, k in held.items()}}
    found: Value = ops.gemm.apply((*product.inputs[:2], c), attributes, (result.type,)).outputs[0]
    return found


def _multiplies_something(product: Node) -> bool:
    """Whether the columns of the first operand are sure to be at least one."""
    a = product.inputs[0]
    assert a is not None
    inner = a.type.shape[0 if product.op.name == "Gemm" and product.attributes["transA"] else 1]
    return isinstance(inner, int) and inner > 0


def _held(number: float, dtype: DType) -> float | None:
    """A number as an attribute holds it, in as few digits as say so; None where it is out of range or loses bits."""
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= abs(number) <= float(limits.max):
        return None
    if dtype is DType.float64 and stored(number) != number:
        return None
    return float(str(np.float32(number)))


def _factor(value: Value | None) -> float | None:
    """The number that every element of a literal is; NaN times 0 is not 0."""
    number = None if value is None or any(d != 1 for d in value.type.shape) else splat(value)
    return None if number is None or number == 0 or not np.isfinite(number) else number


def _scaled(value: Value | None, read_once: ReadOnce) -> tuple[Value, float] | None:
    """`x` and `k` of a value `k x` that nobody else reads."""
    if value is None or value.node.op.name != "Mul" or not read_once(value):
        return None
    for x, k in (value.node.inputs, value.node.inputs[::-1]):
        number = _factor(k)
        if number is not None and x is not None and x.type == value.type:
            return x, number
    return None


@fusion("Gemm")
def _addend_to_nothing(node: Node, read_once: ReadOnce) -> Value | None:
    """gemm(a, b, c, beta) = gemm(a, b, beta c) where a b may be a sum over nothing, to which c is added as it is"""
    c, y, beta = _addend(node), node.outputs[0], stored(node.attributes["beta"])
    if c is None or beta == 1 or not y.type.dtype.is_float or _multiplies_something(node):
        return None
    scaled = ops.mul(c, constant(np.asarray(beta, c.type.dtype.numpy))) if beta else None
    attributes = {**node.attributes, "beta": ops.gemm.attributes["beta"]}
    return ops.gemm.apply((*node.inputs[:2], scaled), attributes, (y.type,)).outputs[0]


@fusion("Mul")
def _scaled_product(node: Node, read_once: ReadOnce) -> Value | None:
    """k gemm(a, b, c) = gemm(a, b, c, k alpha, k beta)"""
    y = node.outputs[0]
    for x, k in (node.inputs, node.inputs[::-1]):
        product, number = _product(x, read_once), _factor(k)
        if product is not None and number is not None and x is not None and x.type == y.type:
            c = _addend(product)
            alpha, beta = _factors(product)
            return _rebuilt(product, y, c, number * alpha, 1.0 if c is None else number * beta)
    return None


@fusion("Add")
def _product_and_addend(node: Node, read_once: ReadOnce) -> Value | None:
    """gemm(a, b) + k c = gemm(a, b, c, beta=k) where c does not widen the product"""
    y = node.outputs[0]
    for x, c in (node.inputs, node.inputs[::-1]):
        product = _product(x, read_once)
        if product is None or x is None or c is None or x.type != y.type or _addend(product) is not None:
            continue
        return _with_addend(product, y, c, _factors(product)[0], read_once)
    return None


@fusion("Sub")
def _addend_less_product(node: Node, read_once: ReadOnce) -> Value | None:
    """k c - gemm(a, b) = gemm(a, b, c, -alpha, k) where c does not widen the product"""
    y = node.outputs[0]
    c, x = node.inputs
    product = _product(x, read_once)
    if product is None or x is None or c is None or x.type != y.type or _addend(product) is not None:
        return None
    return _with_addend(product, y, c, -_factors(product)[0], read_once)


def _with_addend(product: Node, result: Value, c: Value, alpha: float, read_once: ReadOnce) -> Value | None:
    """A product with an addend, of which what scales it is taken in too where that may be."""
    addend, beta = _scaled(c, read_once) or (c, 1.0)
    whole = _rebuilt(product, result, addend, alpha, beta)
    return _rebuilt(product, result, c, alpha, 1.0) if whole is None else whole


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
