"""Methods that bring elements together: reductions, running totals and products of matrices."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

from staticgrad.methods.registries import FUNCTIONS

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.tensor.reduction import Extremes, ValuesAndIndices


class Reductions:
    """Methods that bring elements together: reductions, running totals and products of matrices."""

    __slots__ = ()

    def matmul(self, other: Value) -> Value:
        """The matrix product over the last two dimensions; leading ones broadcast, rank 1 is a row or a column."""
        return FUNCTIONS["matmul"](self, other)

    def mm(self, mat2: Value) -> Value:
        """The product of two matrices."""
        return FUNCTIONS["mm"](self, mat2)

    def bmm(self, mat2: Value) -> Value:
        """The products of two batches of matrices."""
        return FUNCTIONS["bmm"](self, mat2)

    def mv(self, vec: Value) -> Value:
        """The product of a matrix and a vector."""
        return FUNCTIONS["mv"](self, vec)

    def dot(self, tensor: Value) -> Value:
        """The inner product of two vectors."""
        return FUNCTIONS["dot"](self, tensor)

    def outer(self, vec2: Value) -> Value:
        """All products of the elements of two vectors."""
        return FUNCTIONS["outer"](self, vec2)

    def addmm(self, mat1: Value, mat2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * mat1 @ mat2`."""
        return FUNCTIONS["addmm"](self, mat1, mat2, beta, alpha)

    def baddbmm(self, batch1: Value, batch2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * batch1 @ batch2`, for each matrix of the batch."""
        return FUNCTIONS["baddbmm"](self, batch1, batch2, beta, alpha)

    def sum(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The sum over `dim` (all dimensions without it); of bools and integers in int64."""
        return FUNCTIONS["sum"](self, dim, keepdim, dtype)

    def mean(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The mean over `dim` (all dimensions without it)."""
        return FUNCTIONS["mean"](self, dim, keepdim, dtype)

    def amax(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """The maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["amax"](self, dim, keepdim)

    def amin(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """The minimum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["amin"](self, dim, keepdim)

    def max(self, dim: builtins.int | Value | None = None, keepdim: builtins.bool = False) -> Value | ValuesAndIndices:
        """The maximum of all elements; over one `dim` also where it stands; with a tensor the elementwise maximum."""
        return FUNCTIONS["max"](self, dim, keepdim)

    def min(self, dim: builtins.int | Value | None = None, keepdim: builtins.bool = False) -> Value | ValuesAndIndices:
        """The minimum of all elements; over one `dim` also where it stands; with a tensor the elementwise minimum."""
        return FUNCTIONS["min"](self, dim, keepdim)

    def argmax(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Value:
        """Where the maximum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
        return FUNCTIONS["argmax"](self, dim, keepdim)

    def argmin(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Value:
        """Where the minimum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
        return FUNCTIONS["argmin"](self, dim, keepdim)

    def all(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """Whether all elements over `dim` are not zero."""
        return FUNCTIONS["all"](self, dim, keepdim)

    def any(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """Whether some element over `dim` is not zero."""
        return FUNCTIONS["any"](self, dim, keepdim)

    def var(
        self,
        dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
    ) -> Value:
        """The variance over `dim`: the sum of `(x - mean)^2`, divided by the number of elements less `correction`."""
        return FUNCTIONS["var"](self, dim, unbiased, keepdim, correction=correction)

    def std(
        self,
        dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
    ) -> Value:
        """The standard deviation over `dim`: the square root of `var`; the derivative at deviation 0 is 0."""
        return FUNCTIONS["std"](self, dim, unbiased, keepdim, correction=correction)

    def logsumexp(self, dim: builtins.int | Sequence[builtins.int] | None, keepdim: builtins.bool = False) -> Value:
        """`log(sum(exp(x)))` over `dim`, without overflow."""
        return FUNCTIONS["logsumexp"](self, dim, keepdim)

    def norm(
        self,
        p: builtins.float | str | None = 2,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The p-norm over `dim`: `sum(|x|^p)^(1/p)`, the extremes of `|x|` for p = inf or -inf, a count for p = 0."""
        return FUNCTIONS["norm"](self, p, dim, keepdim, dtype)

    def cumsum(self, dim: builtins.int, dtype: object = None) -> Value:
        """Running sums along `dim`; of bools and integers in int64."""
        return FUNCTIONS["cumsum"](self, dim, dtype)

    def softmax(self, dim: builtins.int, dtype: object = None) -> Value:
        """Exponentials of `x`, normalised to sum to one along `dim`."""
        return FUNCTIONS["softmax"](self, dim, dtype)

    def log_softmax(self, dim: builtins.int, dtype: object = None) -> Value:
        """The logarithm of `softmax(x, dim)`, computed without overflow."""
        return FUNCTIONS["log_softmax"](self, dim, dtype)

    def prod(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, dtype: object = None) -> Value:
        """The product over one `dim` (all dimensions without it); of bools and integers in int64."""
        return FUNCTIONS["prod"](self, dim, keepdim, dtype)

    def nansum(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The sum over `dim` of what is not NaN."""
        return FUNCTIONS["nansum"](self, dim, keepdim, dtype)

    def nanmean(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The mean over `dim` of what is not NaN; NaN where there is nothing else."""
        return FUNCTIONS["nanmean"](self, dim, keepdim, dtype)

    def aminmax(self, *, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Extremes:
        """The minimum and the maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["aminmax"](self, dim=dim, keepdim=keepdim)

    def cumprod(self, dim: builtins.int, dtype: object = None) -> Value:
        """Running products along `dim`; of bools and integers in int64."""
        return FUNCTIONS["cumprod"](self, dim, dtype)

    def logcumsumexp(self, dim: builtins.int) -> Value:
        """`log(cumsum(exp(x)))` along `dim`, without overflow."""
        return FUNCTIONS["logcumsumexp"](self, dim)

    def diff(
        self, n: builtins.int = 1, dim: builtins.int = -1, prepend: Value | None = None, append: Value | None = None
    ) -> Value:
        """Differences of neighbours along `dim`, `n` times, after `prepend` and `append` are put before and behind."""
        return FUNCTIONS["diff"](self, n, dim, prepend, append)

    def vdot(self, other: Value) -> Value:
        """The inner product of two vectors, as `dot`."""
        return FUNCTIONS["vdot"](self, other)

    def inner(self, other: Value) -> Value:
        """The inner products of all vectors along the last dimensions; with a number the product."""
        return FUNCTIONS["inner"](self, other)

    def trace(self) -> Value:
        """The sum of the diagonal of a matrix."""
        return FUNCTIONS["trace"](self)

    def kron(self, other: Value) -> Value:
        """The Kronecker product: every element of `x` times all of `other`, side by side."""
        return FUNCTIONS["kron"](self, other)

    def addmv(self, mat: Value, vec: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * mat @ vec`."""
        return FUNCTIONS["addmv"](self, mat, vec, beta, alpha)

    def addr(self, vec1: Value, vec2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * outer(vec1, vec2)`."""
        return FUNCTIONS["addr"](self, vec1, vec2, beta, alpha)

    def addbmm(self, batch1: Value, batch2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * (the sum of batch1 @ batch2 over the batch)`."""
        return FUNCTIONS["addbmm"](self, batch1, batch2, beta, alpha)
