"""PyTorch's pools; they are found in `staticgrad.nn.functional`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.pooling import max_pool_values, window_sizes
from staticgrad.ops.windows import pooled, spatial
from staticgrad.origin import source_line
from staticgrad.tensor import arithmetic
from staticgrad.tensor.convolution import Sizes, batched, each_axis
from staticgrad.tensor.dispatch import function
from staticgrad.types import count_elements


def filled(name: str, input: Value, rank: int) -> tuple[Value, bool]:
    """`input` with a batch axis, the only one that may have no elements, and whether it came without one."""
    x, alone = batched(name, input, rank)
    if 0 in x.type.shape[1:]:
        raise ShapeError(f"{name} takes an input with elements, input: {input.type} came ({source_line()})")
    return x, alone


def _steps(name: str, kernel: Sequence[int], stride: Sizes | None) -> tuple[int, ...]:
    """The strides, which are the sizes of the kernel where none are given."""
    if stride is None or (isinstance(stride, Sequence) and not stride):
        return tuple(kernel)
    return each_axis(name, "stride", stride, len(kernel), 1)


def _padded(name: str, kernel: Sequence[int], padding: Sizes) -> tuple[int, ...]:
    """The padding, which is limited as in PyTorch: by the kernel, whatever its dilation."""
    pads = each_axis(name, "padding", padding, len(kernel), 0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"padding of {name} is at most half of the kernel, {list(pads)} came for a kernel of {list(kernel)} "
            f"({source_line()})"
        )
    return pads


def _max_pooled(
    rank: int,
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Value | tuple[Value, Value]:
    name = f"max_pool{rank}d"
    x, alone = filled(name, input, rank)
    kernel = each_axis(name, "kernel_size", kernel_size, rank, 1)
    dilations = each_axis(name, "dilation", dilation, rank, 1)
    pads = _padded(name, kernel, padding)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": _steps(name, kernel, stride),
        "pads": (*pads, *pads),
        "dilations": dilations,
        "ceil_mode": bool(ceil_mode),
    }
    if not return_indices:
        y = max_pool_values(x, **attributes)
        return ops.squeeze(y, [0]) if alone else y
    y, indices = ops.max_pool(x, **attributes)
    # ONNX counts through batch and channels, too.
    count = count_elements(spatial(x))
    if not isinstance(count, int):
        size = ops.size(x)
        rows = ops.shape(x, start=0, end=2)
        count = ops.div(size, ops.mul(ops.gather(rows, 0), ops.gather(rows, 1)))  # type: ignore[assignment]
    within = ops.mod(indices, count)
    return (ops.squeeze(y, [0]), ops.squeeze(within, [0])) if alone else (y, within)


def _average_pooled(
    rank: int,
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Value:
    name = f"avg_pool{rank}d"
    x, alone = filled(name, input, rank)
    kernel = each_axis(name, "kernel_size", kernel_size, rank, 1)
    strides = _steps(name, kernel, stride)
    pads = _padded(name, kernel, padding)
    if rank == 3 and any(isinstance(n, int) and n < k for n, k in zip(spatial(x), kernel, strict=True)):
        # So says PyTorch, for three axes only.
        raise ShapeError(
            f"the kernel of {name} is at most as large as its input, a kernel of {list(kernel)} came for {input.type} "
            f"({source_line()})"
        )
    y = ops.average_pool(
        x,
        kernel_shape=kernel,
        strides=strides,
        pads=(*pads, *pads),
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
    )
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, int) or divisor_override == 0:
            raise DeclarationError(
                f"divisor_override of {name} is an int other than 0, {shown(divisor_override)} came ({source_line()})"
            )
        windows, _ = pooled(spatial(x), kernel, "NOTSET", None, (*pads, *pads), strides, ceil_mode)
        sizes = window_sizes(x, y, windows, count_include_pad, ceil_mode)
        y = y * (sizes / divisor_override)
    return ops.squeeze(y, [0]) if alone else y


def _norm_pooled(
    rank: int, input: Value, norm_type: float, kernel_size: Sizes, stride: Sizes | None, ceil_mode: bool
) -> Value:
    name = f"lp_pool{rank}d"
    kernel = each_axis(name, "kernel_size", kernel_size, rank, 1)
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float)) or norm_type == 0:
        raise DeclarationError(f"norm_type of {name} is a number but 0, {shown(norm_type)} came ({source_line()})")
    if not ceil_mode and norm_type > 0 and norm_type % 2 == 0:
        x, alone = filled(name, input, rank)
        y = ops.lp_pool(x, kernel_shape=kernel, strides=_steps(name, kernel, stride), p=int(norm_type))
        return ops.squeeze(y, [0]) if alone else y
    # As in PyTorch: of odd powers the sign stays, and a window that ends beyond the input counts in full.
    mean = _average_pooled(rank, arithmetic.pow(input, norm_type), kernel, stride, 0, ceil_mode, True)
    return arithmetic.pow(mean * math.prod(kernel), 1 / norm_type)


@function
def max_pool1d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value | tuple[Value, Value]:
    """The maximum of each window; with `return_indices` also where in its channel the first one stands."""
    return _max_pooled(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@function
def max_pool2d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value | tuple[Value, Value]:
    """The maximum of each window; with `return_indices` also where in its channel the first one stands."""
    return _max_pooled(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@function
def max_pool3d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value | tuple[Value, Value]:
    """The maximum of each window; with `return_indices` also where in its channel the first one stands."""
    return _max_pooled(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@function
def avg_pool1d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """The mean of each window."""
    return _average_pooled(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@function
def avg_pool2d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """The mean of each window, or its sum divided by `divisor_override`."""
    return _average_pooled(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@function
def avg_pool3d(
    input: Value,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """The mean of each window, or its sum divided by `divisor_override`."""
    return _average_pooled(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@function
def lp_pool1d(
    input: Value, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Value:
    """`(sum x^p)^(1/p)` over each window, with p the `norm_type`."""
    return _norm_pooled(1, input, norm_type, kernel_size, stride, ceil_mode)


@function
def lp_pool2d(
    input: Value, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Value:
    """`(sum x^p)^(1/p)` over each window, with p the `norm_type`."""
    return _norm_pooled(2, input, norm_type, kernel_size, stride, ceil_mode)


@function
def lp_pool3d(
    input: Value, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Value:
    """`(sum x^p)^(1/p)` over each window, with p the `norm_type`."""
    return _norm_pooled(3, input, norm_type, kernel_size, stride, ceil_mode)
