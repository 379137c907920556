"""PyTorch's losses; they are found in `staticgrad.nn.functional`."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import is_half, ratio_of_sizes
from staticgrad.origin import source_line
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.activation import log_one_plus_exp
from staticgrad.tensor.dispatch import function
from staticgrad.types import DType, Shape, dims_agree


def reduced(loss: Value, reduction: str) -> Value:
    """`loss` as it is, its mean or its sum."""
    if reduction == "none":
        return loss
    if reduction == "mean":
        return reductions.mean(loss)
    if reduction == "sum":
        return reductions.sum(loss)
    raise DeclarationError(f"reduction={shown(reduction)} is not one of 'mean', 'sum', 'none' ({source_line()})")


def refuse_deprecated(size_average: object, reduce: object) -> None:
    """PyTorch's former ways to say what `reduction` says are refused."""
    for name, given in (("size_average", size_average), ("reduce", reduce)):
        if given is not None:
            raise DeclarationError(
                f"{name}={shown(given)} is deprecated in PyTorch and not supported; pass reduction='mean', 'sum' or "
                f"'none' ({source_line()})"
            )


def _agree(shape: Shape, other: Shape) -> bool:
    """Whether two shapes are equal as far as their sizes are known."""
    return len(shape) == len(other) and all(dims_agree(a, b) for a, b in zip(shape, other, strict=True))


def same_shape(input: Value, target: Value, name: str) -> None:
    """Refuse operands whose shapes are known to differ."""
    if not _agree(input.type.shape, target.type.shape):
        raise ShapeError(
            f"{name} compares tensors of one shape, input: {input.type} and target: {target.type} came; reshape or "
            f"expand one ({source_line()})"
        )


def one_for_each_class(weight: Value | None, input: Value, axis: int) -> None:
    """Refuse weights that are not a vector of as many numbers as `input` has classes."""
    if weight is not None and not _agree(weight.type.shape, (input.type.shape[axis],)):
        raise ShapeError(
            f"weights are one number for each class, input: {input.type} with classes along dimension {axis} and "
            f"weight: {weight.type} came ({source_line()})"
        )


def _weighted(loss: Value, weight: Value | None, reduction: str, name: str) -> Value:
    """A loss whose mean, with weights, is that of the weights."""
    if weight is None:
        return reduced(loss, reduction)
    same_shape(loss, weight, name)
    if reduction == "mean":
        return reductions.sum(loss * weight) / reductions.sum(weight)
    return reduced(loss * weight, reduction)


@function
def mse_loss(
    input: Value,
    target: Value,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Value | None = None,
) -> Value:
    """The squared differences, averaged (or summed, or as they are); with `weight` the mean is that of the weights."""
    refuse_deprecated(size_average, reduce)
    same_shape(input, target, "mse_loss")
    difference = input - target
    return _weighted(difference * difference, weight, reduction, "mse_loss")


@function
def l1_loss(
    input: Value,
    target: Value,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Value | None = None,
) -> Value:
    """The absolute differences, averaged (or summed, or as they are); with `weight` the mean is that of the weights."""
    refuse_deprecated(size_average, reduce)
    same_shape(input, target, "l1_loss")
    return _weighted(ops.abs(input - target), weight, reduction, "l1_loss")


