"""PyTorch's losses between distributions; they are found in `staticgrad.nn.functional`."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import ShapeError
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative
from staticgrad.ops.registry import literal
from staticgrad.origin import source_line
from staticgrad.tensor import reduction as reductions
from staticgrad.tensor.arithmetic import clamp
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import log1p
from staticgrad.tensor.loss import reduced, refuse_deprecated, same_shape
from staticgrad.types import dims_agree


@function
def binary_cross_entropy(
    input: Value,
    target: Value,
    weight: Value | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`-t log(x) - (1 - t) log(1 - x)` for probabilities x; logarithms are cut off at -100, as in PyTorch.

    For logits, `binary_cross_entropy_with_logits` is exact where this one saturates.
    """
    refuse_deprecated(size_average, reduce)
    same_shape(input, target, "binary_cross_entropy")
    yes, no = (ops.max(part, -100) for part in (ops.log(input), log1p(ops.neg(input))))

    def rule(g: Value, y: Value, x: Value, t: Value) -> tuple[Value, Value]:
        # As PyTorch has it: the logarithm is cut off, its slope is not.
        return g * ((x - t) / ops.max(x * (1 - x), 1e-12)), g * (no - yes)

    loss = with_derivative(ops.neg(target * yes + (1 - target) * no), [input, target], rule)
    return reduced(loss if weight is None else loss * weight, reduction)


@function
def kl_div(
    input: Value,
    target: Value,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Value:
    """`t (log t - x)` for log-probabilities x and probabilities t, or with `log_target` for t given as its logarithm.

    "batchmean" divides the sum by the first size, which is the divergence; "mean" by the number of elements.
    """
    refuse_deprecated(size_average, reduce)
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        zero = ops.equal(target, 0)
        entropy = ops.where(zero, 0, target * ops.log(ops.where(zero, 1, target)))
        # At t = 0 the value is 0, its slope by t infinite.
        entropy = with_derivative(entropy, [target], lambda g, y, t: g * (ops.log(t) + 1))
        loss = entropy - target * input
    if reduction == "batchmean":
        total = reductions.sum(loss)
        if not input.type.shape:
            return total
        size = input.type.shape[0]
        if isinstance(size, int):
            return total / size
        return total / ops.cast(ops.reshape(ops.shape(input, end=1), []), to=total.type.dtype)
    return reduced(loss, reduction)


@function
def gaussian_nll_loss(
    input: Value, target: Value, var: Value | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Value:
    """`(log(v) + (x - t) ** 2 / v) / 2` with the variance `v = max(var, eps)`; `full` adds `log(2 pi) / 2`.

    The variance has the shape of the input, or lacks the last dimension, or has size 1 in it or another one. The
    derivative by it is that of an unlimited variance, as in PyTorch.
    """
    if not isinstance(var, Value):
        var = literal(var, input.type.dtype)
    own, whole = var.type.shape, input.type.shape
    if own and own != whole:
        if len(own) == len(whole) - 1:
            var = ops.unsqueeze(var, [-1])
            own = (*own, 1)
        fits = len(own) == len(whole) and all(b == 1 or dims_agree(a, b) for a, b in zip(whole, own, strict=True))
        if not fits or sum(a != b and b == 1 for a, b in zip(whole, own, strict=True)) > 1:
            raise ShapeError(
                f"gaussian_nll_loss takes a variance for the input or for all of one dimension, input: {input.type} "
                f"and var: {var.type} came ({source_line()})"
            )
    var = with_derivative(clamp(var, min=eps), [var], lambda g, y, v: g)
    difference = input - target
    loss = 0.5 * (ops.log(var) + difference * difference / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@function
def poisson_nll_loss(
    input: Value,
    target: Value,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Value:
    """`exp(x) - t x` for the logarithm x of a rate, or without `log_input` `x - t log(x + eps)` for the rate.

    `full` adds Stirling's approximation of `log(t!)` where t > 1.
    """
    refuse_deprecated(size_average, reduce)
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        many = ops.greater(target, 1)
        count = ops.where(many, target, 1)
        stirling = count * ops.log(count) - count + 0.5 * ops.log(2 * math.pi * count)
        loss = loss + ops.where(many, stirling, 0)
    return reduced(loss, reduction)
