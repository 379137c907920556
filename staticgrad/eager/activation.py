"""Activation functions: elementwise, of real numbers, most of them made of pieces.

At a kink the gradient is PyTorch's, and each docstring says which side that is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.arithmetic import clamp
from staticgrad.eager.cast import floating
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.elementwise import erfc_array, sigmoid_array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _slope(x: Tensor, y: Array, slope: Array) -> Tensor:
    """The result of a function whose derivative at every element is already known."""
    return result(y, (x, lambda g: g * slope))


@quiet
def relu(input: Tensor) -> Tensor:
    """y = max(x, 0); y'(0) = 0. Integers stay integers."""
    x = input.wide
    positive = x > 0
    return result(np.maximum(x, 0), (input, lambda g: g * positive))


def relu6(input: Tensor) -> Tensor:
    """y = min(max(x, 0), 6); y'(0) = y'(6) = 0."""
    return hardtanh(input, 0.0, 6.0)


@quiet
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """y = min(max(x, min_val), max_val); y' = 0 at both bounds (clamp has 1 there)."""
    if input.dtype.kind in "iu":
        return clamp(input, int(min_val), int(max_val))
    x = input.wide
    inside = (x > min_val) & (x < max_val)
    return result(np.clip(x, min_val, max_val), (input, lambda g: np.where(inside, g, 0)))


@quiet
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """y = x for x > 0, else negative_slope x; y'(0) = negative_slope."""
    x = floating(input)
    a = x.wide
    return _slope(x, np.where(a > 0, a, a * negative_slope), np.where(a > 0, 1, negative_slope).astype(a.dtype))


def _elu(input: Tensor, scale: float, alpha: float, rate: float) -> Tensor:
    """scale x for x > 0, else scale alpha (e^(rate x) - 1)."""
    x = floating(input)
    a = x.wide
    low = np.minimum(a, 0) * rate
    y = np.where(a > 0, a * scale, np.expm1(low) * (scale * alpha))
    return _slope(x, y, np.where(a > 0, scale, np.exp(low) * (scale * alpha * rate)))


@quiet
def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """y = x for x > 0, else alpha (e^x - 1); y'(0) = alpha."""
    return _elu(input, 1.0, alpha, 1.0)


@quiet
def selu(input: Tensor) -> Tensor:
    """y = scale elu(x, alpha) with the two constants of Klambauer et al. 2017, arXiv:1706.02515."""
    return _elu(input, _SELU_SCALE, _SELU_ALPHA, 1.0)


@quiet
def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """y = x for x > 0, else alpha (e^(x/alpha) - 1); smooth at 0."""
    if alpha == 0:
        raise EagerError("celu with alpha 0: expected another number")
    return _elu(input, 1.0, alpha, 1 / alpha)


@quiet
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """y = x P(x), P the normal distribution function; "tanh": P = (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3))) / 2."""
    x = floating(input)
    a = x.wide
    if approximate == "none":
        p = 0.5 * erfc_array(a * -math.sqrt(0.5))
        return _slope(x, a * p, p + a * np.exp(-0.5 * a * a) * (1 / math.sqrt(2 * math.pi)))
    if approximate != "tanh":
        raise EagerError(f"gelu with approximate={approximate!r}: expected 'none' or 'tanh'")
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (a + 0.044715 * a * a * a))
    return _slope(x, 0.5 * a * (1 + t), 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * c * (1 + 3 * 0.044715 * a * a))


@quiet
def silu(input: Tensor) -> Tensor:
    """y = x sigmoid(x), also called swish."""
    x = floating(input)
    a = x.wide
    s = sigmoid_array(a)
    return _slope(x, a * s, s * (1 + a * sigmoid_array(-a)))


@quiet
def mish(input: Tensor) -> Tensor:
    """y = x tanh(softplus(x))."""
    x = floating(input)
    a = x.wide
    t = np.tanh(np.logaddexp(0, a))
    return _slope(x, a * t, t + a * (1 - t * t) * sigmoid_array(a))


@quiet
def hardswish(input: Tensor) -> Tensor:
    """y = x min(max(x + 3, 0), 6) / 6; y'(-3) = 0 and y'(3) = 1."""
    x = floating(input)
    a = x.wide
    slope = np.where(a <= -3, 0, np.where(a < 3, a / 3 + 0.5, 1)).astype(a.dtype)
    return _slope(x, a * np.clip(a + 3, 0, 6) / 6, slope)


