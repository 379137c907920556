"""Activations and the softmax family."""

from __future__ import annotations

import math

from staticgrad.graph import Value
from staticgrad.ops.arithmetic import abs
from staticgrad.ops.kinds import common_dtype, floating, normal_axis, numeric, stored
from staticgrad.ops.logic import greater, greater_or_equal, less, logical_and, logical_or, where
from staticgrad.ops.math import erf, exp, tanh
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.types import dims_agree


@onnx_op("Relu", type=numeric)
def relu(x: Input) -> Value:
    """`max(x, 0)`; the derivative at 0 is 0."""


@relu.vjp
def _(g, y, x):
    return where(greater(y, 0), g, 0)


@onnx_op("LeakyRelu", type=floating)
def leaky_relu(x: Input, *, alpha: float = 0.01) -> Value:
    """`x` where positive, else `alpha * x`; the derivative at 0 is alpha."""


@leaky_relu.vjp
def _(g, y, x, *, alpha):
    return where(greater(x, 0), g, g * stored(alpha))


def _sloped(x, slope):
    common_dtype(x, slope)
    own, shape = slope.type.shape, x.type.shape
    require(
        len(own) <= len(shape)
        and all(b == 1 or dims_agree(a, b) for a, b in zip(shape[len(shape) - len(own) :], own, strict=True)),
        f"the slope {slope.type} must broadcast to x, which is {x.type}",
    )
    return numeric(x)


@onnx_op("PRelu", type=_sloped, weak=True)
def prelu(x: Input, slope: Input) -> Value:
    """`x` where positive, else `slope * x` (He et al. 2015); `slope` broadcasts to `x`, whose derivative at 0 is it."""


@prelu.vjp
def _(g, y, x, slope):
    positive = greater(x, 0)
    return where(positive, g, g * slope), where(positive, 0, g * x)


@onnx_op("ThresholdedRelu", type=floating)
def thresholded_relu(x: Input, *, alpha: float = 1.0) -> Value:
    """`x` where it is greater than alpha, else 0; the derivative at alpha is 0."""


@thresholded_relu.vjp
def _(g, y, x, *, alpha):
    return where(greater(x, stored(alpha)), g, 0)


@onnx_op("Shrink", type=numeric)
def shrink(x: Input, *, bias: float = 0.0, lambd: float = 0.5) -> Value:
    """`x + bias` below -lambd, `x - bias` above lambd, 0 between; the derivative at the bounds is 0."""


@shrink.vjp
def _(g, y, x, *, bias, lambd):
    return where(logical_or(less(x, -stored(lambd)), greater(x, stored(lambd))), g, 0)


