"""Maxima put back where they were taken from."""

from __future__ import annotations

from collections.abc import Sequence

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.indexing import gather, scatter_elements
from staticgrad.ops.kinds import dims_of, floating, reshape_like, zeros_like
from staticgrad.ops.logic import equal, where
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import reshape
from staticgrad.ops.windows import differ, spatial, windows_of
from staticgrad.types import DType, TensorType, add_dims, dims_agree, is_unknown, unknown


def _unpooled(x, indices, output_shape=None, *, kernel_shape, pads, strides):
    floating(x)
    if indices.type.dtype is not DType.int64:
        raise DTypeError(f"positions must be int64, {indices.type.dtype} came; cast with x.to('int64')")
    require(len(x.type.shape) >= 3, "batch, channels and one spatial axis or more are expected")
    same = len(x.type.shape) == len(indices.type.shape) and not any(map(differ, x.type.shape, indices.type.shape))
    require(same, "the positions must have the shape of the input")
    image = [b if is_unknown(a) else a for a, b in zip(spatial(x), spatial(indices), strict=True)]
    require(isinstance(kernel_shape, Sequence), "kernel_shape must be a list of ints")
    windows = windows_of(image, kernel_shape, "NOTSET", None, pads, strides)
    if output_shape is not None:
        require(output_shape.type.dtype is DType.int64, "output_shape must be a list of int64")
        require(
            len(output_shape.type.shape) == 1 and dims_agree(output_shape.type.shape[0], len(x.type.shape)),
            f"output_shape must hold {len(x.type.shape)} sizes",
        )
        sizes = dims_of(output_shape.content)
        return TensorType(x.type.dtype, tuple(unknown() for _ in x.type.shape) if sizes is None else sizes)
    begin, end = windows.padding("MaxUnpool")
    sizes = tuple(add_dims(windows.covered(i, n), -begin[i], -end[i]) for i, n in enumerate(image))
    lead = (b if is_unknown(a) else a for a, b in zip(x.type.shape[:2], indices.type.shape[:2], strict=True))
    return TensorType(x.type.dtype, (*lead, *sizes))


@onnx_op("MaxUnpool", type=_unpooled)
def max_unpool(
    x: Input,
    indices: Input,
    output_shape: Input | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """Zeros with the elements of `x` (N, C, *X) at `indices`, which count through the whole flattened result.

    The result has the sizes `output_shape`, or those of which a MaxPool with these windows makes those of `x`. Of
    several elements at one position the last one stays and gets the derivative.
    """


@max_unpool.vjp
def _(g, y, x, indices, output_shape, **attributes):
    indices = reshape_like(indices, x)
    flat = reshape(indices, [-1])
    arrived = gather(reshape(g, [-1]), indices)
    # Numbers written in the same way show which element stayed.
    numbers = reshape_like(OPERATORS["Range"](1, OPERATORS["Size"](x) + 1, 1), x)
    nothing = OPERATORS["Cast"](reshape(zeros_like(y), [-1]), to=DType.int64)
    written = scatter_elements(nothing, flat, reshape(numbers, [-1]))
    return where(equal(gather(written, indices), numbers), arrived, 0), None, None
