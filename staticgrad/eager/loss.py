"""Losses, and the layer `linear`.

`reduction` is "mean", "sum" or "none" (a loss for every element).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.activation import logsigmoid
from staticgrad.eager.arithmetic import add, div, mul, neg, sub, where
from staticgrad.eager.cast import promote
from staticgrad.eager.dtypes import Array, is_float, quiet
from staticgrad.eager.elementwise import exp
from staticgrad.eager.errors import EagerError
from staticgrad.eager.gather import gather
from staticgrad.eager.linalg import matmul
from staticgrad.eager.reduce import log_softmax, mean, sum
from staticgrad.eager.shape import reshape, squeeze, transpose, unsqueeze
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of a loss, or the loss as it is."""
    if reduction not in ("mean", "sum", "none"):
        raise EagerError(f"reduction {reduction!r}: expected 'mean', 'sum' or 'none'")
    return mean(loss) if reduction == "mean" else sum(loss) if reduction == "sum" else loss


def refuse_deprecated(size_average: object, reduce: object) -> None:
    """PyTorch's former arguments for `reduction` are not supported."""
    if size_average is not None or reduce is not None:
        raise EagerError(f"size_average={size_average!r}, reduce={reduce!r}: expected None, use reduction instead")


def _difference(input: Tensor, target: Tensor, value: str, beta: float = 1.0) -> Tensor:
    """A loss of d = input - target: d^2, |d|, or the quadratic piece up to beta and the linear one beyond."""
    tx, tt = promote(input, target)
    d = tx.wide - tt.wide
    if value == "square":
        y, slope = d * d, 2 * d
    elif value == "abs" or (value == "smooth" and beta == 0):
        y, slope = np.abs(d), np.sign(d)
    else:  # Huber's; the smooth l1 loss is the same over beta
        near = np.abs(d) < beta
        y = np.where(near, d * d / 2, beta * (np.abs(d) - beta / 2))
        slope = np.where(near, d, beta * np.sign(d))
        if value == "smooth":
            y, slope = y / beta, slope / beta
    return result(y, (tx, lambda g: g * slope), (tt, lambda g: -g * slope))


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    if weight.shape != loss.shape:
        raise EagerError(f"a loss of shape {list(loss.shape)} with a weight of {list(weight.shape)}: expected equal")
    weighted = mul(loss, weight)
    return div(sum(weighted), sum(weight)) if reduction == "mean" else reduced(weighted, reduction)


@quiet
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference, (x - t)^2; with weights w the mean is sum(w (x - t)^2) / sum(w)."""
    refuse_deprecated(size_average, reduce)
    return _weighted(_difference(input, target, "square"), weight, reduction)


@quiet
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference, |x - t|; the gradient is 0 where both are equal. Weights are those of `mse_loss`."""
    refuse_deprecated(size_average, reduce)
    return _weighted(_difference(input, target, "abs"), weight, reduction)


@quiet
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) for |d| < beta, else |d| - beta/2, with d = x - t; beta 0 is the l1 loss."""
    refuse_deprecated(size_average, reduce)
    if beta < 0:
        raise EagerError(f"smooth_l1_loss with beta {beta}: expected at least 0")
    return reduced(_difference(input, target, "smooth", beta), reduction)


@quiet
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 for |d| < delta, else delta (|d| - delta/2), with d = x - t."""
    if delta <= 0:
        raise EagerError(f"huber_loss with delta {delta}: expected more than 0")
    loss = _difference(input, target, "huber", delta)
    return reduced(loss if weight is None else mul(loss, weight), reduction)


def _class_dim(name: str, input: Tensor) -> int:
    if not input.ndim:
        raise EagerError(f"{name} of a 0-dim tensor: expected shape (C), (N, C) or (N, C, d1, ...)")
    return 0 if input.ndim == 1 else 1


def _picked(
    name: str, logp: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Array]:
    """For every target the log probability of its class, the weight of its class (0 if ignored), and which count."""
    dim = _class_dim(name, logp)
    classes = logp.shape[dim]
    if target.shape != logp.shape[:dim] + logp.shape[dim + 1 :] or target.dtype.kind not in "iu":
        raise EagerError(
            f"{name} with a target of {target.dtype} {list(target.shape)} for an input of shape {list(logp.shape)}: "
            f"expected integers of shape {list(logp.shape[:dim] + logp.shape[dim + 1 :])}"
        )
    counts = target.array != ignore_index
    index = np.where(counts, target.array, 0).astype(np.int64)
    if index.size and not (index.min() >= 0 and index.max() < classes):
        raise EagerError(f"{name} with a target out of range: expected 0 to {classes - 1}, or {ignore_index} to ignore")
    kind = type(logp)
    picked = squeeze(gather(logp, dim, unsqueeze(kind(index), dim)), dim)
    w = _class_weight(name, logp, weight)
    return picked, kind(np.where(counts, w.array[index], 0).astype(w.array.dtype)), counts


def _class_weight(name: str, logp: Tensor, weight: Tensor | None) -> Tensor:
    """The weight of every class, constant, 1 if none is given."""
    classes = logp.shape[_class_dim(name, logp)]
    if weight is None:
        return type(logp)(np.ones(classes, logp.dtype))
    if weight.shape != (classes,):
        raise EagerError(
            f"{name} with a weight of shape {list(weight.shape)}: expected [{classes}], one for each class"
        )
    if weight.requires_grad:
        raise EagerError(f"{name} has no gradient to the class weights: detach() them")
    return type(logp)(weight.array.astype(logp.dtype))


