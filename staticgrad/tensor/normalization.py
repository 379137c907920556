"""PyTorch's normalizations; they are found in `staticgrad.nn.functional`.

In float64 they are written out: attributes of ONNX operators hold float32, and onnxruntime's CPU provider lacks the
kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Leaf, Value
from staticgrad.ops.kinds import (
    in_training,
    is_half,
    ratio_of_sizes,
    reshape_like,
    stored,
    with_derivative,
    without_derivative,
)
from staticgrad.ops.normalization import along_channels, one_kernel_normalizes, to_normalized_channels
from staticgrad.origin import source_line
from staticgrad.tensor.arithmetic import pow
from staticgrad.tensor.creation import ones, ones_like, zeros_like
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import unflatten, whole_numbers
from staticgrad.types import DType, dims_agree


@function
def layer_norm(
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Value:
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted (Ba, Kiros and Hinton 2016).

    `(x - mean) / sqrt(variance + eps) * weight + bias`, with the biased variance; weight and bias have the
    `normalized_shape`.
    """
    wide, sizes, weight, bias = _over_last("layer_norm", input, normalized_shape, weight, bias)
    first = len(wide.type.shape) - len(sizes)
    if wide.type.dtype is DType.float64 or 0 in sizes:
        y = _scaled(standardized(wide, list(range(first, first + len(sizes))), eps)[0], weight, bias)
    else:
        scale = ones(sizes, dtype=wide.type.dtype) if weight is None else weight
        y = ops.layer_normalization(wide, scale, bias, axis=first, epsilon=float(eps))[0]
    return _in_type_of(input, y)


@function
def rms_norm(
    input: Value, normalized_shape: Sequence[int], weight: Value | None = None, eps: float | None = None
) -> Value:
    """Mean square 1 over the last dimensions, then scaled (Zhang and Sennrich 2019).

    `x / sqrt(mean(x ** 2) + eps) * weight`; without `eps` it is the machine epsilon of float64 or else float32.
    """
    wide, sizes, weight, _ = _over_last("rms_norm", input, normalized_shape, weight, None)
    dtype = wide.type.dtype
    epsilon = float(np.finfo(np.float64 if dtype is DType.float64 else np.float32).eps) if eps is None else float(eps)
    first = len(wide.type.shape) - len(sizes)
    if dtype is DType.float64 or 0 in sizes:
        axes = list(range(first, first + len(sizes)))
        inverse = 1 / ops.sqrt(ops.reduce_mean(wide * wide, axes, keepdims=True) + epsilon)

        def rule(g: Value, y: Value, _: Value) -> Value:
            return (g - y * ops.reduce_mean(g * y, axes, keepdims=True)) * inverse

        y = _scaled(with_derivative(wide * inverse, [wide], rule), weight, None)
    else:
        scale = ones(sizes, dtype=dtype) if weight is None else weight
        y = ops.rms_normalization(wide, scale, axis=first, epsilon=epsilon)
    return _in_type_of(input, y)


def _over_last(
    name: str, input: Value, normalized_shape: Sequence[int], weight: Value | None, bias: Value | None
) -> tuple[Value, list[int], Value | None, Value | None]:
    """The operands in one type, where the last dimensions have the sizes of `normalized_shape`."""
    given = normalized_shape if isinstance(normalized_shape, (list, tuple)) else [normalized_shape]
    sizes = whole_numbers(given, "the sizes of a normalized shape")
    shape = input.type.shape
    last = shape[len(shape) - len(sizes) :]
    if (
        not sizes
        or len(shape) < len(sizes)
        or any(isinstance(d, int) and d != n for d, n in zip(last, sizes, strict=True))
    ):
        raise ShapeError(
            f"{name} normalizes over the last dimensions, of sizes {sizes}, input: {input.type} came ({source_line()})"
        )
    for what, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and (
            len(parameter.type.shape) != len(sizes)
            or any(isinstance(d, int) and d != n for d, n in zip(parameter.type.shape, sizes, strict=True))
        ):
            raise ShapeError(f"{name} needs a {what} of shape {sizes}, {parameter.type} came ({source_line()})")
    wide, (weight, bias) = _in_one_type(name, input, weight, bias)
    weight, bias = (None if p is None else _sized(p, sizes) for p in (weight, bias))
    return _sized(wide, sizes), sizes, weight, bias


