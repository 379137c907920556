"""Layers over images: convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Callable

from staticgrad.declare import parameter
from staticgrad.errors import DeclarationError
from staticgrad.graph import Value
from staticgrad.nn import functional, init
from staticgrad.nn.layers import Module, positive
from staticgrad.origin import source_line
from staticgrad.tensor.convolution import Sizes, each_axis
from staticgrad.tensor.shape import flatten


class _Convolution(Module):
    """The parameters that all convolutions share."""

    def __init__(
        self,
        shape: tuple[int, ...],
        out_channels: int,
        bias: bool,
        name: str,
        dtype: object,
        seed: int,
    ) -> None:
        # PyTorch counts as fan-in what one row of the weight holds, also where the weight is transposed.
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = parameter(f"{name}/weight", init.uniform(shape, -bound, bound, dtype, seed))
        self.bias = None
        if bias:
            self.bias = parameter(f"{name}/bias", init.uniform((out_channels,), -bound, bound, dtype, seed))


def _weight_shape(
    name: str, in_channels: int, out_channels: int, kernel_size: Sizes, groups: int, rank: int, transposed: bool = False
) -> tuple[int, ...]:
    """(out_channels, in_channels / groups, *kernel), or (in_channels, out_channels / groups, *kernel), checked."""
    positive(in_channels=in_channels, out_channels=out_channels, groups=groups)
    if in_channels % groups or out_channels % groups:
        raise DeclarationError(
            f"groups of {name} must divide the channels, {groups} came for {in_channels} and {out_channels} "
            f"({source_line()})"
        )
    rows, columns = (in_channels, out_channels) if transposed else (out_channels, in_channels)
    return (rows, columns // groups, *each_axis(name, "kernel_size", kernel_size, rank, 1))


def _zeros_only(name: str, padding_mode: str) -> None:
    if padding_mode != "zeros":
        raise DeclarationError(f"{name} takes padding_mode='zeros', {padding_mode!r} came ({source_line()})")


class _Conv(_Convolution):
    """A convolution with a weight and bias of its own.

    The parameters `<name>/weight` (out_channels, in_channels / groups, *kernel) and `<name>/bias` (out_channels) start
    uniform within 1 / sqrt(fan-in) of 0. Layers of one model need different names; without one it is that of the
    function.
    """

    rank: int
    function: Callable[..., Value]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        name: str | None = None,
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        kind = type(self).__name__
        shape = _weight_shape(kind, in_channels, out_channels, kernel_size, groups, self.rank)
        _zeros_only(kind, padding_mode)
        super().__init__(shape, out_channels, bias, self.function.__name__ if name is None else name, dtype, seed)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Value) -> Value:
        """The convolution of `x`."""
        return self.function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(_Conv):
    __doc__ = f"(N, in_channels, L) -> (N, out_channels, ...): {_Conv.__doc__}"
    rank, function = 1, staticmethod(functional.conv1d)


class Conv2d(_Conv):
    __doc__ = f"(N, in_channels, H, W) -> (N, out_channels, ...): {_Conv.__doc__}"
    rank, function = 2, staticmethod(functional.conv2d)


class Conv3d(_Conv):
    __doc__ = f"(N, in_channels, D, H, W) -> (N, out_channels, ...): {_Conv.__doc__}"
    rank, function = 3, staticmethod(functional.conv3d)


class ConvTranspose2d(_Convolution):
    """`conv_transpose2d` with a weight and bias of its own: (N, in_channels, H, W) -> (N, out_channels, ...).

    The parameter `<name>/weight` is of (in_channels, out_channels / groups, *kernel).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        *,
        name: str = "conv_transpose2d",
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        shape = _weight_shape("ConvTranspose2d", in_channels, out_channels, kernel_size, groups, 2, transposed=True)
        _zeros_only("ConvTranspose2d", padding_mode)
        super().__init__(shape, out_channels, bias, name, dtype, seed)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.groups, self.dilation = groups, dilation

    def forward(self, x: Value) -> Value:
        """The transposed convolution of `x`."""
        return functional.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class MaxPool2d(Module):
    """The maximum of each window: (N, C, H, W) -> (N, C, ...)."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        if return_indices:
            raise DeclarationError(
                f"MaxPool2d gives no indices; call sg.nn.functional.max_pool2d for them ({source_line()})"
            )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Value) -> Value:
        """The maxima of `x`."""
        result = functional.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        assert isinstance(result, Value)
        return result


class AvgPool2d(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, ...)."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, x: Value) -> Value:
        """The means of `x`."""
        return functional.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class Flatten(Module):
    """The dimensions from `start_dim` to `end_dim` as one: (N, C, H, W) -> (N, C * H * W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Value) -> Value:
        """`x` flattened."""
        return flatten(x, self.start_dim, self.end_dim)