@quiet
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w_t x_t for log probabilities x (N, C, d1, ...) and classes t (N, d1, ...); the mean is over the weights.

    A target equal to `ignore_index` counts neither above nor below the fraction line; if all do, the mean is nan.
    """
    refuse_deprecated(size_average, reduce)
    picked, w, counts = _picked("nll_loss", input, target, weight, ignore_index)
    loss = where(type(input)(counts), neg(mul(picked, w)), 0.0)
    return div(sum(loss), sum(w)) if reduction == "mean" else reduced(loss, reduction)


@quiet
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-w_t ln softmax(x)_t for logits x (N, C, d1, ...) and classes t, or -sum_c w_c p_c ln softmax(x)_c.

    The target is integers (N, d1, ...), or floating probabilities of the shape of the input; then the mean is over
    N d1 ... and not over the weights. `label_smoothing` s mixes: (1 - s) of the target and s/C for every class.
    """
    refuse_deprecated(size_average, reduce)
    dim = _class_dim("cross_entropy", input)
    if not 0 <= label_smoothing <= 1:
        raise EagerError(f"cross_entropy with label_smoothing {label_smoothing}: expected 0 to 1")
    logp, classes = log_softmax(input, dim), input.shape[dim]
    if is_float(target.dtype):
        if target.shape != input.shape:
            raise EagerError(
                f"cross_entropy with probabilities of shape {list(target.shape)} for {list(input.shape)}: expected "
                "equal shapes"
            )
        p = add(mul(target, 1 - label_smoothing), label_smoothing / classes) if label_smoothing else target
        loss = neg(sum(mul(mul(logp, p), _along_classes(input, weight, dim)), dim))
        n = math.prod(input.shape) // max(classes, 1)
        return div(sum(loss), float(n)) if reduction == "mean" else reduced(loss, reduction)
    hard = nll_loss(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return hard
    _, w, counts = _picked("cross_entropy", logp, target, weight, ignore_index)
    every = where(type(input)(counts), neg(sum(mul(logp, _along_classes(input, weight, dim)), dim)), 0.0)
    smooth = div(sum(every), sum(w)) if reduction == "mean" else reduced(every, reduction)
    return add(mul(hard, 1 - label_smoothing), mul(smooth, label_smoothing / classes))


def _along_classes(input: Tensor, weight: Tensor | None, dim: int) -> Tensor:
    """The class weights, shaped to multiply the input."""
    w = _class_weight("cross_entropy", input, weight)
    return reshape(w, (-1,) + (1,) * (input.ndim - dim - 1))


def _same_shape(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise EagerError(f"{name} with a target of shape {list(target.shape)} for {list(input.shape)}: expected equal")


@quiet
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-t ln x - (1 - t) ln(1 - x) for probabilities x; logarithms are cut off at -100, as in PyTorch.

    For logits use `binary_cross_entropy_with_logits`, which is exact where this one saturates.
    """
    refuse_deprecated(size_average, reduce)
    _same_shape("binary_cross_entropy", input, target)
    tx, tt = promote(input, target)
    x, t = tx.wide, tt.wide
    if not np.all((x >= 0) & (x <= 1)):
        raise EagerError("binary_cross_entropy of values outside 0 to 1: expected probabilities")
    yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    slope = (x - t) / np.maximum(x * (1 - x), 1e-12)
    loss = result(-t * yes - (1 - t) * no, (tx, lambda g: g * slope), (tt, lambda g: g * (no - yes)))
    return reduced(loss if weight is None else mul(loss, weight), reduction)


@quiet
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """t pos_weight ln(1 + e^-x) + (1 - t) ln(1 + e^x), times weight; exact for large logits of either sign."""
    refuse_deprecated(size_average, reduce)
    _same_shape("binary_cross_entropy_with_logits", input, target)
    yes = mul(target, neg(logsigmoid(input)))
    if pos_weight is not None:
        yes = mul(yes, pos_weight)
    loss = add(yes, mul(sub(1, target), neg(logsigmoid(neg(input)))))
    return reduced(loss if weight is None else mul(loss, weight), reduction)


@quiet
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (ln t - x) for log probabilities x and probabilities t (0 where t is 0); `log_target`: t is given as ln t.

    "batchmean" divides the sum by the first size, which is the divergence; "mean" divides by the number of elements.
    """
    refuse_deprecated(size_average, reduce)
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        tx, tt = promote(input, target)
        x, t = tx.wide, tt.wide
        log_t = np.log(np.where(t > 0, t, 1))
        y = np.where(t > 0, t * (log_t - x), np.where(t == 0, -t * x, np.nan))
        loss = result(y, (tx, lambda g: -g * t), (tt, lambda g: g * (np.log(t) + 1 - x)))
    if reduction == "batchmean":
        return div(sum(loss), float(input.shape[0])) if input.ndim else sum(loss)
    return reduced(loss, reduction)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x w^T + b, with a weight of shape (out, in) or (in)."""
    y = matmul(input, transpose(weight, 0, 1) if weight.ndim == 2 else weight)
    return y if bias is None else add(y, bias)