def _sized(x: Value, sizes: Sequence[int]) -> Value:
    """`x` whose last sizes are these: the run fails where they are not."""
    lead = len(x.type.shape) - len(sizes)
    if x.type.shape[lead:] == tuple(sizes):
        return x
    return ops.reshape(x, [*[0] * lead, *sizes])


def _in_one_type(name: str, input: Value, *parameters: Value | None) -> tuple[Value, list[Value | None]]:
    """The operands in one type: 16 bits beside parameters of float32 are widened."""
    dtype = input.type.dtype
    if not dtype.is_float:
        raise DTypeError(
            f"{name} takes floating numbers, input: {input.type} came; cast with .float() ({source_line()})"
        )
    others = {p.type.dtype for p in parameters if p is not None} - {dtype}
    if not others:
        return input, list(parameters)
    if others != {DType.float32} or not is_half(dtype):
        raise DTypeError(
            f"{name} takes parameters of the type of its input, input: {input.type} and {', '.join(sorted(others))} "
            f"came; cast one ({source_line()})"
        )
    wide = [None if p is None else ops.cast(p, to=DType.float32) for p in parameters]
    return ops.cast(input, to=DType.float32), wide


def _in_type_of(input: Value, y: Value) -> Value:
    return y if y.type.dtype is input.type.dtype else ops.cast(y, to=input.type.dtype)


def _scaled(y: Value, weight: Value | None, bias: Value | None) -> Value:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def standardized(x: Value, axes: list[int], eps: float) -> tuple[Value, Value, Value]:
    """`(x - mean) / sqrt(variance + eps)` over `axes`, and mean and biased variance with these axes of size 1.

    The variance is that of the differences from the mean: that of the squares would cancel.
    """
    mean = ops.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    variance = ops.reduce_mean(centred * centred, axes, keepdims=True)
    inverse = 1 / ops.sqrt(variance + float(eps))

    def rule(g: Value, y: Value, _: Value) -> Value:
        along = y * ops.reduce_mean(g * y, axes, keepdims=True)
        return (g - ops.reduce_mean(g, axes, keepdims=True) - along) * inverse

    return with_derivative(centred * inverse, [x], rule), mean, variance


