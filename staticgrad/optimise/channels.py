"""A number for each channel of small images, multiplied or subtracted; `benchmarks/formulations.py` measures it.

The elementwise kernels start anew with each channel of each image, the one of a normalization does not.
"""

from __future__ import annotations

import math

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.kinds import known_axes
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import spatial
from staticgrad.optimise.equations import splat
from staticgrad.optimise.formulations import arranged, formulation
from staticgrad.types import Dim, DType

_SMALL_IMAGE = 64
"""Elements of an image from which both take the same time."""


def over_images(node: Node) -> bool:
    """Whether a reduction is over all axes but that of the channels."""
    x, axes = (*node.inputs, None)[:2]
    if x is None or axes is None:
        return False
    rank = len(x.type.shape)
    return rank > 2 and sorted(known_axes(axes, rank) or ()) == [0, *range(2, rank)]


def is_mean(value: Value | None, x: Value | None = None) -> bool:
    """Whether a value is the mean (1, C, 1, ...) over all but the channels, of `x` or of anything."""
    if value is None or value.node.op.name != "ReduceMean" or not value.node.attributes["keepdims"]:
        return False
    return (x is None or value.node.inputs[0] is x) and over_images(value.node)


def before_centring(value: Value) -> Value | None:
    """What a value is the difference of from its mean over all but the channels."""
    node = value.node
    if node.op.name == "Sub":
        x, mean = node.inputs
    elif _is_normalization(value, scale=1):
        x, mean = node.inputs[0], _unflattened(node.inputs[3])
    else:
        return None
    return x if x is not None and is_mean(mean, x) else None


def factors_of_channels(value: Value) -> tuple[Value, Value] | None:
    """What a value is the product of: something of its shape, and a number for each channel as (C)."""
    node = value.node
    if _is_normalization(value, mean=0):
        x, factors = node.inputs[:2]
        return None if x is None or factors is None else (x, factors)
    if node.op.name == "Mul":
        for x, factors in (node.inputs, node.inputs[::-1]):
            if x is not None and factors is not None and x.type == value.type and _are_of_channels(factors, x):
                return x, arranged(factors, x.type.shape[1:2])
    return None


def _is_normalization(value: Value, **given: float) -> bool:
    """Whether a value is normalized by variances of 1 without a shift, and as the names of inputs say."""
    node = value.node
    if node.op.name != "BatchNormalization" or node.attributes["training_mode"] or node.attributes["epsilon"]:
        return False
    names = dict(zip(("x", "scale", "shift", "mean", "variance"), node.inputs, strict=True))
    return all(splat(names[name]) == number for name, number in {"shift": 0, "variance": 1, **given}.items())


def _unflattened(value: Value | None) -> Value | None:
    """What was reshaped."""
    return value.node.inputs[0] if value is not None and value.node.op.name in ("Reshape", "Squeeze") else None


def _are_of_channels(factors: Value, x: Value) -> bool:
    """Whether `factors` broadcast to (1, C, 1, ...) for `x` (N, C, D, ...)."""
    shape: tuple[Dim, ...] = x.type.shape
    own = (1,) * (len(shape) - len(factors.type.shape)) + factors.type.shape
    return len(shape) > 2 and isinstance(shape[1], int) and own == (1, shape[1], *[1] * (len(shape) - 2))


def _are_small(x: Value) -> bool:
    sizes = [d for d in spatial(x) if isinstance(d, int)]
    known = len(sizes) == len(spatial(x)) and x.type.dtype is DType.float32 and 0 not in x.type.shape
    return known and 1 < math.prod(sizes) <= _SMALL_IMAGE


def _normalized(x: Value, scale: Value | None, mean: Value | None) -> Value:
    size = constant(np.array(x.type.shape[1:2]))
    one, none = (ops.expand(constant(np.full(1, number, np.float32)), size) for number in (1, 0))
    scale, mean = one if scale is None else scale, none if mean is None else mean
    return ops.batch_normalization(x, scale, none, mean, one, epsilon=0.0)


@formulation("cpu", "Sub")
def _difference(node: Node) -> Value | None:
    """x - m = normalize(x) by the mean m of each channel of small images"""
    x, m = node.inputs
    if x is None or m is None or x.type != node.outputs[0].type or not _are_of_channels(m, x) or not _are_small(x):
        return None
    return _normalized(x, None, arranged(m, x.type.shape[1:2]))


@formulation("cpu", "Mul")
def _product(node: Node) -> Value | None:
    """s g = normalize(g) by the scale s of each channel of small images"""
    # Of a factor that has overflowed it gives NaN: not in the place of what was declared so.
    found = None if node.origin is None else factors_of_channels(node.outputs[0])
    return None if found is None or not _are_small(found[0]) else _normalized(*found, None)