@onnx_op("Elu", type=floating)
def elu(x: Input, *, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""


@elu.vjp
def _(g, y, x, *, alpha):
    return where(greater(x, 0), g, g * (stored(alpha) * exp(_negative(x))))


@onnx_op("Selu", type=floating)
def selu(x: Input, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Value:
    """`gamma * x` where positive, else `gamma * alpha * (exp(x) - 1)` (Klambauer et al. 2017)."""


@selu.vjp
def _(g, y, x, *, alpha, gamma):
    alpha, gamma = stored(alpha), stored(gamma)
    return where(greater(x, 0), g * gamma, g * (gamma * alpha * exp(_negative(x))))


@onnx_op("Celu", type=floating)
def celu(x: Input, *, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x / alpha) - 1)` (Barron 2017)."""


@celu.vjp
def _(g, y, x, *, alpha):
    return where(greater(x, 0), g, g * exp(_negative(x) / stored(alpha)))


@onnx_op("Sigmoid", type=floating)
def sigmoid(x: Input) -> Value:
    """`1 / (1 + exp(-x))`."""


@sigmoid.vjp
def _(g, y, x):
    return g * (y * (1 - y))


@onnx_op("Softplus", type=floating)
def softplus(x: Input) -> Value:
    """`log(1 + exp(x))`."""


@softplus.vjp
def _(g, y, x):
    return g * sigmoid(x)


@onnx_op("Softsign", type=floating)
def softsign(x: Input) -> Value:
    """`x / (1 + |x|)`."""


@softsign.vjp
def _(g, y, x):
    scale = 1 + abs(x)
    return g / (scale * scale)


@onnx_op("HardSigmoid", type=floating)
def hard_sigmoid(x: Input, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    """`alpha * x + beta` limited to [0, 1]; the derivative at the corners is 0."""


@hard_sigmoid.vjp
def _(g, y, x, *, alpha, beta):
    return where(logical_and(greater(y, 0), less(y, 1)), g * stored(alpha), 0)


@onnx_op("HardSwish", type=floating)
def hard_swish(x: Input) -> Value:
    """`x * clip(x / 6 + 1/2, 0, 1)` (Howard et al. 2019); the derivative at -3 is 0, at 3 it is 1."""


@hard_swish.vjp
def _(g, y, x):
    inner = g * (x / 3 + 0.5)
    return where(greater(x, -3), where(less(x, 3), inner, g), 0)


@onnx_op("Gelu", type=floating)
def gelu(x: Input, *, approximate: str = "none") -> Value:
    """`x` times the normal distribution function at `x` (Hendrycks and Gimpel 2016), or its tanh approximation."""


@gelu.vjp
def _(g, y, x, *, approximate):
    if approximate == "tanh":
        # With s = (1 + tanh(u)) / 2 = sigmoid(2 u) and y = x s the derivative is s + y (1 - s) (2 u)'.
        c = 2 * math.sqrt(2 / math.pi)
        slope = (x * x) * (c * 0.044715) + c
        s = sigmoid(x * slope)
        return g * (y * (1 - s) * (slope * 3 - 2 * c) + s)
    density = exp(-0.5 * (x * x)) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + erf(x / math.sqrt(2))) + x * density)


@onnx_op("Mish", type=floating)
def mish(x: Input) -> Value:
    """`x * tanh(softplus(x))` (Misra 2019)."""


@mish.vjp
def _(g, y, x):
    t = tanh(softplus(x))
    return g * (t + x * (1 - t * t) * sigmoid(x))


@onnx_op("Swish", type=floating)
def swish(x: Input, *, alpha: float = 1.0) -> Value:
    """`x * sigmoid(alpha * x)` (Ramachandran, Zoph and Le 2017)."""


@swish.vjp
def _(g, y, x, *, alpha):
    scaled = x * stored(alpha)
    s = sigmoid(scaled)
    return g * (s + scaled * (s * (1 - s)))


@onnx_op("Softmax", type=lambda x, *, axis: (normal_axis(axis, len(x.type.shape)), floating(x))[1])
def softmax(x: Input, *, axis: int = -1) -> Value:
    """Exponentials of `x`, normalised to sum to one along `axis`."""


@softmax.vjp
def _(g, y, x, *, axis):
    g = g * y
    return g - y * reduce_sum(g, [axis], keepdims=True)


@onnx_op("LogSoftmax", type=lambda x, *, axis: (normal_axis(axis, len(x.type.shape)), floating(x))[1])
def log_softmax(x: Input, *, axis: int = -1) -> Value:
    """The logarithm of `softmax(x)`, computed without overflow."""


@log_softmax.vjp
def _(g, y, x, *, axis):
    return g - exp(y) * reduce_sum(g, [axis], keepdims=True)


@onnx_op(
    "Hardmax", type=lambda x, *, axis: (normal_axis(axis, len(x.type.shape)), floating(x))[1], differentiable=False
)
def hardmax(x: Input, *, axis: int = -1) -> Value:
    """1 at the first maximum along `axis`, 0 elsewhere."""


def _negative(x):
    # exp of a large positive x would overflow in the branch that is not taken and spoil the next derivative, which is
    # 0 at 0, as in PyTorch.
    return where(greater_or_equal(x, 0), 0, x)
