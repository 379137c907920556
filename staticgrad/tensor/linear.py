"""PyTorch's matrix products."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.errors import ShapeError, StaticgradError
from staticgrad.graph import Value, source_line
from staticgrad.ops.registry import promote
from staticgrad.tensor.dispatch import function


def _expect_rank(x: Value, rank: int, name: str, function: str) -> None:
    if len(x.type.shape) != rank:
        raise ShapeError(f"{function} expects {name} of rank {rank}, {x.type} came; use matmul ({source_line()})")


def _product(x: Value, other: Value) -> Value:
    """The matrix product, of a vector as a matrix of one row or column: runtimes differ on vectors without elements."""
    vectors = [axis for v, axis in ((x, -2), (other, -1)) if len(v.type.shape) == 1]
    if not vectors or not x.type.shape or not other.type.shape:
        return ops.matmul(x, other)
    row = ops.unsqueeze(x, [0]) if -2 in vectors else x
    column = ops.unsqueeze(other, [1]) if -1 in vectors else other
    try:
        product = ops.matmul(row, column)
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
