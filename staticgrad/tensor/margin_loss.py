"""PyTorch's losses of margins; they are found in `staticgrad.nn.functional`."""

from __future__ import annotations

from collections.abc import Callable

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.layout import numbers_along
from staticgrad.origin import source_line
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.activation import log_one_plus_exp, logsigmoid
from staticgrad.tensor.arithmetic import clamp
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.distance import pairwise_distance
from staticgrad.tensor.loss import one_for_each_class, reduced, refuse_deprecated, same_shape
from staticgrad.types import DType


def _is(target: Value, label: int) -> Value:
    return ops.equal(target, label)


@function
def cosine_embedding_loss(
    input1: Value,
    input2: Value,
    target: Value,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`1 - cos` for vectors that belong together (target 1), `max(cos - margin, 0)` for those that do not (-1).

    Vectors (N, D) with a target (N), or (D) with ().
    """
    refuse_deprecated(size_average, reduce)
    axis = len(target.type.shape)
    if axis > 1 or len(input1.type.shape) != axis + 1 or len(input2.type.shape) != axis + 1:
        raise ShapeError(
            f"cosine_embedding_loss takes (N, D), (N, D) and (N), or (D), (D) and (), {input1.type}, {input2.type} and "
            f"{target.type} came ({source_line()})"
        )
    product, square1, square2 = (
        reductions.sum(a * b, axis) for a, b in ((input1, input2), (input1, input1), (input2, input2))
    )
    cosine = product / ops.sqrt((square1 + 1e-12) * (square2 + 1e-12))
    apart = clamp(cosine - margin, min=0)
    return reduced(
        ops.where(_is(target, 1), 1 - cosine, 0) + ops.where(_is(target, -1), apart, 0),
        reduction,
    )


@function
def hinge_embedding_loss(
    input: Value,
    target: Value,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`x` where the target is 1, `max(margin - x, 0)` where it is -1."""
    refuse_deprecated(size_average, reduce)
    apart = clamp(margin - input, min=0)
    # Any other target counts as both, as in PyTorch.
    return reduced(ops.where(_is(target, 1), 0, apart) + ops.where(_is(target, -1), 0, input), reduction)


@function
def margin_ranking_loss(
    input1: Value,
    input2: Value,
    target: Value,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`max(margin - target * (input1 - input2), 0)`: with target 1 the first ranks higher, with -1 the second."""
    refuse_deprecated(size_average, reduce)
    if len({len(x.type.shape) for x in (input1, input2, target)}) > 1:
        raise ShapeError(
            f"margin_ranking_loss takes three tensors of one rank, {input1.type}, {input2.type} and {target.type} "
            f"came ({source_line()})"
        )
    return reduced(clamp(margin - target * (input1 - input2), min=0), reduction)


@function
def soft_margin_loss(
    input: Value, target: Value, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Value:
    """`log(1 + exp(-target * input))`, without overflow."""
    refuse_deprecated(size_average, reduce)
    return reduced(log_one_plus_exp(ops.neg(target * input)), reduction)


def _rows(input: Value, name: str) -> Value:
    """`input` as (N, C)."""
    rank = len(input.type.shape)
    if rank > 2:
        raise ShapeError(f"{name} takes an input (N, C) or (C), input: {input.type} came ({source_line()})")
    return ops.unsqueeze(input, list(range(2 - rank))) if rank < 2 else input


def _classes(target: Value, name: str) -> None:
    if target.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"{name} takes classes as int64, target: {target.type} came; cast it ({source_line()})")


@function
def multi_margin_loss(
    input: Value,
    target: Value,
    p: int = 1,
    margin: float = 1.0,
    weight: Value | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """The mean over all classes i of `weight_t * max(0, margin - x_t + x_i) ** p`, without that of the target t.

    Inputs (N, C) with a target (N), or (C) with (). A class out of range stops the run.
    """
    refuse_deprecated(size_average, reduce)
    _classes(target, "multi_margin_loss")
    if p not in (1, 2):
        raise DeclarationError(f"multi_margin_loss takes p=1 or p=2, {shown(p)} came ({source_line()})")
    rows = _rows(input, "multi_margin_loss")
    one_for_each_class(weight, rows, 1)
    chosen = ops.cast(ops.reshape(target, [-1, 1]), to=DType.int64)
    short = ops.relu(margin - ops.gather_elements(rows, chosen, axis=1) + rows)
    each = short if p == 1 else short * short
    if weight is not None:
        each = each * ops.gather(weight, chosen)
    loss = ops.reduce_mean(ops.where(ops.equal(numbers_along(rows, 1), chosen), 0, each), [1], keepdims=False)
    return reduced(loss if target.type.shape else ops.reshape(loss, []), reduction)


@function
def multilabel_margin_loss(
    input: Value, target: Value, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Value:
    """The sum over targets t and other classes i of `max(0, 1 - x_t + x_i)`, over the number of classes.

    A row of `target`, of the shape of the input, lists its classes up to the first -1.
    """
    refuse_deprecated(size_average, reduce)
    _classes(target, "multilabel_margin_loss")
    same_shape(input, target, "multilabel_margin_loss")
    rows, listed = (_rows(x, "multilabel_margin_loss") for x in (input, target))
    ended = ops.cumsum(ops.cast(ops.less(listed, 0), to=DType.int32), 1)
    valid = ops.equal(ended, 0)
    chosen = ops.where(valid, ops.cast(listed, to=DType.int64), 0)
    hit = ops.logical_and(ops.equal(ops.unsqueeze(chosen, [2]), numbers_along(rows, 1)), ops.unsqueeze(valid, [2]))
    other = ops.logical_not(reductions.any(hit, 1, keepdim=True))
    counts = ops.logical_and(ops.unsqueeze(valid, [2]), other)
    found = ops.gather_elements(rows, chosen, axis=1)
    short = ops.relu(1 - ops.unsqueeze(found, [2]) + ops.unsqueeze(rows, [1]))
    loss = reductions.sum(ops.reduce_mean(ops.where(counts, short, 0), [2], keepdims=False), 1)
    return reduced(loss if len(input.type.shape) > 1 else ops.reshape(loss, []), reduction)


@function
def multilabel_soft_margin_loss(
    input: Value,
    target: Value,
    weight: Value | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """The binary cross entropy of every class with `sigmoid(input)`, averaged over the classes (the last dimension)."""
    refuse_deprecated(size_average, reduce)
    loss = ops.neg(target * logsigmoid(input) + (1 - target) * logsigmoid(ops.neg(input)))
    return reduced(reductions.mean(loss if weight is None else loss * weight, -1), reduction)


@function
def triplet_margin_loss(
    anchor: Value,
    positive: Value,
    negative: Value,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`max(|a - p| - |a - n| + margin, 0)` for the p-norm over the last dimension (Balntas et al. 2016).

    `eps` is added to every difference; with `swap` the distance of positive and negative counts if it is smaller.
    """
    refuse_deprecated(size_average, reduce)

    def distance(a: Value, b: Value) -> Value:
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


@function
def triplet_margin_with_distance_loss(
    anchor: Value,
    positive: Value,
    negative: Value,
    *,
    distance_function: Callable[[Value, Value], Value] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Value:
    """`triplet_margin_loss` with any distance; without one, the Euclidean over the last dimension."""

    def distance(a: Value, b: Value) -> Value:
        return pairwise_distance(a, b)

    return _triplet(anchor, positive, negative, distance_function or distance, margin, swap, reduction)


def _triplet(
    anchor: Value,
    positive: Value,
    negative: Value,
    distance: Callable[[Value, Value], Value],
    margin: float,
    swap: bool,
    reduction: str,
) -> Value:
    if not margin > 0:
        raise DeclarationError(f"a triplet needs a margin above 0, {shown(margin)} came ({source_line()})")
    if len({len(x.type.shape) for x in (anchor, positive, negative)}) > 1:
        raise ShapeError(
            f"a triplet has three tensors of one rank, {anchor.type}, {positive.type} and {negative.type} came "
            f"({source_line()})"
        )
    apart = distance(anchor, negative)
    if swap:
        apart = ops.min(apart, distance(positive, negative))
    return reduced(clamp(distance(anchor, positive) - apart + margin, min=0), reduction)
