"""Convolutions of 3x3 as products at points, with fewer multiplications; `benchmarks/formulations.py` measures them.

Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks" (2015). A tile of m x m results is computed from m + 2 points along each axis: y = A'((G w G') * (B x B')) A.
Transposed it gives the cotangents: of images with A and B in each other's place, of weights with G transposed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.graph import Array, Node, Value
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import spatial
from staticgrad.optimise.formulations import (
    arranged,
    formulation,
    has_own_size,
    turned,
    unturned,
    without_bias,
    without_filling,
)
from staticgrad.types import Dim

_KERNEL = 3
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}
"""For each size of a tile the points beside infinity; those of 4 halve the rounding errors of 0, 1, -1, 2, -2."""
_FEW_CHANNELS = 16
_A_BATCH = 16
"""Images in a batch of unknown size."""
_BY_BYTE, _BY_BYTE_OF_WEIGHTS = 5, 15
"""Operations in the time of a byte that is written or read; weights at points are kept for long, which counts too."""


class _Axis(NamedTuple):
    """For one axis the matrices between its elements and the points of its tiles: (points, tiles, elements)."""

    images: Array
    results: Array


class _Tiles(NamedTuple):
    """How a convolution of 3x3 is cut into tiles."""

    axes: tuple[_Axis, ...]
    weights: Array
    points: int


@lru_cache(maxsize=len(_POINTS))
def _transforms(size: int) -> tuple[Array, Array, Array]:
    """A (points, m), G (points, 3) and B (points, m + 2): Lagrange's interpolation, with infinity as the last point."""
    points = np.array(_POINTS[size])
    count = len(points) + 1
    results, weights = np.zeros((count, size)), np.zeros((count, _KERNEL))
    results[:-1], weights[:-1] = np.vander(points, size, True), np.vander(points, _KERNEL, True)
    results[-1, -1] = weights[-1, -1] = 1
    images = np.zeros((count, count))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        images[i, :-1] = np.poly(others)[::-1] / np.prod(point - others)
    images[-1] = np.poly(points)[::-1]
    return results, weights, images


