"""Sampling at points of a grid; also found in `staticgrad.nn.functional`.

Every point is a weighted sum of the elements around it. Elements are read as rows of all channels, so that one index
serves them all; the derivatives by the elements and by the points are those of the sums.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import full_like, is_half, without_derivative
from staticgrad.ops.layout import Part, laid_out
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.types import DType, dims_agree

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")

Tap = tuple[Value, Value | None]
"""Along one axis the position of an element, as a whole floating number, and its weight (None: 1)."""

_KEYS = -0.75
"""The parameter of Keys' cubic convolution."""


@function
def grid_sample(
    input: Value,
    grid: Value,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Value:
    """`input [N, C, H, W]` at the points `grid [N, h, w, 2]`, (x, y) from -1 to 1; or both with a depth, (x, y, z).

    -1 and 1 are the outer edges of the outer elements, with `align_corners` their middles. Beyond them are zeros, the
    outermost elements ("border"), or mirror images ("reflection"). Mode "nearest" has no derivative by the grid.
    """
    rank = _checked(input, grid, mode, padding_mode)
    half = is_half(input.type.dtype)
    dtype = input.type.dtype
    x, points = (ops.cast(v, to=DType.float32) if half else v for v in (input, grid))
    sizes = [_length(x, axis) for axis in range(2, rank)]
    taps = []
    for i, size in enumerate(sizes):
        # The grid names the last axis first.
        place = ops.gather(points, constant(np.array(rank - 3 - i)), axis=-1)
        extent = ops.cast(size, to=place.type.dtype) if isinstance(size, Value) else float(size)
        scaled = (place + 1) * ((extent - 1) * 0.5) if align_corners else ((place + 1) * extent - 1) * 0.5
        taps.append(_taps(scaled, extent, mode, padding_mode, bool(align_corners)))
    y = ops.transpose(_sums(x, sizes, taps), perm=(0, rank - 1, *range(1, rank - 1)))
    return ops.cast(y, to=dtype) if half else y


def _checked(input: Value, grid: Value, mode: str, padding_mode: str) -> int:
    """The rank of both, after a look at all arguments."""
    if mode not in _MODES or padding_mode not in _PADDINGS:
        raise DeclarationError(
            f"grid_sample takes mode {', '.join(_MODES)} and padding_mode {', '.join(_PADDINGS)}, {shown(mode)} and "
            f"{shown(padding_mode)} came ({source_line()})"
        )
    rank = len(input.type.shape)
    wanted = (4,) if mode == "bicubic" else (4, 5)
    if rank not in wanted or len(grid.type.shape) != rank or grid.type.shape[-1] != rank - 2:
        deep = "" if mode == "bicubic" else ", or both with a depth"
        raise ShapeError(
            f"grid_sample takes [N, C, H, W] and a grid [N, h, w, 2]{deep}; {input.type} and {grid.type} came "
            f"({source_line()})"
        )
    batches = input.type.shape[0], grid.type.shape[0]
    if not dims_agree(*batches):
        raise ShapeError(f"grid_sample takes as many grids as images, {batches[1]} for {batches[0]} ({source_line()})")
    if 0 in input.type.shape[2:]:
        raise ShapeError(f"grid_sample has nothing to sample in {input.type} ({source_line()})")
    if not input.type.dtype.is_float or input.type.dtype is not grid.type.dtype:
        raise DTypeError(
            f"grid_sample takes images and a grid of one floating type, {input.type} and {grid.type} came "
            f"({source_line()})"
        )
    return rank


def _length(x: Value, axis: int) -> int | Value:
    """The size of an axis, or the scalar that the run has for it."""
    dim = x.type.shape[axis]
    return dim if isinstance(dim, int) else ops.squeeze(ops.shape(x, start=axis, end=axis + 1), [0])


def _taps(place: Value, extent: float | Value, mode: str, padding_mode: str, corners: bool) -> list[Tap]:
    """The elements along one axis that a point is made of, with their weights."""
    if mode == "bicubic":
        first = ops.floor(place)
        t = place - first
        weights = [_outer(t + 1), _inner(t), _inner(1 - t), _outer(2 - t)]
        return [(_kept(first + (k - 1), extent, padding_mode, corners), w) for k, w in enumerate(weights)]
    place = _kept(place, extent, padding_mode, corners)
    if mode == "nearest":
        return [(ops.round(place), None)]
    first = ops.floor(place)
    return [(first, first + 1 - place), (first + 1, place - first)]


def _inner(t: Value) -> Value:
    return ((_KEYS + 2) * t - (_KEYS + 3)) * t * t + 1


def _outer(t: Value) -> Value:
    return ((_KEYS * t - 5 * _KEYS) * t + 8 * _KEYS) * t - 4 * _KEYS


def _kept(place: Value, extent: float | Value, padding_mode: str, corners: bool) -> Value:
    """Points beyond the elements moved to where they are read."""
    if padding_mode == "zeros":
        return place
    last = extent - 1
    if padding_mode == "reflection":
        low = 0.0 if corners else -0.5
        span = last if corners else extent
        # Of a single element there is one image, which the limits below give.
        span = ops.max(span, full_like(place, 1)) if isinstance(span, Value) else max(span, 1.0)
        distance = place - low
        distance = ops.where(ops.less(distance, 0), ops.neg(distance), distance)
        turns = ops.floor(without_derivative(distance / span))
        rest = distance - turns * span
        even = ops.equal(ops.floor(turns * 0.5) * 2, turns)
        place = ops.where(even, rest + low, low + span - rest)
    # At the limits the derivative is 0, as PyTorch has it.
    return ops.where(ops.greater(place, 0), ops.where(ops.less(place, last), place, last), 0)


def _sums(x: Value, sizes: Sequence[int | Value], taps: Sequence[Sequence[Tap]]) -> Value:
    """The weighted sums of elements, `[N, h, w, C]`; elements that are not there count as zeros."""
    rank = len(x.type.shape)
    rows = _with_zeros(_rows(ops.transpose(x, perm=(0, *range(2, rank), 1))))
    nothing = _length(rows, 0) - 1
    offset = _offsets(x, sizes)
    last = [ops.cast(s, to=x.type.dtype) - 1 if isinstance(s, Value) else s - 1.0 for s in sizes]
    # Positions of each axis are looked at once, not once for every sum of them.
    looked = [
        [
            (
                ops.logical_and(ops.greater_or_equal(place, 0), ops.less_or_equal(place, end)),
                ops.cast(place, to=DType.int64),
                weight,
            )
            for place, weight in along
        ]
        for along, end in zip(taps, last, strict=True)
    ]
    total: Value | None = None
    for chosen in itertools.product(*looked):
        inside, index, weight = chosen[0]
        for size, (within, position, factor) in zip(sizes[1:], chosen[1:], strict=True):
            inside = ops.logical_and(inside, within)
            index = index * size + position
            weight = factor if weight is None or factor is None else weight * factor
        if offset is not None:
            index = index + offset
        part = ops.gather(rows, ops.where(inside, index, nothing), axis=0)
        if weight is not None:
            part = part * ops.unsqueeze(weight, [-1])
        total = part if total is None else total + part
    assert total is not None
    return total


def _rows(x: Value) -> Value:
    """All axes but the last as one."""
    shape = x.type.shape
    last = shape[-1]
    if all(isinstance(d, int) for d in shape):
        return ops.reshape(x, [math.prod(int(d) for d in shape[:-1]), last], allowzero=True)
    if isinstance(last, int) and last:
        return ops.reshape(x, [-1, last])
    return ops.reshape(x, ops.concat([-1], ops.shape(x, start=-1), axis=0))


def _with_zeros(rows: Value) -> Value:
    """One row of zeros more: what is read where nothing is."""
    return ops.pad(rows, [0, 1], None, [0])


def _offsets(x: Value, sizes: Sequence[int | Value]) -> Value | None:
    """The number of the first row of each image, in a shape that broadcasts to that of the points."""
    count = _length(x, 0)
    if isinstance(count, int) and count == 1:
        return None
    each: int | Value = 1
    for size in sizes:
        each = size * each if isinstance(size, Value) else each * size
    return ops.unsqueeze(ops.range_(0, count, 1) * each, list(range(1, len(sizes) + 1)))


@function
def affine_grid(theta: Value, size: Sequence[int], align_corners: bool | None = None) -> Value:
    """The grid `[N, h, w, 2]` whose points are `theta [N, 2, 3]` times (x, y, 1), for results of `size` (N, C, h, w).

    With `theta [N, 3, 4]` and (N, C, d, h, w) points have a depth.
    """
    try:
        sizes = [operator.index(n) for n in size]
    except TypeError:
        sizes = []
    count = len(sizes) - 2
    if count not in (2, 3) or any(n < 1 for n in sizes):
        raise ShapeError(
            f"affine_grid takes a size of 4 or 5 positive ints, (N, C, h, w) or (N, C, d, h, w), {shown(size)} came "
            f"({source_line()})"
        )
    shape = theta.type.shape
    if not theta.type.dtype.is_float or len(shape) != 3 or shape[1:] != (count, count + 1):
        raise ShapeError(
            f"affine_grid of size {sizes} takes floating matrices [N, {count}, {count + 1}], {theta.type} came "
            f"({source_line()})"
        )
    if isinstance(shape[0], int) and shape[0] != sizes[0]:
        raise ShapeError(f"affine_grid takes {sizes[0]} matrices for {sizes}, {theta.type} came ({source_line()})")
    axes = []
    for n in sizes[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if align_corners else line * ((n - 1) / n))
    points = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(sizes[2:])], axis=-1)
    flat = constant(points.reshape(-1, count + 1).astype(theta.type.dtype.numpy))
    return laid_out(ops.matmul(flat, ops.transpose(theta, perm=(0, 2, 1))), [Part(0), *sizes[2:], count])
