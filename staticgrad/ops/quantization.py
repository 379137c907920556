"""Numbers held as small integers, by a scale and a zero point, and products of such numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Node, Value
from staticgrad.ops.arithmetic import cast, div, max, min, round
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import common_dtype, normal_axis, with_derivative, without_derivative
from staticgrad.ops.linear import product_shape
from staticgrad.ops.logic import greater_or_equal, less_or_equal, logical_and, where
from staticgrad.ops.reduction import reduce_max, reduce_min
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import reshape, shape, unsqueeze
from staticgrad.ops.windows import pooled, spatial
from staticgrad.types import DType, TensorType, dims_agree, divide_dims, multiply_dims

_LEVELS = {dtype: np.iinfo(dtype.numpy) for dtype in (DType.uint8, DType.int8, DType.uint16, DType.int16)}

_QUANTIZERS = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}


def _check_scales(x, scale, zero_point, axis, block_size):
    """Scales are one, or one for each element of an axis, or for each block of `block_size` along it."""
    own, rank = scale.type.shape, len(x.type.shape)
    if zero_point is not None:
        zeros = zero_point.type.shape
        fits = len(zeros) == len(own) and all(map(dims_agree, zeros, own))
        # One scale goes with one zero point, written as a number or as a list of one.
        fits = fits or (own in ((), (1,)) and zeros in ((), (1,)) and not block_size)
        require(fits, "the zero points must have the shape of the scales")
    if own in ((), (1,)) and not block_size:
        return
    axis = 0 if rank == 1 and not block_size else normal_axis(axis, rank)
    if block_size:
        require(len(own) == rank and block_size > 0, "scales of blocks have the rank of what is quantized")
        for i, (n, d) in enumerate(zip(own, x.type.shape, strict=True)):
            if i != axis:
                require(dims_agree(n, d), f"there are {n} scales on axis {i}, which has size {d}")
            elif isinstance(n, int) and isinstance(d, int):
                require(n == -(-d // block_size), f"{n} scales on axis {i} are not those of blocks of {block_size}")
        return
    require(
        len(own) == 1 and dims_agree(own[0], x.type.shape[axis]),
        f"the scale is one number, or one for each element of axis {axis}; {scale.type} came for {x.type}",
    )


def _spread(parameter, x, axis, block_size):
    """Scales, or zero points, so that they broadcast against `x`."""
    rank = len(x.type.shape)
    if block_size:
        axis = normal_axis(axis, rank)
        places = range_(0, reshape(shape(x, start=axis, end=axis + 1), []), 1)
        return gather(parameter, div(places, block_size), axis=axis)
    if parameter.type.shape in ((), (1,)):
        return reshape(parameter, [])
    behind = 0 if rank == 1 else rank - 1 - normal_axis(axis, rank)
    return unsqueeze(parameter, list(range(1, 1 + behind))) if behind else parameter


def _quantized(x, scale, zero_point=None, *, axis, block_size, output_dtype, precision, saturate):
    dtype = output_dtype or (DType.uint8 if zero_point is None else zero_point.type.dtype)
    if zero_point is not None and zero_point.type.dtype is not dtype:
        raise DTypeError(f"the zero point is {zero_point.type.dtype}, output_dtype {dtype}; they must be the same")
    if dtype not in _LEVELS:
        raise DTypeError(f"{', '.join(_LEVELS)} are quantized types, {dtype} is not")
    _check_scales(x, scale, zero_point, axis, block_size)
    return TensorType(dtype, x.type.shape)


@onnx_op("QuantizeLinear", type=_quantized, differentiable=False)
def quantize_linear(
    x: Input,
    scale: Input,
    zero_point: Input | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
    precision: DType | None = None,
    saturate: bool = True,
) -> Value:
    """`round(x / scale) + zero_point`, limited to what the integer type of the zero point (uint8 without) holds.

    Whole numbers have no derivative, but that of a DequantizeLinear of them reaches through to `x` and `scale`.
    """


def _dequantized(x, scale, zero_point=None, *, axis, block_size, output_dtype):
    common_dtype(x, zero_point)
    _check_scales(x, scale, zero_point, axis, block_size)
    return TensorType(output_dtype or scale.type.dtype, x.type.shape)


@onnx_op("DequantizeLinear", type=_dequantized)
def dequantize_linear(
    x: Input,
    scale: Input,
    zero_point: Input | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
) -> Value:
    """`(x - zero_point) * scale`.

    Where `x` is the result of QuantizeLinear or DynamicQuantizeLinear the derivative goes straight through the rounding
    and is 0 where it was limited, as in fake quantization (Bengio, Leonard and Courville 2013).
    """


@dequantize_linear.reaches
def _(x, scale, zero_point, **_):
    return _source(x) or _quantized_behind(x)


@dequantize_linear.refuses
def _(x, scale, zero_point, **_):
    """Whole numbers computed from quantized ones."""
    return None if _source(x) else _no_way_through(x)


def _no_way_through(q):
    """Why no derivative goes through whole numbers, where some that were quantized are behind them."""
    if not _quantized_behind(q):
        return None
    return (
        f"the whole numbers of {q.node.op.name} come from quantized ones, and only a DequantizeLinear right behind "
        "QuantizeLinear has a derivative; compute with what that gives, or sg.stop_gradient the numbers"
    )


@cast.reaches
def _(x, *, to, **_):
    # Else integer products between quantizers would leave a derivative by the scales alone.
    return _quantized_behind(x) if to.is_float and not x.type.dtype.is_float else ()


@cast.refuses
def _(x, *, to, **_):
    """Whole numbers computed from quantized ones."""
    return _no_way_through(x) if to.is_float and not x.type.dtype.is_float else None


def _source(q):
    """The number that was quantized to `q`, its scale and its zero point; empty where that is not known."""
    if q.node.op.name == "QuantizeLinear":
        return q.node.inputs
    if q.node.op.name == "DynamicQuantizeLinear":
        return (*q.node.inputs, *q.node.outputs[1:])
    return ()


def _quantized_behind(q):
    """The floating values that were quantized to those whole numbers of which others were made."""
    found: dict[Value, None] = {}
    seen: set[Node] = set()
    waiting = [q.node]
    while waiting:
        node = waiting.pop()
        if node in seen or node.pullback is not None:
            continue
        seen.add(node)
        for value in node.inputs:
            if value is not None and not value.type.dtype.is_float:
                waiting.append(value.node)
            elif value is not None and node.op.name in _QUANTIZERS:
                found[value] = None
    return tuple(found)


@dequantize_linear.as_body
def _(x, scale, zero_point, *, axis, block_size, output_dtype):
    dtype = output_dtype or scale.type.dtype
    number = _straight_through(x)
    if zero_point is not None:
        number = number - _as_float(_spread(zero_point, x, axis, block_size))
    # The difference is whole, and exact in float32; 16 bits do not hold it.
    wide = cast(_spread(scale, x, axis, block_size), to=DType.float32)
    result = number * wide
    return result if dtype is DType.float32 else cast(result, to=dtype)


def _straight_through(q):
    """`q` as float32, with the derivative of what was quantized before it was rounded."""
    number = _as_float(q)
    source = _source(q)
    if not source or not all(v.type.dtype.is_float for v in source[:2]):
        return number
    x, scale = (v if v.type.dtype is DType.float32 else cast(v, to=DType.float32) for v in source[:2])
    zero_point = source[2]
    how = (q.node.attributes.get("axis", 0), q.node.attributes.get("block_size", 0))
    steps = x / _spread(scale, q, *how)
    rounded = round(steps)
    if zero_point is not None:
        rounded = rounded + _as_float(_spread(zero_point, q, *how))
    least, most = (float(getattr(_LEVELS[q.type.dtype], bound)) for bound in ("min", "max"))
    inside = logical_and(greater_or_equal(rounded, least), less_or_equal(rounded, most))
    return with_derivative(number, (steps,), lambda g, *_: where(inside, g, 0))


def _as_float(q):
    """Whole numbers in float32, where it is known what derivative they have."""
    return cast(without_derivative(q) if _quantized_behind(q) else q, to=DType.float32)


def _quantized_by_itself(x):
    return TensorType(DType.uint8, x.type.shape), TensorType(x.type.dtype, ()), TensorType(DType.uint8, ())


@onnx_op("DynamicQuantizeLinear", type=_quantized_by_itself)
def dynamic_quantize_linear(x: Input) -> tuple[Value, Value, Value]:
    """`x` as uint8, with the scale `(max(x, 0) - min(x, 0)) / 255` and the zero point that this takes.

    Only the scale has a derivative; extremes that are the same share it evenly.
    """


@dynamic_quantize_linear.as_body
def _(x):
    high, low = reduce_max(x, keepdims=False), reduce_min(x, keepdims=False)
    return None, (max(high, 0) - min(low, 0)) / 255


def _of_bytes(*xs):
    for x in xs:
        if x is not None and x.type.dtype not in (DType.uint8, DType.int8):
            raise DTypeError(f"uint8 or int8 is expected, {x.type.dtype} came")


def _integer_product(a, b, a_zero_point=None, b_zero_point=None):
    _of_bytes(a, b, a_zero_point, b_zero_point)
    return TensorType(DType.int32, product_shape(a, b))


@onnx_op("MatMulInteger", type=_integer_product, differentiable=False)
def matmul_integer(a: Input, b: Input, a_zero_point: Input | None = None, b_zero_point: Input | None = None) -> Value:
    """The matrix product `(a - a_zero_point) (b - b_zero_point)` of bytes, in int32."""


def _convolved_bytes(x, w, auto_pad, dilations, group, kernel_shape, pads, strides):
    _of_bytes(x, w)
    own, weight = x.type.shape, w.type.shape
    require(len(own) >= 3 and len(weight) == len(own), "input and weight are (N, C, D1, ...) and (M, C / group, ...)")
    require(dims_agree(own[1], multiply_dims(weight[1], group)), "the channels of the input and the weight differ")
    require(not isinstance(weight[0], int) or divide_dims(weight[0], group) is not None, "the groups are not even")
    fits = kernel_shape is None or (
        len(kernel_shape) == len(weight) - 2 and all(map(dims_agree, kernel_shape, weight[2:]))
    )
    require(fits, "kernel_shape is not that of the weight")
    return (own[0], weight[0], *pooled(spatial(x), spatial(w), auto_pad, dilations, pads, strides)[1])


def _integer_convolved(x, w, x_zero_point=None, w_zero_point=None, **how):
    _of_bytes(x_zero_point, w_zero_point)
    return TensorType(DType.int32, _convolved_bytes(x, w, **how))


@onnx_op("ConvInteger", type=_integer_convolved, differentiable=False)
def conv_integer(
    x: Input,
    w: Input,
    x_zero_point: Input | None = None,
    w_zero_point: Input | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """The convolution of `x - x_zero_point` with `w - w_zero_point`, bytes, in int32."""


def _quantized_product(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    _of_bytes(a, a_zero_point, b, b_zero_point, y_zero_point)
    return TensorType(y_zero_point.type.dtype, product_shape(a, b))


@onnx_op("QLinearMatMul", type=_quantized_product, differentiable=False)
def qlinear_matmul(
    a: Input,
    a_scale: Input,
    a_zero_point: Input,
    b: Input,
    b_scale: Input,
    b_zero_point: Input,
    y_scale: Input,
    y_zero_point: Input,
) -> Value:
    """The matrix product of numbers that are quantized, quantized again by `y_scale` and `y_zero_point`."""


def _quantized_convolved(x, xs, xz, w, ws, wz, ys, y_zero_point, bias=None, **how):
    _of_bytes(xz, wz, y_zero_point)
    return TensorType(y_zero_point.type.dtype, _convolved_bytes(x, w, **how))


@onnx_op("QLinearConv", type=_quantized_convolved, differentiable=False)
def qlinear_conv(
    x: Input,
    x_scale: Input,
    x_zero_point: Input,
    w: Input,
    w_scale: Input,
    w_zero_point: Input,
    y_scale: Input,
    y_zero_point: Input,
    bias: Input | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Value:
    """The convolution of numbers that are quantized, quantized again by `y_scale` and `y_zero_point`."""
