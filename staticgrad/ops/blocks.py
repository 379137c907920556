"""Blocks of pixels: moved into channels and back, added up where they lie; and images cut or filled up to a size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value, constant_of
from staticgrad.ops.convolution import conv
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import dims_of, normal_axis, require_table, reshape_like
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import listed, shape, transpose
from staticgrad.ops.sizes import arranged, sizes_of
from staticgrad.ops.windows import differ, pooled
from staticgrad.types import Dim, DType, TensorType, dims_agree, divide_dims, multiply_dims, unknown


def _block_of(x: Value, blocksize: int) -> int:
    require(len(x.type.shape) == 4, f"[N, C, H, W] is expected, {x.type} came")
    require(isinstance(blocksize, int) and blocksize > 0, f"blocksize={blocksize!r} must be a positive int")
    return blocksize


def _divided(dim: Dim, divisor: int, what: str) -> Dim:
    require(not isinstance(dim, int) or dim % divisor == 0, f"{dim} {what} are not a multiple of {divisor}")
    quotient = divide_dims(dim, divisor)
    return unknown() if quotient is None else quotient


def _unfolded(x, *, blocksize, mode):
    block = _block_of(x, blocksize)
    if mode not in ("DCR", "CRD"):
        raise DeclarationError(f"mode={shown(mode)} is neither 'DCR' nor 'CRD'")
    n, c, h, w = x.type.shape
    channels = _divided(c, block * block, "channels")
    return TensorType(x.type.dtype, (n, channels, multiply_dims(h, block), multiply_dims(w, block)))


@onnx_op("DepthToSpace", type=_unfolded)
def depth_to_space(x: Input, *, blocksize: int, mode: str = "DCR") -> Value:
    """Channels of `x` [N, C * b * b, H, W] as blocks of pixels: [N, C, H * b, W * b].

    In mode "DCR" the places in the block come before the channels of the result, in "CRD" behind them.
    """


@depth_to_space.vjp
def _(g, y, x, *, blocksize, mode):
    back = space_to_depth.apply((g,), {"blocksize": blocksize}, (x.type,)).outputs[0]
    if mode == "DCR":
        return back
    batch, channels, height, width = sizes_of(x)
    places = blocksize * blocksize
    back = arranged(back, batch, places, channels.over(places), height, width)
    return reshape_like(transpose(back, perm=(0, 2, 1, 3, 4)), x)


def _folded(x, *, blocksize):
    block = _block_of(x, blocksize)
    n, c, h, w = x.type.shape
    rows, columns = _divided(h, block, "rows"), _divided(w, block, "columns")
    return TensorType(x.type.dtype, (n, multiply_dims(c, block * block), rows, columns))


@onnx_op("SpaceToDepth", type=_folded)
def space_to_depth(x: Input, *, blocksize: int) -> Value:
    """Blocks of pixels of `x` [N, C, H * b, W * b] as channels: [N, b * b * C, H, W], the places of the block first."""


@space_to_depth.vjp
def _(g, y, x, *, blocksize):
    how = {"blocksize": blocksize, "mode": "DCR"}
    return depth_to_space.apply((g,), how, (x.type,)).outputs[0]


def _chosen_axes(x: Value, axes: Sequence[int] | None) -> tuple[int, ...]:
    rank = len(x.type.shape)
    chosen = tuple(range(rank)) if axes is None else tuple(normal_axis(a, rank) for a in axes)
    require(len(set(chosen)) == len(chosen), f"axes {list(chosen)} name one axis twice")
    return chosen


def _centered(x, target, *, axes):
    if target.type.dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"sizes must be int32 or int64, {target.type.dtype} came; cast with x.to('int64')")
    chosen = _chosen_axes(x, axes)
    expected = target.type.shape
    require(
        len(expected) == 1 and dims_agree(expected[0], len(chosen)),
        f"the sizes are {target.type}, {len(chosen)} are expected",
    )
    array = constant_of(target)
    sizes = tuple(array.tolist()) if array is not None else dims_of(target.content)
    dims = list(x.type.shape)
    for number, axis in enumerate(chosen):
        size = unknown() if sizes is None else sizes[number]
        require(not isinstance(size, int) or size >= 0, f"a size of {size} is negative")
        dims[axis] = size
    return TensorType(x.type.dtype, tuple(dims))


@onnx_op("CenterCropPad", type=_centered)
def center_crop_pad(x: Input, shape: Input, *, axes: Sequence[int] | None = None) -> Value:
    """The middle of `x`, cut or filled up with zeros along `axes` (all) to the sizes `shape`.

    Half of what is cut or filled up lies in front, rounded down.
    """


@center_crop_pad.vjp
def _(g, y, x, target, *, axes):
    # What is rounded down in front is so both ways: cutting and filling up are each other's transpose.
    chosen = list(_chosen_axes(x, axes))
    dims = [x.type.shape[a] for a in chosen]
    if all(isinstance(d, int) for d in dims):
        sizes = constant(np.array(dims, np.int64))
    else:
        sizes = gather(shape(x), constant(np.array(chosen, np.int64)))
    return center_crop_pad.apply((g, sizes), {"axes": tuple(chosen)}, (x.type,)).outputs[0], None


def _known(sizes: Value) -> list[int] | None:
    """The sizes as numbers, if they are known."""
    dims = dims_of(sizes.content) or ()
    numbers = [d for d in dims if isinstance(d, int)]
    return numbers if numbers and len(numbers) == len(dims) else None


def _col2im(x, image_shape, block_shape, *, dilations, pads, strides):
    require(len(x.type.shape) == 3, f"[N, C * block, number of blocks] is expected, {x.type} came")
    for sizes in (image_shape, block_shape):
        require(sizes.type.dtype is DType.int64 and len(sizes.type.shape) == 1, "sizes must be a list of int64")
    image = dims_of(image_shape.content)
    ranks = [d for d in (image_shape.type.shape[0], block_shape.type.shape[0]) if isinstance(d, int)]
    require(len(ranks) > 0, "the number of spatial axes must be known when declaring")
    image = tuple(unknown() for _ in range(ranks[0])) if image is None else image
    batch, channels, number = x.type.shape
    kernel = _known(block_shape)
    if kernel is None:
        return TensorType(x.type.dtype, (batch, unknown(), *image))
    _, counts = pooled(image, kernel, "NOTSET", dilations, pads, strides)
    blocks = multiply_dims(*counts)
    require(
        not differ(blocks, number),
        f"{number} blocks came, an image {listed(image)} of blocks {list(kernel)} has {blocks}",
    )
    return TensorType(x.type.dtype, (batch, _divided(channels, math.prod(kernel), "rows"), *image))


@onnx_op("Col2Im", type=_col2im)
def col2im(
    x: Input,
    image_shape: Input,
    block_shape: Input,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """Blocks `x` [N, C * block, number of blocks] added up where they lie in images [N, C, *image_shape]."""


@col2im.refuses
def _(x, image_shape, block_shape, **attributes):
    """A block_shape that is computed."""
    if _known(block_shape) is None:
        return "block_shape is not known when declaring; give it as a literal"
    return None


@col2im.vjp
def _(g, y, x, image_shape, block_shape, *, dilations, pads, strides):
    block = _known(block_shape)
    assert block is not None
    # The convolution with a kernel that has a one at place k gives element k of every block.
    places = math.prod(block)
    require_table(places, places)
    kernel = constant(np.eye(places, dtype=g.type.dtype.numpy).reshape(places, 1, *block))
    batch, channels, *image = sizes_of(g)
    rows = arranged(g, batch.times(channels), 1, *image)
    blocks = conv(rows, kernel, dilations=dilations, pads=pads, strides=strides)
    return reshape_like(blocks, x), None, None
