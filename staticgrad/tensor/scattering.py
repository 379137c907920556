"""PyTorch's functions that write at positions: a copy of the tensor with something else there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, UnsupportedOperatorError, shown
from staticgrad.graph import Value
from staticgrad.ops.indexing import reduced_at
from staticgrad.ops.kinds import shape_of
from staticgrad.ops.layout import size_of
from staticgrad.ops.registry import constant, literal, plain
from staticgrad.origin import source_line
from staticgrad.tensor.arithmetic import floor_divide
from staticgrad.tensor.creation import filled
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.gathering import positions_of_mask, refuse_nowhere
from staticgrad.tensor.shape import axis_of, reshape
from staticgrad.tensor.windows import at_least_rank_1
from staticgrad.types import DType, Shape, TensorType, dims_agree

_REDUCTIONS = {"sum": "add", "prod": "mul", "mean": "add", "amax": "max", "amin": "min"}
"""What ONNX calls the reductions of scatter_reduce."""


def operand(x: Any, like: Value) -> Value:
    """A tensor, or a number in the element type of `like`."""
    if isinstance(x, Value):
        return x
    number = plain(x)
    if isinstance(number, (int, float)):
        return constant(filled(number, like.type.dtype).reshape(()))
    return literal(number, like.type.dtype)


@function
def scatter(
    input: Value, dim: int, index: Value, src: Any = None, *, value: float | None = None, reduce: str | None = None
) -> Value:
    """`input` with `src` (a tensor or number) or `value` written at the positions `index` of `dim`.

    `reduce` "add" or "multiply" takes it together with what is there. Of several elements written to one position only
    the one that stays gets a derivative; onnxruntime's CPU keeps the last.
    """
    if (src is None) == (value is None):
        raise DeclarationError(f"scatter takes either src or value ({source_line()})")
    if reduce not in (None, "add", "multiply"):
        raise DeclarationError(f"reduce={shown(reduce)} is not one of None, 'add', 'multiply' ({source_line()})")
    source = operand(value if src is None else src, input)
    if not source.type.shape and index.type.shape:
        source = ops.expand(source, shape_of(index))
    return _scattered(input, dim, index, source, {None: "none", "add": "add", "multiply": "mul"}[reduce])


@function
def scatter_add(input: Value, dim: int, index: Value, src: Value) -> Value:
    """`input` with `src` added at the positions `index` of `dim`; of a larger `src` the part that `index` names."""
    return _scattered(input, dim, index, src, "add")


def _scattered(input: Value, dim: int, index: Value, src: Value, reduction: str) -> Value:
    axis = axis_of(input, dim)
    if 0 in index.type.shape:
        return input
    ranked, index, src = (at_least_rank_1(v) for v in (input, index, src))
    refuse_nowhere(ranked, axis, index)
    src = _part(src, index)
    written = reduced_at(ops.scatter_elements, ranked, index, src, reduction, axis=axis)
    return written if input.type.shape else ops.reshape(written, [])


def _part(src: Value, index: Value) -> Value:
    """The part of `src` that an index names."""
    shape, wanted = src.type.shape, index.type.shape
    if shape == wanted or len(shape) != len(wanted):
        return src
    differ = [i for i, (d, n) in enumerate(zip(shape, wanted, strict=True)) if d != n]
    sizes = [(shape[i], wanted[i]) for i in differ]
    if all(isinstance(d, int) and isinstance(n, int) for d, n in sizes):
        if any(int(n) > int(d) for d, n in sizes):
            raise ShapeError(f"an index {index.type} names more than {src.type} has ({source_line()})")
        return ops.slice_(src, [0] * len(differ), [int(n) for _, n in sizes], differ)
    rank = len(shape)
    starts, axes = (constant(np.array(v, np.int64)) for v in ([0] * rank, range(rank)))
    steps = constant(np.ones(rank, np.int64))
    node = ops.slice_.apply((src, starts, shape_of(index), axes, steps), {}, (TensorType(src.type.dtype, wanted),))
    return node.outputs[0]


@function
def scatter_reduce(
    input: Value, dim: int, index: Value, src: Value, reduce: str, *, include_self: bool = True
) -> Value:
    """`input` with the "sum", "prod", "mean", "amax" or "amin" of the `src` that `index` sends to a position of `dim`.

    What stood there counts with `include_self`. Extremes that are equal share the derivative evenly; without
    `include_self` what stood there has no part in it, where PyTorch counts it if it is equal by chance.
    """
    if reduce not in _REDUCTIONS:
        raise DeclarationError(f"reduce={shown(reduce)} is not one of {', '.join(_REDUCTIONS)} ({source_line()})")
    start = input
    if not include_self:
        start = scatter(input, dim, index, value=_neutral(reduce, input.type.dtype))
    total = _scattered(start, dim, index, src, _REDUCTIONS[reduce])
    if reduce != "mean":
        return total
    dtype = input.type.dtype
    one = constant(np.ones((), dtype.numpy))
    counts = ops.expand(one, shape_of(input))
    if not include_self:
        counts = scatter(counts, dim, index, value=0)
    counts = _scattered(counts, dim, index, ops.expand(one, shape_of(index)), "add")
    # Where nothing came, what stood there counts once.
    counts = ops.max(counts, one)
    return total / counts if dtype.is_float else floor_divide(total, counts)


def _neutral(reduce: str, dtype: DType) -> float:
    """What changes nothing in a reduction."""
    if reduce in ("sum", "mean", "prod"):
        return 1 if reduce == "prod" else 0
    if dtype.is_float:
        return -np.inf if reduce == "amax" else np.inf
    if dtype is DType.bool:
        raise DTypeError(f"numbers are expected, bool came ({source_line()})")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if reduce == "amax" else limits.max)


def _rows_written(input: Value, dim: int, index: Value, source: Value, reduction: str) -> Value:
    """`input` with the slices of `source` written at the positions of a vector along `dim`."""
    axis = axis_of(input, dim)
    ranked, index = at_least_rank_1(input), at_least_rank_1(index)
    if len(index.type.shape) != 1:
        raise ShapeError(f"the index is a vector, {index.type} came ({source_line()})")
    refuse_nowhere(ranked, axis, index)
    if not source.type.shape:
        source = ops.reshape(source, [1] * len(ranked.type.shape))
    rank = len(ranked.type.shape)
    order = (axis, *(i for i in range(rank) if i != axis))
    back = tuple(int(i) for i in np.argsort(order))
    positions = ops.unsqueeze(ops.cast(index, to=DType.int64), [1])
    turned = [ops.transpose(v, perm=order) if axis else v for v in (ranked, source)]
    written = reduced_at(ops.scatter_nd, turned[0], positions, turned[1], reduction)
    written = ops.transpose(written, perm=back) if axis else written
    return written if input.type.shape else ops.reshape(written, [])


@function
def index_add(input: Value, dim: int, index: Value, source: Value, *, alpha: float = 1) -> Value:
    """`input` with `alpha` times the slices of `source` added at the positions of a vector along `dim`."""
    return _rows_written(input, dim, index, source if alpha == 1 else source * alpha, "add")


@function
def index_copy(input: Value, dim: int, index: Value, source: Value) -> Value:
    """`input` with the slices of `source` in place of those at the positions of a vector along `dim`."""
    return _rows_written(input, dim, index, source, "none")


@function
def index_reduce(
    input: Value, dim: int, index: Value, source: Value, reduce: str, *, include_self: bool = True
) -> Value:
    """`scatter_reduce` of whole slices: `source` to the positions of a vector along `dim`."""
    axis = axis_of(input, dim)
    index = at_least_rank_1(index)
    if len(index.type.shape) != 1:
        raise ShapeError(f"the index is a vector, {index.type} came ({source_line()})")
    if not input.type.shape:
        return scatter_reduce(input, 0, index, at_least_rank_1(source), reduce, include_self=include_self)
    spread = reshape(index, *([1] * axis), -1, *([1] * (len(input.type.shape) - axis - 1)))
    return scatter_reduce(input, axis, ops.expand(spread, shape_of(source)), source, reduce, include_self=include_self)


@function
def index_fill(input: Value, dim: int, index: Value, value: Any) -> Value:
    """`input` with `value`, a number or tensor of rank 0, at the positions of a vector along `dim`."""
    axis = axis_of(input, dim)
    ranked, index = at_least_rank_1(input), at_least_rank_1(index)
    if len(index.type.shape) != 1:
        raise ShapeError(f"the index is a vector, {index.type} came ({source_line()})")
    refuse_nowhere(ranked, axis, index)
    filling = operand(value, input)
    if filling.type.shape:
        raise ShapeError(f"index_fill takes one number, {filling.type} came ({source_line()})")
    nowhere = ops.constant_of_shape(ops.reshape(size_of(ranked, axis), [1]), value=np.zeros(1, bool))
    there = ops.expand(constant(np.array(True)), shape_of(index))
    mask = ops.scatter_nd(nowhere, ops.unsqueeze(ops.cast(index, to=DType.int64), [1]), there)
    behind = len(ranked.type.shape) - axis - 1
    if behind:
        mask = ops.unsqueeze(mask, list(range(1, behind + 1)))
    filled = ops.where(mask, ops.cast(filling, to=input.type.dtype), ranked)
    return filled if input.type.shape else ops.reshape(filled, [])


@function
def index_put(input: Value, indices: Sequence[Any], values: Value, accumulate: bool = False) -> Value:
    """`input` with `values` in place of what `input[indices]` reads, or added to it.

    `indices` is a tuple of integer or boolean tensors for the leading dimensions.
    """
    if not isinstance(indices, (tuple, list)) or not indices or any(i is None for i in indices):
        raise UnsupportedOperatorError(
            f"index_put takes a tuple of tensors for the leading dimensions, {shown(indices)} came ({source_line()})"
        )
    arrays: list[Value] = []
    for item in indices:
        index = item if isinstance(item, Value) else literal(item)
        arrays += positions_of_mask(index, input, len(arrays)) if index.type.dtype is DType.bool else [index]
    if len(arrays) > len(input.type.shape):
        raise ShapeError(f"{len(arrays)} indices for a tensor of rank {len(input.type.shape)} ({source_line()})")
    for axis, array in enumerate(arrays):
        refuse_nowhere(input, axis, array)
    stacked = stacked_positions(arrays)
    rest = input.type.shape[len(arrays) :]
    wanted = (*stacked.type.shape[:-1], *rest)
    if values.type.shape != wanted:
        _check_written(values, wanted)
        lead = ops.shape(stacked, start=0, end=len(stacked.type.shape) - 1)
        parts = [p for p in (lead, ops.shape(input, start=len(arrays))) if p.type.shape != (0,)]
        target = ops.concat(*parts, axis=0) if parts else constant(np.zeros(0, np.int64))
        values = ops.expand.apply((values, target), {}, (TensorType(values.type.dtype, wanted),)).outputs[0]
    return reduced_at(ops.scatter_nd, input, stacked, values, "add" if accumulate else "none")


def _check_written(values: Value, wanted: Shape) -> None:
    """That values broadcast to the shape of what they replace."""
    came = values.type.shape
    pairs = zip(came, wanted[len(wanted) - len(came) :], strict=True) if len(came) <= len(wanted) else [(0, 1)]
    if any(a != 1 and not dims_agree(a, b) for a, b in pairs):
        raise ShapeError(f"{values.type} does not fit where it is to be written, {list(wanted)} ({source_line()})")


@function
def masked_scatter(input: Value, mask: Value, source: Value) -> Value:
    """`input` with the elements of `source`, in their order, where `mask` holds."""
    if mask.type.dtype is not DType.bool:
        raise DTypeError(f"a mask is bool, {mask.type} came ({source_line()})")
    if input.type.shape != mask.type.shape:
        input, mask = ops.expand(input, shape_of(mask)), ops.expand(mask, shape_of(input))
    if 0 in source.type.shape:
        return input
    count = ops.cumsum(ops.cast(ops.reshape(mask, [-1]), to=DType.int64), 0)
    picked = ops.gather(ops.reshape(source, [-1]), ops.max(count - 1, 0), axis=0)
    return ops.where(mask, ops.reshape(picked, shape_of(input), allowzero=True), input)


def stacked_positions(arrays: Sequence[Value]) -> Value:
    """Index arrays broadcast against each other, side by side in a last dimension."""
    whole = [a if a.type.dtype is DType.int64 else ops.cast(a, to=DType.int64) for a in arrays]
    if any(a.type.shape != whole[0].type.shape for a in whole):
        zero = whole[0] * 0
        for other in whole[1:]:
            zero = zero + other * 0
        whole = [a + zero for a in whole]
    columns = [ops.unsqueeze(a, [-1]) for a in whole]
    return columns[0] if len(columns) == 1 else ops.concat(*columns, axis=-1)
