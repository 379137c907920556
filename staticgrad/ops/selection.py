"""Which elements stay, in what order, or are written over: by conditions, lengths and lists that the run knows."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value, constant_of
from staticgrad.ops.arithmetic import mod
from staticgrad.ops.creation import nonzero, range_
from staticgrad.ops.indexing import gather, gather_elements
from staticgrad.ops.kinds import common_dtype, normal_axis, reshape_like, shape_of, zeros_like
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import expand, reshape, shape, unsqueeze
from staticgrad.types import DType, TensorType, count_elements, dims_agree, unknown


def _flat(x):
    return x if len(x.type.shape) == 1 else reshape(x, [-1])


def _compressed(x, condition, *, axis):
    if condition.type.dtype is not DType.bool:
        raise DTypeError(f"the condition must be bool, {condition.type.dtype} came; compare first, as in x != 0")
    require(len(condition.type.shape) == 1, "the condition is a list")
    require(bool(x.type.shape), "a tensor of rank 1 or more is expected")
    held = constant_of(condition)
    count = unknown() if held is None else int(np.count_nonzero(held))
    if axis is None:
        return TensorType(x.type.dtype, (count,))
    axis = normal_axis(axis, len(x.type.shape))
    return TensorType(x.type.dtype, (*x.type.shape[:axis], count, *x.type.shape[axis + 1 :]))


@onnx_op("Compress", type=_compressed)
def compress(x: Input, condition: Input, *, axis: int | None = None) -> Value:
    """The slices of `x` along `axis` (the elements of all of `x` without it) at which the condition holds.

    The condition may be shorter than the axis: what is behind it does not stay.
    """


@compress.as_body
def _(x, condition, *, axis):
    kept = reshape(nonzero(condition), [-1])
    return gather(_flat(x), kept, axis=0) if axis is None else gather(x, kept, axis=axis)


def _unique(x, *, axis, sorted):
    count = unknown()
    shape = x.type.shape
    if axis is None:
        values, length = (count,), count_elements(shape)
    else:
        axis = normal_axis(axis, len(shape))
        values, length = (*shape[:axis], count, *shape[axis + 1 :]), shape[axis]
    places = TensorType(DType.int64, (count,))
    return TensorType(x.type.dtype, values), places, TensorType(DType.int64, (length,)), places


@onnx_op("Unique", type=_unique)
def unique(x: Input, *, axis: int | None = None, sorted: bool = True) -> tuple[Value, Value, Value, Value]:
    """The different elements of `x` (slices along `axis`), where each stands first, which one each is, and how often.

    The derivative goes to the elements that stand first.
    """


@unique.vjp
def _(gs, ys, x, *, axis, sorted):
    rule, first = gather.rule, ys[1]
    assert rule is not None
    if axis is None:
        flat = _flat(x)
        return reshape_like(rule(gs[0], ys[0], flat, first, axis=0)[0], x)
    return rule(gs[0], ys[0], x, first, axis=axis)[0]


def _reversed(x, lengths, *, batch_axis, time_axis):
    require(len(x.type.shape) > 1, "a tensor of rank 2 or more is expected")
    require({batch_axis, time_axis} == {0, 1}, "batch_axis and time_axis are 0 and 1, or 1 and 0")
    if lengths.type.dtype is not DType.int64:
        raise DTypeError(f"lengths are int64, {lengths.type.dtype} came; cast with x.to('int64')")
    own = lengths.type.shape
    require(len(own) == 1 and dims_agree(own[0], x.type.shape[batch_axis]), "one length for each sequence is expected")
    return x.type


@onnx_op("ReverseSequence", type=_reversed)
def reverse_sequence(x: Input, lengths: Input, *, batch_axis: int = 1, time_axis: int = 0) -> Value:
    """`x` with the first `lengths[i]` elements of each sequence along `time_axis` in reversed order."""


@reverse_sequence.vjp
def _(g, y, x, lengths, *, batch_axis, time_axis):
    return reverse_sequence(g, lengths, batch_axis=batch_axis, time_axis=time_axis), None


def _written(cache, update, starts=None, *, axis, mode):
    common_dtype(cache, update)
    rank = len(cache.type.shape)
    axis = normal_axis(axis, rank)
    require(axis > 0, "the sequences cannot lie along the batch axis")
    require(len(update.type.shape) == rank, "the update must have the rank of the cache")
    for i, (n, d) in enumerate(zip(update.type.shape, cache.type.shape, strict=True)):
        fits = dims_agree(n, d) or (i == axis and (not isinstance(n, int) or not isinstance(d, int) or n <= d))
        require(fits, f"the update has size {n} on axis {i} where the cache has {d}")
    require(
        starts is None or (len(starts.type.shape) == 1 and dims_agree(starts.type.shape[0], cache.type.shape[0])),
        "write_indices are one number for each of the batch",
    )
    if mode not in ("linear", "circular"):
        raise DeclarationError(f"mode={shown(mode)} is neither 'linear' nor 'circular'")
    return cache.type


@onnx_op("TensorScatter", type=_written)
def tensor_scatter(
    cache: Input, update: Input, write_indices: Input | None = None, *, axis: int = -2, mode: str = "linear"
) -> Value:
    """`cache` with the sequences `update` written over it along `axis`, each from its write index (0 without) on.

    With mode="circular" what does not fit goes on at the beginning.
    """


@tensor_scatter.vjp
def _(g, y, cache, update, starts, *, axis, mode):
    to_cache = tensor_scatter(g, zeros_like(update), starts, axis=axis, mode=mode)
    rank = len(update.type.shape)
    axis = normal_axis(axis, rank)

    def length(value: Value) -> Value:
        return reshape(shape(value, start=axis, end=axis + 1), [])

    places = range_(0, length(update), 1)
    if axis < rank - 1:
        places = unsqueeze(places, list(range(1, rank - axis)))
    if starts is not None:
        places = places + unsqueeze(starts, list(range(1, rank)))
    if mode == "circular":
        places = mod(places, length(cache))
    everywhere = TensorType(DType.int64, update.type.shape)
    places = expand.apply((places, shape_of(update)), {}, (everywhere,)).outputs[0]
    return to_cache, gather_elements(g, places, axis=axis), None


def _suppressed(boxes, scores, count=None, overlap=None, least=None, *, center_point_box):
    require(len(boxes.type.shape) == 3 and dims_agree(boxes.type.shape[2], 4), "boxes are (batch, boxes, 4)")
    require(len(scores.type.shape) == 3, "scores are (batch, classes, boxes)")
    pairs = ((boxes.type.shape[0], scores.type.shape[0]), (boxes.type.shape[1], scores.type.shape[2]))
    require(all(dims_agree(a, b) for a, b in pairs), "boxes and scores must be of the same batch and number")
    for given in (count, overlap, least):
        require(given is None or given.type.shape in ((), (1,)), "bounds are one number each")
    return TensorType(DType.int64, (unknown(), 3))


@onnx_op("NonMaxSuppression", type=_suppressed, differentiable=False)
def non_max_suppression(
    boxes: Input,
    scores: Input,
    max_output_boxes_per_class: Input | None = None,
    iou_threshold: Input | None = None,
    score_threshold: Input | None = None,
    *,
    center_point_box: bool = False,
) -> Value:
    """The (batch, class, box) of boxes that overlap no better one of their class by more than the threshold."""
