"""PyTorch's activations; they are also found in `staticgrad.nn.functional`.

In float64 they are written out: attributes of ONNX operators hold float32, and onnxruntime's CPU provider lacks the
kernels.
"""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative
from staticgrad.origin import source_line
from staticgrad.tensor.arithmetic import clamp
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import expm1, floating, log1p
from staticgrad.tensor.shape import axis_of
from staticgrad.types import DType, dims_agree

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _where_positive(x: Value, positive: Value, other: Value) -> Value:
    return ops.where(ops.greater(x, 0), positive, other)


def _negative_part(x: Value) -> Value:
    # exp of a large positive x would overflow in the branch that is not taken and spoil the derivative.
    return ops.where(ops.greater_or_equal(x, 0), 0, x)


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
    """`x` limited to [min_val, max_val]; the derivative at both corners is 0; integers stay integers."""
    if x.type.dtype.is_integer and all(isinstance(b, float) and b.is_integer() for b in (min_val, max_val)):
        return clamp(x, int(min_val), int(max_val))

    def rule(g: Value, y: Value, x: Value) -> Value:
        # The result tells it as well, and `x` need not be kept.
        return ops.where(ops.logical_and(ops.greater(y, min_val), ops.less(y, max_val)), g, 0)

    return with_derivative(clamp(x, min_val, max_val), [x], rule)


@function
def leaky_relu(x: Value, negative_slope: float = 0.01) -> Value:
    """`x` where positive, else `negative_slope * x`."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        return _where_positive(x, x, x * float(negative_slope))
    return ops.leaky_relu(x, alpha=float(negative_slope))


@function
def elu(x: Value, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        y = _where_positive(x, x, expm1(_negative_part(x)) * float(alpha))
        # At 0 the first derivative is alpha, the second 0.
        return with_derivative(
            y, [x], lambda g, y, x: _where_positive(x, g, g * (float(alpha) * ops.exp(_negative_part(x))))
        )
    return ops.elu(x, alpha=float(alpha))


@function
def selu(x: Value) -> Value:
    """`elu` scaled so that unit variance is kept (Klambauer et al. 2017)."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        return elu(x, _SELU_ALPHA) * _SELU_SCALE
    return ops.selu(x)


