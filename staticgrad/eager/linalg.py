"""Products of vectors, matrices and batches of matrices. Operands must have one type, as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.arithmetic import add, mul
from staticgrad.eager.cast import promote
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.einsum import einsum, tensordot
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import sum
from staticgrad.eager.shape import unsqueeze
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _expect(name: str, a: Tensor, b: Tensor, ranks: tuple[int, int] | None = None) -> None:
    shapes = f"{name} of shapes {list(a.shape)} and {list(b.shape)}"
    if a.dtype != b.dtype:
        raise EagerError(f"{name} of {a.dtype} and {b.dtype}: expected one type, cast one of them")
    if ranks is not None and (a.ndim, b.ndim) != ranks:
        raise EagerError(f"{shapes}: expected {ranks[0]} and {ranks[1]} dimensions")
    if not a.ndim or not b.ndim:
        raise EagerError(f"{shapes}: expected at least one dimension each")
    if name != "outer" and a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise EagerError(
            f"{shapes}: the last size of the first must be the {'last but one' if b.ndim > 1 else 'only'} "
            "size of the second"
        )


def _product(a: Array, b: Array) -> Array:
    """a b, with the sums of float32 taken in float64: what two float32 programs differ by is the rounding of long sums,
    and a witness should bring none of its own."""
    return np.asarray(a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype) if a.dtype == np.float32 else a @ b


@quiet
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """y = a b for vectors, matrices and batches of matrices that broadcast; the gradients are g b^T and a^T g.

    A vector on the left counts as a row, on the right as a column, and its dimension is gone from the result.
    """
    _expect("matmul", input, other)
    row, column = input.ndim == 1, other.ndim == 1
    a = input.wide[None, :] if row else input.wide
    b = other.wide[:, None] if column else other.wide
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise EagerError(
            f"matmul of shapes {list(input.shape)} and {list(other.shape)}: the batch sizes do not broadcast"
        ) from None
    y = _product(a, b)
    taken = (-2,) * row + (-1,) * column

    def whole(g: Array) -> Array:
        return np.expand_dims(g, -1 if column else -2) if row != column else np.reshape(g, (1, 1)) if row else g

    def to_input(g: Array) -> Array:
        z = _product(whole(g), b.swapaxes(-1, -2))
        return z.sum(axis=tuple(range(z.ndim - 1))) if row else z

    def to_other(g: Array) -> Array:
        z = _product(a.swapaxes(-1, -2), whole(g))
        return z.sum(axis=(*range(z.ndim - 2), z.ndim - 1)) if column else z

    return result(np.squeeze(y, taken) if taken else y, (input, to_input), (other, to_other))


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices; no broadcasting."""
    _expect("mm", input, mat2, (2, 2))
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices of the same length; no broadcasting."""
    _expect("bmm", input, mat2, (3, 3))
    if input.shape[0] != mat2.shape[0]:
        raise EagerError(f"bmm of batches of {input.shape[0]} and {mat2.shape[0]}: expected the same length")
    return matmul(input, mat2)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _expect("dot", input, tensor, (1, 1))
    return matmul(input, tensor)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _expect("mv", input, vec, (2, 1))
    return matmul(input, vec)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The matrix of the products of all pairs of elements of two vectors, y_ij = a_i b_j."""
    if (input.ndim, vec2.ndim) != (1, 1):
        raise EagerError(f"outer of shapes {list(input.shape)} and {list(vec2.shape)}: expected two vectors")
    return mul(unsqueeze(input, 1), vec2)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta input + alpha mat1 mat2; `input` broadcasts. With beta 0 it is not read, so its nan does not spread."""
    return _blend(input, mm(mat1, mat2), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta input + alpha batch1 batch2, for batches; `input` broadcasts. With beta 0 it is not read."""
    return _blend(input, bmm(batch1, batch2), beta, alpha)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _expect("vdot", input, other, (1, 1))
    return matmul(input, other)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The inner products of all vectors along the last dimensions; with a number the product."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    return tensordot(input, other, ([-1], [-1]))


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix; its gradient is a diagonal of g."""
    if input.ndim != 2:
        raise EagerError(f"trace of shape {list(input.shape)}: expected a matrix")
    shape = input.shape
    return result(np.trace(input.wide), (input, lambda g: g * np.eye(*shape, dtype=g.dtype)))


@quiet
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: all of b times every element of a, side by side."""
    ta, tb = promote(input, other)
    rank = max(ta.ndim, tb.ndim)
    a, b = (x.wide.reshape((1,) * (rank - x.ndim) + x.shape) for x in (ta, tb))
    whole = tuple(n for pair in zip(a.shape, b.shape, strict=True) for n in pair)
    odd, even = tuple(range(1, 2 * rank, 2)), tuple(range(0, 2 * rank, 2))

    def to_input(g: Array) -> Array:
        return np.asarray((g.reshape(whole) * np.expand_dims(b, even)).sum(axis=odd)).reshape(ta.shape)

    def to_other(g: Array) -> Array:
        return np.asarray((g.reshape(whole) * np.expand_dims(a, odd)).sum(axis=even)).reshape(tb.shape)

    return result(np.kron(a, b), (ta, to_input), (tb, to_other))


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta input + alpha mat vec; `input` broadcasts. With beta 0 it is not read."""
    return _blend(input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta input + alpha vec1 vec2^T; `input` broadcasts. With beta 0 it is not read."""
    return _blend(input, outer(vec1, vec2), beta, alpha)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta input + alpha times the sum of the products of the batches. With beta 0 `input` is not read."""
    return _blend(input, sum(bmm(batch1, batch2), 0), beta, alpha)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = a W_o b + bias_o for vectors a and b along the last dimensions."""
    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else add(y, bias)


def _blend(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return scaled
    y = add(input if beta == 1 else mul(input, beta), scaled)
    if y.shape != product.shape:
        raise EagerError(f"shape {list(input.shape)} does not broadcast to {list(product.shape)}, that of the product")
    return y
