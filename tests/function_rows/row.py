"""What a row of the table of functions is, and numbers to fill it with."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Row:
    """A call: numpy arrays become tensors, the float64 ones are differentiated."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    in_torch: bool = True  # whether PyTorch has this case


def draw(*shape: int, low: float = -2.0, high: float = 2.0, avoid: tuple[float, ...] = (), seed: int = 0) -> np.ndarray:
    """Uniform numbers, at least 0.05 away from the points to avoid."""
    rng = np.random.default_rng([seed, zlib.crc32(repr((shape, low, high, avoid)).encode())])
    x = rng.uniform(low, high, shape)
    for _ in range(100):
        near = np.zeros(shape, bool)
        for point in avoid:
            near |= np.abs(x - point) < 0.05
        x = np.where(near, rng.uniform(low, high, shape), x)
    return x


def distinct(*shape: int) -> np.ndarray:
    """Numbers of which no two are close, in random order."""
    return np.random.default_rng(7).permutation(math.prod(shape)).reshape(shape) / 4.0 - 1.3
