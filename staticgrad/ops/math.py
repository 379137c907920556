"""Exponentials, logarithms, trigonometric functions and their inverses, element by element."""

from __future__ import annotations

import math

import numpy as np

from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.kinds import floating
from staticgrad.ops.registry import Input, onnx_op


def _root(x):
    return OPERATORS["Sqrt"](x)


@onnx_op("Exp", type=floating, numpy=np.exp)
def exp(x: Input) -> Value:
    """`e ** x`."""


@exp.vjp
def _(g, y, x):
    return g * y


@onnx_op("Log", type=floating, numpy=np.log)
def log(x: Input) -> Value:
    """The natural logarithm."""


@log.vjp
def _(g, y, x):
    return g / x


@onnx_op("Erf", type=floating)
def erf(x: Input) -> Value:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""


@erf.vjp
def _(g, y, x):
    return g * (2 / math.sqrt(math.pi)) * exp(-(x * x))


@onnx_op("Sin", type=floating)
def sin(x: Input) -> Value:
    """The sine of `x` in radians."""


@sin.vjp
def _(g, y, x):
    return g * cos(x)


@onnx_op("Cos", type=floating)
def cos(x: Input) -> Value:
    """The cosine of `x` in radians."""


@cos.vjp
def _(g, y, x):
    return -(g * sin(x))


@onnx_op("Tan", type=floating)
def tan(x: Input) -> Value:
    """The tangent of `x` in radians."""


@tan.vjp
def _(g, y, x):
    return g * (1 + y * y)


@onnx_op("Asin", type=floating)
def asin(x: Input) -> Value:
    """The inverse sine, in radians."""


@asin.vjp
def _(g, y, x):
    return g / _root((1 - x) * (1 + x))


@onnx_op("Acos", type=floating)
def acos(x: Input) -> Value:
    """The inverse cosine, in radians."""


@acos.vjp
def _(g, y, x):
    return -(g / _root((1 - x) * (1 + x)))


@onnx_op("Atan", type=floating)
def atan(x: Input) -> Value:
    """The inverse tangent, in radians."""


@atan.vjp
def _(g, y, x):
    return g / (1 + x * x)


@onnx_op("Sinh", type=floating)
def sinh(x: Input) -> Value:
    """The hyperbolic sine."""


@sinh.vjp
def _(g, y, x):
    return g * cosh(x)


@onnx_op("Cosh", type=floating)
def cosh(x: Input) -> Value:
    """The hyperbolic cosine."""


@cosh.vjp
def _(g, y, x):
    return g * sinh(x)


@onnx_op("Tanh", type=floating, numpy=np.tanh)
def tanh(x: Input) -> Value:
    """The hyperbolic tangent."""


@tanh.vjp
def _(g, y, x):
    return g * (1 - y * y)


@onnx_op("Asinh", type=floating)
def asinh(x: Input) -> Value:
    """The inverse hyperbolic sine."""


@asinh.vjp
def _(g, y, x):
    return g / _root(x * x + 1)


@onnx_op("Acosh", type=floating)
def acosh(x: Input) -> Value:
    """The inverse hyperbolic cosine."""


@acosh.vjp
def _(g, y, x):
    return g / (_root(x - 1) * _root(x + 1))


@onnx_op("Atanh", type=floating)
def atanh(x: Input) -> Value:
    """The inverse hyperbolic tangent."""


@atanh.vjp
def _(g, y, x):
    return g / ((1 - x) * (1 + x))