@function
def smooth_l1_loss(
    input: Value,
    target: Value,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Value:
    """`d ** 2 / (2 beta)` for the distance `d = |input - target|` below beta, else `d - beta / 2`."""
    refuse_deprecated(size_average, reduce)
    if beta < 0:
        raise DeclarationError(f"smooth_l1_loss takes a beta of 0 or more, {shown(beta)} came ({source_line()})")
    same_shape(input, target, "smooth_l1_loss")
    if beta == 0:
        return reduced(ops.abs(input - target), reduction)
    return reduced(_rounded(input - target, float(beta)) / float(beta), reduction)


@function
def huber_loss(
    input: Value, target: Value, reduction: str = "mean", delta: float = 1.0, weight: Value | None = None
) -> Value:
    """`d ** 2 / 2` for the distance `d = |input - target|` below delta, else `delta * (d - delta / 2)` (Huber 1964)."""
    if delta <= 0:
        raise DeclarationError(f"huber_loss takes a delta above 0, {shown(delta)} came ({source_line()})")
    same_shape(input, target, "huber_loss")
    loss = _rounded(input - target, float(delta))
    if weight is not None:
        same_shape(input, weight, "huber_loss")
        loss = loss * weight
    return reduced(loss, reduction)


def _rounded(difference: Value, delta: float) -> Value:
    distance = ops.abs(difference)
    near = ops.less(distance, delta)
    # The square of a large difference would be infinite where it is not taken and spoil the derivative.
    small = ops.where(near, difference, 0)
    return ops.where(near, 0.5 * (small * small), delta * (distance - 0.5 * delta))


@function
def cross_entropy(
    input: Value,
    target: Value,
    weight: Value | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Value:
    """The negative log-likelihood of `target` under `softmax(input)` over dimension 1 (0 for rank 1).

    `target` holds class indices (int32 or int64, shape of `input` without the class dimension) or class probabilities
    (floating, shape of `input`). The mean is over the weights of the targets that are not `ignore_index`, and NaN where
    there are none, as in PyTorch. A negative index that is not `ignore_index` makes the loss and its gradient NaN.
    """
    refuse_deprecated(size_average, reduce)
    rank = len(input.type.shape)
    if rank == 0:
        raise ShapeError(f"cross_entropy needs a class dimension, input: {input.type} came ({source_line()})")
    axis = 1 if rank > 1 else 0
    one_for_each_class(weight, input, axis)
    log_probability = ops.log_softmax(input, axis=axis)
    if target.type.dtype.is_float:
        same_shape(input, target, "cross_entropy with probabilities")
        classes = ratio_of_sizes(input, reductions.sum(input, axis))
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / classes
        weighted = log_probability * target
        if weight is not None:
            weighted = weighted * _along(weight, axis, rank)
        return reduced(ops.neg(reductions.sum(weighted, axis)), reduction)
    return _class_loss(log_probability, target, weight, ignore_index, reduction, label_smoothing, axis)


@function
def nll_loss(
    input: Value,
    target: Value,
    weight: Value | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """The negative log-likelihood of class indices, where `input` holds log-probabilities over dimension 1."""
    refuse_deprecated(size_average, reduce)
    if not input.type.shape:
        raise ShapeError(f"nll_loss needs a class dimension, input: {input.type} came ({source_line()})")
    axis = 1 if len(input.type.shape) > 1 else 0
    one_for_each_class(weight, input, axis)
    return _class_loss(input, target, weight, ignore_index, reduction, 0.0, axis)


def _along(weight: Value, axis: int, rank: int) -> Value:
    return ops.unsqueeze(weight, [i for i in range(rank) if i != axis]) if rank > 1 else weight


def _class_loss(
    log_probability: Value,
    target: Value,
    weight: Value | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> Value:
    shape = log_probability.type.shape
    if target.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"class indices must be int32 or int64, target: {target.type} came ({source_line()})")
    expected = (*shape[:axis], *shape[axis + 1 :])
    if not _agree(target.type.shape, expected):
        raise ShapeError(
            f"class indices have the shape of the input without its classes, input: {log_probability.type} and target: "
            f"{target.type} came ({source_line()})"
        )
    valid = ops.logical_not(ops.equal(target, ignore_index))
    safe = ops.where(valid, target, 0)
    picked = ops.gather_elements(log_probability, ops.unsqueeze(safe, [axis]), axis=axis)
    each = ops.neg(ops.squeeze(picked, [axis]))
    # A negative index would count from the end, in silence; NaN is heard.
    counted = ops.where(ops.less(safe, 0), math.nan, ops.cast(valid, to=log_probability.type.dtype))
    scale = counted if weight is None else counted * ops.gather(weight, safe)
    each = ops.where(valid, each, 0) * scale
    if label_smoothing:
        weighted = log_probability if weight is None else log_probability * _along(weight, axis, len(shape))
        smooth = ops.where(valid, ops.neg(reductions.sum(weighted, axis)), 0)
        classes = ratio_of_sizes(log_probability, each)
        each = each * (1 - label_smoothing) + smooth * (label_smoothing / classes)
    if reduction != "mean":
        return reduced(each, reduction)
    dtype = each.type.dtype
    if is_half(dtype):
        # A sum of many ones has no room in 16 bits.
        each, scale = ops.cast(each, to=DType.float32), ops.cast(scale, to=DType.float32)
        return ops.cast(reductions.sum(each) / reductions.sum(scale), to=dtype)
    return reductions.sum(each) / reductions.sum(scale)


@function
def binary_cross_entropy_with_logits(
    input: Value,
    target: Value,
    weight: Value | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Value | None = None,
) -> Value:
    """The cross entropy of probabilities `target` and `sigmoid(input)`, without overflow at any logit.

    `(1 - t) x + softplus(-x)` for each element; `pos_weight` multiplies the part of the positive targets.
    """
    refuse_deprecated(size_average, reduce)
    same_shape(input, target, "binary_cross_entropy_with_logits")
    if not target.type.dtype.is_float:
        raise DTypeError(f"targets are probabilities, target: {target.type} came; cast with .float() ({source_line()})")
    tail = log_one_plus_exp(ops.neg(input))
    if pos_weight is not None:
        tail = tail * (1 + (pos_weight - 1) * target)
    each = (1 - target) * input + tail
    return reduced(each if weight is None else each * weight, reduction)
