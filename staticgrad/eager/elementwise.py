"""Functions of one real number, applied to each element: exponentials, roots, trigonometry, rounding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

from staticgrad.eager.cast import floating
from staticgrad.eager.dtypes import Array, boolean, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def erf_array(x: Array) -> Array:
    """The error function of an array, in its type (computed in float64 by the C library)."""
    return np.asarray(_erf(x), dtype=x.dtype)


def erfc_array(x: Array) -> Array:
    """1 - erf(x) without cancellation for large x, in the type of the array."""
    return np.asarray(_erfc(x), dtype=x.dtype)


def sigmoid_array(x: Array) -> Array:
    """1 / (1 + e^-x) of an array, without overflow on either side."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


@quiet
def exp(input: Tensor) -> Tensor:
    """The exponential, y = e^x; y' = y."""
    x = floating(input)
    y = np.exp(x.wide)
    return result(y, (x, lambda g: g * y))


@quiet
def exp2(input: Tensor) -> Tensor:
    """The power of two, y = 2^x; y' = y ln 2."""
    x = floating(input)
    y = np.exp2(x.wide)
    return result(y, (x, lambda g: g * y * math.log(2)))


@quiet
def expm1(input: Tensor) -> Tensor:
    """y = e^x - 1, accurate near 0; y' = e^x."""
    x = floating(input)
    y = np.expm1(x.wide)
    return result(y, (x, lambda g: g * (y + 1)))


@quiet
def log(input: Tensor) -> Tensor:
    """The natural logarithm; y' = 1/x. -inf at 0, nan below."""
    x = floating(input)
    a = x.wide
    return result(np.log(a), (x, lambda g: g / a))


@quiet
def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2; y' = 1/(x ln 2)."""
    x = floating(input)
    a = x.wide
    return result(np.log2(a), (x, lambda g: g / (a * math.log(2))))


@quiet
def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10; y' = 1/(x ln 10)."""
    x = floating(input)
    a = x.wide
    return result(np.log10(a), (x, lambda g: g / (a * math.log(10))))


@quiet
def log1p(input: Tensor) -> Tensor:
    """y = ln(1 + x), accurate near 0; y' = 1/(1 + x)."""
    x = floating(input)
    a = x.wide
    return result(np.log1p(a), (x, lambda g: g / (1 + a)))


@quiet
def sqrt(input: Tensor) -> Tensor:
    """The square root; y' = 1/(2y), infinite at 0."""
    x = floating(input)
    y = np.sqrt(x.wide)
    return result(y, (x, lambda g: g / (2 * y)))


@quiet
def rsqrt(input: Tensor) -> Tensor:
    """y = 1/sqrt(x); y' = -y^3/2."""
    x = floating(input)
    y = 1 / np.sqrt(x.wide)
    return result(y, (x, lambda g: g * y * y * y * -0.5))


@quiet
def reciprocal(input: Tensor) -> Tensor:
    """y = 1/x; y' = -y^2."""
    x = floating(input)
    y = 1 / x.wide
    return result(y, (x, lambda g: -g * y * y))


@quiet
def square(input: Tensor) -> Tensor:
    """y = x^2, of the type of x; y' = 2x."""
    a = input.wide
    return result(a * a, (input, lambda g: g * 2 * a))


@quiet
def sin(input: Tensor) -> Tensor:
    """The sine (radians); y' = cos x."""
    x = floating(input)
    a = x.wide
    return result(np.sin(a), (x, lambda g: g * np.cos(a)))


@quiet
def cos(input: Tensor) -> Tensor:
    """The cosine (radians); y' = -sin x."""
    x = floating(input)
    a = x.wide
    return result(np.cos(a), (x, lambda g: -g * np.sin(a)))


@quiet
def tan(input: Tensor) -> Tensor:
    """The tangent (radians); y' = 1 + y^2."""
    x = floating(input)
    y = np.tan(x.wide)
    return result(y, (x, lambda g: g * (1 + y * y)))


@quiet
def asin(input: Tensor) -> Tensor:
    """The inverse sine; y' = 1/sqrt(1 - x^2). nan outside [-1, 1]."""
    x = floating(input)
    a = x.wide
    return result(np.arcsin(a), (x, lambda g: g / np.sqrt((1 - a) * (1 + a))))


@quiet
def acos(input: Tensor) -> Tensor:
    """The inverse cosine; y' = -1/sqrt(1 - x^2). nan outside [-1, 1]."""
    x = floating(input)
    a = x.wide
    return result(np.arccos(a), (x, lambda g: -g / np.sqrt((1 - a) * (1 + a))))


@quiet
def atan(input: Tensor) -> Tensor:
    """The inverse tangent; y' = 1/(1 + x^2)."""
    x = floating(input)
    a = x.wide
    return result(np.arctan(a), (x, lambda g: g / (1 + a * a)))


@quiet
def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine; y' = cosh x."""
    x = floating(input)
    a = x.wide
    return result(np.sinh(a), (x, lambda g: g * np.cosh(a)))


@quiet
def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine; y' = sinh x."""
    x = floating(input)
    a = x.wide
    return result(np.cosh(a), (x, lambda g: g * np.sinh(a)))


@quiet
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent; y' = 1 - y^2."""
    x = floating(input)
    y = np.tanh(x.wide)
    return result(y, (x, lambda g: g * (1 - y * y)))


