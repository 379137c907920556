"""Normalizations by the batch behind convolutions of 1x1 that widen, or keep the width, computed from what is narrow.

Of `c = conv(x - mean(x), w)` the variance of every channel is a quadratic form of the covariances of `x`, a scale for
each channel may be one of the rows of `w`, and what its cotangent is a multiple of `c` by comes from the products that
are the cotangent of `w`. So nothing as wide as `c` is passed over but where it is made; `benchmarks/formulations.py`
measures it. The covariances are summed in float64, for a variance is the small difference of large ones at times.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.convolution import weight_cotangent
from staticgrad.ops.kinds import known_axes, ratio_of_sizes
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial
from staticgrad.optimise.equations import splat
from staticgrad.optimise.formulations import (
    arranged,
    formulation,
    has_own_size,
    padding,
    turned,
    unturned,
    without_bias,
    without_filling,
)
from staticgrad.types import DType

_SQUARES = 1 / 64
"""So many places of all images, by the square of the channels, make what is done for each pair of these cost little."""
_BATCH = 32
"""The images that there are taken to be where the run tells."""


class Pointwise(NamedTuple):
    """A convolution of 1x1: `y[n, m, o] = bias[m] + sum_c weight[m, c] x[n, c, o]`."""

    x: Value
    weight: Value
    bias: Value | None

    @property
    def rows(self) -> Value:
        """The weight as a matrix (M, C)."""
        return arranged(self.weight, self.weight.type.shape[:2])


def _pointwise(value: Value | None) -> Pointwise | None:
    """The convolution of 1x1 that `value` is, also a transposed one, without strides and padding."""
    if value is None or value.node.op.name not in ("Conv", "ConvTranspose") or value.node.attributes["group"] != 1:
        return None
    given = without_bias(value.node, any_bias=True)
    if given is None or not all(isinstance(d, int) for d in given[1].type.shape):
        return None
    x, w, windows = given
    if set(windows.kernel) != {1} or set(windows.strides) != {1} or any(padding(windows)):
        return None
    if value.node.op.name == "ConvTranspose":
        if has_own_size(value.node):
            return None
        w = turned(w)
    return Pointwise(x, w, (*value.node.inputs, None)[2])


def _widening(value: Value | None) -> Pointwise | None:
    """The convolution of 1x1 that `value` is, if it makes no fewer channels than it is given."""
    found = _pointwise(value)
    if found is None:
        return None
    wide, narrow, *_ = (int(d) for d in found.weight.type.shape)
    batch, _, *sizes = found.x.type.shape
    if not all(isinstance(d, int) for d in sizes):
        return None
    places = math.prod(int(d) for d in (batch if isinstance(batch, int) else _BATCH, *sizes))
    return found if wide >= narrow and places >= _SQUARES * narrow**2 else None


def _around_zero(x: Value) -> Value | None:
    """What `x` is the difference of from its mean over all but the channels."""
    if x.node.op.name != "Sub":
        return None
    whole, mean = x.node.inputs
    return whole if whole is not None and mean is not None and _is_mean(mean, whole) else None


def _is_mean(value: Value, x: Value | None = None) -> bool:
    """Whether `value` is the mean (1, C, 1, ...) over all but the channels, of `x` or of anything."""
    node = value.node
    if node.op.name != "ReduceMean" or not node.attributes["keepdims"]:
        return False
    return (x is None or node.inputs[0] is x) and _over_images(node)


def _over_images(node: Node) -> bool:
    """Whether a reduction is over all axes but that of the channels."""
    x, axes = (*node.inputs, None)[:2]
    if x is None or axes is None:
        return False
    rank = len(x.type.shape)
    return rank > 2 and sorted(known_axes(axes, rank) or ()) == [0, *range(2, rank)]


def _centred(value: Value | None) -> Pointwise | None:
    """The widening convolution that `value` is of images around zero."""
    found = _widening(value)
    return found if found is not None and _around_zero(found.x) is not None else None


def _all_but_channels(x: Value) -> Value:
    return constant(np.array([0, *range(2, len(x.type.shape))], np.int64))


def _conv(x: Value, rows: Value, bias: Value | None) -> Value:
    """The convolution of 1x1 by a matrix (M, C)."""
    return ops.conv(x, arranged(rows, (*rows.type.shape, *[1] * len(spatial(x)))), bias)


def _mean_of(x: Value) -> Value:
    """The mean (1, C, 1, ...) over all but the channels."""
    return ops.reduce_mean(x, _all_but_channels(x), keepdims=True)


def _sum_of(x: Value) -> Value:
    """The sum (C) over all but the channels."""
    return ops.reduce_sum(x, _all_but_channels(x), keepdims=False)


def _places(x: Value) -> Value | float:
    """The number of elements of each channel."""
    return ratio_of_sizes(x, _mean_of(x))


def _column(x: Value) -> Value:
    """A number for each channel as (M, 1)."""
    return arranged(x, (int(x.type.shape[0]), 1))


def _covariances(z: Value) -> Value:
    """`sum z[n, c, o] z[n, d, o]` over images and places, in float64."""
    channels = z.type.shape[1]
    wide = ops.cast(arranged(turned(z), (channels, -1)), to=DType.float64)
    return ops.gemm(wide, wide, transB=True)


@formulation("cpu", "Sub")
def _from_the_mean(node: Node) -> Value | None:
    """conv(x, w) - mean(conv(x, w)) = conv(x - mean(x), w), for 1x1 and no fewer channels than x has"""
    value, mean = node.inputs
    found = _widening(value)
    if found is None or value is None or mean is None or not _is_mean(mean, value):
        return None
    return ops.conv(found.x - _mean_of(found.x), found.weight)


@formulation("cpu", "Squeeze")
def _mean(node: Node) -> Value | None:
    """mean(conv(x, w, b)) = w mean(x) + b, for 1x1 and no fewer channels than x has"""
    value = node.inputs[0]
    found = _widening(value.node.inputs[0]) if value is not None and _is_mean(value) else None
    if found is None or len(node.outputs[0].type.shape) != 1:
        return None
    mean = ops.matmul(found.rows, arranged(_mean_of(found.x), found.weight.type.shape[1:2]))
    return mean if found.bias is None else mean + found.bias


@formulation("cpu", "ReduceMean", first=True)
def _variance(node: Node) -> Value | None:
    """mean(c^2) = w cov(z) w^T for each channel of c = conv(z, w)"""
    square = node.inputs[0]
    if square is None or square.node.op.name != "Mul" or square.node.inputs[0] is not square.node.inputs[1]:
        return None
    found = _centred(square.node.inputs[0])
    if found is None or found.bias is not None or not _over_images(node) or not node.attributes["keepdims"]:
        return None
    rows = ops.cast(found.rows, to=DType.float64)
    sums = ops.reduce_sum(ops.matmul(rows, _covariances(found.x)) * rows, constant(np.array([1])), keepdims=False)
    return arranged(ops.cast(sums, to=DType.float32) / _places(found.x), node.outputs[0].type.shape)


@formulation("cpu", "BatchNormalization")
def _scaled(node: Node) -> Value | None:
    """normalize(conv(z, w)) = conv(z, factors w, shifts) by given statistics"""
    if node.attributes["training_mode"]:
        return None
    found = _centred(node.inputs[0])
    _, scale, shift, mean, variance = node.inputs
    if found is None or scale is None or shift is None or mean is None or variance is None:
        return None
    # Parameters and statistics may be of other types.
    if any(v.type.dtype is not DType.float32 for v in (scale, shift, mean, variance)):
        return None
    factor, epsilon = scale, float(node.attributes["epsilon"])
    if splat(variance) != 1 or epsilon:
        factor = scale / ops.sqrt(variance + epsilon)
    if splat(mean) != 0:
        shift = shift - mean * factor
    if found.bias is not None:
        shift = shift + found.bias * factor
    return _conv(found.x, found.rows * _column(factor), shift)


@formulation("cpu", "ReduceSum", first=True)
def _products(node: Node) -> Value | None:
    """sum(g c) = the sum over the rows of w times the cotangent of w by g, for c = conv(z, w)"""
    product = node.inputs[0]
    if product is None or product.node.op.name != "Mul" or node.attributes["keepdims"] or not _over_images(node):
        return None
    for value, g in (product.node.inputs, product.node.inputs[::-1]):
        found = _centred(value)
        if found is not None and found.bias is None and g is not None and g.type == product.type:
            sums = _weight_of(found, g) * found.rows
            return ops.reduce_sum(sums, constant(np.array([1])), keepdims=False)
    return None


def _weight_of(layer: Pointwise, g: Value) -> Value:
    """The cotangent (M, C) of the weight where the result has the cotangent `g`."""
    ones, none = (1,) * len(spatial(g)), (0,) * len(spatial(g))
    found = weight_cotangent(layer.x, g, layer.weight, Windows(ones, ones, ones, none, none), 1)
    return arranged(found, layer.weight.type.shape[:2])


class Spread(NamedTuple):
    """`factors * g - (layer + shift)`: the cotangent of a widening convolution that is normalized behind."""

    g: Value
    factors: Value
    layer: Pointwise
    shift: Value


def _spread(value: Value | None) -> Spread | None:
    if value is None or value.node.op.name != "Sub":
        return None
    scaled, other = value.node.inputs
    layer = _centred(other)
    if layer is None or layer.bias is None or scaled is None or scaled.node.op.name != "Mul":
        return None
    shape = value.type.shape
    for g, factors in (scaled.node.inputs, scaled.node.inputs[::-1]):
        if g is not None and factors is not None and g.type == value.type:
            each = (1,) * (len(shape) - len(factors.type.shape)) + factors.type.shape
            if each == (1, shape[1], *[1] * (len(shape) - 2)):
                return Spread(g, arranged(factors, shape[1:2]), layer, layer.bias)
    return None


@formulation("cpu", "Conv", "ConvTranspose", first=True)
def _narrowed(node: Node) -> Value | None:
    """conv(s g - conv(z, w, b), v) = conv(g, v s) - conv(z, v w, v b)"""
    outer, spread = _pointwise(node.outputs[0]), _spread(node.inputs[0])
    if outer is None or spread is None or outer.bias is not None:
        return None
    through = _conv(spread.g, outer.rows * spread.factors, None)
    again = ops.matmul(outer.rows, spread.layer.rows)
    return through - _conv(spread.layer.x, again, ops.matmul(outer.rows, spread.shift))


@formulation("cpu", "ReduceSum")
def _sum(node: Node) -> Value | None:
    """sum(s g - conv(z, w, b)) = s sum(g) - w sum(z) - n b for n places"""
    spread = None if node.attributes["keepdims"] or not _over_images(node) else _spread(node.inputs[0])
    if spread is None:
        return None
    z = spread.layer.x
    return _sum_of(spread.g) * spread.factors - ops.matmul(spread.layer.rows, _sum_of(z)) - spread.shift * _places(z)


@formulation("cpu", "Conv", first=True)
def _weight(node: Node) -> Value | None:
    """The cotangent of w by s g - conv(z, w', b), of the products of g and z and of z and z"""
    given = without_bias(node)
    if given is None or node.attributes["group"] != 1:
        return None
    images, cotangents = (unturned(without_filling(v)) for v in given[:2])
    windows, spread = given[2], _spread(cotangents)
    if spread is None or images is None or any(padding(windows)):
        return None
    layer = spread.layer
    if _around_zero(layer.x) is not images:
        return None
    by_g = _weight_of(layer, spread.g) * _column(spread.factors)
    by_z = ops.matmul(layer.rows, ops.cast(_covariances(layer.x), to=DType.float32))
    # What the mean of the images adds: nothing, where the cotangent of a normalization sums to zero.
    rest = _sum_of(spread.g) * spread.factors - spread.shift * _places(images)
    added = _column(rest) * arranged(_mean_of(images), (1, images.type.shape[1]))
    return arranged(turned(by_g - by_z + added), node.outputs[0].type.shape)