@function
def batch_norm(
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Mean 0 and variance 1 of every channel of `input` (N, C, ...), then scaled and shifted (Ioffe and Szegedy 2015).

    `(x - mean) / sqrt(variance + eps) * weight + bias`. In training, mean and variance are those of the batch; running
    statistics that are `sg.state` then move on by `momentum` with every step of a trainer, and evaluation and
    prediction use them. Else they are the running ones.
    """
    _check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    if (running_mean is None) != (running_var is None) or (running_mean is None and not training):
        raise DeclarationError(
            f"batch_norm needs running_mean and running_var, {shown(running_mean)} and {shown(running_var)} came "
            f"({source_line()})"
        )
    wide, (mean, variance, weight, bias) = _in_one_type("batch_norm", input, running_mean, running_var, weight, bias)
    inference = None
    if mean is not None and variance is not None:
        inference = _in_type_of(input, _with_running(wide, mean, variance, weight, bias, eps))
    if not training:
        assert inference is not None
        return inference
    axes = [0, *range(2, len(wide.type.shape))]
    if _count(wide, axes) == 1:
        raise ShapeError(
            f"batch_norm needs more than one value for each channel in training, input: {input.type} came "
            f"({source_line()})"
        )
    summed = ops.cast(wide, to=DType.float32) if is_half(wide.type.dtype) else wide
    rank = len(wide.type.shape)
    if one_kernel_normalizes(wide):
        y, batch_mean, batch_variance = by_batch(wide, weight, bias, eps)
    else:
        y, batch_mean, batch_variance = standardized(summed, axes, eps)
        y = _scaled(_in_type_of(wide, y), *(None if p is None else along_channels(p, rank) for p in (weight, bias)))
    y = _in_type_of(input, y)
    if inference is None:
        return y
    return in_training(y, inference, _updates(running_mean, running_var, summed, batch_mean, batch_variance, momentum))


def by_batch(x: Value, weight: Value | None, bias: Value | None, eps: float) -> tuple[Value, Value, Value]:
    """`x` (N, C, L, ...) normalized by its mean and variance over all but C, then scaled and shifted, and these two.

    The kernel of an inference does in one pass over the differences from the mean what follows the statistics.
    """
    axes = [0, *range(2, len(x.type.shape))]
    mean = ops.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    variance = ops.reduce_mean(centred * centred, axes, keepdims=True)
    each = ops.squeeze(variance, axes)
    none = zeros_like(each)
    scale = ones_like(each) if weight is None else weight
    y = ops.batch_normalization(centred, scale, none if bias is None else bias, none, each, epsilon=float(eps))

    def rule(g: Value, y: Value, *_: Value) -> tuple[Value, ...]:
        inverse = 1 / ops.sqrt(each + stored(eps))
        to_x, to_scale, to_bias = to_normalized_channels(g, centred, scale, inverse)
        return (to_x, *(() if weight is None else (to_scale,)), *(() if bias is None else (to_bias,)))

    parameters = [p for p in (weight, bias) if p is not None]
    return with_derivative(y, [x, *parameters], rule), mean, variance


def _count(x: Value, axes: Iterable[int]) -> int | None:
    """The number of elements over `axes`, where it is known."""
    sizes = [x.type.shape[a] for a in axes]
    return int(np.prod([d for d in sizes if isinstance(d, int)])) if all(isinstance(d, int) for d in sizes) else None


def _with_running(
    x: Value, mean: Value, variance: Value, weight: Value | None, bias: Value | None, eps: float
) -> Value:
    if x.type.dtype is not DType.float64:
        scale = ones_like(mean) if weight is None else weight
        shift = zeros_like(mean) if bias is None else bias
        return ops.batch_normalization(x, scale, shift, mean, variance, epsilon=float(eps))
    factor = 1 / ops.sqrt(variance + float(eps))
    rank = len(x.type.shape)
    y = (x - along_channels(mean, rank)) * along_channels(factor if weight is None else weight * factor, rank)
    return y if bias is None else y + along_channels(bias, rank)


def _updates(
    running_mean: Value | None, running_var: Value | None, x: Value, mean: Value, variance: Value, momentum: float
) -> list[tuple[Value, Value]]:
    """The states among the running statistics, with their next values; mean and variance are (N or 1, C, 1, ...)."""
    count = ratio_of_sizes(x, mean)
    pairs = []
    for state, statistic, factor in ((running_mean, mean, 1.0), (running_var, variance, count / (count - 1))):
        if state is not None and isinstance(state.node, Leaf) and state.node.kind == "state":
            rest = [0, *range(2, len(x.type.shape))]
            batch = without_derivative(ops.reduce_mean(statistic, rest, keepdims=False) * (momentum * factor))
            pairs.append((state, state * (1 - momentum) + _in_type_of(state, batch)))
    return pairs


def _check_channels(name: str, input: Value, *parameters: Value | None) -> None:
    shape = input.type.shape
    if len(shape) < 2:
        raise ShapeError(f"{name} takes an input (N, C, ...), input: {input.type} came ({source_line()})")
    for parameter in parameters:
        if parameter is not None:
            own = parameter.type.shape
            if len(own) != 1 or not dims_agree(own[0], shape[1]):
                raise ShapeError(
                    f"{name} takes one number for each of {shape[1]} channels, {parameter.type} came ({source_line()})"
                )


@function
def instance_norm(
    input: Value,
    running_mean: Value | None = None,
    running_var: Value | None = None,
    weight: Value | None = None,
    bias: Value | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Mean 0 and variance 1 of every channel of every element of the batch (N, C, L, ...), then scaled and shifted.

    Without `use_input_stats`, mean and variance are the running ones. Running statistics are kept as by `batch_norm`.
    """
    _check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    inference = None
    if running_mean is not None and running_var is not None:
        inference = batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    elif running_mean is not None or running_var is not None or not use_input_stats:
        raise DeclarationError(
            f"instance_norm needs running_mean and running_var, {shown(running_mean)} and {shown(running_var)} came "
            f"({source_line()})"
        )
    if not use_input_stats:
        assert inference is not None
        return inference
    wide, (weight, bias) = _in_one_type("instance_norm", input, weight, bias)
    axes = list(range(2, len(wide.type.shape)))
    if _count(wide, axes) == 1:
        raise ShapeError(
            f"instance_norm needs more than one element for each channel, input: {input.type} came ({source_line()})"
        )
    y, updates = _by_instance(wide, weight, bias, eps, running_mean, running_var, momentum)
    y = _in_type_of(input, y)
    return y if inference is None else in_training(y, inference, updates)


def _by_instance(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    eps: float,
    running_mean: Value | None = None,
    running_var: Value | None = None,
    momentum: float = 0.0,
) -> tuple[Value, list[tuple[Value, Value]]]:
    """`x` (N, C, L, ...) normalized over all dimensions from the third on, and what running statistics become."""
    rank = len(x.type.shape)
    if x.type.dtype is not DType.float64 and running_mean is None and 0 not in x.type.shape:
        channels = ops.shape(x, start=1, end=2)
        one, zero = (ops.constant_of_shape(channels, value=np.full(1, number, x.type.dtype.numpy)) for number in (1, 0))
        scale, shift = one if weight is None else weight, zero if bias is None else bias
        return ops.instance_normalization(x, scale, shift, epsilon=float(eps)), []
    summed = ops.cast(x, to=DType.float32) if is_half(x.type.dtype) else x
    y, mean, variance = standardized(summed, list(range(2, rank)), eps)
    y = _scaled(_in_type_of(x, y), *(None if p is None else along_channels(p, rank) for p in (weight, bias)))
    return y, _updates(running_mean, running_var, summed, mean, variance, momentum)


@function
def group_norm(
    input: Value, num_groups: int, weight: Value | None = None, bias: Value | None = None, eps: float = 1e-5
) -> Value:
    """Mean 0 and variance 1 of every group of channels of `input` (N, C, ...), then scaled and shifted.

    `(x - mean) / sqrt(variance + eps) * weight + bias` (Wu and He 2018). The channels fall into `num_groups` groups of
    equal size, one after the other; weight and bias are (C).
    """
    _check_channels("group_norm", input, weight, bias)
    (groups,) = whole_numbers([num_groups], "num_groups", 1)
    channels = input.type.shape[1]
    if isinstance(channels, int) and channels % groups:
        raise ShapeError(
            f"group_norm needs channels that num_groups={groups} divides, input: {input.type} came ({source_line()})"
        )
    if channels == groups and _count(input, [0, *range(2, len(input.type.shape))]) == 1:
        # So says PyTorch, for a batch of one element only.
        raise ShapeError(
            f"group_norm needs more than one value for each channel, input: {input.type} came ({source_line()})"
        )
    wide, (weight, bias) = _in_one_type("group_norm", input, weight, bias)
    if 0 in wide.type.shape:
        # Nothing to normalize, but weight and bias have their derivatives, of 0.
        grouped = wide
    else:
        grouped = reshape_like(_by_instance(unflatten(wide, 1, (groups, -1)), None, None, eps)[0], wide)
    rank = len(wide.type.shape)
    return _in_type_of(
        input, _scaled(grouped, *(None if p is None else along_channels(p, rank) for p in (weight, bias)))
    )


@function
def local_response_norm(input: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Value:
    """`x / (k + alpha * mean(x ** 2)) ** beta` with the mean over `size` neighbouring channels of (N, C, L, ...).

    Channels beyond the ends count as 0 (Krizhevsky, Sutskever and Hinton 2012).
    """
    (count,) = whole_numbers([size], "the size of local_response_norm", 1)
    rank = len(input.type.shape)
    if rank < 3 or not input.type.dtype.is_float:
        raise ShapeError(
            f"local_response_norm takes a floating input (N, C, L, ...), input: {input.type} came ({source_line()})"
        )
    before, after = count // 2, (count - 1) // 2
    padded = ops.pad(input * input, [0, before, *[0] * (rank - 1), after, *[0] * (rank - 2)])
    total: Value | None = None
    for start in range(count):
        end = start - count + 1
        part = padded[:, start : end or None]
        total = part if total is None else total + part
    assert total is not None
    # The sizes add up to those of the input, which names cannot tell.
    mean = reshape_like(total, input) * (alpha / count)
    return input / pow(mean + k, beta)
