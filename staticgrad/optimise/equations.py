"""The equations: each says in its docstring what equals what; the right side never has more work than the left."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError
from staticgrad.graph import Array, Node, Value, constant_of
from staticgrad.ops.kinds import known_axes, reshape_like
from staticgrad.ops.registry import Operator, constant
from staticgrad.rewrite import Equation
from staticgrad.types import DType, broadcast_shapes, count_elements, divide_dims

EQUATIONS: dict[str, list[Equation]] = {}


def equation(*operators: str) -> Callable[[Equation], Equation]:
    """Decorator: an equation for nodes of these operators."""

    def register(rule: Equation) -> Equation:
        for name in operators:
            EQUATIONS.setdefault(name, []).append(rule)
        return rule

    return register


def splat(value: Value | None) -> float | None:
    """The one number that every element of a literal (or of a filled tensor) is, else None."""
    while value is not None and value.node.op.name in ("Expand", "Unsqueeze", "Reshape"):
        value = value.node.inputs[0]
    if value is None or value.node.op.name not in ("Constant", "ConstantOfShape"):
        return None
    array: Array = value.node.attributes["value"]
    if not 0 < array.size <= 64 or array.dtype.kind not in "fiuV":
        return None
    first = array.flat[0]
    return float(first) if array.size == 1 or (array == first).all() else None


def _only(value: Value, result: Value) -> Value | None:
    """`value` if it may stand for `result`: the same type."""
    return value if value.type == result.type else None


def _operands(node: Node) -> tuple[Value, Value, Value]:
    a, b = node.inputs
    assert a is not None and b is not None
    return a, b, node.outputs[0]


def _input(node: Node, position: int = 0) -> Value:
    value = node.inputs[position]
    assert value is not None
    return value


def _is(value: Value | None, name: str) -> bool:
    return value is not None and value.node.op.name == name


@equation("Identity")
def _identity(node: Node) -> Value | None:
    """identity(x) = x"""
    return _input(node)


@equation("Cast")
def _same_cast(node: Node) -> Value | None:
    """cast(x, type of x) = x"""
    return _only(_input(node), node.outputs[0])


STRETCHING = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Max",
    "Min",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "Where",
)


@equation(*STRETCHING)
def _expanded_operand(node: Node) -> Value | None:
    """f(expand(x), y) = f(x, y) where broadcasting does the same"""
    for position, value in enumerate(node.inputs):
        if value is None or value.node.op.name not in ("Expand", "ConstantOfShape"):
            continue
        if value.node.op.name == "Expand":
            narrow = _input(value.node)
        else:
            narrow = constant(value.node.attributes["value"].reshape(()))
        inputs = (*node.inputs[:position], narrow, *node.inputs[position + 1 :])
        try:
            shape = broadcast_shapes(*[v.type.shape for v in inputs if v is not None])
        except ShapeError:
            continue
        if shape == node.outputs[0].type.shape:
            entry = node.op
            assert isinstance(entry, Operator)
            return entry.apply(inputs, node.attributes, (node.outputs[0].type,)).outputs[0]
    return None


@equation("Add")
def _sum(node: Node) -> Value | None:
    """x + 0 = x (but for the sign of 0), x + x = 2 x, x + -y = x - y"""
    a, b, y = _operands(node)
    if splat(b) == 0 and a.type == y.type:
        return a
    if splat(a) == 0 and b.type == y.type:
        return b
    if a is b and a.type.dtype.is_float:
        return ops.mul(a, 2)
    if _is(b, "Neg"):
        return ops.sub(a, _input(b.node))
    if _is(a, "Neg"):
        return ops.sub(b, _input(a.node))
    return None


@equation("Sub")
def _difference(node: Node) -> Value | None:
    """x - 0 = x, 0 - x = -x, x - -y = x + y"""
    a, b, y = _operands(node)
    if splat(b) == 0 and a.type == y.type:
        return a
    if splat(a) == 0 and b.type == y.type and b.type.dtype.is_float:
        return ops.neg(b)
    if _is(b, "Neg"):
        return ops.add(a, _input(b.node))
    return None


@equation("Mul")
def _product(node: Node) -> Value | None:
    """x 1 = x, x -1 = -x, (x c) d = x (c d) where c d is in range, -x c = x (-c), x (1 / y) = x / y"""
    a, b, y = _operands(node)
    if splat(a) is not None:
        a, b = b, a
    number = splat(b)
    if number == 1 and a.type == y.type:
        return a
    if number == -1 and a.type == y.type and a.type.dtype.is_float:
        return ops.neg(a)
    if number is not None and a.type.dtype.is_float and a.type == y.type and b.type.shape == ():
        if _is(a, "Mul"):
            inner, factor = a.node.inputs
            if factor is not None and inner is not None and splat(inner) is not None:
                inner, factor = factor, inner
            other = splat(factor)
            if inner is not None and other is not None and inner.type == y.type and splat(inner) is None:
                merged = _in_range(other * number, y.type.dtype, zero=0 in (other, number))
                if merged is not None:
                    return ops.mul(inner, merged)
        if _is(a, "Neg"):
            return ops.mul(_input(a.node), constant(np.asarray(-number, y.type.dtype.numpy)))
    for left, right in ((a, b), (b, a)):
        if _is(right, "Reciprocal"):
            return ops.div(left, _input(right.node))
    return None


def _in_range(number: float, dtype: DType, zero: bool = False) -> Value | None:
    """A literal, unless the number overflows in its type or comes out as 0 (or with fewer bits) where it is not."""
    limits = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    if not (float(limits.tiny) <= abs(number) <= float(limits.max) or zero):
        return None
    return constant(np.asarray(number, dtype.numpy))


@equation("Div")
def _quotient(node: Node) -> Value | None:
    """x / 1 = x"""
    a, b, y = _operands(node)
    return a if splat(b) == 1 and a.type == y.type else None


@equation("Neg")
def _negation(node: Node) -> Value | None:
    """-(-x) = x, -(x c) = x (-c), -(x - y) = y - x"""
    x = _input(node)
    if _is(x, "Neg"):
        return _input(x.node)
    if _is(x, "Sub"):
        return ops.sub(_input(x.node, 1), _input(x.node))
    if _is(x, "Mul") and x.type.dtype.is_float:
        for inner, factor in (x.node.inputs, x.node.inputs[::-1]):
            number = splat(factor)
            if number is not None and inner is not None and inner.type == x.type:
                return ops.mul(inner, constant(np.asarray(-number, x.type.dtype.numpy)))
    return None


@equation("Not")
def _double_negation(node: Node) -> Value | None:
    """not not x = x"""
    x = _input(node)
    return _input(x.node) if _is(x, "Not") else None


@equation("Pow")
def _power(node: Node) -> Value | None:
    """x ** 2 = x x, x ** 1 = x, x ** 0.5 = sqrt(x), x ** -1 = 1 / x"""
    x, exponent, y = _operands(node)
    number = splat(exponent)
    if number is None or x.type != y.type:
        return None
    if number == 1:
        return x
    if number == 2:
        return ops.mul(x, x)
    if number == 0.5 and x.type.dtype.is_float:
        return ops.sqrt(x)
    if number == -1 and x.type.dtype.is_float:
        return ops.reciprocal(x)
    return None


@equation("Where")
def _choice(node: Node) -> Value | None:
    """where(c, x, x) = x"""
    return _only(_input(node, 1), node.outputs[0]) if node.inputs[1] is node.inputs[2] else None


@equation("Log")
def _logarithm(node: Node) -> Value | None:
    """log(softmax(x)) = log_softmax(x), log(sum(exp(x))) = log_sum_exp(x), log(exp(x)) = x"""
    x = _input(node)
    if _is(x, "Softmax"):
        return ops.log_softmax(_input(x.node), axis=x.node.attributes["axis"])
    if _is(x, "Exp"):
        return _input(x.node)
    if _is(x, "ReduceSum") and _is(_input(x.node), "Exp"):
        exponents = _input(_input(x.node).node)
        inputs = (exponents, x.node.inputs[1])
        return ops.reduce_log_sum_exp.apply(inputs, x.node.attributes, (x.type,)).outputs[0]
    return None


_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")


@equation(*_RESHAPING)
def _reshapes(node: Node) -> Value | None:
    """reshape(reshape(x)) = reshape(x), reshape(x) = x where the shape is the same"""
    y = node.outputs[0]
    array = constant_of(node.inputs[0])
    if array is not None and all(isinstance(d, int) for d in y.type.shape):
        return constant(array.reshape([int(d) for d in y.type.shape]))
    root = _input(node)
    if root.type == y.type:
        return root
    if root.node.op.name not in _RESHAPING:
        return None
    while root.node.op.name in _RESHAPING:
        root = _input(root.node)
    if root.type == y.type:
        return root
    result = reshape_like(root, y)
    # Only where it needs no run-time shape is this sure to be less work.
    return result if constant_of(result.node.inputs[1]) is not None else None


@equation("Transpose")
def _transposes(node: Node) -> Value | None:
    """transpose(transpose(x)) = transpose(x), transpose(x) = x where the order is the same"""
    x = _input(node)
    order = _order(node)
    if order == tuple(range(len(order))):
        return x
    if _is(x, "Transpose"):
        inner = _order(x.node)
        return ops.transpose(_input(x.node), perm=tuple(inner[i] for i in order))
    return None


def _order(node: Node) -> tuple[int, ...]:
    perm: tuple[int, ...] | None = node.attributes["perm"]
    return tuple(reversed(range(len(node.outputs[0].type.shape)))) if perm is None else perm


@equation("Expand")
def _expansion(node: Node) -> Value | None:
    """expand(x) = x where the shape is the same, expand(expand(x)) = expand(x)"""
    x = _input(node)
    y = node.outputs[0]
    if x.type == y.type:
        return x
    # The outer shape may say 1 where the inner one has made the axis long.
    if _is(x, "Expand") and _input(node, 1).content == y.type.shape:
        return ops.expand.apply((_input(x.node), node.inputs[1]), node.attributes, (y.type,)).outputs[0]
    return None


@equation(*(name for name in ops.OPERATORS if name.startswith("Reduce")))
def _axes_from_the_front(node: Node) -> Value | None:
    """reduce(x, -1) = reduce(x, rank - 1) where there may be nothing"""
    # Seen on the CPU: of an empty tensor a negative axis is not reduced.
    x, axes = _input(node), constant_of(node.inputs[1])
    if axes is None or (axes >= 0).all() or all(isinstance(d, int) and d for d in x.type.shape):
        return None
    front = constant(np.array(known_axes(node.inputs[1], len(x.type.shape))))
    reduced: Value = ops.OPERATORS[node.op.name].apply((x, front), node.attributes, (node.outputs[0].type,)).outputs[0]
    return reduced


@equation("ReduceSum")
def _reduced_expansion(node: Node) -> Value | None:
    """sum(expand(x)) = x n, sum over nothing = x, sum over axes of size 1 = x or squeeze(x)"""
    x = _input(node)
    rank = len(x.type.shape)
    axes = known_axes(node.inputs[1], rank) if node.inputs[1] is not None else tuple(range(rank))
    if axes == () and not node.attributes["noop_with_empty_axes"]:
        axes = tuple(range(rank))
    if axes is None:
        return None
    keepdims = node.attributes["keepdims"]
    if all(x.type.shape[a] == 1 for a in axes):
        return x if keepdims or not axes else ops.squeeze(x, constant(np.array(axes)))
    if not _is(x, "Expand") and not _is(x, "ConstantOfShape"):
        return None
    narrow = _input(x.node) if _is(x, "Expand") else constant(x.node.attributes["value"].reshape(()))
    padded = (1,) * (rank - len(narrow.type.shape)) + narrow.type.shape
    kept = [i for i in range(rank) if i not in axes]
    if any(padded[i] != x.type.shape[i] for i in kept):
        return None
    repeats = divide_dims(count_elements(x.type.shape), count_elements(padded))
    # Over nothing the sum is 0, which inf * 0 is not.
    if not isinstance(repeats, int) or repeats == 0 or not x.type.dtype.is_float:
        return None
    factor = _in_range(float(repeats), x.type.dtype)
    if factor is None:
        return None
    left = [a for a in axes if padded[a] != 1]
    inner = narrow
    if len(narrow.type.shape) < rank:
        inner = ops.unsqueeze(narrow, constant(np.arange(rank - len(narrow.type.shape))))
    if left:
        inner = ops.reduce_sum(inner, constant(np.array(left)), keepdims=True)
    total = ops.mul(inner, factor)
    return total if keepdims or not axes else ops.squeeze(total, constant(np.array(axes)))


@equation("MatMul")
def _product_over_nothing(node: Node) -> Value | None:
    """a @ b = sum(a b) over nothing, where the runtime's product is whatever was in memory"""
    a, b, y = _operands(node)
    ranks = len(a.type.shape), len(b.type.shape)
    if a.type.shape[-1] != 0 or ranks == (2, 2) or y.type.dtype in (DType.uint32, DType.uint64):
        return None
    if ranks[1] == 1:
        products, axis = ops.mul(a, b), ranks[0] - 1
    else:
        rows = b if ranks[0] == 1 else ops.unsqueeze(b, constant(np.array([ranks[1] - 2])))
        products, axis = (
            ops.mul(ops.unsqueeze(a, constant(np.array([ranks[0]]))), rows),
            max(ranks[0] + 1, ranks[1] + (ranks[0] > 1)) - 2,
        )
    return ops.reduce_sum(products, constant(np.array([axis])), keepdims=False)