@function
def celu(x: Value, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x / alpha) - 1)` (Barron 2017)."""
    x = floating(x)
    if x.type.dtype is not DType.float32:
        # ONNX has Celu of float32 only.
        return elu(x / alpha) * alpha
    return ops.celu(x, alpha=float(alpha))


@function
def gelu(x: Value, approximate: str = "none") -> Value:
    """`x` times the normal distribution function at `x`, or with "tanh" its approximation."""
    if approximate not in ("none", "tanh"):
        raise DeclarationError(f"gelu takes approximate='none' or 'tanh', {shown(approximate)} came ({source_line()})")
    x = floating(x)
    if approximate == "tanh" and x.type.dtype is DType.float64:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1 + ops.tanh(inner))
    return ops.gelu(x, approximate=approximate)


@function
def sigmoid(x: Value) -> Value:
    """`1 / (1 + exp(-x))`."""
    return ops.sigmoid(floating(x))


@function
def logsigmoid(x: Value) -> Value:
    """`log(sigmoid(x))`, without overflow."""
    return ops.neg(log_one_plus_exp(ops.neg(floating(x))))


@function
def silu(x: Value) -> Value:
    """`x * sigmoid(x)`."""
    x = floating(x)
    return ops.mul(x, ops.sigmoid(x))


@function
def mish(x: Value) -> Value:
    """`x * tanh(softplus(x))` (Misra 2019)."""
    x = floating(x)
    return ops.mul(x, ops.tanh(log_one_plus_exp(x)))


@function
def hardswish(x: Value) -> Value:
    """`x * relu6(x + 3) / 6` (Howard et al. 2019)."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        return x * hardsigmoid(x)
    return ops.hard_swish(x)


@function
def hardsigmoid(x: Value) -> Value:
    """`relu6(x + 3) / 6`."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        return relu6(x + 3) / 6
    return ops.hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def log_one_plus_exp(x: Value) -> Value:
    """`log(1 + exp(x))`, without overflow and at full precision everywhere."""
    if x.type.dtype is not DType.float64:
        return ops.softplus(x)
    # onnxruntime's CPU provider has no Softplus of doubles.
    y = ops.relu(x) + log1p(ops.exp(ops.neg(ops.abs(x))))
    return with_derivative(y, [x], lambda g, y, x: g * ops.sigmoid(x))


@function
def softplus(x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """`log(1 + exp(beta * x)) / beta`, and `x` itself where `beta * x` exceeds the threshold."""
    x = floating(x)
    scaled = x if beta == 1 else x * beta
    y = log_one_plus_exp(scaled)
    if beta != 1:
        y = y / beta
    # Beyond the threshold log(1 + exp(x)) is x to the last bit of float32 at its default of 20.
    if threshold == 20.0 and x.type.dtype is not DType.float64:
        return y
    return ops.where(ops.greater(scaled, threshold), x, y)


@function
def softsign(x: Value) -> Value:
    """`x / (1 + |x|)`."""
    x = floating(x)
    if x.type.dtype is DType.float64:
        return x / (1 + ops.abs(x))
    return ops.softsign(x)


@function
def softshrink(x: Value, lambd: float = 0.5) -> Value:
    """`x` moved towards 0 by `lambd`, and 0 where it is nearer than that."""
    x = floating(x)
    return ops.where(ops.greater(x, lambd), x - lambd, ops.where(ops.greater_or_equal(x, -lambd), 0, x + lambd))


@function
def hardshrink(x: Value, lambd: float = 0.5) -> Value:
    """`x`, and 0 where it is within `lambd` of 0."""
    x = floating(x)
    return ops.where(ops.less_or_equal(ops.abs(x), lambd), 0, x)


@function
def tanhshrink(x: Value) -> Value:
    """`x - tanh(x)`."""
    x = floating(x)
    return x - ops.tanh(x)


@function
def threshold(x: Value, threshold: float, value: float) -> Value:
    """`x` where it exceeds the threshold, else `value`."""
    return ops.where(ops.greater(x, threshold), x, value)


@function
def prelu(x: Value, weight: Value) -> Value:
    """`x` where positive, else `weight * x`; one weight, or one for every channel, which is dimension 1."""
    rank = len(x.type.shape)
    if len(weight.type.shape) > 1:
        raise ShapeError(f"prelu takes a weight of rank 0 or 1, {weight.type} came ({source_line()})")
    if weight.type.shape and weight.type.shape != (1,):
        count, channels = weight.type.shape[0], x.type.shape[1] if rank > 1 else 1
        if not dims_agree(count, channels):
            raise ShapeError(f"prelu has {count} weights for {channels} channels of {x.type} ({source_line()})")
        weight = ops.reshape(weight, [-1] + [1] * max(rank - 2, 0))
    elif rank == 0:
        weight = ops.reshape(weight, [])
    return _where_positive(x, x, weight * x)


@function
def glu(x: Value, dim: int = -1) -> Value:
    """`a * sigmoid(b)` of the halves a and b of `x` along `dim` (Dauphin et al. 2017)."""
    a, b = _halves(x, dim, "glu")
    return a * ops.sigmoid(b)


@function
def swiglu(x: Value, dim: int = -1) -> Value:
    """`silu(a) * b` of the halves a and b of `x` along `dim` (Shazeer 2020)."""
    a, b = _halves(x, dim, "swiglu")
    return silu(a) * b


def _halves(x: Value, dim: int, name: str) -> tuple[Value, Value]:
    axis = axis_of(x, dim)
    length = x.type.shape[axis] if x.type.shape else 1
    if not isinstance(length, int) or length % 2:
        what = f"{length} elements" if isinstance(length, int) else "a size that only the run knows"
        raise ShapeError(f"{name} needs an even size of dimension {dim}, {what} came: {x.type} ({source_line()})")
    a, b = ops.split(floating(x), [length // 2, length // 2], axis=axis)
    return a, b
