"""Methods that read, write and order elements by their positions."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from staticgrad.methods.registries import FUNCTIONS

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.tensor.reduction import ValuesAndIndices


class Positions:
    """Methods that read, write and order elements by their positions."""

    __slots__ = ()

    def gather(self, dim: builtins.int, index: Value, *, sparse_grad: builtins.bool = False) -> Value:
        """For every element of `index` the element of `x` at that position of `dim`."""
        return FUNCTIONS["gather"](self, dim, index, sparse_grad=sparse_grad)

    def index_select(self, dim: builtins.int, index: Value) -> Value:
        """The slices of `x` along `dim` at the positions of a vector."""
        return FUNCTIONS["index_select"](self, dim, index)

    def scatter_add(self, dim: builtins.int, index: Value, src: Value) -> Value:
        """`x` with `src` added at the positions `index` of `dim`."""
        return FUNCTIONS["scatter_add"](self, dim, index, src)

    def take(self, index: Value) -> Value:
        """The elements of the flattened `x` at the positions `index`."""
        return FUNCTIONS["take"](self, index)

    def take_along_dim(self, indices: Value, dim: builtins.int | None = None) -> Value:
        """`gather` of tensors that broadcast in all dimensions but `dim`; without it, of both flattened."""
        return FUNCTIONS["take_along_dim"](self, indices, dim)

    def masked_select(self, mask: Value) -> Value:
        """The elements of `x` where `mask` holds, as a vector whose size only the run knows."""
        return FUNCTIONS["masked_select"](self, mask)

    def scatter(
        self,
        dim: builtins.int,
        index: Value,
        src: Any = None,
        *,
        value: builtins.float | None = None,
        reduce: str | None = None,
    ) -> Value:
        """`x` with `src` (a tensor or number) or `value` written at the positions `index` of `dim`."""
        return FUNCTIONS["scatter"](self, dim, index, src, value=value, reduce=reduce)

    def scatter_reduce(
        self, dim: builtins.int, index: Value, src: Value, reduce: str, *, include_self: builtins.bool = True
    ) -> Value:
        """`x` with the "sum", "prod", "mean", "amax" or "amin" of the `src` that `index` sends to each position."""
        return FUNCTIONS["scatter_reduce"](self, dim, index, src, reduce, include_self=include_self)

    def index_add(self, dim: builtins.int, index: Value, source: Value, *, alpha: builtins.float = 1) -> Value:
        """`x` with `alpha` times the slices of `source` added at the positions of a vector along `dim`."""
        return FUNCTIONS["index_add"](self, dim, index, source, alpha=alpha)

    def index_copy(self, dim: builtins.int, index: Value, source: Value) -> Value:
        """`x` with the slices of `source` in place of those at the positions of a vector along `dim`."""
        return FUNCTIONS["index_copy"](self, dim, index, source)

    def index_reduce(
        self, dim: builtins.int, index: Value, source: Value, reduce: str, *, include_self: builtins.bool = True
    ) -> Value:
        """`scatter_reduce` of whole slices: `source` to the positions of a vector along `dim`."""
        return FUNCTIONS["index_reduce"](self, dim, index, source, reduce, include_self=include_self)

    def index_fill(self, dim: builtins.int, index: Value, value: Any) -> Value:
        """`x` with `value`, a number or tensor of rank 0, at the positions of a vector along `dim`."""
        return FUNCTIONS["index_fill"](self, dim, index, value)

    def index_put(self, indices: Sequence[Any], values: Value, accumulate: builtins.bool = False) -> Value:
        """`x` with `values` in place of what `x[indices]` reads, or added to it."""
        return FUNCTIONS["index_put"](self, indices, values, accumulate)

    def masked_scatter(self, mask: Value, source: Value) -> Value:
        """`x` with the elements of `source`, in their order, where `mask` holds."""
        return FUNCTIONS["masked_scatter"](self, mask, source)

    def topk(
        self, k: builtins.int, dim: builtins.int = -1, largest: builtins.bool = True, sorted: builtins.bool = True
    ) -> ValuesAndIndices:
        """The `k` largest (or smallest) elements along `dim` in order and where they stand; of equal ones the first."""
        return FUNCTIONS["topk"](self, k, dim, largest, sorted)

    def sort(
        self, dim: builtins.int = -1, descending: builtins.bool = False, stable: builtins.bool = False
    ) -> ValuesAndIndices:
        """The elements along `dim` in order and where they stood; equal ones keep their order, `stable` or not."""
        return FUNCTIONS["sort"](self, dim, descending, stable)

    def argsort(
        self, dim: builtins.int = -1, descending: builtins.bool = False, stable: builtins.bool = False
    ) -> Value:
        """Where the elements along `dim` stand that come first, second, ... in order, int64."""
        return FUNCTIONS["argsort"](self, dim, descending, stable)

    def msort(self) -> Value:
        """The elements along the first dimension in ascending order."""
        return FUNCTIONS["msort"](self)

    def kthvalue(self, k: builtins.int, dim: builtins.int = -1, keepdim: builtins.bool = False) -> ValuesAndIndices:
        """The `k`-th smallest element along `dim`, counted from 1, and where it stands."""
        return FUNCTIONS["kthvalue"](self, k, dim, keepdim)
