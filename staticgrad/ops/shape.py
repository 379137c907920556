"""Operators that move, select or repeat elements without computing with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from staticgrad.errors import ShapeError, UnsupportedOperatorError
from staticgrad.graph import Content, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import (
    common_dtype,
    dims_of,
    known_axes,
    normal_axis,
    reshape_like,
    same,
    shape_of,
    subtract_dims,
    zeros_like,
)
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.types import (
    Dim,
    DType,
    TensorType,
    add_dims,
    broadcast_shapes,
    count_elements,
    divide_dims,
    multiply_dims,
    show,
    unknown,
)


@onnx_op("Identity", type=same, content=lambda x: x.content)
def identity(x: Input) -> Value:
    """`x` itself."""


@identity.vjp
def _(g, y, x):
    return g


def _shape_content(x: Value, *, start: int = 0, end: int | None = None) -> Content:
    return x.type.shape[slice(start, end)]


@onnx_op(
    "Shape",
    type=lambda x, **a: TensorType(DType.int64, (len(_shape_content(x, **a)),)),
    content=_shape_content,
    differentiable=False,
)
def shape(x: Input, *, start: int = 0, end: int | None = None) -> Value:
    """The dimensions of `x` as an int64 tensor."""


@onnx_op(
    "Size",
    type=lambda x: TensorType(DType.int64, ()),
    content=lambda x: count_elements(x.type.shape),
    differentiable=False,
)
def size(x: Input) -> Value:
    """The number of elements of `x`."""


def _reshaped(x, shape, *, allowzero):
    require(shape.type.dtype is DType.int64 and len(shape.type.shape) == 1, "the shape must be a list of int64")
    target = dims_of(shape.content)
    if target is None:
        require(isinstance(shape.type.shape[0], int), "the number of dimensions must be known when declaring")
        return TensorType(x.type.dtype, tuple(unknown() for _ in range(shape.type.shape[0])))
    dims: list[Dim] = [x.type.shape[i] if d == 0 and not allowzero else d for i, d in enumerate(target)]
    total = count_elements(x.type.shape)
    if -1 in dims:
        require(dims.count(-1) == 1, f"only one dimension of {_list(target)} can be -1")
        rest = count_elements([d for d in dims if d != -1])
        quotient = divide_dims(total, rest) if rest != 0 else 0
        if quotient is None and isinstance(total, int) and isinstance(rest, int):
            raise ShapeError(f"{total} elements do not fit the shape {_list(target)}")
        dims[dims.index(-1)] = unknown() if quotient is None else quotient
    elif isinstance(total, int):
        wanted = count_elements(dims)
        if isinstance(wanted, int) and wanted != total:
            raise ShapeError(f"{total} elements do not fit the shape {_list(target)} of {wanted}")
    return TensorType(x.type.dtype, tuple(dims))


def _list(dims: Any) -> str:
    return f"[{', '.join(show(d) for d in dims)}]"


@onnx_op("Reshape", type=_reshaped, content=lambda x, shape, *, allowzero: _relisted(x, shape))
def reshape(x: Input, shape: Input, *, allowzero: bool = False) -> Value:
    """The same elements in another shape; one dimension may be -1, and 0 copies (not with `allowzero`)."""


def _relisted(x: Value, shape: Value) -> Content | None:
    target = dims_of(shape.content)
    if target == () and isinstance(x.content, tuple) and len(x.content) == 1:
        return x.content[0]
    return dims_of(x.content) if target is not None and len(target) == 1 else None


@reshape.vjp
def _(g, y, x, shape, *, allowzero):
    return reshape_like(g, x), None


def _transposed(x, *, perm):
    rank = len(x.type.shape)
    perm = tuple(reversed(range(rank))) if perm is None else perm
    require(sorted(perm) == list(range(rank)), f"perm {list(perm)} is not an order of the {rank} axes")
    return TensorType(x.type.dtype, tuple(x.type.shape[p] for p in perm))


@onnx_op("Transpose", type=_transposed)
def transpose(x: Input, *, perm: tuple[int, ...] | None = None) -> Value:
    """`x` with its axes in the order `perm` (reversed without it)."""


@transpose.vjp
def _(g, y, x, *, perm):
    return transpose(g, perm=None if perm is None else tuple(int(i) for i in np.argsort(perm)))


def _squeezed(x, axes=None):
    shape = x.type.shape
    if axes is None:
        return TensorType(x.type.dtype, tuple(d for d in shape if d != 1))
    positions = known_axes(axes, len(shape))
    require(positions is not None, "the axes to squeeze must be known when declaring")
    for p in positions:
        require(not isinstance(shape[p], int) or shape[p] == 1, f"axis {p} has size {shape[p]}, not 1")
    return TensorType(x.type.dtype, tuple(d for i, d in enumerate(shape) if i not in positions))


@onnx_op(
    "Squeeze",
    type=_squeezed,
    content=lambda x, axes: x.content[0] if isinstance(x.content, tuple) and len(x.content) == 1 else None,
)
def squeeze(x: Input, axes: Input | None = None) -> Value:
    """`x` without the `axes`, which have size 1."""


@squeeze.vjp
def _(g, y, x, axes):
    return reshape_like(g, x), None


def _unsqueezed(x, axes):
    count = dims_of(axes.type.shape or (1,))[0]
    require(isinstance(count, int), "the number of axes must be known when declaring")
    rank = len(x.type.shape) + count
    positions = known_axes(axes, rank)
    require(positions is not None, "the axes to insert must be known when declaring")
    require(len(set(positions)) == count, f"axes {list(positions)} name one axis twice")
    dims = iter(x.type.shape)
    return TensorType(x.type.dtype, tuple(1 if i in positions else next(dims) for i in range(rank)))


@onnx_op(
    "Unsqueeze",
    type=_unsqueezed,
    content=lambda x, axes: dims_of(x.content) if not isinstance(x.content, tuple) else None,
)
def unsqueeze(x: Input, axes: Input) -> Value:
    """`x` with new axes of size 1 at the positions `axes` of the result."""


@unsqueeze.vjp
def _(g, y, x, axes):
    return reshape_like(g, x), None


def _expanded(x, shape):
    require(shape.type.dtype is DType.int64 and len(shape.type.shape) == 1, "the shape must be a list of int64")
    target = dims_of(shape.content)
    if target is None:
        require(isinstance(shape.type.shape[0], int), "the number of dimensions must be known when declaring")
        target = tuple(unknown() for _ in range(shape.type.shape[0]))
    return TensorType(x.type.dtype, broadcast_shapes(x.type.shape, target))


@onnx_op("Expand", type=_expanded)
def expand(x: Input, shape: Input) -> Value:
    """`x` repeated to the common shape of itself and `shape`."""


@expand.vjp
def _(g, y, x, shape):
    return g, None


def _tiled(x, repeats):
    factors = dims_of(repeats.content)
    require(repeats.type.shape == (len(x.type.shape),), "repeats must hold one number for each axis")
    if factors is None:
        return TensorType(x.type.dtype, tuple(unknown() for _ in x.type.shape))
    return TensorType(x.type.dtype, tuple(multiply_dims(d, f) for d, f in zip(x.type.shape, factors, strict=True)))


@onnx_op("Tile", type=_tiled)
def tile(x: Input, repeats: Input) -> Value:
    """`x` laid beside itself `repeats[i]` times along axis i."""


@tile.vjp
def _(g, y, x, repeats):
    # Each axis splits into (repeat, position); the repeats are summed.
    rank = len(x.type.shape)
    pairs = OPERATORS["Unsqueeze"](repeats, [1]), OPERATORS["Unsqueeze"](shape_of(x), [1])
    split = reshape(concat(*pairs, axis=1), [-1]) if rank else constant(np.zeros(0, np.int64))
    node = reshape.apply(
        (g, split), {"allowzero": False}, (TensorType(g.type.dtype, tuple(unknown() for _ in range(2 * rank))),)
    )
    total = OPERATORS["ReduceSum"](
        node.outputs[0], list(range(0, 2 * rank, 2)), keepdims=False, noop_with_empty_axes=True
    )
    return reshape_like(total, x), None


def _concatenated(*xs, axis):
    dtype = common_dtype(*xs)
    rank = len(xs[0].type.shape)
    axis = normal_axis(axis, rank)
    require(rank > 0, "tensors of rank 0 cannot be concatenated; use sg.stack")
    require(all(len(x.type.shape) == rank for x in xs), "tensors of different rank cannot be concatenated")
    dims = []
    for position, column in enumerate(zip(*(x.type.shape for x in xs), strict=True)):
        if position == axis:
            dims.append(add_dims(*column))
            continue
        known = list(dict.fromkeys(d for d in column if "?" not in str(d)))
        require(len(known) <= 1, f"dimensions {' and '.join(map(str, known))} of axis {position} do not agree")
        dims.append(known[0] if known else column[0])
    return TensorType(dtype, tuple(dims))


def _concatenated_content(*xs, axis):
    parts = [dims_of(x.content) for x in xs]
    if any(p is None for p in parts) or len(xs[0].type.shape) != 1:
        return None
    return tuple(d for part in parts for d in part)


@onnx_op("Concat", type=_concatenated, content=_concatenated_content)
def concat(*xs: Input, axis: int) -> Value:
    """`xs` one behind the other along `axis`."""


@concat.vjp
def _(g, y, *xs, axis):
    if len(xs) == 1:
        return (g,)
    axis = normal_axis(axis, len(y.type.shape))
    sizes = [x.type.shape[axis] for x in xs]
    if all(isinstance(s, int) for s in sizes):
        lengths = constant(np.array(sizes, np.int64))
    else:
        lengths = concat(*[shape(x, start=axis, end=axis + 1) for x in xs], axis=0)
    node = split.apply((g, lengths), {"axis": axis, "num_outputs": None}, tuple(x.type for x in xs))
    return node.outputs


def _split(x, split=None, *, axis, num_outputs):
    axis = normal_axis(axis, len(x.type.shape))
    length = x.type.shape[axis]
    if split is None:
        require(num_outputs is not None, "num_outputs or the sizes must be given")
        if isinstance(length, int):
            each = math.ceil(length / num_outputs)
            sizes = [each] * (num_outputs - 1) + [length - each * (num_outputs - 1)]
        else:
            even = divide_dims(length, num_outputs)
            sizes = [unknown() if even is None else even for _ in range(num_outputs)]
    else:
        require(isinstance(split.type.shape[0], int), "the number of parts must be known when declaring")
        sizes = dims_of(split.content) or [unknown() for _ in range(split.type.shape[0])]
        total = add_dims(*sizes) if sizes else 0
        if isinstance(total, int) and isinstance(length, int) and total != length:
            raise ShapeError(f"sizes {_list(sizes)} do not add up to the {length} of axis {axis}")
    return tuple(TensorType(x.type.dtype, (*x.type.shape[:axis], s, *x.type.shape[axis + 1 :])) for s in sizes)


@onnx_op("Split", type=_split)
def split(x: Input, split: Input | None = None, *, axis: int = 0, num_outputs: int | None = None) -> tuple[Value, ...]:
    """`x` cut along `axis` into parts of the sizes `split`, or into `num_outputs` even ones."""


@split.vjp
def _(gs, ys, x, sizes, *, axis, num_outputs):
    return concat(*[zeros_like(y) if g is None else g for g, y in zip(gs, ys, strict=True)], axis=axis), None


def _ranges(starts, ends, axes, steps, rank):
    """For each sliced axis its (start, end, step) as literals; None where one is not known."""
    arrays = [constant_of(v) for v in (starts, ends)]
    if any(a is None for a in arrays) or (axes is not None and constant_of(axes) is None):
        return None
    if steps is not None and constant_of(steps) is None:
        return None
    begin, stop = (a.tolist() for a in arrays)
    positions = known_axes(axes, rank) if axes is not None else tuple(range(len(begin)))
    step = constant_of(steps).tolist() if steps is not None else [1] * len(begin)
    require(len(begin) == len(stop) == len(positions) == len(step), "starts, ends, axes and steps differ in length")
    require(0 not in step, "a slice step of 0 is not allowed")
    return {p: (b, e, s) for p, b, e, s in zip(positions, begin, stop, step, strict=True)}


def _slice_length(dim: Dim, start: int, end: int, step: int) -> Dim:
    if isinstance(dim, int):
        # Python takes -1 for the last element; ONNX clamps an end below -dim to "before the first".
        stop: int | None = end
        if step < 0 and end < -dim:
            stop = None
        return len(range(*slice(start, stop, step).indices(dim)))
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
    start, end, step = ranges.get(0, (0, None, 1))
    return x.content[slice(start, None if end is not None and step < 0 and end < -len(x.content) else end, step)]


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
    chosen = known_axes(axes, rank) if axes is not None else tuple(range(len(dims_of(starts.type.shape) or ())))
    if axes is not None and chosen is None:
        raise UnsupportedOperatorError("Slice with axes that are computed has no gradient; give them as literals")
    for number, axis in enumerate(chosen):
        pick = (
            (starts, ends, steps)
            if len(chosen) == 1
            else tuple(None if v is None else slice_(v, [number], [number + 1]) for v in (starts, ends, steps))
        )
        length = squeeze(shape(x, start=axis, end=axis + 1), [0])
        numbers = OPERATORS["Range"](0, length, 1)
        positions = slice_(numbers, pick[0], pick[1], [0], pick[2])
        before = _with_axis(g, x, axis)
        g = _scattered_along(axis, before, positions, g)
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


def _scattered_along(axis, zeros, positions, g):
    """`g` placed into `zeros` at `positions` of `axis`."""
    rank = len(g.type.shape)
    front = (axis, *(i for i in range(rank) if i != axis))
    back = tuple(int(i) for i in np.argsort(front))
    rows = OPERATORS["ScatterND"](
        transpose(zeros, perm=front), unsqueeze(positions, [1]), transpose(g, perm=front), reduction="none"
    )
    return transpose(rows, perm=back)


def _padded_back(g, y, x, ranges):
    """The cotangent of a slice of step 1: zeros in front of and behind `g`."""
    rank = len(x.type.shape)
    if all(isinstance(x.type.shape[i], int) for i in ranges):
        begin = [0] * rank
        end = [0] * rank
        for i, (start, stop, _) in ranges.items():
            first, _, _ = slice(start, stop, 1).indices(x.type.shape[i])
            begin[i] = min(first, x.type.shape[i])
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
    require(mode == "constant", f"mode {mode!r} is not supported here; use mode='constant'")
    amounts = dims_of(pads.content)
    rank = len(x.type.shape)
    positions = tuple(range(rank)) if axes is None else known_axes(axes, rank)
    if amounts is None or positions is None:
        return TensorType(x.type.dtype, tuple(unknown() for _ in range(rank)))
    count = len(positions)
    require(len(amounts) == 2 * count, f"pads must hold {2 * count} numbers, {len(amounts)} came")
    grown = {p: (amounts[i], amounts[i + count]) for i, p in enumerate(positions)}
    dims = tuple(add_dims(d, *grown.get(i, ())) for i, d in enumerate(x.type.shape))
    require(not any(isinstance(d, int) and d < 0 for d in dims), f"pads {_list(amounts)} cut off more than there is")
    return TensorType(x.type.dtype, dims)


@onnx_op("Pad", type=_padded)
def pad(
    x: Input, pads: Input, value: Input | None = None, axes: Input | None = None, *, mode: str = "constant"
) -> Value:
    """`x` with `pads[i]` elements `value` (0) before and `pads[i + rank]` behind along axis i; negative ones cut off."""


@pad.vjp
def _(g, y, x, pads, value, axes, *, mode):
    inner = pad.apply((g, -pads, None, axes), {"mode": mode}, (x.type,)).outputs[0]
    if value is None:
        return inner, None, None, None
    # What was filled in: ones there, zeros at every element of x.
    marks = pad(zeros_like(x), pads, OPERATORS["Cast"](1.0, to=x.type.dtype), axes)
    total = OPERATORS["ReduceSum"](g * marks, keepdims=False)
    return inner, None, reshape_like(total, value), None