@quiet
def asinh(input: Tensor) -> Tensor:
    """The inverse hyperbolic sine; y' = 1/sqrt(x^2 + 1)."""
    x = floating(input)
    a = x.wide
    return result(np.arcsinh(a), (x, lambda g: g / np.sqrt(a * a + 1)))


@quiet
def acosh(input: Tensor) -> Tensor:
    """The inverse hyperbolic cosine; y' = 1/sqrt(x^2 - 1). nan below 1."""
    x = floating(input)
    a = x.wide
    return result(np.arccosh(a), (x, lambda g: g / np.sqrt((a - 1) * (a + 1))))


@quiet
def atanh(input: Tensor) -> Tensor:
    """The inverse hyperbolic tangent; y' = 1/(1 - x^2). nan outside [-1, 1]."""
    x = floating(input)
    a = x.wide
    return result(np.arctanh(a), (x, lambda g: g / ((1 - a) * (1 + a))))


@quiet
def erf(input: Tensor) -> Tensor:
    """The error function, y = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x; y' = 2/sqrt(pi) e^(-x^2)."""
    x = floating(input)
    a = x.wide
    return result(erf_array(a), (x, lambda g: g * (2 / math.sqrt(math.pi)) * np.exp(-a * a)))


@quiet
def sigmoid(input: Tensor) -> Tensor:
    """The logistic function, y = 1/(1 + e^-x); y' = y(1 - y). Does not overflow."""
    x = floating(input)
    a = x.wide
    y = sigmoid_array(a)
    return result(y, (x, lambda g: g * y * sigmoid_array(-a)))


@quiet
def floor(input: Tensor) -> Tensor:
    """The largest integer that is not above x, in the type of x; y' = 0."""
    return result(np.floor(input.wide), (input, np.zeros_like))


@quiet
def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not below x, in the type of x; y' = 0."""
    return result(np.ceil(input.wide), (input, np.zeros_like))


@quiet
def trunc(input: Tensor) -> Tensor:
    """The integer part of x (towards zero), in the type of x; y' = 0."""
    return result(np.trunc(input.wide), (input, np.zeros_like))


@quiet
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest multiple of 10^-decimals, in the type of x; y' = 0. A half goes to the even neighbour."""
    if not is_float(input.dtype):
        return result(input.array.copy(), (input, None))
    scale = 10.0 ** abs(decimals)
    x = input.wide
    y = np.rint(x) if not decimals else np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale
    return result(y, (input, np.zeros_like))


@quiet
def frac(input: Tensor) -> Tensor:
    """The part of x behind the point, with the sign of x; y' = 1."""
    a = input.wide
    return result(np.fmod(a, np.asarray(1, a.dtype)), (input, lambda g: g))


def positive(input: Tensor) -> Tensor:
    """The tensor as it is; bool has no sign."""
    if input.dtype == boolean:
        raise EagerError("positive of bool is not defined: expected numbers")
    return result(input.array.copy(), (input, lambda g: g))


def sgn(input: Tensor) -> Tensor:
    """-1, 0 or 1; y' = 0."""
    a = input.array
    return result(a.copy() if input.dtype == boolean else np.sign(input.wide), (input, np.zeros_like))


@quiet
def sinc(input: Tensor) -> Tensor:
    """y = sin(pi x) / (pi x), 1 at 0; y' = (cos(pi x) - y) / x, near 0 by its series."""
    x = floating(input)
    a = x.wide
    angle = a * math.pi
    y = np.sinc(a).astype(a.dtype)

    def formula(g: Array) -> Array:
        near = np.abs(angle) < 0.05
        series = -(math.pi**2) / 3 * a * (1 - angle**2 / 10 * (1 - angle**2 / 28 * (1 - angle**2 / 54)))
        return np.asarray(g * np.where(near, series, (np.cos(angle) - y) / np.where(near, 1, a)))

    return result(y, (x, formula))


@quiet
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """y = ln(x / (1 - x)), of x cut to [eps, 1 - eps] if there is an eps; y' = 1 / (x (1 - x)), 0 where cut."""
    x = floating(input)
    a = x.wide
    low, high = (-math.inf, math.inf) if eps is None else (eps, 1 - eps)
    z = np.clip(a, np.asarray(low, a.dtype), np.asarray(high, a.dtype))
    beyond = (a < low) | (a > high) if eps is not None else (a < 0) | (a > 1)
    slope = np.where(beyond, math.nan if eps is None else 0, 1 / (z * (1 - z))).astype(a.dtype)
    return result(np.log(z) - np.log1p(-z), (x, lambda g: g * slope))


@quiet
def nan_to_num(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Numbers for nan and the infinities, by default 0 and the largest and smallest of the type; y' = 0 there."""
    if not is_float(input.dtype):
        return result(input.array.copy(), (input, None))
    a = input.wide
    top = float(ml_dtypes.finfo(input.dtype).max)  # type: ignore[no-untyped-call]
    y = np.where(np.isnan(a), 0.0 if nan is None else nan, a)
    y = np.where(a == math.inf, top if posinf is None else posinf, y)
    y = np.where(a == -math.inf, -top if neginf is None else neginf, y)
    finite = np.isfinite(a)
    return result(y, (input, lambda g: np.where(finite, g, 0)))
