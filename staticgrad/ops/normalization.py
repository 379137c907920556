"""Normalizations: values brought to mean 0 and variance 1 over some axes, then scaled and shifted."""

from __future__ import annotations

from staticgrad.errors import DeclarationError
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import cast, sqrt
from staticgrad.ops.kinds import common_dtype, divided_by_ratio, floating, is_half, normal_axis, shape_of, stored
from staticgrad.ops.reduction import reduce_mean, reduce_sum
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import expand, unsqueeze
from staticgrad.types import DType, TensorType, dims_agree


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


def _require_float32_statistics(stash_type):
    if stash_type != 1:
        raise DeclarationError(f"stash_type={stash_type} came, only 1 (float32) is supported")


def _layer_normalized(x, scale, bias=None, *, axis, epsilon, stash_type):
    floating(x)
    common_dtype(x, scale, bias)
    first = normal_axis(axis, len(x.type.shape))
    _require_to_fit(x.type.shape[first:], scale, bias)
    _require_float32_statistics(stash_type)
    statistics = TensorType(DType.float32, (*x.type.shape[:first], *(1,) * (len(x.type.shape) - first)))
    return x.type, statistics, statistics


@onnx_op("LayerNormalization", type=_layer_normalized)
def layer_normalization(
    x: Input, scale: Input, bias: Input | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Value, Value, Value]:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on, and mean and 1 / deviation.

    Mean and 1 / deviation are float32 whatever `x` is (Ba, Kiros and Hinton 2016).
    """


@layer_normalization.vjp
def _(gs, ys, x, scale, bias, *, axis, epsilon, stash_type):
    dtype, rank = x.type.dtype, len(x.type.shape)
    axes = list(range(normal_axis(axis, rank), rank))
    g, to_mean, to_inverse = gs
    _, mean, inverse = ys
    weight = scale
    g, x, scale = _wide(g, x, scale)
    if dtype is DType.float64:
        # The results hold the statistics in float32 only.
        centred, inverse = _statistics(x, axes, epsilon)
    else:
        centred = x - mean
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
    _require_float32_statistics(stash_type)
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
    floating(x)
    common_dtype(x, *parameters)
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
    if training_mode:
        raise DeclarationError("training_mode=1 is not supported; sg.nn.functional.batch_norm trains")
    require(len(x.type.shape) > 1, "x is (N, C) or (N, C, D1, ...)")
    return _channels(x, scale, bias, mean, variance)


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
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` for every channel of `x` (N, C, D1, ...)."""


@batch_normalization.vjp
def _(g, y, x, scale, bias, mean, variance, *, epsilon, momentum, training_mode):
    dtype, rank = x.type.dtype, len(x.type.shape)
    g, x, scale, mean, variance = _wide(g, x, scale, mean, variance)
    inverse = 1 / sqrt(variance + stored(epsilon))
    factor = scale * inverse
    rest = [0, *range(2, rank)]
    to_bias = reduce_sum(g, rest, keepdims=False)
    to_scale = reduce_sum(g * (x - along_channels(mean, rank)), rest, keepdims=False) * inverse
    to_x = g * along_channels(factor, rank)
    cotangents = to_x, to_scale, to_bias, -(to_bias * factor), to_scale * (inverse * factor) * -0.5
    return tuple(_narrow(c, dtype) for c in cotangents)
