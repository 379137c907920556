"""Normalizations: values brought to mean 0 and variance 1 over some axes, then scaled and shifted."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import cast, sign, sqrt
from staticgrad.ops.kinds import (
    common_dtype,
    divided_by_ratio,
    floating,
    is_half,
    normal_axis,
    ratio_of_sizes,
    reshape_like,
    shape_of,
    stored,
)
from staticgrad.ops.logic import equal, where
from staticgrad.ops.reduction import reduce_l1, reduce_l2, reduce_mean, reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import expand, reshape, unsqueeze
from staticgrad.types import DType, TensorType, count_elements, dims_agree, dtype_from_onnx, is_static


def _wide(*values):
    """Values of 16 bits as float32: sums over many elements have no room in them."""
    return tuple(cast(v, to=DType.float32) if v is not None and is_half(v.type.dtype) else v for v in values)


def _narrow(g, dtype):
    return g if g is None or g.type.dtype is dtype else cast(g, to=dtype)


def _to_parameter(g, parameter):
    """The cotangent of a parameter that broadcasts to the last axes; sums of 16 bits are taken in float32."""
    lead = len(g.type.shape) - len(parameter.type.shape)
    if lead and is_half(parameter.type.dtype):
        g = reduce_sum(g, list(range(lead)), keepdims=False)
    return _narrow(g, parameter.type.dtype)


def _statistics(x, axes, epsilon):
    """What `x` differs from its mean by, and 1 over its deviation."""
    centred = x - reduce_mean(x, axes, keepdims=True)
    return centred, 1 / sqrt(reduce_mean(centred * centred, axes, keepdims=True) + stored(epsilon))


def _to_standardized(g, z, inverse, axes):
    """The cotangent of `x` where `z = (x - mean) * inverse`."""
    along = z * reduce_mean(g * z, axes, keepdims=True)
    return (g - reduce_mean(g, axes, keepdims=True) - along) * inverse


def _require_to_fit(shape, *parameters):
    """Parameters broadcast to this shape, and it does not to theirs."""
    for parameter in parameters:
        own = parameter.type.shape if parameter is not None else ()
        require(
            len(own) <= len(shape)
            and all(b == 1 or dims_agree(a, b) for a, b in zip(shape[len(shape) - len(own) :], own, strict=True)),
            "scale and bias must broadcast to the axes that are normalized",
        )


def _stashed(stash_type):
    """The element type in which statistics are kept."""
    dtype = dtype_from_onnx(stash_type)
    if not dtype.is_float:
        raise DTypeError(f"stash_type={stash_type} is {dtype}, statistics are floating")
    return dtype


def _layer_normalized(x, scale, bias=None, *, axis, epsilon, stash_type):
    floating(x)
    common_dtype(x, scale, bias)
    first = normal_axis(axis, len(x.type.shape))
    _require_to_fit(x.type.shape[first:], scale, bias)
    statistics = TensorType(_stashed(stash_type), (*x.type.shape[:first], *(1,) * (len(x.type.shape) - first)))
    return x.type, statistics, statistics


@onnx_op("LayerNormalization", type=_layer_normalized)
def layer_normalization(
    x: Input, scale: Input, bias: Input | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Value, Value, Value]:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on, and mean and 1 / deviation.

    Mean and 1 / deviation are of `stash_type`, float32, whatever `x` is (Ba, Kiros and Hinton 2016).
    """


@layer_normalization.vjp
def _(gs, ys, x, scale, bias, *, axis, epsilon, stash_type):
    dtype, rank = x.type.dtype, len(x.type.shape)
    axes = list(range(normal_axis(axis, rank), rank))
    g, to_mean, to_inverse = gs
    _, mean, inverse = ys
    weight = scale
    g, x, scale = _wide(g, x, scale)
    if mean.type.dtype is x.type.dtype:
        centred = x - mean
    else:
        # The results hold the statistics in another precision.
        centred, inverse = _statistics(x, axes, epsilon)
    z = centred * inverse
    to_x = to_scale = to_bias = None
    if g is not None:
        to_x = _to_standardized(g * scale, z, inverse, axes)
        to_scale = _to_parameter(g * z, weight)
        to_bias = None if bias is None else _to_parameter(g, bias)
    if to_mean is not None:
        part = expand(divided_by_ratio(_narrow(to_mean, x.type.dtype), x, mean), shape_of(x))
        to_x = part if to_x is None else to_x + part
    if to_inverse is not None:
        part = divided_by_ratio(_narrow(to_inverse, x.type.dtype), x, mean) * (inverse * inverse) * -z
        to_x = part if to_x is None else to_x + part
    return _narrow(to_x, dtype), to_scale, to_bias


