"""Sampling at points of a grid, and the grids of affine maps.

Every point is a weighted sum of the elements around it. Elements are read as rows of all channels, so that one index
serves them all; the derivatives by the elements and by the points are those of the sums.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import cast, floor, neg, round
from staticgrad.ops.arithmetic import max as maximum
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import dims_of, floating, full_like, is_half, without_derivative
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import equal, greater, greater_or_equal, less, less_or_equal, logical_and, where
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, reshape, shape, squeeze, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import DType, TensorType, dims_agree, is_unknown, unknown

Tap = tuple[Value, Value | None]
"""Along one axis the position of an element, as a whole floating number, and its weight (None: 1)."""

_KEYS = -0.75
"""The parameter of Keys' cubic convolution."""

_MODES = ("linear", "nearest", "cubic")
_PADDINGS = ("zeros", "border", "reflection")


def _sampled_type(x, grid, *, align_corners, mode, padding_mode):
    floating(x, grid)
    if mode not in _MODES or padding_mode not in _PADDINGS:
        raise DeclarationError(
            f"mode {', '.join(_MODES)} and padding_mode {', '.join(_PADDINGS)} are there, {shown(mode)} and "
            f"{shown(padding_mode)} came"
        )
    rank = len(x.type.shape)
    require(
        rank > 2 and len(grid.type.shape) == rank and _may_be(grid.type.shape[-1], rank - 2),
        f"[N, C, *D] and a grid [N, *points, {max(rank - 2, 1)}] are expected, {x.type} and {grid.type} came",
    )
    require(dims_agree(x.type.shape[0], grid.type.shape[0]), f"as many grids as images are expected, {grid.type} came")
    return TensorType(x.type.dtype, (*x.type.shape[:2], *grid.type.shape[1:-1]))


def _may_be(dim, size):
    """Whether a dimension can have this size, also by its name."""
    return dim == size or not isinstance(dim, int)


@onnx_op("GridSample", type=_sampled_type)
def grid_sample(
    x: Input, grid: Input, *, align_corners: bool = False, mode: str = "linear", padding_mode: str = "zeros"
) -> Value:
    """`x [N, C, *D]` at the points `grid [N, *points, rank]` from -1 to 1, the last axis first; ONNX.

    -1 and 1 are the outer edges of the outer elements, with `align_corners` their middles. Mode "nearest" has no
    derivative by the grid, nor have points moved to the limits of "border" and "reflection".
    """


@grid_sample.as_body
def _(x, grid, *, align_corners, mode, padding_mode):
    if grid.type.dtype is not x.type.dtype:
        grid = cast(grid, to=x.type.dtype)
    return sampled(x, grid, mode, padding_mode, bool(align_corners), rounded_first=True)


def sampled(
    x: Value, grid: Value, mode: str, padding_mode: str, align_corners: bool, rounded_first: bool = False
) -> Value:
    """`x [N, C, *D]` at the points of `grid`, of one element type, computed by other operators.

    In mode "nearest" PyTorch rounds what is mirrored, ONNX mirrors what is rounded; they differ halfway.
    """
    rank = len(x.type.shape)
    half = is_half(x.type.dtype)
    dtype = x.type.dtype
    x, points = (cast(v, to=DType.float32) if half else v for v in (x, grid))
    sizes = [_length(x, axis) for axis in range(2, rank)]
    taps = []
    for i, size in enumerate(sizes):
        # The grid names the last axis first.
        place = gather(points, constant(np.array(rank - 3 - i)), axis=-1)
        extent = cast(size, to=place.type.dtype) if isinstance(size, Value) else float(size)
        scaled = (place + 1) * ((extent - 1) * 0.5) if align_corners else ((place + 1) * extent - 1) * 0.5
        if rounded_first and mode == "nearest":
            scaled = round(scaled)
        taps.append(_taps(scaled, extent, mode, padding_mode, align_corners))
    y = transpose(_sums(x, sizes, taps), perm=(0, rank - 1, *range(1, rank - 1)))
    return cast(y, to=dtype) if half else y


def _length(x: Value, axis: int) -> int | Value:
    """The size of an axis, or the scalar that the run has for it."""
    dim = x.type.shape[axis]
    return dim if isinstance(dim, int) else squeeze(shape(x, start=axis, end=axis + 1), [0])


def _taps(place: Value, extent: float | Value, mode: str, padding_mode: str, corners: bool) -> list[Tap]:
    """The elements along one axis that a point is made of, with their weights."""
    if mode == "cubic":
        first = floor(place)
        t = place - first
        weights = [_outer(t + 1), _inner(t), _inner(1 - t), _outer(2 - t)]
        return [(_kept(first + (k - 1), extent, padding_mode, corners), w) for k, w in enumerate(weights)]
    place = _kept(place, extent, padding_mode, corners)
    if mode == "nearest":
        return [(round(place), None)]
    first = floor(place)
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
        span = maximum(span, full_like(place, 1)) if isinstance(span, Value) else max(span, 1.0)
        distance = place - low
        distance = where(less(distance, 0), neg(distance), distance)
        turns = floor(without_derivative(distance / span))
        rest = distance - turns * span
        even = equal(floor(turns * 0.5) * 2, turns)
        place = where(even, rest + low, low + span - rest)
    # At the limits the derivative is 0, as PyTorch has it.
    return where(greater(place, 0), where(less(place, last), place, last), 0)


