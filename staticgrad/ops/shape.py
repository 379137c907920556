"""Operators that move, select or repeat elements without computing with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from staticgrad.errors import ShapeError
from staticgrad.graph import Content, Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import (
    common_dtype,
    dims_of,
    known_axes,
    normal_axis,
    reshape_like,
    same,
    shape_of,
    zeros_like,
)
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.types import (
    Dim,
    DType,
    OpaqueType,
    TensorType,
    add_dims,
    broadcast_shapes,
    count_elements,
    divide_dims,
    multiply_dims,
    show,
    unknown,
)


@onnx_op("Identity", type=same, content=lambda x: x.content, opaque=True)
def identity(x: Input) -> Value:
    """`x` itself."""


@identity.vjp
def _(g, y, x):
    return g


_MOST_PARTS = 65536


def _shape_content(x: Value, *, start: int = 0, end: int | None = None) -> tuple[Dim, ...] | None:
    return None if isinstance(x.type, OpaqueType) else x.type.shape[slice(start, end)]


def _shape_type(x: Value, **slicing: Any) -> TensorType:
    require(not isinstance(x.type, OpaqueType) or x.type.rankless, f"a tensor is expected, {x.type} came")
    content = _shape_content(x, **slicing)
    return TensorType(DType.int64, (unknown() if content is None else len(content),))


@onnx_op("Shape", type=_shape_type, content=_shape_content, differentiable=False, opaque=True)
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
    require(not isinstance(x.type, OpaqueType) or x.type.rankless, f"a tensor is expected, {x.type} came")
    require(shape.type.dtype is DType.int64 and len(shape.type.shape) == 1, "the shape must be a list of int64")
    target = dims_of(shape.content)
    if target is None:
        require(isinstance(shape.type.shape[0], int), "the number of dimensions must be known when declaring")
        return TensorType(x.type.dtype, tuple(unknown() for _ in range(shape.type.shape[0])))
    require(not any(isinstance(d, int) and d < -1 for d in target), f"a size of {listed(target)} is negative")
    if isinstance(x.type, OpaqueType):
        open_sizes = (-1,) if allowzero else (-1, 0)
        return TensorType(x.type.dtype, tuple(unknown() if d in open_sizes else d for d in target))
    copied = [] if allowzero else [i for i, d in enumerate(target) if d == 0]
    require(not copied or copied[-1] < len(x.type.shape), f"{listed(target)} copies an axis that is not there")
    dims: list[Dim] = [x.type.shape[i] if i in copied else d for i, d in enumerate(target)]
    total = count_elements(x.type.shape)
    if -1 in dims:
        require(dims.count(-1) == 1, f"only one dimension of {listed(target)} can be -1")
        rest = count_elements([d for d in dims if d != -1])
        require(rest != 0, f"the size at -1 of {listed(target)} could be any, for another is 0")
        quotient = divide_dims(total, rest)
        if quotient is None and isinstance(total, int) and isinstance(rest, int):
            raise ShapeError(f"{total} elements do not fit the shape {listed(target)}")
        dims[dims.index(-1)] = unknown() if quotient is None else quotient
    elif isinstance(total, int):
        wanted = count_elements(dims)
        if isinstance(wanted, int) and wanted != total:
            raise ShapeError(f"{total} elements do not fit the shape {listed(target)} of {wanted}")
    return TensorType(x.type.dtype, tuple(dims))


def listed(dims: Any) -> str:
    """Dimensions as an error shows them."""
    return f"[{', '.join(show(d) for d in dims)}]"


@onnx_op("Reshape", type=_reshaped, content=lambda x, shape, *, allowzero: _relisted(x, shape), opaque=True)
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


def _flattened(x, *, axis):
    rank = len(x.type.shape)
    require(-rank <= axis <= rank, f"axis {axis} is out of range for a tensor of rank {rank}")
    axis += rank if axis < 0 else 0
    return TensorType(x.type.dtype, (count_elements(x.type.shape[:axis]), count_elements(x.type.shape[axis:])))


@onnx_op("Flatten", type=_flattened)
def flatten(x: Input, *, axis: int = 1) -> Value:
    """`x` as a matrix: the axes before `axis` become its rows, the others its columns."""


@flatten.vjp
def _(g, y, x, *, axis):
    return reshape_like(g, x)


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
        require(
            all(isinstance(d, int) for d in shape),
            "without axes a dynamic size of 1 would vanish; give the axes",
        )
        return TensorType(x.type.dtype, tuple(d for d in shape if d != 1))
    positions = known_axes(axes, len(shape))
    if positions is None:
        count = _count_of(axes)
        ones = tuple(i for i, d in enumerate(shape) if d == 1 or not isinstance(d, int))
        require(count <= len(ones), f"{count} axes of {x.type} cannot be of size 1")
        if count < len(ones):
            return TensorType(x.type.dtype, tuple(unknown() for _ in range(len(shape) - count)))
        positions = ones
    for p in positions:
        require(not isinstance(shape[p], int) or shape[p] == 1, f"axis {p} has size {shape[p]}, not 1")
    return TensorType(x.type.dtype, tuple(d for i, d in enumerate(shape) if i not in positions))


def _count_of(axes):
    """How many axes a list or a number names that is not known when declaring."""
    count = axes.type.shape[0] if axes.type.shape else 1
    require(isinstance(count, int), "the number of axes must be known when declaring")
    return count


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
    rank = len(x.type.shape) + _count_of(axes)
    positions = known_axes(axes, rank)
    if positions is None:
        if any(d != 1 for d in x.type.shape):
            return TensorType(x.type.dtype, tuple(unknown() for _ in range(rank)))
        positions = tuple(range(rank - len(x.type.shape)))
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
    require(not any(isinstance(d, int) and d < 0 for d in target), f"a size of {listed(target)} is negative")
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
    require(not any(isinstance(f, int) and f < 0 for f in factors), f"repeats {listed(factors)} are negative")
    return TensorType(x.type.dtype, tuple(multiply_dims(d, f) for d, f in zip(x.type.shape, factors, strict=True)))


@onnx_op("Tile", type=_tiled)
def tile(x: Input, repeats: Input) -> Value:
    """`x` laid beside itself `repeats[i]` times along axis i."""


@tile.vjp
def _(g, y, x, repeats):
    # Each axis splits into (repeat, position); the repeats are summed.
    rank = len(x.type.shape)
    factors = dims_of(repeats.content)
    dims = [d for pair in zip(factors or [unknown() for _ in range(rank)], x.type.shape, strict=True) for d in pair]
    if all(isinstance(d, int) for d in dims):
        split = constant(np.array(dims, np.int64))
    else:
        pairs = OPERATORS["Unsqueeze"](repeats, [1]), OPERATORS["Unsqueeze"](shape_of(x), [1])
        split = reshape(concat(*pairs, axis=1), [-1])
    # Where a size is 0 it means that.
    node = reshape.apply((g, split), {"allowzero": True}, (TensorType(g.type.dtype, tuple(dims)),))
    total = OPERATORS["ReduceSum"](
        node.outputs[0], list(range(0, 2 * rank, 2)), keepdims=False, noop_with_empty_axes=True
    )
    return reshape_like(total, x), None


def _concatenated(*xs, axis):
    dtype = common_dtype(*xs)
    rank = len(xs[0].type.shape)
    require(rank > 0, "tensors of rank 0 cannot be concatenated; use sg.stack")
    axis = normal_axis(axis, rank)
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
    known = [p for p in parts if p is not None]
    return tuple(d for part in known for d in part) if len(known) == len(xs) else None


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
        require(0 < num_outputs <= _MOST_PARTS, f"num_outputs is {num_outputs}, 1 to {_MOST_PARTS} are expected")
        if isinstance(length, int):
            each = math.ceil(length / num_outputs)
            sizes = [each] * (num_outputs - 1) + [length - each * (num_outputs - 1)]
            require(sizes[-1] > 0 or length == 0, f"{length} elements do not make {num_outputs} parts of {each}")
        else:
            even = divide_dims(length, num_outputs)
            sizes = [unknown() if even is None else even for _ in range(num_outputs)]
    else:
        require(isinstance(split.type.shape[0], int), "the number of parts must be known when declaring")
        sizes = list(dims_of(split.content) or (unknown() for _ in range(split.type.shape[0])))
        total = add_dims(*sizes) if sizes else 0
        if isinstance(total, int) and isinstance(length, int) and total != length:
            raise ShapeError(f"sizes {listed(sizes)} do not add up to the {length} of axis {axis}")
    return tuple(TensorType(x.type.dtype, (*x.type.shape[:axis], s, *x.type.shape[axis + 1 :])) for s in sizes)


@onnx_op("Split", type=_split)
def split(x: Input, split: Input | None = None, *, axis: int = 0, num_outputs: int | None = None) -> tuple[Value, ...]:
    """`x` cut along `axis` into parts of the sizes `split`, or into `num_outputs` even ones."""


@split.vjp
def _(gs, ys, x, sizes, *, axis, num_outputs):
    return concat(*[zeros_like(y) if g is None else g for g, y in zip(gs, ys, strict=True)], axis=axis), None