def _axis(size: int, length: int, count: int, begin: int) -> _Axis:
    """The matrices of an axis of `length` elements, `begin` of padding before them, and `count` results."""
    from_results, _, from_images = _transforms(size)
    points, tiles = len(from_images), -(-count // size)
    images, results = np.zeros((points, tiles, length)), np.zeros((points, tiles, count))
    for tile in range(tiles):
        first = tile * size - begin
        seen = range(max(first, 0), min(first + points, length))
        images[:, tile, seen.start : seen.stop] = from_images[:, seen.start - first : seen.stop - first]
        made = range(tile * size, min((tile + 1) * size, count))
        results[:, tile, made.start : made.stop] = from_results[:, : len(made)]
    return _Axis(images.astype(np.float32), results.astype(np.float32))


def _cut(
    images: Dim, channels: tuple[Dim, ...], lengths: Sequence[Dim], counts: Sequence[Dim], begin: Sequence[int]
) -> _Tiles | None:
    """The tiles of a convolution of 3x3, or None where it is no faster by them.

    Counted is what its result and the cotangents of its images and weight take, so that these three share their parts.
    """
    batch = images if isinstance(images, int) else _A_BATCH
    numbers = [d for d in (*channels, *lengths, *counts) if isinstance(d, int) and d > 0]
    if len(numbers) < 6 or batch < 1 or min(numbers[:2]) < _FEW_CHANNELS:
        return None
    columns, rows, *rest = numbers
    sizes, made = rest[:2], rest[2:]
    cost = {size: _cost(size, batch, (columns, rows), sizes, made) for size in _POINTS}
    best = min(cost, key=cost.__getitem__)
    if cost[best] >= 3 * 2 * _KERNEL**2 * batch * math.prod(made) * columns * rows:
        return None
    axes = tuple(_axis(best, *numbers) for numbers in zip(sizes, made, begin, strict=True))
    weights = _transforms(best)[1]
    flat = np.einsum("fw,gh->fghw", weights, weights).reshape(-1, _KERNEL**2)
    return _Tiles(axes, flat.astype(np.float32), len(weights))


def _cost(size: int, batch: int, channels: tuple[int, int], lengths: Sequence[int], counts: Sequence[int]) -> float:
    """Operations, and the bytes that pass in their time, of a result and both cotangents."""
    points = size + _KERNEL - 1
    high, wide = (points * -(-count // size) for count in counts)
    elements, weights = batch * high * wide, points**2 * math.prod(channels)
    cost = 3 * 2.0 * elements * math.prod(channels)
    for channel, (height, width) in zip(channels, (lengths, counts), strict=True):
        cost += 2 * 2 * batch * channel * height * wide * (width + high)
    return cost + 4 * 5 * (_BY_BYTE * elements * sum(channels) + _BY_BYTE_OF_WEIGHTS * weights)


def _at_points(x: Value, matrices: Sequence[Array], points: int) -> Value:
    """Images (N, C, H, W) at the points of their tiles, (points, tiles and images, C)."""
    channels, height, width = x.type.shape[1:]
    high, wide = (m.reshape(-1, m.shape[-1]) for m in matrices)
    across = ops.gemm(constant(wide), arranged(x, (-1, width)), transB=True)
    columns = ops.transpose(arranged(across, (points, -1, height)), perm=(0, 2, 1))
    return arranged(ops.matmul(constant(high), columns), (points**2, -1, channels))


def _from_points(products: Value, matrices: Sequence[Array], points: int, like: Value) -> Value:
    """The transposed of `_at_points`: a value of the type of `like`."""
    high, wide = (m.reshape(-1, m.shape[-1]) for m in matrices)
    columns = ops.transpose(arranged(products, (points, high.shape[0], -1)), perm=(0, 2, 1))
    across = arranged(ops.matmul(columns, constant(high)), (wide.shape[0], -1))
    rows = ops.gemm(across, constant(wide), transA=True)
    batch, *others = like.type.shape
    target = constant(np.array([batch if isinstance(batch, int) else -1, *others], np.int64))
    found: Value = ops.reshape.apply((rows, target), {"allowzero": 0}, (like.type,)).outputs[0]
    return found


def _weights_at_points(w: Value, tiles: _Tiles) -> Value:
    """A weight (M, C, 3, 3) as (points, M, C)."""
    flat = arranged(w, (-1, _KERNEL**2))
    return arranged(ops.gemm(constant(tiles.weights), flat, transB=True), (tiles.points**2, *w.type.shape[:2]))


def _is_plain(node: Node) -> bool:
    return node.attributes["group"] == 1 and len(node.outputs[0].type.shape) == 4


@formulation("cpu", "Conv", first=True)
def _result_by_points(node: Node) -> Value | None:
    """conv(x, w) from products at points, of 3x3 and stride 1"""
    y, given = node.outputs[0], without_bias(node, any_bias=True)
    if given is None or not _is_plain(node):
        return None
    x, w, windows = given
    if windows.kernel != (_KERNEL, _KERNEL) or set(windows.strides + windows.dilations) != {1} or not windows.begin:
        return None
    if unturned(x) is not None and unturned(w) is not None:
        return None
    tiles = _cut(x.type.shape[0], (x.type.shape[1], w.type.shape[0]), spatial(x), spatial(y), windows.begin)
    if tiles is None:
        return None
    images = _at_points(x, [axis.images for axis in tiles.axes], tiles.points)
    weights = ops.transpose(_weights_at_points(w, tiles), perm=(0, 2, 1))
    found = _from_points(ops.matmul(images, weights), [axis.results for axis in tiles.axes], tiles.points, y)
    bias = (*node.inputs, None)[2]
    return found if bias is None else ops.add(found, ops.reshape(bias, constant(np.array([-1, 1, 1]))))


@formulation("cpu", "ConvTranspose", first=True)
def _images_by_points(node: Node) -> Value | None:
    """conv_transpose(g, w) from products at points, of 3x3 and stride 1"""
    y, given = node.outputs[0], without_bias(node)
    if given is None or not _is_plain(node):
        return None
    g, w, windows = given
    if windows.kernel != (_KERNEL, _KERNEL) or set(windows.strides + windows.dilations) != {1} or not windows.begin:
        return None
    if has_own_size(node):
        return None
    tiles = _cut(g.type.shape[0], (y.type.shape[1], g.type.shape[1]), spatial(y), spatial(g), windows.begin)
    if tiles is None:
        return None
    cotangents = _at_points(g, [axis.results for axis in tiles.axes], tiles.points)
    products = ops.matmul(cotangents, _weights_at_points(w, tiles))
    return _from_points(products, [axis.images for axis in tiles.axes], tiles.points, y)


@formulation("cpu", "Conv", first=True)
def _weight_by_points(node: Node) -> Value | None:
    """conv(x', g') of images and cotangents whose images are channels, from products at points: a weight of 3x3"""
    y, given = node.outputs[0], without_bias(node)
    if given is None or not _is_plain(node) or spatial(y) != (_KERNEL, _KERNEL):
        return None
    x, w, windows = given
    bare = without_filling(x), without_filling(w)
    if bare[0] is not x and bare[1] is not w:
        x, w = bare
    images, cotangents = unturned(x), unturned(w)
    if images is None or cotangents is None or set(windows.strides + windows.dilations) != {1} or not windows.begin:
        return None
    channels = (images.type.shape[1], cotangents.type.shape[1])
    tiles = _cut(images.type.shape[0], channels, spatial(images), spatial(cotangents), windows.begin)
    if tiles is None:
        return None
    seen = _at_points(images, [axis.images for axis in tiles.axes], tiles.points)
    given_at = _at_points(cotangents, [axis.results for axis in tiles.axes], tiles.points)
    products = ops.matmul(ops.transpose(given_at, perm=(0, 2, 1)), seen)
    flat = ops.gemm(arranged(products, (tiles.points**2, -1)), constant(tiles.weights), transA=True)
    weight = arranged(flat, (channels[1], channels[0], _KERNEL, _KERNEL))
    if not isinstance(images.type.shape[0], int):
        # What the runtime's batched product over no elements holds is left to chance.
        some = ops.greater(ops.shape(images, start=0, end=1), constant(np.array([0])))
        weight = ops.where(some, weight, constant(np.zeros(1, np.float32)))
    return turned(weight)
