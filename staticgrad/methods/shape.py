"""Methods that change the shape and leave the elements as they are."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from staticgrad.methods.registries import FUNCTIONS

if TYPE_CHECKING:
    from staticgrad.graph import Value


class Shapes:
    """Methods that change the shape and leave the elements as they are."""

    __slots__ = ()

    def reshape(self, *shape: Any) -> Value:
        """The same elements in another shape; one size may be -1, or the name of a dimension of `x`."""
        return FUNCTIONS["reshape"](self, *shape)

    def view(self, *shape: Any) -> Value:
        """The same elements in another shape, like `reshape`."""
        return FUNCTIONS["view"](self, *shape)

    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Value:
        """`x` with the dimensions from `start_dim` to `end_dim` made one."""
        return FUNCTIONS["flatten"](self, start_dim, end_dim)

    def unflatten(self, dim: builtins.int, sizes: Sequence[builtins.int]) -> Value:
        """`x` with dimension `dim` split into `sizes`, one of which may be -1."""
        return FUNCTIONS["unflatten"](self, dim, sizes)

    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["transpose"](self, dim0, dim1)

    def t(self) -> Value:
        """The transpose of a matrix; a vector or number as it is."""
        return FUNCTIONS["t"](self)

    def permute(self, *dims: Any) -> Value:
        """`x` with its dimensions in this order."""
        return FUNCTIONS["permute"](self, *dims)

    def movedim(
        self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]
    ) -> Value:
        """`x` with dimensions `source` moved to the places `destination`."""
        return FUNCTIONS["movedim"](self, source, destination)

    def squeeze(self, dim: builtins.int | Sequence[builtins.int] | None = None) -> Value:
        """`x` without its dimensions of size 1, or without those among `dim`."""
        return FUNCTIONS["squeeze"](self, dim)

    def unsqueeze(self, dim: builtins.int) -> Value:
        """`x` with a new dimension of size 1 at `dim`."""
        return FUNCTIONS["unsqueeze"](self, dim)

    def expand(self, *sizes: Any) -> Value:
        """`x` repeated along its dimensions of size 1; -1 keeps a size, and further sizes may stand in front."""
        return FUNCTIONS["expand"](self, *sizes)

    def expand_as(self, other: Value) -> Value:
        """`x` repeated to the shape of `other`."""
        return FUNCTIONS["expand_as"](self, other)

    def broadcast_to(self, shape: Sequence[Any]) -> Value:
        """`x` repeated to `shape`."""
        return FUNCTIONS["broadcast_to"](self, shape)

    def repeat(self, *repeats: Any) -> Value:
        """`x` laid beside itself; more numbers than dimensions add dimensions in front."""
        return FUNCTIONS["repeat"](self, *repeats)

    def split(
        self, split_size_or_sections: builtins.int | Sequence[builtins.int], dim: builtins.int = 0
    ) -> tuple[Value, ...]:
        """`x` cut along `dim` into parts of one size (the last may be smaller), or of the sizes given."""
        return FUNCTIONS["split"](self, split_size_or_sections, dim)

    def chunk(self, chunks: builtins.int, dim: builtins.int = 0) -> tuple[Value, ...]:
        """`x` cut along `dim` into at most `chunks` parts of equal size, the last of which may be smaller."""
        return FUNCTIONS["chunk"](self, chunks, dim)

    def unbind(self, dim: builtins.int = 0) -> tuple[Value, ...]:
        """The slices of `x` along `dim`, without that dimension."""
        return FUNCTIONS["unbind"](self, dim)

    def flip(self, *axes: Any, dims: builtins.int | Sequence[builtins.int] | None = None) -> Value:
        """`x` with the order of elements reversed along `dims`."""
        return FUNCTIONS["flip"](self, *axes, dims=dims)

    def tril(self, diagonal: builtins.int = 0) -> Value:
        """The lower triangle of the last two dimensions up to the diagonal, zeros above."""
        return FUNCTIONS["tril"](self, diagonal)

    def triu(self, diagonal: builtins.int = 0) -> Value:
        """The upper triangle of the last two dimensions from the diagonal on, zeros below."""
        return FUNCTIONS["triu"](self, diagonal)

    def view_as(self, other: Value) -> Value:
        """`x` in the shape of `other`."""
        return FUNCTIONS["view_as"](self, other)

    def reshape_as(self, other: Value) -> Value:
        """`x` in the shape of `other`."""
        return FUNCTIONS["reshape_as"](self, other)

    def tile(self, *dims: Any) -> Value:
        """`x` laid beside itself; missing numbers stand for 1 in front, further ones add dimensions in front."""
        return FUNCTIONS["tile"](self, *dims)

    def repeat_interleave(
        self, repeats: Any, dim: builtins.int | None = None, *, output_size: builtins.int | None = None
    ) -> Value:
        """Every element along `dim` `repeats` times in a row; without `dim` those of the flattened `x`."""
        return FUNCTIONS["repeat_interleave"](self, repeats, dim, output_size=output_size)

    def roll(
        self, shifts: builtins.int | Sequence[builtins.int], dims: builtins.int | Sequence[builtins.int] | None = None
    ) -> Value:
        """`x` with its elements moved on by `shifts` along `dims`, those at the end to the front."""
        return FUNCTIONS["roll"](self, shifts, dims)

    def diagonal(self, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Value:
        """The diagonal of the matrices over `dim1` and `dim2`, as a last dimension; `offset` > 0 lies above."""
        return FUNCTIONS["diagonal"](self, offset, dim1, dim2)

    def diag_embed(self, offset: builtins.int = 0, dim1: builtins.int = -2, dim2: builtins.int = -1) -> Value:
        """Matrices over `dim1` and `dim2` with the last dimension of `x` on a diagonal, zeros elsewhere."""
        return FUNCTIONS["diag_embed"](self, offset, dim1, dim2)

    def diag(self, diagonal: builtins.int = 0) -> Value:
        """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
        return FUNCTIONS["diag"](self, diagonal)

    def narrow(self, dim: builtins.int, start: builtins.int | Value, length: builtins.int) -> Value:
        """`length` elements along `dim` from `start` on, which may be a value of rank 0."""
        return FUNCTIONS["narrow"](self, dim, start, length)

    def select(self, dim: builtins.int, index: builtins.int | Value) -> Value:
        """The slice of `x` at one position of `dim`, without that dimension."""
        return FUNCTIONS["select"](self, dim, index)

    def swapaxes(self, axis0: builtins.int, axis1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["swapaxes"](self, axis0, axis1)

    def swapdims(self, dim0: builtins.int, dim1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["swapdims"](self, dim0, dim1)

    def moveaxis(
        self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]
    ) -> Value:
        """`x` with dimensions `source` moved to the places `destination`."""
        return FUNCTIONS["moveaxis"](self, source, destination)

    def split_with_sizes(self, split_sizes: Sequence[builtins.int], dim: builtins.int = 0) -> tuple[Value, ...]:
        """`x` cut along `dim` into parts of the sizes given."""
        return FUNCTIONS["split_with_sizes"](self, split_sizes, dim)

    def unfold(self, dimension: builtins.int, size: builtins.int, step: builtins.int) -> Value:
        """Windows of `size` elements along `dimension`, one every `step`, which become a last dimension."""
        return FUNCTIONS["unfold_dimension"](self, dimension, size, step)
