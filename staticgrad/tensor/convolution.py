"""PyTorch's convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import whole_numbers

Sizes = int | Sequence[int]


_LARGEST = 2**31 - 1
"""The largest number that PyTorch and onnxruntime take for a size of windows."""


def each_axis(name: str, what: str, given: Sizes, rank: int, least: int) -> tuple[int, ...]:
    """One number for every spatial axis: `given` itself, or the one number that it is."""
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) else [given]
    if any(isinstance(n, (bool, np.bool_)) for n in listed):
        raise ShapeError(f"{what} of {name} must be ints, {shown(given)} came ({source_line()})")
    found = whole_numbers(listed, f"{what} of {name}", least)
    if len(found) not in (1, rank) or any(n > _LARGEST for n in found):
        raise ShapeError(
            f"{what} of {name} must be one int or {rank}, up to {_LARGEST}, {shown(given)} came ({source_line()})"
        )
    return tuple(found * rank if len(found) == 1 else found)


def batched(name: str, x: Value, rank: int) -> tuple[Value, bool]:
    """`x` with a batch axis, and whether it came without one."""
    if len(x.type.shape) not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name} takes an input of (batch, channels, {rank} spatial sizes), or without the batch, input: {x.type} "
            f"came ({source_line()})"
        )
    alone = len(x.type.shape) == rank + 1
    return (ops.unsqueeze(x, [0]) if alone else x), alone


def _weighed(name: str, weight: Value, groups: int, rank: int) -> None:
    if len(weight.type.shape) != rank + 2:
        raise ShapeError(
            f"{name} takes a weight with {rank} spatial sizes behind two of channels, weight: {weight.type} came "
            f"({source_line()})"
        )
    each_axis(name, "groups", groups, 1, 1)


def _convolved(
    rank: int,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Value:
    name = f"conv{rank}d"
    x, alone = batched(name, input, rank)
    _weighed(name, weight, groups, rank)
    strides = each_axis(name, "stride", stride, rank, 1)
    dilations = each_axis(name, "dilation", dilation, rank, 1)
    begin: Sequence[int]
    end: Sequence[int]
    if isinstance(padding, str):
        begin, end = _named_padding(name, padding, weight, strides, dilations)
    else:
        begin = end = each_axis(name, "padding", padding, rank, 0)
    y = ops.conv(x, weight, bias, strides=strides, pads=(*begin, *end), dilations=dilations, group=int(groups))
    return ops.squeeze(y, [0]) if alone else y


def _named_padding(
    name: str, padding: str, weight: Value, strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What "valid" or "same" fill up before and behind each axis."""
    if padding not in ("valid", "same"):
        raise DeclarationError(f"padding of {name} is ints, 'valid' or 'same', {shown(padding)} came ({source_line()})")
    if padding == "valid":
        return [0] * len(strides), [0] * len(strides)
    if any(s != 1 for s in strides):
        raise DeclarationError(
            f"{name} with padding='same' takes stride=1, {list(strides)} came; give the padding in numbers "
            f"({source_line()})"
        )
    totals = []
    for size, apart in zip(weight.type.shape[2:], dilations, strict=True):
        if not isinstance(size, int):
            raise ShapeError(
                f"{name} with padding='same' needs a kernel of known size, weight: {weight.type} came ({source_line()})"
            )
        totals.append(apart * (size - 1))
    return [t // 2 for t in totals], [t - t // 2 for t in totals]


@function
def conv1d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Value:
    """The convolution (cross-correlation) of (N, C, L) or (C, L) with a weight (M, C / groups, K), plus a bias (M)."""
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


@function
def conv2d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Value:
    """The convolution of (N, C, H, W) or (C, H, W) with a weight (M, C / groups, *K), plus a bias (M)."""
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


@function
def conv3d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Value:
    """The convolution of (N, C, D, H, W) or (C, D, H, W) with a weight (M, C / groups, *K), plus a bias (M)."""
    return _convolved(3, input, weight, bias, stride, padding, dilation, groups)


def _transposed(
    rank: int,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Value:
    name = f"conv_transpose{rank}d"
    x, alone = batched(name, input, rank)
    _weighed(name, weight, groups, rank)
    strides = each_axis(name, "stride", stride, rank, 1)
    begin = each_axis(name, "padding", padding, rank, 0)
    further = each_axis(name, "output_padding", output_padding, rank, 0)
    dilations = each_axis(name, "dilation", dilation, rank, 1)
    if any(f >= s and f >= d for f, s, d in zip(further, strides, dilations, strict=True)):
        raise ShapeError(
            f"output_padding of {name} must be smaller than stride or dilation, {list(further)} came for "
            f"{list(strides)} and {list(dilations)} ({source_line()})"
        )
    # What is added behind first makes good what the padding takes away there; ONNX takes less than a stride of it.
    cut = [min(p, f) for p, f in zip(begin, further, strict=True)]
    end = [p - c for p, c in zip(begin, cut, strict=True)]
    rest = [f - c for f, c in zip(further, cut, strict=True)]
    small = [r if r < s else 0 for r, s in zip(rest, strides, strict=True)]
    large = [r - s for r, s in zip(rest, small, strict=True)]
    y = ops.conv_transpose(
        x,
        weight,
        None if any(large) else bias,
        strides=strides,
        pads=(*begin, *end),
        output_padding=tuple(small) if any(small) else None,
        group=int(groups),
        dilations=dilations,
    )
    if any(large):
        y = ops.pad(y, constant(np.array([0] * (rank + 4) + large, np.int64)))
        if bias is not None:
            y = y + ops.unsqueeze(bias, list(range(1, rank + 1)))
    return ops.squeeze(y, [0]) if alone else y


@function
def conv_transpose1d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Value:
    """The transpose of `conv1d`: (N, C, L) or (C, L) with a weight (C, M / groups, K), plus a bias (M)."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@function
def conv_transpose2d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Value:
    """The transpose of `conv2d`: (N, C, H, W) or (C, H, W) with a weight (C, M / groups, *K), plus a bias (M)."""
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@function
def conv_transpose3d(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Value:
    """The transpose of `conv3d`: (N, C, D, H, W) or (C, D, H, W) with a weight (C, M / groups, *K), plus a bias (M)."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
