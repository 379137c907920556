"""PyTorch's activations; they are also found in `staticgrad.nn.functional`."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.errors import DeclarationError
from staticgrad.graph import Value, source_line
from staticgrad.ops.kinds import with_derivative
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import clamp, floating, log1p
from staticgrad.types import DType


@function
def relu(x: Value) -> Value:
    """`max(x, 0)`; the derivative at 0 is 0."""
    return ops.relu(x)


@function
def relu6(x: Value) -> Value:
    """`x` limited to [0, 6]; the derivative at both corners is 0."""
    return hardtanh(x, 0.0, 6.0)


@function
def hardtanh(x: Value, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    """`x` limited to [min_val, max_val]; the derivative at both corners is 0."""

    def rule(g: Value, y: Value, x: Value) -> Value:
        return ops.where(ops.logical_and(ops.greater(x, min_val), ops.less(x, max_val)), g, 0)

    return with_derivative(clamp(x, min_val, max_val), [x], rule)


@function
def leaky_relu(x: Value, negative_slope: float = 0.01) -> Value:
    """`x` where positive, else `negative_slope * x`."""
    return ops.leaky_relu(floating(x), alpha=float(negative_slope))


@function
def elu(x: Value, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return ops.elu(floating(x), alpha=float(alpha))


@function
def selu(x: Value) -> Value:
    """`elu` scaled so that unit variance is kept (Klambauer et al. 2017)."""
    return ops.selu(floating(x))


@function
def celu(x: Value, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x / alpha) - 1)` (Barron 2017)."""
    return ops.celu(floating(x), alpha=float(alpha))


@function
def gelu(x: Value, approximate: str = "none") -> Value:
    """`x` times the normal distribution function at `x`, or with "tanh" its approximation."""
    if approximate not in ("none", "tanh"):
        raise DeclarationError(f"gelu takes approximate='none' or 'tanh', {approximate!r} came ({source_line()})")
    return ops.gelu(floating(x), approximate=approximate)


@function
def sigmoid(x: Value) -> Value:
    """`1 / (1 + exp(-x))`."""
    return ops.sigmoid(floating(x))


@function
def logsigmoid(x: Value) -> Value:
    """`log(sigmoid(x))`, without overflow."""
    return ops.neg(softplus(ops.neg(floating(x))))


@function
def silu(x: Value) -> Value:
    """`x * sigmoid(x)`."""
    x = floating(x)
    return ops.mul(x, ops.sigmoid(x))


@function
def mish(x: Value) -> Value:
    """`x * tanh(softplus(x))` (Misra 2019)."""
    x = floating(x)
    return ops.mul(x, ops.tanh(softplus(x)))


@function
def hardswish(x: Value) -> Value:
    """`x * relu6(x + 3) / 6` (Howard et al. 2019)."""
    return ops.hard_swish(floating(x))


@function
def hardsigmoid(x: Value) -> Value:
    """`relu6(x + 3) / 6`."""
    return ops.hard_sigmoid(floating(x), alpha=1 / 6, beta=0.5)


@function
def softplus(x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """`log(1 + exp(beta * x)) / beta`, and `x` itself where `beta * x` exceeds the threshold."""
    x = floating(x)
    scaled = x if beta == 1 else x * beta
    if x.type.dtype is DType.float64:
        # onnxruntime's CPU provider has no Softplus of doubles.
        whole = ops.relu(scaled) + log1p(ops.exp(ops.neg(ops.abs(scaled))))
        y = with_derivative(whole, [scaled], lambda g, y, x: g * ops.sigmoid(x))
    else:
        y = ops.softplus(scaled)
    if beta != 1:
        y = y / beta
    # Beyond the threshold log(1 + exp(x)) is x to the last bit of float32 at its default of 20.
    if threshold == 20.0 and x.type.dtype is not DType.float64:
        return y
    return ops.where(ops.greater(scaled, threshold), x, y)


@function
def softsign(x: Value) -> Value:
    """`x / (1 + |x|)`."""
    return ops.softsign(floating(x))


@function
def softshrink(x: Value, lambd: float = 0.5) -> Value:
    """`x` moved towards 0 by `lambd`, and 0 where it is nearer than that."""
    x = floating(x)
    return ops.where(ops.greater(x, lambd), x - lambd, ops.where(ops.less(x, -lambd), x + lambd, 0))


@function
def hardshrink(x: Value, lambd: float = 0.5) -> Value:
    """`x`, and 0 where it is within `lambd` of 0."""
    x = floating(x)
    return ops.where(ops.greater(ops.abs(x), lambd), x, 0)
