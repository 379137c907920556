"""PyTorch's pools to a given size; they are found in `staticgrad.nn.functional`.

Output cell i of m over n elements sees those from `floor(i n / m)` to `ceil((i + 1) n / m)`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.pooling import max_pool_values
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import spatial
from staticgrad.origin import source_line
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.convolution import batched, each_axis
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.pooling import filled
from staticgrad.types import Dim, is_static

OutputSize = int | Sequence[int | None] | None


_MOST = 10_000
"""Every cell along an axis is written out."""


def _wanted(name: str, x: Value, output_size: OutputSize) -> tuple[Dim, ...]:
    """The size of the result along each spatial axis; None keeps that of the input."""
    sizes = spatial(x)
    listed = list(output_size) if isinstance(output_size, Sequence) else [output_size] * len(sizes)
    if len(listed) == 1:
        listed = listed * len(sizes)
    if len(listed) != len(sizes):
        raise ShapeError(
            f"output_size of {name} is one int or {len(sizes)}, {shown(output_size)} came ({source_line()})"
        )
    wanted = [
        n if m is None else each_axis(name, "output_size", m, 1, 1)[0] for n, m in zip(sizes, listed, strict=True)
    ]
    if _even(sizes, wanted) is None and any(
        isinstance(m, int) and m > _MOST and m != n for n, m in zip(sizes, wanted, strict=True)
    ):
        raise ShapeError(
            f"{name} makes at most {_MOST} cells along an axis that they do not divide, {shown(output_size)} came for "
            f"{x.type} ({source_line()})"
        )
    return tuple(wanted)


def cells(n: int, m: int) -> list[range]:
    """What each of m cells over n elements sees."""
    return [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _even(sizes: Sequence[Dim], wanted: Sequence[Dim]) -> tuple[int, ...] | None:
    """The kernel where all cells have one size and none overlap, else None."""
    pairs = list(zip(sizes, wanted, strict=True))
    if all(isinstance(n, int) and isinstance(m, int) and n and n % m == 0 for n, m in pairs):
        return tuple(int(n) // int(m) for n, m in pairs)
    return None


def _unknown(name: str, input: Value) -> ShapeError:
    return ShapeError(
        f"{name} to sizes other than 1 needs spatial sizes that are known, input: {input.type} came; declare them as "
        f"numbers ({source_line()})"
    )


def _averaged(rank: int, input: Value, output_size: OutputSize) -> Value:
    name = f"adaptive_avg_pool{rank}d"
    x, alone = batched(name, input, rank)
    sizes, wanted = spatial(x), _wanted(name, x, output_size)
    if 0 in sizes and any(m != 1 for m in wanted):
        raise ShapeError(f"{name} takes an input with elements, input: {input.type} came ({source_line()})")
    kernel = _even(sizes, wanted)
    if wanted != sizes and all(m == 1 for m in wanted):
        x = reductions.mean(x, list(range(2, rank + 2)), keepdim=True)
    elif kernel is not None:
        x = ops.average_pool(x, kernel_shape=kernel, strides=kernel)
    else:
        # Cells are products of ranges, so the mean is taken axis by axis.
        for axis, (n, m) in enumerate(zip(sizes, wanted, strict=True), start=2):
            if m == n:
                continue
            if m == 1:
                x = reductions.mean(x, axis, keepdim=True)
            elif isinstance(n, int) and isinstance(m, int):
                parts = [ops.slice_(x, [c.start], [c.stop], [axis]) for c in cells(n, m)]
                x = ops.concat(*(ops.reduce_mean(c, [axis], keepdims=True) for c in parts), axis=axis)
            else:
                raise _unknown(name, input)
    return ops.squeeze(x, [0]) if alone else x


def _largest(rank: int, input: Value, output_size: OutputSize, return_indices: bool) -> Value | tuple[Value, Value]:
    name = f"adaptive_max_pool{rank}d"
    x, alone = filled(name, input, rank)
    sizes, wanted = spatial(x), _wanted(name, x, output_size)
    kernel = _even(sizes, wanted)
    if kernel is not None and not return_indices and not all(m == 1 for m in wanted):
        y = max_pool_values(x, kernel_shape=kernel, strides=kernel)
        return ops.squeeze(y, [0]) if alone else y
    if all(m == 1 for m in wanted):
        flat = ops.reshape(x, [0, 0, -1])
        indices = ops.arg_max(flat, axis=2, keepdims=True)
        y = ops.gather_elements(flat, indices, axis=2)
    elif is_static(sizes) and is_static(wanted):
        y, indices = _first_of_cells(ops.reshape(x, [0, 0, -1]), sizes, wanted)
    else:
        raise _unknown(name, input)
    results = []
    for result in (y, indices):
        shaped = ops.reshape(result, [0, 0, *wanted])
        results.append(ops.squeeze(shaped, [0]) if alone else shaped)
    return (results[0], results[1]) if return_indices else results[0]


def _first_of_cells(flat: Value, sizes: Sequence[Dim], wanted: Sequence[Dim]) -> tuple[Value, Value]:
    """The maximum of each cell and where its first one stands, of elements in one row for every channel."""
    numbers = np.arange(math.prod(map(int, sizes))).reshape([int(n) for n in sizes])
    ranges = [cells(int(n), int(m)) for n, m in zip(sizes, wanted, strict=True)]
    members = [numbers[np.ix_(*cell)].ravel() for cell in itertools.product(*ranges)]
    longest = max(len(m) for m in members)
    # Shorter cells repeat their last element, which is never the first maximum then.
    table = np.array([np.pad(m, (0, longest - len(m)), mode="edge") for m in members], np.int64)
    choice = ops.gather(flat, constant(table), axis=2)
    where = ops.arg_max(choice, axis=3, keepdims=True)
    place = ops.squeeze(where, [3]) + constant(np.arange(len(members)) * longest)
    indices = ops.gather(constant(table.ravel()), place)
    return ops.gather_elements(flat, indices, axis=2), indices


@function
def adaptive_avg_pool1d(input: Value, output_size: OutputSize) -> Value:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _averaged(1, input, output_size)


@function
def adaptive_avg_pool2d(input: Value, output_size: OutputSize) -> Value:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _averaged(2, input, output_size)


@function
def adaptive_avg_pool3d(input: Value, output_size: OutputSize) -> Value:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _averaged(3, input, output_size)


@function
def adaptive_max_pool1d(
    input: Value, output_size: OutputSize, return_indices: bool = False
) -> Value | tuple[Value, Value]:
    """The maxima of as many cells as `output_size` asks for, or also where in its channel the first one stands."""
    return _largest(1, input, output_size, return_indices)


@function
def adaptive_max_pool2d(
    input: Value, output_size: OutputSize, return_indices: bool = False
) -> Value | tuple[Value, Value]:
    """The maxima of as many cells as `output_size` asks for, or also where in its channel the first one stands."""
    return _largest(2, input, output_size, return_indices)


@function
def adaptive_max_pool3d(
    input: Value, output_size: OutputSize, return_indices: bool = False
) -> Value | tuple[Value, Value]:
    """The maxima of as many cells as `output_size` asks for, or also where in its channel the first one stands."""
    return _largest(3, input, output_size, return_indices)
