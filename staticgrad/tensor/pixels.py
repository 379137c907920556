"""Pixels that move into channels and back; also found in `staticgrad.nn.functional`."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.layout import Part, laid_out
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function


@function
def pixel_shuffle(input: Value, upscale_factor: int) -> Value:
    """`[..., C*r*r, H, W]` to `[..., C, H*r, W*r]`: r*r channels make blocks of r by r pixels (Shi et al. 2016)."""
    r, rank = _factor(input, upscale_factor, "pixel_shuffle", "upscale_factor")
    _check_divisible(input, rank - 3, r * r, "pixel_shuffle")
    lead: list[int | Part] = [Part(i) for i in range(rank - 3)]
    c, h, w = rank - 3, rank - 2, rank - 1
    x = laid_out(input, [*lead, Part(c, over=r * r), r, r, Part(h), Part(w)])
    x = ops.transpose(x, perm=(*range(c), c, c + 3, c + 1, c + 4, c + 2))
    return laid_out(x, [*lead, Part(c), Part(c + 1, times=r), Part(c + 3, times=r)])


@function
def pixel_unshuffle(input: Value, downscale_factor: int) -> Value:
    """`[..., C, H*r, W*r]` to `[..., C*r*r, H, W]`, the inverse of `pixel_shuffle`."""
    r, rank = _factor(input, downscale_factor, "pixel_unshuffle", "downscale_factor")
    for axis in (rank - 2, rank - 1):
        _check_divisible(input, axis, r, "pixel_unshuffle")
    lead: list[int | Part] = [Part(i) for i in range(rank - 3)]
    c, h, w = rank - 3, rank - 2, rank - 1
    x = laid_out(input, [*lead, Part(c), Part(h, over=r), r, Part(w, over=r), r])
    x = ops.transpose(x, perm=(*range(c), c, c + 2, c + 4, c + 1, c + 3))
    return laid_out(x, [*lead, Part(c, times=r * r), Part(c + 3), Part(c + 4)])


def _factor(x: Value, factor: int, name: str, argument: str) -> tuple[int, int]:
    if not isinstance(factor, int) or factor < 1:
        raise DeclarationError(f"{name} takes a positive int for {argument}, {shown(factor)} came ({source_line()})")
    if len(x.type.shape) < 3:
        raise ShapeError(f"{name} takes tensors of rank 3 or more, {x.type} came ({source_line()})")
    return factor, len(x.type.shape)


def _check_divisible(x: Value, axis: int, divisor: int, name: str) -> None:
    # What only the run knows, the run refuses.
    dim = x.type.shape[axis]
    if isinstance(dim, int) and dim % divisor:
        raise ShapeError(
            f"{name} needs dimension {axis} to be a multiple of {divisor}, {x.type} came ({source_line()})"
        )


@function
def channel_shuffle(input: Value, groups: int) -> Value:
    """`[N, C, ...]` with its channels dealt out: the first of every group, then the second ... (Zhang et al. 2017)."""
    g, rank = _factor(input, groups, "channel_shuffle", "groups")
    _check_divisible(input, 1, g, "channel_shuffle")
    behind: list[int | Part] = [Part(i) for i in range(2, rank)]
    x = laid_out(input, [Part(0), g, Part(1, over=g), *behind])
    x = ops.transpose(x, perm=(0, 2, 1, *range(3, rank + 1)))
    return laid_out(x, [Part(0), Part(1, times=g), *[Part(i + 1) for i in range(2, rank)]])
