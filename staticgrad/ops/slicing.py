"""Cutting out by ranges, and filling up."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import UnsupportedOperatorError
from staticgrad.graph import Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.indexing import reduced_at, scatter_elements, scatter_nd
from staticgrad.ops.kinds import (
    common_dtype,
    dims_of,
    known_axes,
    literal_axes,
    reshape_like,
    subtract_dims,
    zeros_like,
)
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, listed, reshape, shape, squeeze, transpose, unsqueeze
from staticgrad.types import Dim, TensorType, add_dims, unknown


def _numbers(value):
    """The numbers of a list, be they literals or computed from sizes that are known; None where one is not."""
    array = constant_of(value)
    if array is not None:
        return array.tolist()
    dims = value.content
    return list(dims) if isinstance(dims, tuple) and all(isinstance(d, int) for d in dims) else None


def _ranges(starts, ends, axes, steps, rank):
    """For each sliced axis its (start, end, step) as numbers; None where one is not known."""
    begin, stop = _numbers(starts), _numbers(ends)
    if begin is None or stop is None or (axes is not None and constant_of(axes) is None):
        return None
    positions = literal_axes(axes, rank) if axes is not None else tuple(range(len(begin)))
    step = _numbers(steps) if steps is not None else [1] * len(begin)
    if step is None:
        return None
    require(len(begin) == len(stop) == len(positions) == len(step), "starts, ends, axes and steps differ in length")
    require(0 not in step, "a slice step of 0 is not allowed")
    return {p: (b, e, s) for p, b, e, s in zip(positions, begin, stop, step, strict=True)}


def _taken(dim: int, start: int, end: int, step: int) -> range:
    """The positions that a slice takes. Unlike Python, a start in front of the first element counts as the first."""
    if step < 0 and start < -dim:
        start = 0
    return range(*slice(start, end, step).indices(dim))


def _slice_length(dim: Dim, start: int, end: int, step: int) -> Dim:
    if isinstance(dim, int):
        return len(_taken(dim, start, end, step))
    huge = 2**31 - 1
    if step == 1 and end >= huge:
        return dim if start == 0 else subtract_dims(dim, start) if start > 0 else unknown()
    if step == 1 and start == 0 and end < 0:
        return add_dims(dim, end)
    if step == 1 and start > 0 and end < 0:
        return add_dims(dim, end - start)
    if step == -1 and end < -huge and (start == -1 or start >= huge):
        return dim
    return unknown()


def _sliced(x, starts, ends, axes=None, steps=None):
    rank = len(x.type.shape)
    given = [v for v in (starts, ends, axes, steps) if v is not None]
    require(all(len(v.type.shape) == 1 for v in given), "starts, ends, axes and steps are lists")
    ranges = _ranges(starts, ends, axes, steps, rank)
    if ranges is None:
        chosen = known_axes(axes, rank) if axes is not None else None
        return TensorType(
            x.type.dtype,
            tuple(d if chosen is not None and i not in chosen else unknown() for i, d in enumerate(x.type.shape)),
        )
    return TensorType(
        x.type.dtype, tuple(_slice_length(d, *ranges[i]) if i in ranges else d for i, d in enumerate(x.type.shape))
    )


def _sliced_content(x, starts, ends, axes=None, steps=None):
    ranges = _ranges(starts, ends, axes, steps, 1)
    if ranges is None or not isinstance(x.content, tuple):
        return None
    if 0 not in ranges:
        return x.content
    return tuple(x.content[i] for i in _taken(len(x.content), *ranges[0]))


@onnx_op("Slice", type=_sliced, content=_sliced_content)
def slice_(x: Input, starts: Input, ends: Input, axes: Input | None = None, steps: Input | None = None) -> Value:
    """`x[start:end:step]` along each of `axes` (the first ones without it)."""


@slice_.vjp
def _(g, y, x, starts, ends, axes, steps):
    rank = len(x.type.shape)
    ranges = _ranges(starts, ends, axes, steps, rank)
    if ranges is not None and all(step == 1 for _, _, step in ranges.values()):
        return _padded_back(g, y, x, ranges), None, None, None, None
    # The positions that were taken come from slicing the numbers 0..n-1 in the same way, axis by axis.
    count = starts.type.shape[0]
    chosen = known_axes(axes, rank) if axes is not None else tuple(range(count)) if isinstance(count, int) else None
    if chosen is None:
        taken = slice_.apply((_numbered(x), starts, ends, axes, steps)).outputs[0]
        return _scattered_flat(g, x, taken, "none"), None, None, None, None
    for number, axis in enumerate(chosen):
        pick = (
            (starts, ends, steps)
            if len(chosen) == 1
            else tuple(None if v is None else slice_(v, [number], [number + 1]) for v in (starts, ends, steps))
        )
        length = squeeze(shape(x, start=axis, end=axis + 1), [0])
        numbers = OPERATORS["Range"](0, length, 1)
        positions = slice_.apply((numbers, *pick[:2], constant(np.zeros(1, np.int64)), pick[2])).outputs[0]
        before = _with_axis(g, x, axis)
        g = _scattered_along(axis, before, positions, g, "none")
    return g, None, None, None, None


def _with_axis(g, x, axis):
    """Zeros like `g` but with the size that `x` has along `axis`."""
    dims = [*g.type.shape[:axis], x.type.shape[axis], *g.type.shape[axis + 1 :]]
    if all(isinstance(d, int) for d in dims):
        extent = constant(np.array(dims, np.int64))
    else:
        parts = [shape(g, start=0, end=axis), shape(x, start=axis, end=axis + 1), shape(g, start=axis + 1)]
        extent = concat(*[p for p in parts if p.type.shape != (0,)], axis=0)
    node = OPERATORS["ConstantOfShape"].apply(
        (extent,), {"value": np.zeros(1, g.type.dtype.numpy)}, (TensorType(g.type.dtype, tuple(dims)),)
    )
    return node.outputs[0]


def _scattered_along(axis, zeros, positions, g, reduction):
    """`g` placed into `zeros` (or added up there) at `positions` of `axis`."""
    rank = len(g.type.shape)
    front = (axis, *(i for i in range(rank) if i != axis))
    back = tuple(int(i) for i in np.argsort(front))
    at = unsqueeze(positions, [1])
    rows = reduced_at(scatter_nd, transpose(zeros, perm=front), at, transpose(g, perm=front), reduction)
    return transpose(rows, perm=back)


def _numbered(x):
    """The numbers 0, 1, ... in the shape of `x`."""
    return reshape_like(OPERATORS["Range"](0, OPERATORS["Size"](x), 1), x)


def _scattered_flat(g, x, taken, reduction):
    """`g` placed (or added up) where `taken` says that its elements come from, as numbers of the elements of `x`.

    For any axes, which may be known only when running; it moves as many integers as there are elements.
    """
    zeros = reshape(zeros_like(x), [-1])
    at = reshape(taken, [-1])
    return reshape_like(reduced_at(scatter_elements, zeros, at, reshape(g, [-1]), reduction, axis=0), x)


def _padded_back(g, y, x, ranges):
    """The cotangent of a slice of step 1: zeros in front of and behind `g`."""
    rank = len(x.type.shape)
    if all(isinstance(x.type.shape[i], int) for i in ranges):
        begin = [0] * rank
        end = [0] * rank
        for i, (start, stop, _) in ranges.items():
            offset, _, _ = slice(start, stop, 1).indices(x.type.shape[i])
            begin[i] = min(offset, x.type.shape[i])
            length = _slice_length(x.type.shape[i], start, stop, 1)
            end[i] = x.type.shape[i] - begin[i] - length
        pads = constant(np.array(begin + end, np.int64))
    else:
        extent = shape(x)
        first = constant(np.array([ranges[i][0] if i in ranges else 0 for i in range(rank)], np.int64))
        counted = OPERATORS["Where"](OPERATORS["Less"](first, 0), extent + first, first)
        front = OPERATORS["Min"](OPERATORS["Max"](counted, 0), extent)
        pads = concat(front, extent - front - shape(y), axis=0)
    return pad.apply((g, pads, None, None), {"mode": "constant"}, (x.type,)).outputs[0]


def _padded(x, pads, value=None, axes=None, *, mode):
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise UnsupportedOperatorError(
            f"Pad with mode={mode!r} is not supported; 'constant', 'reflect', 'edge' and 'wrap' are"
        )
    common_dtype(x, value)
    require(value is None or value.type.shape in ((), (1,)), "what is filled in must be one number")
    rank = len(x.type.shape)
    grown = _amounts(pads, axes, rank)
    if grown is None:
        return TensorType(x.type.dtype, tuple(unknown() for _ in range(rank)))
    for axis, (begin, end) in grown.items():
        _check_source(x.type.shape[axis], begin, end, mode)
    dims = tuple(add_dims(d, *grown.get(i, ())) for i, d in enumerate(x.type.shape))
    require(
        not any(isinstance(d, int) and d < 0 for d in dims), f"pads {listed(pads.content)} cut off more than there is"
    )
    return TensorType(x.type.dtype, dims)


def _amounts(pads, axes, rank):
    """For each padded axis what comes in front and behind; None where that is not known."""
    amounts = dims_of(pads.content)
    positions = tuple(range(rank)) if axes is None else known_axes(axes, rank)
    if amounts is None or positions is None:
        return None
    count = len(positions)
    require(len(amounts) == 2 * count, f"pads must hold {2 * count} numbers, {len(amounts)} came")
    return {p: (amounts[i], amounts[i + count]) for i, p in enumerate(positions)}


def _check_source(dim, begin, end, mode):
    """Whether the elements are there that the padding repeats."""
    if mode == "constant" or not all(isinstance(d, int) for d in (dim, begin, end)):
        return
    left = dim + min(begin, 0) + min(end, 0)
    most = max(begin, end)
    require(left >= 0, f"pads {begin} and {end} cut off more than the {dim} elements that there are")
    require(most <= 0 or left > 0, f"an axis without elements has nothing to pad it with in mode {mode!r}")
    require(
        mode != "reflect" or most <= max(left - 1, 0),
        f"{most} elements cannot be mirrored from {left}; {left - 1} is the most",
    )


@onnx_op("Pad", type=_padded)
def pad(
    x: Input, pads: Input, value: Input | None = None, axes: Input | None = None, *, mode: str = "constant"
) -> Value:
    """`x` with `pads[i]` elements before and `pads[i + rank]` behind on axis i; negative ones cut off first.

    They are `value` (0), or with mode "reflect" the mirrored ones, "edge" the outermost, "wrap" those of the other end.
    """


@pad.vjp
def _(g, y, x, pads, value, axes, *, mode):
    if mode != "constant":
        return _unpadded(g, x, pads, axes, mode), None, None, None
    literal = constant_of(pads)
    back = -pads if literal is None else constant(-literal)
    inner = pad.apply((g, back, None, axes), {"mode": mode}, (x.type,)).outputs[0]
    if value is None:
        return inner, None, None, None
    # What was filled in: ones there, zeros at every element of x.
    marks = pad(zeros_like(x), pads, OPERATORS["Cast"](1.0, to=x.type.dtype), axes)
    total = OPERATORS["ReduceSum"](g * marks, keepdims=False)
    return inner, None, reshape_like(total, value), None


def _unpadded(g, x, pads, axes, mode):
    """The cotangent of padding with elements of `x`: what lies outside is added where it was taken from."""
    rank = len(x.type.shape)
    grown = _amounts(pads, axes, rank)
    chosen = tuple(range(rank)) if axes is None else known_axes(axes, rank)
    if chosen is None:
        taken = pad.apply((_numbered(x), pads, None, axes), {"mode": mode}).outputs[0]
        return _scattered_flat(g, x, taken, "add")
    count = len(chosen)
    for number, axis in enumerate(chosen):
        amounts = grown[axis] if grown is not None else ()
        if amounts == (0, 0):
            continue
        dim = x.type.shape[axis]
        if amounts and all(isinstance(d, int) for d in (dim, *amounts)):
            crops = [min(a, 0) for a in amounts]
            length = dim + sum(crops)
            begin, end = (max(a, 0) for a in amounts)
            if mode != "wrap" or max(begin, end) <= length:
                g = _folded(g, axis, begin, end, length, mode)
                if any(crops):
                    g = pad(g, constant(np.array([-c for c in crops])), None, constant(np.array([axis])))
                continue
        # The positions that were taken come from padding the numbers 0..n-1 in the same way.
        ends = [slice_(pads, [i], [i + 1]) for i in (number, number + count)]
        numbers = OPERATORS["Range"](0, squeeze(shape(x, start=axis, end=axis + 1), [0]), 1)
        taken = pad.apply((numbers, concat(*ends, axis=0), None, None), {"mode": mode}).outputs[0]
        g = _scattered_along(axis, _with_axis(g, x, axis), taken, g, "add")
    return g


def _folded(g, axis, begin, end, length, mode):
    """`g` without the `begin` first and `end` last elements of an axis, which are added to the `length` in between."""
    total = slice_(g, [begin], [begin + length], [axis])
    places = {
        "reflect": ((1, length - 1 - begin), (length - 1 - end, 1)),
        "edge": ((0, length - 1), (length - 1, 0)),
        "wrap": ((length - begin, 0), (0, length - end)),
    }[mode]
    for (start, stop), place in zip(((0, begin), (begin + length, begin + length + end)), places, strict=True):
        if start == stop:
            continue
        part = slice_(g, [start], [stop], [axis])
        if mode == "reflect":
            part = slice_(part, [-1], [-(2**62)], [axis], [-1])
        elif mode == "edge":
            part = OPERATORS["ReduceSum"](part, [axis])
        total = total + pad(part, constant(np.array(place)), None, constant(np.array([axis])))
    return total
