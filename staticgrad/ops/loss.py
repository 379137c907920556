"""Losses over classes."""

from __future__ import annotations

from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import cast
from staticgrad.ops.indexing import gather, gather_elements
from staticgrad.ops.kinds import common_dtype, divided_by_ratio, floating, full_like, is_half, reshape_like
from staticgrad.ops.logic import equal, where
from staticgrad.ops.math import exp
from staticgrad.ops.normalization import along_channels
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import reshape, shape, unsqueeze
from staticgrad.types import DType, TensorType, dims_agree


def _reduced(x, labels, weights=None, *, ignore_index, reduction):
    """The type of the loss of scores (N, C, D1, ...) with labels (N, D1, ...) and weights (C)."""
    floating(x)
    common_dtype(x, weights)
    if labels.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"labels are int32 or int64, {labels.type.dtype} came; cast with x.to('int64')")
    own = x.type.shape
    require(len(own) > 1, "the scores are (N, C) or (N, C, D1, ...)")
    places = (own[0], *own[2:])
    require(
        len(labels.type.shape) == len(places) and all(map(dims_agree, labels.type.shape, places)),
        f"the labels of scores {x.type} have the same shape without the classes; {labels.type} came",
    )
    require(
        weights is None or (len(weights.type.shape) == 1 and dims_agree(weights.type.shape[0], own[1])),
        "the weights are one number for each class",
    )
    if reduction not in ("none", "sum", "mean"):
        raise DeclarationError(f"reduction={shown(reduction)} is not one of 'none', 'sum', 'mean'")
    return TensorType(x.type.dtype, labels.type.shape if reduction == "none" else ())


@onnx_op("NegativeLogLikelihoodLoss", type=_reduced)
def negative_log_likelihood_loss(
    x: Input, labels: Input, weights: Input | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Value:
    """`-weights[label] * x[label]` along the second axis of `x` (N, C, D1, ...), whose elements are log-probabilities.

    Labels equal to `ignore_index` count for nothing. The mean is that by the weights of what counts; where nothing
    does, it is NaN and its derivative 0.
    """


@negative_log_likelihood_loss.vjp
def _(g, y, x, labels, weights, **how):
    to_x, to_weights = _pulled_back(g, y, x, labels, weights, **how)
    return to_x, None, to_weights


def _with_log_prob(x, labels, weights=None, **how):
    return _reduced(x, labels, weights, **how), x.type


@onnx_op("SoftmaxCrossEntropyLoss", type=_with_log_prob)
def softmax_cross_entropy_loss(
    x: Input, labels: Input, weights: Input | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> tuple[Value, Value]:
    """`negative_log_likelihood_loss` of `log_softmax(x)` along the second axis, and these log-probabilities."""


@softmax_cross_entropy_loss.vjp
def _(gs, ys, x, labels, weights, **how):
    g, to_log_prob = gs
    y, log_prob = ys
    to_weights = None
    if g is not None:
        part, to_weights = _pulled_back(g, y, log_prob, labels, weights, **how)
        to_log_prob = part if to_log_prob is None else to_log_prob + part
    to_x = to_log_prob - exp(log_prob) * reduce_sum(to_log_prob, [1], keepdims=True)
    return to_x, None, to_weights


def _pulled_back(g, y, x, labels, weights, *, ignore_index, reduction):
    """The cotangents of the log-probabilities `x` and of the weights."""
    dtype = x.type.dtype
    counted = labels
    ignored = None
    if ignore_index is not None:
        ignored = equal(labels, ignore_index)
        # Any class will do where the number that is ignored is none.
        counted = where(ignored, 0, labels)
    weight = full_like(x, 1) if weights is None else gather(weights, counted)
    if ignored is not None:
        weight = where(ignored, 0, weight)
    total = None
    if reduction == "mean":
        if weights is None and ignored is None:
            g = divided_by_ratio(g, labels, y)
        else:
            # Sums and quotients of 16 bits in float32: there are more labels than they can count.
            wide = DType.float32 if is_half(dtype) else dtype
            total = reduce_sum(weight if wide is dtype else cast(weight, to=wide), keepdims=False)
            g = g / total if wide is dtype else cast(cast(g, to=wide) / total, to=dtype)
    to_picked = -(g * weight)
    if ignored is not None:
        # Where nothing counts the quotient is not finite.
        to_picked = where(ignored, 0, to_picked)
    classes = OPERATORS["Range"](0, reshape(shape(x, start=1, end=2), []), 1)
    hit = equal(unsqueeze(labels, [1]), along_channels(classes, len(x.type.shape)))
    to_x = where(hit, _beside(to_picked, x), 0)
    if weights is None:
        return to_x, None
    picked = reshape_like(gather_elements(x, unsqueeze(counted, [1]), axis=1), labels)
    to_weight = -(g * picked)
    if total is not None:
        to_weight = to_weight - g * y
    if ignored is not None:
        to_weight = where(ignored, 0, to_weight)
    rest = [0, *range(2, len(x.type.shape))]
    each = where(hit, _beside(to_weight, x), 0)
    if is_half(dtype):
        return to_x, cast(reduce_sum(cast(each, to=DType.float32), rest, keepdims=False), to=dtype)
    return to_x, reduce_sum(each, rest, keepdims=False)


def _beside(value, x):
    """A value for each label, so that it broadcasts along the classes of `x`."""
    return unsqueeze(value, [1]) if len(value.type.shape) == len(x.type.shape) - 1 else value
