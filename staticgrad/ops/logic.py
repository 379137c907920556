"""Comparisons, logic and choice."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.ops.kinds import common_dtype, compared, full_like, logical
from staticgrad.ops.registry import Input, onnx_op
from staticgrad.types import DType, TensorType, broadcast_shapes


@onnx_op("Equal", type=compared, numpy=np.equal, promotes=True, differentiable=False)
def equal(a: Input, b: Input) -> Value:
    """`a == b`."""


@onnx_op("Less", type=compared, numpy=np.less, promotes=True, differentiable=False)
def less(a: Input, b: Input) -> Value:
    """`a < b`."""


@onnx_op("LessOrEqual", type=compared, numpy=np.less_equal, promotes=True, differentiable=False)
def less_or_equal(a: Input, b: Input) -> Value:
    """`a <= b`."""


@onnx_op("Greater", type=compared, numpy=np.greater, promotes=True, differentiable=False)
def greater(a: Input, b: Input) -> Value:
    """`a > b`."""


@onnx_op("GreaterOrEqual", type=compared, numpy=np.greater_equal, promotes=True, differentiable=False)
def greater_or_equal(a: Input, b: Input) -> Value:
    """`a >= b`."""


@onnx_op("And", type=logical, numpy=np.logical_and, differentiable=False)
def logical_and(a: Input, b: Input) -> Value:
    """Whether both hold."""


@onnx_op("Or", type=logical, numpy=np.logical_or, differentiable=False)
def logical_or(a: Input, b: Input) -> Value:
    """Whether one or both hold."""


@onnx_op("Xor", type=logical, numpy=np.logical_xor, differentiable=False)
def logical_xor(a: Input, b: Input) -> Value:
    """Whether exactly one holds."""


@onnx_op("Not", type=logical, numpy=np.logical_not, differentiable=False)
def logical_not(x: Input) -> Value:
    """Whether `x` does not hold."""


def _tested(x, **_):
    if not x.type.dtype.is_float:
        raise DTypeError(f"floating numbers are expected, {x.type.dtype} came")
    return TensorType(DType.bool, x.type.shape)


@onnx_op("IsNaN", type=_tested, differentiable=False)
def isnan(x: Input) -> Value:
    """Whether an element is NaN."""


@onnx_op("IsInf", type=_tested, differentiable=False)
def isinf(x: Input, *, detect_negative: bool = True, detect_positive: bool = True) -> Value:
    """Whether an element is infinite."""


def _chosen(condition, x, y):
    if condition.type.dtype is not DType.bool:
        raise DTypeError(f"the condition must be bool, {condition.type.dtype} came; compare first, as in x != 0")
    shapes = (condition.type.shape, x.type.shape, y.type.shape)
    return TensorType(common_dtype(x, y), broadcast_shapes(*shapes))


@onnx_op("Where", type=_chosen, numpy=np.where, weak=True)
def where(condition: Input, x: Input, y: Input) -> Value:
    """`x` where the condition holds, else `y`; all three broadcast."""


@where.vjp
def _(g, y, condition, a, b):
    zero = full_like(g, 0)
    return None, where(condition, g, zero), where(condition, zero, g)
