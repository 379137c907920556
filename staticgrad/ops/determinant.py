"""The determinant."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import floating, require_table
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import expand, reshape, shape, unsqueeze
from staticgrad.types import TensorType, dims_agree


def _square(x):
    floating(x)
    dims = x.type.shape
    require(len(dims) > 1 and dims_agree(*dims[-2:]), f"square matrices are expected, {x.type} came")
    return TensorType(x.type.dtype, dims[:-2])


@onnx_op("Det", type=_square)
def det(x: Input) -> Value:
    """The determinants of the square matrices `x [*, n, n]`; ONNX."""


@det.refuses
def _(x):
    """Matrices of a size that is not known."""
    if not any(isinstance(d, int) for d in x.type.shape[-2:]):
        return "the size of the matrices must be known when declaring; declare it as a number"
    return None


@det.vjp
def _(g, y, x):
    # d det / dx is the matrix of cofactors, also where x has no inverse.
    return unsqueeze(g, [-2, -1]) * _cofactors(x)


def _cofactors(x: Value) -> Value:
    """`(-1)^(i + j)` times the determinant of `x` without row i and column j, at i, j."""
    n = next(d for d in x.type.shape[-2:] if isinstance(d, int))
    number = x.type.dtype.numpy
    if n == 0:
        return x
    if n == 1:
        return expand(constant(np.ones((1, 1), number)), shape(x))
    if n == 2:
        mirrored = gather(gather(x, [1, 0], axis=-1), [1, 0], axis=-2)
        return mirrored * constant(np.array([[1, -1], [-1, 1]], number))
    if n == 3:
        # Each row is the cross product of the two others.
        one, other = (gather(x, rows, axis=-2) for rows in ([1, 2, 0], [2, 0, 1]))
        after, before = [1, 2, 0], [2, 0, 1]
        return gather(one, after, axis=-1) * gather(other, before, axis=-1) - gather(one, before, axis=-1) * gather(
            other, after, axis=-1
        )
    # Flat positions of all minors, [n, n, n - 1, n - 1].
    require_table(n, n, n - 1, n - 1)
    rest = np.array([[k for k in range(n) if k != i] for i in range(n)])
    places = rest[:, None, :, None] * n + rest[None, :, None, :]
    flat = reshape(x, [*[0] * (len(x.type.shape) - 2), n * n])
    signs = np.where((np.arange(n)[:, None] + np.arange(n)) % 2, -1, 1).astype(number)
    return det(gather(flat, constant(places), axis=-1)) * constant(signs)
