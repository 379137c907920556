"""Initial values of parameters: each initializer fills a shape with numbers that follow from the parameter's name.

The same name and seed give the same numbers, whatever else is declared before; another seed gives others.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, ShapeError
from staticgrad.graph import Array
from staticgrad.origin import source_line
from staticgrad.types import DType, as_dtype

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


ElementType = np.dtype[Any]

Fill = Callable[[np.random.Generator, tuple[int, ...], ElementType], Array]
"""Numbers of a shape from a random generator, drawn in the element type that is given or a narrower one."""


@dataclass(frozen=True)
class Initializer:
    """A shape, an element type, and how to fill them from a random generator."""

    shape: tuple[int, ...]
    dtype: DType
    seed: int
    fill: Fill

    def array(self, name: str) -> Array:
        """The initial value of the parameter `name`."""
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        made = self.fill(random, self.shape, self.dtype.numpy)
        return np.asarray(made).astype(self.dtype.numpy, copy=False)


def _initializer(shape: object, dtype: object, seed: int, fill: Fill) -> Initializer:
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(sizes, (tuple, list)) or not all(isinstance(s, (int, np.integer)) and s >= 0 for s in sizes):
        raise ShapeError(f"the shape of a parameter is a tuple of ints, {shape!r} came ({source_line()})")
    return Initializer(tuple(int(s) for s in sizes), as_dtype(dtype), seed, fill)


def _width(dtype: ElementType) -> type[Any]:
    """In which type numbers are drawn: in float32 if that is enough, which takes half the time and memory."""
    return np.float64 if dtype == np.float64 else np.float32


def _uniform(
    random: np.random.Generator, sizes: tuple[int, ...], dtype: np.dtype[Any], low: float, high: float
) -> Array:
    width = _width(dtype)
    numbers = np.asarray(random.random(sizes, width))
    numbers *= high - low
    numbers += low
    # The upper bound itself comes of rounding only.
    np.minimum(numbers, np.nextafter(width(high), width(low)), out=numbers)
    return numbers


def _normal(
    random: np.random.Generator, sizes: tuple[int, ...], dtype: np.dtype[Any], mean: float, std: float
) -> Array:
    numbers = np.asarray(random.standard_normal(sizes, _width(dtype)))
    if std != 1:
        numbers *= std
    if mean != 0:
        numbers += mean
    return numbers


def zeros(shape: object, dtype: object = "float32") -> Initializer:
    """All 0."""
    return constant(shape, 0.0, dtype)


def ones(shape: object, dtype: object = "float32") -> Initializer:
    """All 1."""
    return constant(shape, 1.0, dtype)


def constant(shape: object, value: float, dtype: object = "float32") -> Initializer:
    """All `value`."""
    return _initializer(shape, dtype, 0, lambda _, sizes, dtype: np.broadcast_to(np.asarray(value, dtype), sizes))


def uniform(
    shape: object, low: float = 0.0, high: float = 1.0, dtype: object = "float32", seed: int = 0
) -> Initializer:
    """Uniform on [low, high)."""
    return _initializer(shape, dtype, seed, lambda random, sizes, dtype: _uniform(random, sizes, dtype, low, high))


def normal(shape: object, mean: float = 0.0, std: float = 1.0, dtype: object = "float32", seed: int = 0) -> Initializer:
    """Normal with this mean and standard deviation."""
    return _initializer(shape, dtype, seed, lambda random, sizes, dtype: _normal(random, sizes, dtype, mean, std))


def xavier_uniform(shape: object, gain: float = 1.0, dtype: object = "float32", seed: int = 0) -> Initializer:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out)) of 0 (Glorot and Bengio 2010)."""
    return _scaled(shape, dtype, seed, lambda i, o: gain * math.sqrt(2 / (i + o)), uniformly=True)


def xavier_normal(shape: object, gain: float = 1.0, dtype: object = "float32", seed: int = 0) -> Initializer:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return _scaled(shape, dtype, seed, lambda i, o: gain * math.sqrt(2 / (i + o)), uniformly=False)


def kaiming_uniform(
    shape: object, a: float = 0.0, nonlinearity: str = "relu", dtype: object = "float32", seed: int = 0
) -> Initializer:
    """Uniform within gain * sqrt(3 / fan_in) of 0 (He et al. 2015); `a` is the negative slope of a leaky_relu."""
    gain = _gain(nonlinearity, a)
    return _scaled(shape, dtype, seed, lambda i, o: gain / math.sqrt(i), uniformly=True)


def kaiming_normal(
    shape: object, a: float = 0.0, nonlinearity: str = "relu", dtype: object = "float32", seed: int = 0
) -> Initializer:
    """Normal with deviation gain / sqrt(fan_in) (He et al. 2015); `a` is the negative slope of a leaky_relu."""
    gain = _gain(nonlinearity, a)
    return _scaled(shape, dtype, seed, lambda i, o: gain / math.sqrt(i), uniformly=False)


def _gain(nonlinearity: str, a: float) -> float:
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + a * a))
    if nonlinearity not in _GAINS:
        names = ", ".join(map(repr, [*_GAINS, "leaky_relu"]))
        raise DeclarationError(f"nonlinearity={nonlinearity!r} is not one of {names} ({source_line()})")
    return _GAINS[nonlinearity]


def _scaled(
    shape: object, dtype: object, seed: int, deviation: Callable[[int, int], float], uniformly: bool
) -> Initializer:
    """Mean 0 and a deviation that follows from fan_in and fan_out: PyTorch's layout (out, in, ...)."""

    def fill(random: np.random.Generator, sizes: tuple[int, ...], dtype: ElementType) -> Array:
        field = math.prod(sizes[2:])
        std = deviation(max(sizes[1] * field, 1), max(sizes[0] * field, 1))
        bound = math.sqrt(3) * std
        return _uniform(random, sizes, dtype, -bound, bound) if uniformly else _normal(random, sizes, dtype, 0, std)

    made = _initializer(shape, dtype, seed, fill)
    if len(made.shape) < 2:
        raise ShapeError(
            f"fan in and fan out need a shape of rank 2 or more, {list(made.shape)} came; use uniform or normal "
            f"({source_line()})"
        )
    return made