def _sums(x: Value, sizes: Sequence[int | Value], taps: Sequence[Sequence[Tap]]) -> Value:
    """The weighted sums of elements, `[N, h, w, C]`; elements that are not there count as zeros."""
    rank = len(x.type.shape)
    rows = _with_zeros(_rows(transpose(x, perm=(0, *range(2, rank), 1))))
    nothing = _length(rows, 0) - 1
    offset = _offsets(x, sizes)
    last = [cast(s, to=x.type.dtype) - 1 if isinstance(s, Value) else s - 1.0 for s in sizes]
    # Positions of each axis are looked at once, not once for every sum of them.
    looked = [
        [
            (
                logical_and(greater_or_equal(place, 0), less_or_equal(place, end)),
                cast(place, to=DType.int64),
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
            inside = logical_and(inside, within)
            index = index * size + position
            weight = factor if weight is None or factor is None else weight * factor
        if offset is not None:
            index = index + offset
        part = gather(rows, where(inside, index, nothing), axis=0)
        if weight is not None:
            part = part * unsqueeze(weight, [-1])
        total = part if total is None else total + part
    assert total is not None
    return total


def _rows(x: Value) -> Value:
    """All axes but the last as one."""
    dims = x.type.shape
    last = dims[-1]
    if all(isinstance(d, int) for d in dims):
        return reshape(x, [math.prod(int(d) for d in dims[:-1]), last], allowzero=True)
    if isinstance(last, int) and last:
        return reshape(x, [-1, last])
    return reshape(x, concat([-1], shape(x, start=-1), axis=0))


def _with_zeros(rows: Value) -> Value:
    """One row of zeros more: what is read where nothing is."""
    return pad(rows, [0, 1], None, [0])


def _offsets(x: Value, sizes: Sequence[int | Value]) -> Value | None:
    """The number of the first row of each image, in a shape that broadcasts to that of the points."""
    count = _length(x, 0)
    if isinstance(count, int) and count == 1:
        return None
    each: int | Value = 1
    for size in sizes:
        each = size * each if isinstance(size, Value) else each * size
    return unsqueeze(range_(0, count, 1) * each, list(range(1, len(sizes) + 1)))


def _affine_rank(theta, size):
    """The number of spatial axes, which the matrices tell too; 0 where nothing does."""
    listed = size.type.shape[0] if len(size.type.shape) == 1 else 0
    told = [
        d - less for d, less in ((listed, 2), *zip(theta.type.shape[1:], (0, 1), strict=False)) if isinstance(d, int)
    ]
    return told[0] if told else 0


def _affine_type(theta, size, *, align_corners):
    floating(theta)
    dims = theta.type.shape
    count = _affine_rank(theta, size)
    require(
        size.type.dtype is DType.int64 and len(size.type.shape) == 1 and count in (2, 3),
        f"a size (N, C, h, w) or (N, C, d, h, w) of int64 is expected, {size.type} came",
    )
    fits = len(dims) == 3 and _may_be(dims[1], count) and _may_be(dims[2], count + 1)
    require(fits, f"matrices [N, {count}, {count + 1}] are expected, {theta.type} came")
    sizes = dims_of(size.content)
    if sizes is None:
        return TensorType(theta.type.dtype, (dims[0], *(unknown() for _ in range(count)), count))
    require(dims_agree(dims[0], sizes[0]), f"{sizes[0]} matrices are expected, {theta.type} came")
    return TensorType(theta.type.dtype, (sizes[0] if is_unknown(dims[0]) else dims[0], *sizes[2:], count))


@onnx_op("AffineGrid", type=_affine_type)
def affine_grid(theta: Input, size: Input, *, align_corners: bool = False) -> Value:
    """The grid `[N, *points, rank]` whose points are `theta [N, rank, rank + 1]` times (x, y, 1) or (x, y, z, 1); ONNX.

    `size` is (N, C, h, w) or (N, C, d, h, w); -1 and 1 are the outer edges, with `align_corners` the outer middles.
    """


@affine_grid.vjp
def _(g, y, theta, size, *, align_corners):
    # The points before the map are those of the map that leaves them, so that they are the operator's in every case.
    count = _affine_rank(theta, size)
    number = theta.type.dtype.numpy
    single = concat(constant(np.ones(1, np.int64)), slice_(size, [1], [count + 2]), axis=0)
    points = affine_grid(constant(np.eye(count, count + 1, dtype=number)[None]), single, align_corners=align_corners)
    places = pad(reshape(points, [-1, count]), [0, 0, 0, 1], constant(np.array(1, number)))
    # Not -1 for the points, for there may be no matrices.
    sizes = concat(shape(g, start=0, end=1), shape(places, start=0, end=1), [count], axis=0)
    rows = transpose(reshape(g, sizes, allowzero=True), perm=(0, 2, 1))
    return matmul(rows, places), None
