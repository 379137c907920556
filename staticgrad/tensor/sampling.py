"""Sampling at points of a grid; also found in `staticgrad.nn.functional`."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.layout import Part, laid_out
from staticgrad.ops.registry import constant
from staticgrad.ops.sampling import sampled
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.types import dims_agree

_MODES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
_PADDINGS = ("zeros", "border", "reflection")


@function
def grid_sample(
    input: Value,
    grid: Value,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Value:
    """`input [N, C, H, W]` at the points `grid [N, h, w, 2]`, (x, y) from -1 to 1; or both with a depth, (x, y, z).

    -1 and 1 are the outer edges of the outer elements, with `align_corners` their middles. Beyond them are zeros, the
    outermost elements ("border"), or mirror images ("reflection"). Mode "nearest" has no derivative by the grid.
    """
    _checked(input, grid, mode, padding_mode)
    return sampled(input, grid, _MODES[mode], padding_mode, bool(align_corners))


def _checked(input: Value, grid: Value, mode: str, padding_mode: str) -> None:
    if mode not in _MODES or padding_mode not in _PADDINGS:
        raise DeclarationError(
            f"grid_sample takes mode {', '.join(_MODES)} and padding_mode {', '.join(_PADDINGS)}, {shown(mode)} and "
            f"{shown(padding_mode)} came ({source_line()})"
        )
    rank = len(input.type.shape)
    wanted = (4,) if mode == "bicubic" else (4, 5)
    if rank not in wanted or len(grid.type.shape) != rank or grid.type.shape[-1] != rank - 2:
        deep = "" if mode == "bicubic" else ", or both with a depth"
        raise ShapeError(
            f"grid_sample takes [N, C, H, W] and a grid [N, h, w, 2]{deep}; {input.type} and {grid.type} came "
            f"({source_line()})"
        )
    batches = input.type.shape[0], grid.type.shape[0]
    if not dims_agree(*batches):
        raise ShapeError(f"grid_sample takes as many grids as images, {batches[1]} for {batches[0]} ({source_line()})")
    if 0 in input.type.shape[2:]:
        raise ShapeError(f"grid_sample has nothing to sample in {input.type} ({source_line()})")
    if not input.type.dtype.is_float or input.type.dtype is not grid.type.dtype:
        raise DTypeError(
            f"grid_sample takes images and a grid of one floating type, {input.type} and {grid.type} came "
            f"({source_line()})"
        )


@function
def affine_grid(theta: Value, size: Sequence[int], align_corners: bool | None = None) -> Value:
    """The grid `[N, h, w, 2]` whose points are `theta [N, 2, 3]` times (x, y, 1), for results of `size` (N, C, h, w).

    With `theta [N, 3, 4]` and (N, C, d, h, w) points have a depth.
    """
    try:
        sizes = [operator.index(n) for n in size]
    except TypeError:
        sizes = []
    count = len(sizes) - 2
    if count not in (2, 3) or any(n < 1 for n in sizes):
        raise ShapeError(
            f"affine_grid takes a size of 4 or 5 positive ints, (N, C, h, w) or (N, C, d, h, w), {shown(size)} came "
            f"({source_line()})"
        )
    shape = theta.type.shape
    if not theta.type.dtype.is_float or len(shape) != 3 or shape[1:] != (count, count + 1):
        raise ShapeError(
            f"affine_grid of size {sizes} takes floating matrices [N, {count}, {count + 1}], {theta.type} came "
            f"({source_line()})"
        )
    if isinstance(shape[0], int) and shape[0] != sizes[0]:
        raise ShapeError(f"affine_grid takes {sizes[0]} matrices for {sizes}, {theta.type} came ({source_line()})")
    axes = []
    for n in sizes[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if align_corners else line * ((n - 1) / n))
    points = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(sizes[2:])], axis=-1)
    flat = constant(points.reshape(-1, count + 1).astype(theta.type.dtype.numpy))
    return laid_out(ops.matmul(flat, ops.transpose(theta, perm=(0, 2, 1))), [Part(0), *sizes[2:], count])