def _root_mean_square(x, scale, *, axis, epsilon, stash_type):
    floating(x)
    common_dtype(x, scale)
    _require_to_fit(x.type.shape[normal_axis(axis, len(x.type.shape)) :], scale)
    _stashed(stash_type)
    return x.type


@onnx_op("RMSNormalization", type=_root_mean_square)
def rms_normalization(x: Input, scale: Input, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Value:
    """`x / sqrt(mean(x ** 2) + epsilon) * scale` over the axes from `axis` on (Zhang and Sennrich 2019)."""


@rms_normalization.vjp
def _(g, y, x, scale, *, axis, epsilon, stash_type):
    dtype, rank = x.type.dtype, len(x.type.shape)
    axes = list(range(normal_axis(axis, rank), rank))
    weight = scale
    g, x, scale = _wide(g, x, scale)
    inverse = 1 / sqrt(reduce_mean(x * x, axes, keepdims=True) + stored(epsilon))
    z = x * inverse
    to_z = g * scale
    to_x = (to_z - z * reduce_mean(to_z * z, axes, keepdims=True)) * inverse
    return _narrow(to_x, dtype), _to_parameter(g * z, weight)


def _channels(x, *parameters):
    """The type of `x` (N, C, ...), whose parameters are (C)."""
    common_dtype(x, *parameters)
    return _of_channels(x, *parameters)


def _of_channels(x, *parameters):
    floating(x, *parameters)
    for parameter in parameters:
        own = parameter.type.shape
        channels = x.type.shape[1]
        require(
            len(own) == 1 and dims_agree(own[0], channels),
            f"one number for each channel is expected, {channels} of them; {parameter.type} came",
        )
    return x.type


def _instance_normalized(x, scale, bias, *, epsilon):
    require(len(x.type.shape) > 2, "x is (N, C, D1, ...)")
    return _channels(x, scale, bias)


@onnx_op("InstanceNormalization", type=_instance_normalized)
def instance_normalization(x: Input, scale: Input, bias: Input, *, epsilon: float = 1e-5) -> Value:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` over all axes of `x` (N, C, D1, ...) from the third on."""


@instance_normalization.vjp
def _(g, y, x, scale, bias, *, epsilon):
    dtype, rank = x.type.dtype, len(x.type.shape)
    axes = list(range(2, rank))
    g, x, scale = _wide(g, x, scale)
    centred, inverse = _statistics(x, axes, epsilon)
    z = centred * inverse
    to_x = _to_standardized(g * along_channels(scale, rank), z, inverse, axes)
    rest = [0, *axes]
    to_scale, to_bias = (reduce_sum(part, rest, keepdims=False) for part in (g * z, g))
    return _narrow(to_x, dtype), _narrow(to_scale, dtype), _narrow(to_bias, dtype)


def along_channels(parameter: Value, rank: int) -> Value:
    """A parameter (C) so that it broadcasts against (N, C, ...)."""
    return unsqueeze(parameter, list(range(1, rank - 1))) if rank > 2 else parameter


def _batch_normalized(x, scale, bias, mean, variance, *, epsilon, momentum, training_mode):
    require(len(x.type.shape) > 1, "x is (N, C) or (N, C, D1, ...)")
    common_dtype(scale, bias)
    common_dtype(mean, variance)
    type = _of_channels(x, scale, bias, mean, variance)
    return (type, mean.type, variance.type) if training_mode else type


@onnx_op("BatchNormalization", type=_batch_normalized)
def batch_normalization(
    x: Input,
    scale: Input,
    bias: Input,
    mean: Input,
    variance: Input,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: bool = False,
) -> Value:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` for every channel of `x` (N, C, D1, ...).

    With `training_mode` it is a tuple: that with the mean and the variance over all elements of the channel (Ioffe and
    Szegedy 2015), and `mean` and `variance` times momentum plus those of `x` times `1 - momentum`.
    """


@batch_normalization.vjp
def _(g, y, x, scale, bias, mean, variance, *, epsilon, momentum, training_mode):
    if training_mode:
        return _to_batch(g, x, scale, bias, mean, variance, epsilon, stored(momentum))
    dtypes = [v.type.dtype for v in (x, scale, bias, mean, variance)]
    rank = len(x.type.shape)
    g, x, scale, mean, variance = _wide(g, x, scale, mean, variance)
    inverse = 1 / sqrt(variance + stored(epsilon))
    factor = scale * inverse
    rest = [0, *range(2, rank)]
    to_bias = reduce_sum(g, rest, keepdims=False)
    to_scale = reduce_sum(g * (x - along_channels(mean, rank)), rest, keepdims=False) * inverse
    to_x = g * along_channels(factor, rank)
    # Data, parameters and statistics may be of three element types.
    cotangents = to_x, to_scale, to_bias, -(to_bias * factor), to_scale * (inverse * factor) * -0.5
    return tuple(_narrow(c, dtype) for c, dtype in zip(cotangents, dtypes, strict=True))


def _to_batch(gs, x, scale, bias, mean, variance, epsilon, momentum):
    """The cotangents of a normalization by the statistics of its own batch, which also move others on."""
    dtypes = [v.type.dtype for v in (x, scale, bias, mean, variance)]
    rank = len(x.type.shape)
    rest = [0, *range(2, rank)]
    g, to_mean, to_variance, x, scale = _wide(*gs, x, scale)
    centred = x - reduce_mean(x, rest, keepdims=True)
    inverse = 1 / sqrt(reduce_mean(centred * centred, rest, keepdims=False) + stored(epsilon))
    to_x = to_scale = to_bias = None
    if g is not None:
        to_x, to_scale, to_bias = to_normalized_channels(g, centred, scale, inverse)
    for moved, slope in ((to_mean, None), (to_variance, 2 * centred)):
        if moved is not None:
            each = divided_by_ratio(along_channels(_narrow(moved, x.type.dtype) * (1 - momentum), rank), x, scale)
            part = expand(each, shape_of(x)) if slope is None else each * slope
            to_x = part if to_x is None else to_x + part
    held = (None if v is None else v * momentum for v in (to_mean, to_variance))
    cotangents = (to_x, to_scale, to_bias, *held)
    return tuple(_narrow(c, dtype) for c, dtype in zip(cotangents, dtypes, strict=True))


def to_normalized_channels(g: Value, centred: Value, scale: Value, inverse: Value) -> tuple[Value, Value, Value]:
    """The cotangents of `x`, scale and bias where `y = z * scale + bias`, `z = (x - mean) * inverse` for each channel.

    `scale * inverse * (g - mean(g) - z * mean(g * z))` is a multiple of `g`, one of `x - mean` and a number for each
    channel: after two sums three passes are left.
    """
    rank = len(centred.type.shape)
    rest = [0, *range(2, rank)]
    to_bias = reduce_sum(g, rest, keepdims=False)
    to_scale = reduce_sum(g * centred, rest, keepdims=False) * inverse
    share = scale * inverse
    ratio = ratio_of_sizes(centred, scale)
    slope = to_scale / ratio * inverse * share
    to_x = g * along_channels(share, rank) - scaled_and_shifted(centred, slope, to_bias / ratio * share)
    return to_x, to_scale, to_bias


def scaled_and_shifted(x: Value, scale: Value, shift: Value) -> Value:
    """`x * scale + shift` for every channel of `x` (N, C, ...): the kernel of an inference does it in one pass."""
    rank = len(x.type.shape)
    if not one_kernel_normalizes(x):
        return x * along_channels(scale, rank) + along_channels(shift, rank)
    mean, variance = (expand(constant(np.full(1, number, np.float32)), list(x.type.shape[1:2])) for number in (0, 1))
    return batch_normalization(x, scale, shift, mean, variance, epsilon=0.0)


def one_kernel_normalizes(x: Value) -> bool:
    """Whether the kernel of an inference may map each channel of `x`; there is none for doubles."""
    shape = x.type.shape
    return x.type.dtype is DType.float32 and len(shape) > 2 and isinstance(shape[1], int) and 0 not in shape


def _grouped(x, scale, bias, *, num_groups, epsilon, stash_type):
    require(len(x.type.shape) > 1, "x is (N, C) or (N, C, D1, ...)")
    type = _channels(x, scale, bias)
    channels = x.type.shape[1]
    require(
        num_groups > 0 and (not isinstance(channels, int) or channels % num_groups == 0),
        f"{channels} channels do not make {num_groups} groups",
    )
    _stashed(stash_type)
    return type


@onnx_op("GroupNormalization", type=_grouped)
def group_normalization(
    x: Input, scale: Input, bias: Input, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Value:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, mean and variance over each of `num_groups` of channels.

    `x` (N, C, D1, ...), `scale` and `bias` (C) (Wu and He 2018).
    """


@group_normalization.vjp
def _(g, y, x, scale, bias, *, num_groups, epsilon, stash_type):
    dtype, rank = x.type.dtype, len(x.type.shape)
    g, x, scale = _wide(g, x, scale)
    shape, static = x.type.shape, is_static(x.type.shape)
    size = count_elements(shape[1:])
    groups = [shape[0], num_groups, int(size) // num_groups] if static else [0, num_groups, -1]

    def grouped(value: Value) -> Value:
        return reshape(value, groups, allowzero=static)

    centred, inverse = _statistics(grouped(x), [2], epsilon)
    z = centred * inverse
    to_x = reshape_like(_to_standardized(grouped(g * along_channels(scale, rank)), z, inverse, [2]), x)
    rest = [0, *range(2, rank)]
    to_scale, to_bias = (reduce_sum(part, rest, keepdims=False) for part in (g * reshape_like(z, x), g))
    return _narrow(to_x, dtype), _narrow(to_scale, dtype), _narrow(to_bias, dtype)


def _unit_length(x, *, axis, p):
    if p not in (1, 2):
        raise DeclarationError(f"p={p} came, 1 or 2 is expected")
    normal_axis(axis, len(x.type.shape))
    return floating(x)


@onnx_op("LpNormalization", type=_unit_length)
def lp_normalization(x: Input, *, axis: int = -1, p: int = 2) -> Value:
    """`x / (sum |x|**p)**(1/p)` along `axis`; 0, and so is its derivative, where all elements are 0."""


@lp_normalization.vjp
def _(g, y, x, *, axis, p):
    dtype = x.type.dtype
    g, x = _wide(g, x)
    length = (reduce_l1 if p == 1 else reduce_l2)(x, [axis], keepdims=True)
    nothing = equal(length, 0)
    inverse = where(nothing, 0, 1 / where(nothing, 1, length))
    z = x * inverse
    along = reduce_sum(g * z, [axis], keepdims=True)
    return _narrow((g - (sign(x) if p == 1 else z) * along) * inverse, dtype)


def _standardized(x, *, axes):
    for axis in axes:
        normal_axis(axis, len(x.type.shape))
    if x.type.dtype is not DType.float32:
        raise DTypeError(f"ONNX defines it by a number of float32, {x.type.dtype} came; cast with x.float()")
    return x.type


@onnx_op("MeanVarianceNormalization", type=_standardized)
def mean_variance_normalization(x: Input, *, axes: tuple[int, ...] = (0, 2, 3)) -> Value:
    """`(x - mean) / (deviation + 1e-9)` over `axes`."""


@mean_variance_normalization.vjp
def _(g, y, x, *, axes):
    axes = list(axes)
    centred = x - reduce_mean(x, axes, keepdims=True)
    variance = reduce_mean(centred * centred, axes, keepdims=True)
    same = equal(variance, 0)
    deviation = where(same, 0, sqrt(where(same, 1, variance)))
    inverse = 1 / (deviation + 1e-9)
    unit = centred / where(same, 1, deviation)
    along = unit * reduce_mean(g * (centred * inverse), axes, keepdims=True)
    return (g - reduce_mean(g, axes, keepdims=True) - along) * inverse
