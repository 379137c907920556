"""PyTorch's matrix products."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError, StaticgradError
from staticgrad.graph import Value
from staticgrad.ops.einsum import diagonal
from staticgrad.ops.kinds import shape_of
from staticgrad.ops.registry import constant, promote
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.einsum import einsum, tensordot
from staticgrad.tensor.reduction import sum as sum_of
from staticgrad.types import broadcast_shapes, is_static


def _expect_rank(x: Value, rank: int, name: str, function: str) -> None:
    if len(x.type.shape) != rank:
        raise ShapeError(f"{function} expects {name} of rank {rank}, {x.type} came; use matmul ({source_line()})")


def multiplied(x: Value, other: Value) -> Value:
    """The product of matrices; onnxruntime broadcasts wrongly to batches of none and sums of none."""
    left, right = x.type.shape[:-2], other.type.shape[:-2]
    if left != right and 0 in (*left, *right, *x.type.shape[-1:]) and is_static((*left, *right)):
        try:
            batch = [d for d in broadcast_shapes(left, right) if isinstance(d, int)]
        except StaticgradError:
            # The product itself says what does not fit.
            return ops.matmul(x, other)
        x, other = (ops.expand(v, constant(np.array([*batch, 1, 1]))) for v in (x, other))
    return ops.matmul(x, other)


def _product(x: Value, other: Value) -> Value:
    """The matrix product, of a vector as a matrix of one row or column: runtimes differ on vectors without elements."""
    vectors = [axis for v, axis in ((x, -2), (other, -1)) if len(v.type.shape) == 1]
    if not x.type.shape or not other.type.shape:
        return ops.matmul(x, other)
    if not vectors:
        return multiplied(x, other)
    row = ops.unsqueeze(x, [0]) if -2 in vectors else x
    column = ops.unsqueeze(other, [1]) if -1 in vectors else other
    try:
        product = multiplied(row, column)
    except StaticgradError:
        # It says what does not fit, of the operands as they came.
        return ops.matmul(x, other)
    return ops.squeeze(product, vectors)


@function
def matmul(x: Value, other: Value) -> Value:
    """The matrix product over the last two dimensions; leading ones broadcast, rank 1 counts as a row or a column."""
    return _product(x, other)


@function
def mm(x: Value, mat2: Value) -> Value:
    """The product of two matrices."""
    _expect_rank(x, 2, "a first matrix", "mm")
    _expect_rank(mat2, 2, "a second matrix", "mm")
    return ops.matmul(x, mat2)


@function
def bmm(x: Value, mat2: Value) -> Value:
    """The products of two batches of matrices."""
    _expect_rank(x, 3, "a first batch", "bmm")
    _expect_rank(mat2, 3, "a second batch", "bmm")
    return ops.matmul(x, mat2)


@function
def mv(x: Value, vec: Value) -> Value:
    """The product of a matrix and a vector."""
    _expect_rank(x, 2, "a matrix", "mv")
    _expect_rank(vec, 1, "a vector", "mv")
    return _product(x, vec)


@function
def dot(x: Value, tensor: Value) -> Value:
    """The inner product of two vectors."""
    _expect_rank(x, 1, "a first vector", "dot")
    _expect_rank(tensor, 1, "a second vector", "dot")
    return _product(x, tensor)


@function
def vdot(x: Value, other: Value) -> Value:
    """The inner product of two vectors, as `dot`."""
    _expect_rank(x, 1, "a first vector", "vdot")
    _expect_rank(other, 1, "a second vector", "vdot")
    return _product(x, other)


@function
def inner(x: Value, other: Value) -> Value:
    """The inner products of all vectors along the last dimensions; with a number the product."""
    if not x.type.shape or not other.type.shape:
        return ops.mul(x, other)
    return tensordot(x, other, ([-1], [-1]))


@function
def trace(x: Value) -> Value:
    """The sum of the diagonal of a matrix."""
    _expect_rank(x, 2, "a matrix", "trace")
    return sum_of(diagonal(x, 0, 1))


@function
def kron(x: Value, other: Value) -> Value:
    """The Kronecker product: every element of `x` times all of `other`, side by side."""
    x, other = promote([x, other])
    rank = max(len(x.type.shape), len(other.type.shape))
    x, other = _of_rank(x, rank), _of_rank(other, rank)
    if not rank:
        return ops.mul(x, other)
    product = ops.mul(ops.unsqueeze(x, list(range(1, 2 * rank, 2))), ops.unsqueeze(other, list(range(0, 2 * rank, 2))))
    return ops.reshape(product, ops.mul(shape_of(x), shape_of(other)), allowzero=True)


def _of_rank(x: Value, rank: int) -> Value:
    lead = rank - len(x.type.shape)
    return ops.unsqueeze(x, list(range(lead))) if lead else x


@function
def outer(x: Value, vec2: Value) -> Value:
    """All products of the elements of two vectors."""
    _expect_rank(x, 1, "a first vector", "outer")
    _expect_rank(vec2, 1, "a second vector", "outer")
    x, vec2 = promote([x, vec2])
    return ops.mul(ops.unsqueeze(x, [1]), ops.unsqueeze(vec2, [0]))


@function
def addmm(x: Value, mat1: Value, mat2: Value, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * mat1 @ mat2`."""
    _expect_rank(mat1, 2, "mat1", "addmm")
    _expect_rank(mat2, 2, "mat2", "addmm")
    return _added(x, ops.matmul(mat1, mat2), beta, alpha)


@function
def baddbmm(x: Value, batch1: Value, batch2: Value, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * batch1 @ batch2`, for each matrix of the batch."""
    return _added(x, bmm(batch1, batch2), beta, alpha)


@function
def addmv(x: Value, mat: Value, vec: Value, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * mat @ vec`."""
    return _added(x, mv(mat, vec), beta, alpha)


@function
def addr(x: Value, vec1: Value, vec2: Value, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * outer(vec1, vec2)`."""
    return _added(x, outer(vec1, vec2), beta, alpha)


@function
def addbmm(x: Value, batch1: Value, batch2: Value, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * (the sum of batch1 @ batch2 over the batch)`."""
    _expect_rank(batch1, 3, "a first batch", "addbmm")
    _expect_rank(batch2, 3, "a second batch", "addbmm")
    return _added(x, tensordot(batch1, batch2, ([0, 2], [0, 1])), beta, alpha)


def _added(x: Value, product: Value, beta: float, alpha: float) -> Value:
    if alpha != 1:
        product = product * alpha
    # As in PyTorch, beta = 0 ignores x altogether, NaN and all.
    return product if beta == 0 else product + (x if beta == 1 else x * beta)


@function
def linear(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """`x @ weight.T + bias`."""
    order = tuple(range(len(weight.type.shape)))[::-1]
    product = _product(x, ops.transpose(weight, perm=order))
    return product if bias is None else product + bias


@function
def bilinear(input1: Value, input2: Value, weight: Value, bias: Value | None = None) -> Value:
    """`input1 @ weight[o] @ input2 + bias[o]` over the last dimensions, for every o."""
    product = einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else product + bias
