"""Matrix products."""

from __future__ import annotations

from staticgrad.errors import ShapeError
from staticgrad.graph import Value
from staticgrad.ops.kinds import common_dtype, reshape_like, stored, transposed, zeros_like
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import concat, reshape, shape, unsqueeze
from staticgrad.types import Shape, TensorType, broadcast_shapes, dims_agree


def _contracted(left, right, what):
    if not dims_agree(left, right):
        raise ShapeError(f"{what}: {left} and {right} do not agree")


def product_shape(a: Value, b: Value) -> Shape:
    """The shape of the matrix product."""
    x, y = a.type.shape, b.type.shape
    require(bool(x) and bool(y), "a matrix product needs tensors of rank 1 or more; use * for numbers")
    rows = x[:-1][-1:]
    columns = y[-1:] if len(y) > 1 else ()
    inner = y[-2] if len(y) > 1 else y[0]
    _contracted(x[-1], inner, "the columns of the first and the rows of the second operand")
    return (*broadcast_shapes(x[:-2], y[:-2]), *rows, *columns)


def _product(a, b):
    return TensorType(common_dtype(a, b), product_shape(a, b))


@onnx_op("MatMul", type=_product)
def matmul(a: Input, b: Input) -> Value:
    """The matrix product over the last two axes; leading axes broadcast, rank 1 counts as a row or a column."""


@matmul.vjp
def _(g, y, a, b):
    if len(a.type.shape) == 1 or len(b.type.shape) == 1:
        row = unsqueeze(a, [0]) if len(a.type.shape) == 1 else a
        column = unsqueeze(b, [1]) if len(b.type.shape) == 1 else b
        if len(b.type.shape) == 1:
            g = unsqueeze(g, [-1])
        if len(a.type.shape) == 1:
            g = unsqueeze(g, [-2])
        to_a, to_b = _product_cotangents(g, row, column)
        if len(a.type.shape) == 1:
            to_a = _sum_leading(to_a, a)
        if len(b.type.shape) == 1:
            to_b = _sum_leading(to_b, b)
        return to_a, to_b
    return _product_cotangents(g, a, b)


def _product_cotangents(g, a, b):
    if len(b.type.shape) == 2 and len(a.type.shape) > 2 and 0 not in (a.type.shape[-1], g.type.shape[-1]):
        # One product over all rows instead of one for each batch and a sum over them.
        lines, cotangents = rows(a), rows(g)
        return matmul(g, transposed(b)), matmul(transposed(lines), cotangents)
    # onnxruntime's product over no rows has not the batches of the right operand.
    to_b = zeros_like(b) if a.type.shape[-2] == 0 else matmul(transposed(a), g)
    return matmul(g, transposed(b)), to_b


def rows(x: Value) -> Value:
    """All leading axes of `x` as one."""
    last = x.type.shape[-1]
    if isinstance(last, int):
        return reshape(x, [-1, last])
    return reshape(x, concat([-1], shape(x, start=-1), axis=0))


def _sum_leading(g, vector):
    """The cotangent of an operand of rank 1: the sum over all axes that it was repeated on."""
    extra = len(g.type.shape) - 2
    if extra:
        g = reduce_sum(g, list(range(extra)), keepdims=False)
    return reshape_like(g, vector)


def _gemm(a, b, c=None, *, alpha, beta, transA, transB):
    dtype = common_dtype(a, b, c)
    require(len(a.type.shape) == 2 and len(b.type.shape) == 2, "Gemm multiplies two matrices")
    rows, inner = reversed(a.type.shape) if transA else a.type.shape
    other, columns = reversed(b.type.shape) if transB else b.type.shape
    _contracted(inner, other, "the columns of the first and the rows of the second operand")
    if c is not None:
        combined = broadcast_shapes((rows, columns), c.type.shape)
        fits = len(combined) == 2 and all(map(dims_agree, combined, (rows, columns)))
        require(fits, "the addend must broadcast to the product")
    return TensorType(dtype, (rows, columns))


@onnx_op("Gemm", type=_gemm)
def gemm(
    a: Input,
    b: Input,
    c: Input | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,
    transB: bool = False,
) -> Value:
    """`alpha * A B + beta * c` of matrices, where A is `a` or its transpose, and B likewise."""


@gemm.vjp
def _(g, y, a, b, c, *, alpha, beta, transA, transB):
    to_a = gemm(b, g, alpha=alpha, transA=transB, transB=True) if transA else gemm(g, b, alpha=alpha, transB=not transB)
    to_b = gemm(g, a, alpha=alpha, transA=True, transB=transA) if transB else gemm(a, g, alpha=alpha, transA=not transA)
    return to_a, to_b, None if c is None else g * stored(beta)
