"""Numbers that fill the rows of tables."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw(
    *shape: int, low: float = -2.0, high: float = 2.0, avoid: tuple[float, ...] = (), seed: int = 0
) -> NDArray[Any]:
    """Uniform numbers, at least 0.05 away from the points to avoid."""
    rng = np.random.default_rng([seed, zlib.crc32(repr((shape, low, high, avoid)).encode())])
    x = rng.uniform(low, high, shape)
    while (near := np.any([np.abs(x - point) < 0.05 for point in avoid], axis=0)).any():
        x = np.where(near, rng.uniform(low, high, shape), x)
    return np.asarray(x)


def distinct(*shape: int, seed: int = 7) -> NDArray[Any]:
    """Numbers of which no two are close, in random order."""
    return np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) / 4.0 - 1.3
