"""Changes of resolution: `interpolate`, and pixels that move into channels and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.dtypes import Array, float64, is_float
from staticgrad.eager.errors import EagerError
from staticgrad.eager.shape import permute, reshape
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

_MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "trilinear": (5,),
    "bicubic": (4,),
    "lanczos": (4,),
}

Taps = list[tuple[int, float]]
"""The elements that one element of the result is made of, with their weights."""


def _keys(x: float, a: float) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


_FILTERS: dict[str, tuple[int, Any]] = {
    "bilinear": (1, lambda x: max(1 - abs(x), 0.0)),
    "bicubic": (2, lambda x: _keys(x, -0.5)),
    "lanczos": (3, lambda x: _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0),
}


def _smooth(mode: str, i: int, n: int, ratio: float) -> Taps:
    """A filter as wide as an element of the coarser side, around the middle of element i of the result."""
    radius, weight = _FILTERS[mode]
    width = max(ratio, 1.0)
    middle = ratio * (i + 0.5)
    first = max(int(middle - radius * width + 0.5), 0)
    last = min(int(middle + radius * width + 0.5), n)
    weights = [weight((j + 0.5 - middle) / width) for j in range(first, last)]
    total = math.fsum(weights)
    return [(first + k, w / total) for k, w in enumerate(weights)]


def _nearest(i: int, n: int, ratio: float, exact: bool, kind: Any) -> Taps:
    # As PyTorch rounds: the product and the difference together, by one instruction.
    step = kind(ratio)
    place = max(kind(float(step) * (i + 0.5) - 0.5), kind(0)) + kind(0.5) if exact else step * kind(i)
    return [(min(math.floor(np.float32(place)), n - 1), 1.0)]


def _taps(mode: str, i: int, n: int, m: int, ratio: float, corners: bool, antialias: bool, kind: Any) -> Taps:
    """What element i of m is made of, among n elements that are `ratio` of a step apart."""
    if mode.startswith("nearest"):
        return _nearest(i, n, ratio, mode == "nearest-exact", kind)
    if mode == "area":
        cell = range(i * n // m, math.ceil((i + 1) * n / m))
        return [(j, 1 / len(cell)) for j in cell]
    if antialias:
        return _smooth(mode, i, n, ratio)
    place = ratio * i if corners else ratio * (i + 0.5) - 0.5
    if mode == "bicubic":
        base = math.floor(place)
        return [(min(max(base + k, 0), n - 1), _keys(place - base - k, -0.75)) for k in (-1, 0, 1, 2)]
    if n == m:
        return [(i, 1.0)]
    place = min(max(place, 0.0), n - 1.0)
    return [(int(place), 1 - place % 1), (min(int(place) + 1, n - 1), place % 1)]


def _resampled(x: Tensor, axis: int, taps: list[Taps]) -> Tensor:
    """The sums of weighted elements along an axis; the gradient of each goes to its elements by the same weights."""

    def made_of(parts: Taps) -> Array:
        if len(parts) == 1 and parts[0][1] == 1:
            return np.asarray(x.array.take(parts[0][0], axis))
        return np.asarray(np.sum([x.wide.take(j, axis) * w for j, w in parts], axis=0, dtype=x.wide.dtype))

    y = np.stack([made_of(parts) for parts in taps], axis)
    shape = x.shape

    def back(g: Array) -> Array:
        z = np.moveaxis(np.zeros(shape, g.dtype), axis, 0)
        for part, made in zip(np.moveaxis(g, axis, 0), taps, strict=True):
            for j, w in made:
                z[j] += part * w if w != 1 else part
        return np.moveaxis(z, 0, axis)

    return result(y, (x, back))


def _for_each(given: Any, count: int, what: str) -> list[Any] | None:
    if given is None:
        return None
    listed = list(given) if isinstance(given, list | tuple) else [given] * count
    if len(listed) != count or not all(0 < n < math.inf for n in listed):
        raise EagerError(f"interpolate with {what} {given}: expected a positive number or {count} of them")
    return listed


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """[N, C, ...] at another resolution along the axes from 2 on, by weights that depend on positions only.

    The result has `size` elements along them, or the old number times `scale_factor`, rounded down.
    """
    if input.ndim not in _MODES.get(mode, ()):
        raise EagerError(
            f"interpolate of {input.ndim} dimensions in mode {mode!r}: expected "
            + ", ".join(f"{r} in mode {m!r}" for m, ranks in _MODES.items() for r in ranks)
        )
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise EagerError(f"interpolate with align_corners in mode {mode!r}: expected a mode with weights")
    if (antialias and mode not in _FILTERS) or (mode == "lanczos" and (align_corners or not antialias)):
        raise EagerError(f"interpolate in mode {mode!r} with antialias={antialias}, align_corners={align_corners}")
    if mode not in ("nearest", "nearest-exact") and not is_float(input.dtype):
        raise EagerError(f"interpolate of {input.dtype} in mode {mode!r}: expected floating numbers")
    count = input.ndim - 2
    sizes, factors = _for_each(size, count, "size"), _for_each(scale_factor, count, "scale_factor")
    if (sizes is None) == (factors is None) or (recompute_scale_factor and factors is None):
        raise EagerError("interpolate takes either a size or a scale_factor, which recompute_scale_factor belongs to")
    kind = np.float64 if input.dtype == float64 else np.float32
    y = input
    for k, n in enumerate(input.shape[2:]):
        m = int(sizes[k]) if sizes is not None else int(n * factors[k])  # type: ignore[index]
        if not n or m < 1:
            raise EagerError(f"interpolate from {n} to {m} elements: expected at least one on both sides")
        known = factors is not None and not recompute_scale_factor and mode != "area"
        ratio = 1 / factors[k] if known and factors else n / m
        if align_corners:
            ratio = (n - 1) / (m - 1) if m > 1 else 0.0
        y = _resampled(y, k + 2, [_taps(mode, i, n, m, ratio, bool(align_corners), antialias, kind) for i in range(m)])
    return y


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """[..., C r r, H, W] to [..., C, H r, W r]: r r channels become a block of r by r pixels."""
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise EagerError(f"pixel_shuffle by {r} of shape {list(input.shape)}: expected a multiple of {r * r} channels")
    *lead, c, h, w = input.shape
    k = len(lead)
    y = permute(reshape(input, (*lead, c // (r * r), r, r, h, w)), (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return reshape(y, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """[..., C, H r, W r] to [..., C r r, H, W]: the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise EagerError(f"pixel_unshuffle by {r} of shape {list(input.shape)}: expected multiples of {r} pixels")
    *lead, c, h, w = input.shape
    k = len(lead)
    y = permute(reshape(input, (*lead, c, h // r, r, w // r, r)), (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return reshape(y, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """[N, C, ...] with its channels dealt out: the first of every group, then the second of every group, and so on."""
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise EagerError(f"channel_shuffle of {list(input.shape)}: expected a multiple of {groups} channels in dim 1")
    n, c, *rest = input.shape
    y = permute(reshape(input, (n, groups, c // groups, *rest)), (0, 2, 1, *range(3, input.ndim + 1)))
    return reshape(y, (n, c, *rest))