@equation("MatMul")
def _product_with_vector(node: Node) -> Value | None:
    """a @ v = squeeze(a @ unsqueeze(v)), for the runtime makes transpose(a) @ v one product that is wrong"""
    a, b, _ = _operands(node)
    if len(a.type.shape) < 2 or len(b.type.shape) != 1:
        return None
    column = ops.unsqueeze(b, constant(np.array([1])))
    return ops.squeeze(ops.matmul(a, column), constant(np.array([len(a.type.shape) - 1])))


@equation("MatMul")
def _transposed_product(node: Node) -> Value | None:
    """transpose(a) @ b = gemm(a, b, transA)"""
    a, b, y = _operands(node)
    if len(a.type.shape) != 2 or len(b.type.shape) != 2 or not y.type.dtype.is_float:
        return None
    turned = [_is(v, "Transpose") for v in (a, b)]
    if not any(turned):
        return None
    left = _input(a.node) if turned[0] else a
    right = _input(b.node) if turned[1] else b
    return ops.gemm(left, right, transA=turned[0], transB=turned[1])


@equation("Gemm")
def _gemm_of_transposed(node: Node) -> Value | None:
    """gemm(transpose(a), b) = gemm(a, b, transA)"""
    attributes = dict(node.attributes)
    inputs = list(node.inputs)
    for position, flag in ((0, "transA"), (1, "transB")):
        value = _input(node, position)
        if _is(value, "Transpose"):
            inputs[position] = _input(value.node)
            attributes[flag] = not attributes[flag]
    if attributes == node.attributes:
        return None
    return ops.gemm.apply(tuple(inputs), attributes, (node.outputs[0].type,)).outputs[0]


@equation("Concat")
def _single_concat(node: Node) -> Value | None:
    """concat(x) = x"""
    return _input(node) if len(node.inputs) == 1 else None


@equation("Slice", "Pad")
def _nothing_cut(node: Node) -> Value | None:
    """slice(x) = x and pad(x) = x where nothing is cut or filled"""
    x, y = _input(node), node.outputs[0]
    if x.type != y.type:
        return None
    if node.op.name == "Pad":
        array = constant_of(node.inputs[1])
        return x if array is not None and not array.any() else None
    steps = constant_of(node.inputs[4]) if node.inputs[4] is not None else np.ones(1)
    return x if steps is not None and (steps == 1).all() else None
