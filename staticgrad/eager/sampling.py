"""Sampling at points between elements: `grid_sample`, and `affine_grid` for its points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from staticgrad.eager.dtypes import Array, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


class Tap(NamedTuple):
    """Along one axis: the element that is read, its weight, and how that changes with the point."""

    place: Array
    weight: Array
    slope: Array


def _product(factors: list[Array]) -> Array:
    return np.asarray(np.prod(factors, axis=0))


def _limited(u: Array, n: int) -> tuple[Array, Array]:
    """`u` within the elements, and its slope: 0 from the limits on."""
    return np.where(u > 0, np.minimum(u, n - 1.0), 0.0), ((u > 0) & (u < n - 1)).astype(u.dtype)


def _mirrored(u: Array, n: int, corners: bool) -> tuple[Array, Array]:
    """`u` mirrored at both ends until it lies between them, and its slope."""
    low, span = (0.0, n - 1.0) if corners else (-0.5, float(n))
    if span == 0:
        return np.zeros_like(u), np.zeros_like(u)
    # A zigzag of period 2 span.
    phase = np.mod(u - low, 2 * span)
    back = phase >= span
    v, slope = _limited(low + np.where(back, 2 * span - phase, phase), n)
    falling = np.where(u < low, np.mod(low - u, 2 * span) < span, back)
    return v, slope * np.where(falling, -1.0, 1.0)


def _kept(u: Array, n: int, padding_mode: str, corners: bool) -> tuple[Array, Array]:
    if padding_mode == "border":
        return _limited(u, n)
    return _mirrored(u, n, corners) if padding_mode == "reflection" else (u, np.ones_like(u))


def _taps(c: Array, n: int, mode: str, padding_mode: str, corners: bool) -> list[Tap]:
    """What is read along an axis of n elements at the coordinates c from -1 to 1."""
    scale = (n - 1) / 2 if corners else n / 2
    u = (c + 1) * scale - (0.0 if corners else 0.5)
    if mode == "bicubic":
        base = np.floor(u)
        t = u - base
        made = []
        for k in (-1, 0, 1, 2):
            d, sign = np.abs(t - k), np.sign(t - k)
            a = -0.75
            near = k in (0, 1)
            w = (a + 2) * d**3 - (a + 3) * d**2 + 1 if near else a * (d**3 - 5 * d**2 + 8 * d - 4)
            s = 3 * (a + 2) * d**2 - 2 * (a + 3) * d if near else a * (3 * d**2 - 10 * d + 8)
            made.append(Tap(_kept(base + k, n, padding_mode, corners)[0], w, s * sign * scale))
        return made
    u, slope = _kept(u, n, padding_mode, corners)
    if mode == "nearest":
        return [Tap(np.rint(u), np.ones_like(u), np.zeros_like(u))]
    base, slope = np.floor(u), slope * scale
    return [Tap(base, 1 - (u - base), -slope), Tap(base + 1, u - base, slope)]


@quiet
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """y[n, :, p] = sum over the elements around grid[n, p] of weight times x[n, :, element].

    The weights are products over the axes; the gradient of a point is that of the weights.
    """
    rank, corners = input.ndim, bool(align_corners)
    if mode not in ("bilinear", "nearest", "bicubic") or padding_mode not in ("zeros", "border", "reflection"):
        raise EagerError(
            f"grid_sample with mode {mode!r} and padding_mode {padding_mode!r}: expected 'bilinear', 'nearest' or "
            "'bicubic', and 'zeros', 'border' or 'reflection'"
        )
    fits = rank in ((4,) if mode == "bicubic" else (4, 5)) and grid.ndim == rank and grid.shape[-1] == rank - 2
    if not fits or grid.shape[0] != input.shape[0] or 0 in input.shape[2:]:
        raise EagerError(
            f"grid_sample of shape {list(input.shape)} at {list(grid.shape)} in mode {mode!r}: expected [N, C, H, W] "
            "and [N, h, w, 2], or both with a depth in the other modes"
        )
    if input.dtype != grid.dtype or not is_float(input.dtype):
        raise EagerError(f"grid_sample of {input.dtype} at points of {grid.dtype}: expected one floating type")
    x, points, sizes = input.wide, grid.wide, input.shape[2:]
    axes = [_taps(points[..., rank - 3 - i], n, mode, padding_mode, corners) for i, n in enumerate(sizes)]
    numbers = np.arange(input.shape[0]).reshape((-1,) + (1,) * (rank - 2))
    places: list[tuple[Array, ...]] = []
    weights: list[list[Tap]] = []
    for chosen in itertools.product(*axes):
        inside = np.ones(points.shape[:-1], bool)
        index = []
        for tap, n in zip(chosen, sizes, strict=True):
            inside &= (tap.place >= 0) & (tap.place < n)
            index.append(np.where((tap.place >= 0) & (tap.place < n), tap.place, 0).astype(np.int64))
        places.append((numbers, *index, inside))
        weights.append(list(chosen))
    forward = np.moveaxis(x, 1, -1)

    def read(place: tuple[Array, ...]) -> Array:
        return np.where(place[-1][..., None], forward[place[:-1]], 0)

    total = np.zeros((*points.shape[:-1], x.shape[1]), x.dtype)
    for place, taps in zip(places, weights, strict=True):
        total += read(place) * _product([t.weight for t in taps])[..., None]

    def to_input(g: Array) -> Array:
        z = np.zeros(forward.shape, g.dtype)
        flowing = np.moveaxis(g, 1, -1)
        for place, taps in zip(places, weights, strict=True):
            part = flowing * _product([t.weight for t in taps])[..., None]
            np.add.at(z, place[:-1], np.where(place[-1][..., None], part, 0))
        return np.moveaxis(z, -1, 1)

    def to_grid(g: Array) -> Array:
        z = np.zeros(points.shape, g.dtype)
        flowing = np.moveaxis(g, 1, -1)
        for place, taps in zip(places, weights, strict=True):
            inner = (flowing * read(place)).sum(-1)
            for i in range(rank - 2):
                others = [t.slope if k == i else t.weight for k, t in enumerate(taps)]
                z[..., rank - 3 - i] += inner * _product(others)
        return z

    return result(np.moveaxis(total, -1, 1), (input, to_input), (grid, to_grid))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The points theta (x, y, 1) for every (x, y) of an even grid from -1 to 1, with a depth for sizes of five numbers.

    Without `align_corners` -1 and 1 are the edges of the outer elements, not their middles.
    """
    count = len(size) - 2
    if count not in (2, 3) or theta.shape != (size[0], count, count + 1):
        raise EagerError(
            f"affine_grid of {list(theta.shape)} for size {list(size)}: expected [N, 2, 3] for (N, C, H, W), or "
            "[N, 3, 4] with a depth"
        )
    base = np.ones((*size[2:], count + 1))
    for i, n in enumerate(size[2:]):
        line = (2 * np.arange(n) - (n - 1)) / (max(n - 1, 1) if align_corners else n)
        base[..., count - 1 - i] = line.reshape((-1,) + (1,) * (count - 1 - i))
    base = base.astype(theta.wide.dtype)
    letters = "abc"[:count]

    def back(g: Array) -> Array:
        return np.asarray(np.einsum(f"n{letters}i,{letters}j->nij", g, base))

    return result(np.einsum(f"nij,{letters}j->n{letters}i", theta.wide, base), (theta, back))
