"""Normalizations: values less their mean, over their deviation; the variance is the biased one (over n)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.arithmetic import add, div, mul, sub
from staticgrad.eager.cast import to
from staticgrad.eager.dtypes import Array, DType, quiet
from staticgrad.eager.elementwise import sqrt
from staticgrad.eager.errors import EagerError
from staticgrad.eager.shape import reshape
from staticgrad.eager.tape import no_grad, result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _axes(name: str, input: Tensor, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    n = len(normalized_shape)
    if not n or input.shape[-n:] != tuple(normalized_shape):
        raise EagerError(f"{name} over {list(normalized_shape)}: the shape {list(input.shape)} does not end so")
    return tuple(range(-n, 0))


def _standardized(input: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Array, Array]:
    """z = (x - mean) / sqrt(var + eps) over some axes, the mean and the variance."""
    x = input.wide
    mean = np.mean(x, axis=axes, keepdims=True)
    off = x - mean
    var = np.mean(off * off, axis=axes, keepdims=True)
    scale = 1 / np.sqrt(var + eps)
    z = off * scale

    def formula(g: Array) -> Array:
        shift, stretch = np.mean(g, axis=axes, keepdims=True), np.mean(g * z, axis=axes, keepdims=True)
        return np.asarray(scale * (g - shift - z * stretch))

    return result(z, (input, formula)), mean, var


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, dtype: DType) -> Tensor:
    y = y if weight is None else mul(y, weight)
    y = y if bias is None else add(y, bias)
    return to(y, dtype)


def _by_channel(name: str, parameter: Tensor | None, input: Tensor) -> Tensor | None:
    """A parameter (C), shaped to go with (N, C, ...)."""
    if parameter is None:
        return None
    if input.ndim < 2 or parameter.shape != input.shape[1:2]:
        raise EagerError(
            f"{name} of shape {list(input.shape)} with a parameter of {list(parameter.shape)}: expected one number for "
            "each channel"
        )
    return reshape(parameter, (-1,) + (1,) * (input.ndim - 2))


@quiet
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) w + b over the last dimensions, whose sizes are `normalized_shape`."""
    z, _, _ = _standardized(input, _axes("layer_norm", input, normalized_shape), eps)
    return _affine(z, weight, bias, input.dtype)


@quiet
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = x / sqrt(mean(x^2) + eps) w over the last dimensions; `eps` is the machine epsilon if not given."""
    axes, x = _axes("rms_norm", input, normalized_shape), input.wide
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    root = np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + eps)

    def formula(g: Array) -> Array:
        return np.asarray(g / root - x * np.mean(g * x, axis=axes, keepdims=True) / root**3)

    return _affine(result(x / root, (input, formula)), weight, None, input.dtype)


@quiet
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) w + b for every channel of (N, C, ...).

    In training, mean and variance are those of the batch, and the running ones move towards them in place:
    r := (1 - momentum) r + momentum s, where the variance s is the unbiased one (over n - 1).
    """
    w, b = _by_channel("batch_norm", weight, input), _by_channel("batch_norm", bias, input)
    mean, var = _by_channel("batch_norm", running_mean, input), _by_channel("batch_norm", running_var, input)
    if not training:
        if mean is None or var is None:
            raise EagerError("batch_norm without training needs running_mean and running_var")
        return _affine(div(sub(input, mean), sqrt(add(var, eps))), w, b, input.dtype)
    axes = (0, *range(2, input.ndim))
    count = math.prod(input.shape[a] for a in axes)
    if count == 1:
        raise EagerError(f"batch_norm in training of {list(input.shape)}: expected more than one value a channel")
    z, batch_mean, batch_var = _standardized(input, axes, eps)
    _move(running_mean, batch_mean, momentum)
    _move(running_var, batch_var * (count / (count - 1)), momentum)
    return _affine(z, w, b, input.dtype)


def _move(running: Tensor | None, statistic: Array, momentum: float) -> None:
    if running is not None:
        with no_grad():
            moved = (1 - momentum) * running.wide + momentum * statistic.reshape(running.shape)
            running.copy_(type(running)(moved.astype(running.dtype)))


@quiet
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) w + b for every channel of every element of (N, C, L, ...).

    Without `use_input_stats`, mean and variance are the running ones; with it these move in place, as in `batch_norm`.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    w, b = _by_channel("instance_norm", weight, input), _by_channel("instance_norm", bias, input)
    axes = tuple(range(2, input.ndim))
    count = math.prod(input.shape[2:])
    if count == 1:
        raise EagerError(f"instance_norm of {list(input.shape)}: expected more than one element a channel")
    z, mean, var = _standardized(input, axes, eps)
    _move(running_mean, mean.mean(axis=0), momentum)
    _move(running_var, (var * (count / (count - 1))).mean(axis=0), momentum)
    return _affine(z, w, b, input.dtype)


@quiet
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) w + b, where mean and variance are those of a group of channels of (N, C, ...).

    Of C channels, the first C / num_groups are the first group, and so on.
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise EagerError(f"group_norm of {list(input.shape)}: {num_groups} groups do not divide the channels")
    inner = math.prod(input.shape[1:]) // num_groups
    z, _, _ = _standardized(reshape(input, (input.shape[0], num_groups, inner)), (2,), eps)
    return _affine(
        reshape(z, input.shape),
        _by_channel("group_norm", weight, input),
        _by_channel("group_norm", bias, input),
        input.dtype,
    )


@quiet
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """y = x / (k + alpha / size sum x^2)^beta, summed over `size` neighbouring channels of (N, C, L, ...)."""
    if input.ndim < 3 or size < 1:
        raise EagerError(f"local_response_norm of {list(input.shape)} and size {size}: expected (N, C, L, ...) and 1")
    x, channels = input.wide, input.shape[1]
    i, j = np.arange(channels)[:, None], np.arange(channels)
    near = ((j >= i - size // 2) & (j <= i + (size - 1) // 2)).astype(x.dtype)
    base = k + alpha / size * np.einsum("ij,nj...->ni...", near, x * x)

    def formula(g: Array) -> Array:
        shared = np.einsum("ij,ni...->nj...", near, g * x * base ** (-beta - 1))
        return np.asarray(g * base**-beta - 2 * alpha * beta / size * x * shared)

    return result(x * base**-beta, (input, formula))
