"""Layers that normalize, with their parameters and running statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staticgrad.declare import parameter, state
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.nn import functional
from staticgrad.nn.layers import Module, positive
from staticgrad.ops.registry import element_type
from staticgrad.origin import source_line


def _filled(number: float, shape: int | Sequence[int], dtype: object) -> np.ndarray:
    return np.full(shape, number, element_type(dtype).numpy)


def _sizes(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not sizes or not all(isinstance(s, int) and s > 0 for s in sizes):
        raise DeclarationError(
            f"normalized_shape must be positive ints, {shown(normalized_shape)} came ({source_line()})"
        )
    return sizes


class LayerNorm(Module):
    """`functional.layer_norm` over the last dimensions, whose sizes are `normalized_shape`.

    The parameters `<name>/weight` and `<name>/bias`, of shape `normalized_shape`, start at 1 and 0.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        name: str = "layer_norm",
        dtype: object = "float32",
    ) -> None:
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = parameter(f"{name}/weight", _filled(1, self.normalized_shape, dtype))
        if elementwise_affine and bias:
            self.bias = parameter(f"{name}/bias", _filled(0, self.normalized_shape, dtype))

    def forward(self, x: Value) -> Value:
        """`x` normalized over its last dimensions."""
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """`functional.rms_norm` over the last dimensions, whose sizes are `normalized_shape`.

    The parameter `<name>/weight`, of shape `normalized_shape`, starts at 1.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        name: str = "rms_norm",
        dtype: object = "float32",
    ) -> None:
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.weight = None
        if elementwise_affine:
            self.weight = parameter(f"{name}/weight", _filled(1, self.normalized_shape, dtype))

    def forward(self, x: Value) -> Value:
        """`x` normalized over its last dimensions."""
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Module):
    """`functional.group_norm` of (N, num_channels, ...).

    The parameters `<name>/weight` and `<name>/bias`, one number for each channel, start at 1 and 0.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        name: str = "group_norm",
        dtype: object = "float32",
    ) -> None:
        positive(num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise DeclarationError(
                f"num_groups must divide num_channels, {num_groups} and {num_channels} came ({source_line()})"
            )
        self.num_groups = num_groups
        self.eps = eps
        self.weight = self.bias = None
        if affine:
            self.weight = parameter(f"{name}/weight", _filled(1, num_channels, dtype))
        if affine and bias:
            self.bias = parameter(f"{name}/bias", _filled(0, num_channels, dtype))

    def forward(self, x: Value) -> Value:
        """`x` normalized over each group of channels."""
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class _BatchNorm(Module):
    """`functional.batch_norm`, with the statistics of the batch in training and running ones elsewhere.

    The parameters `<name>/weight` and `<name>/bias`, one number for each channel, start at 1 and 0, the states
    `<name>/running_mean` and `<name>/running_var` at 0 and 1; each step of a trainer moves them on by `momentum`.
    Without `track_running_stats` the statistics are always those of the batch.
    """

    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        name: str = "batch_norm",
        dtype: object = "float32",
    ) -> None:
        positive(num_features=num_features)
        if not isinstance(momentum, (int, float)):
            raise DeclarationError(
                f"momentum must be a number, {shown(momentum)} came; cumulative averages are not supported "
                f"({source_line()})"
            )
        self.eps = eps
        self.momentum = momentum
        self.weight = self.bias = self.running_mean = self.running_var = None
        if affine:
            self.weight = parameter(f"{name}/weight", _filled(1, num_features, dtype))
        if affine and bias:
            self.bias = parameter(f"{name}/bias", _filled(0, num_features, dtype))
        if track_running_stats:
            self.running_mean = state(f"{name}/running_mean", _filled(0, num_features, dtype))
            self.running_var = state(f"{name}/running_var", _filled(1, num_features, dtype))

    def forward(self, x: Value) -> Value:
        """`x` with every channel normalized."""
        if len(x.type.shape) not in self.ranks:
            expected = " or ".join(str(rank) for rank in self.ranks)
            raise ShapeError(
                f"{type(self).__name__} takes an input of rank {expected}, {x.type} came ({source_line()})"
            )
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            # Without running statistics those of the batch are all there is.
            training=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=self.eps,
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"(N, C) or (N, C, L): {_BatchNorm.__doc__}"
    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"(N, C, H, W): {_BatchNorm.__doc__}"
    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"(N, C, D, H, W): {_BatchNorm.__doc__}"
    ranks = (5,)