@quiet
def hardsigmoid(input: Tensor) -> Tensor:
    """y = min(max(x + 3, 0), 6) / 6; y' = 0 at -3 and 3."""
    x = floating(input)
    a = x.wide
    return _slope(x, np.clip(a + 3, 0, 6) / 6, np.where((a > -3) & (a < 3), 1 / 6, 0).astype(a.dtype))


@quiet
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """y = ln(1 + e^(beta x)) / beta, and y = x where beta x > threshold."""
    x = floating(input)
    a = x.wide
    linear = a * beta > threshold
    y = np.where(linear, a, np.logaddexp(0, a * beta) / beta)
    return _slope(x, y, np.where(linear, 1, sigmoid_array(a * beta)))


@quiet
def logsigmoid(input: Tensor) -> Tensor:
    """y = ln sigmoid(x) = min(x, 0) - ln(1 + e^-|x|); y' = sigmoid(-x)."""
    x = floating(input)
    a = x.wide
    return _slope(x, np.minimum(a, 0) - np.log1p(np.exp(-np.abs(a))), sigmoid_array(-a))


@quiet
def softsign(input: Tensor) -> Tensor:
    """y = x / (1 + |x|); y' = 1 / (1 + |x|)^2."""
    x = floating(input)
    a = x.wide
    return _slope(x, a / (1 + np.abs(a)), 1 / np.square(1 + np.abs(a)))


@quiet
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = x moved towards 0 by lambd, 0 for |x| <= lambd; y' = 0 there."""
    x = floating(input)
    a = x.wide
    outside = ~(np.abs(a) <= lambd)
    return result(np.where(outside, a - np.sign(a) * lambd, 0), (x, lambda g: np.where(outside, g, 0)))


@quiet
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = x for |x| > lambd, else 0; y' = 0 there."""
    x = floating(input)
    a = x.wide
    outside = ~(np.abs(a) <= lambd)
    return result(np.where(outside, a, 0), (x, lambda g: np.where(outside, g, 0)))


@quiet
def tanhshrink(input: Tensor) -> Tensor:
    """y = x - tanh x; y' = tanh^2 x."""
    x = floating(input)
    a = x.wide
    t = np.tanh(a)
    return _slope(x, a - t, t * t)


@quiet
def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """y = x where x > threshold, else the value; y' = 0 there."""
    a = input.wide
    above = a > threshold
    return result(np.where(above, a, value), (input, lambda g: np.where(above, g, 0)))


@quiet
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """y = x for x > 0, else w x; w is one number, or one for each channel (dimension 1). y'(0) = w."""
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.array.size not in (1, channels):
        raise EagerError(f"prelu with {list(weight.shape)} weights: expected 1 or {channels}")
    a, shape = input.wide, weight.shape
    w = weight.wide.reshape((-1,) + (1,) * max(input.ndim - 2, 0)) if input.ndim else weight.wide.reshape(())
    positive = a > 0

    def to_weight(g: Array) -> Array:
        z = np.where(positive, 0, g * a)
        if math.prod(shape) == 1:
            return np.asarray(z.sum()).reshape(shape)
        return np.asarray(z.sum(axis=tuple(i for i in range(z.ndim) if i != 1)))

    return result(np.where(positive, a, w * a), (input, lambda g: g * np.where(positive, 1, w)), (weight, to_weight))


def _halves(name: str, input: Tensor, dim: int) -> tuple[Tensor, int, Array, Array]:
    x = floating(input)
    axis = axis_of(dim, x.ndim)
    if not x.ndim or x.shape[axis] % 2:
        raise EagerError(f"{name} of shape {list(x.shape)} along dim {dim}: expected an even size")
    a, b = np.split(x.wide, 2, axis)
    return x, axis, a, b


@quiet
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """y = a sigmoid(b) of the halves of x; the gradients are s and a s (1 - s)."""
    x, axis, a, b = _halves("glu", input, dim)
    s, rest = sigmoid_array(b), sigmoid_array(-b)
    return result(a * s, (x, lambda g: np.concatenate([g * s, g * a * s * rest], axis)))


@quiet
def swiglu(input: Tensor, dim: int = -1) -> Tensor:
    """y = a sigmoid(a) b of the halves of x; the gradients are b s (1 + a (1 - s)) and a s."""
    x, axis, a, b = _halves("swiglu", input, dim)
    s, rest = sigmoid_array(a), sigmoid_array(-a)
    return result(a * s * b, (x, lambda g: np.concatenate([g * b * s * (1 + a * rest), g * a * s], axis)))
