"""Reductions over axes."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import sign
from staticgrad.ops.kinds import divided_by_ratio, floating, known_axes, normal_axis, reduced, shape_of, zeros_like
from staticgrad.ops.logic import equal, isinf, where
from staticgrad.ops.math import exp
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.types import DType, TensorType


def kept(value, x, axes, keepdims, noop_with_empty_axes):
    """A reduced value with the reduced axes back as size 1, so that it broadcasts against `x`."""
    if keepdims or len(value.type.shape) == len(x.type.shape):
        return value
    if axes is None or axes.type.shape == (0,):
        axes = constant(np.arange(len(x.type.shape)))
    return OPERATORS["Unsqueeze"](value, axes)


def _floating_reduced(x, axes=None, **attributes):
    floating(x)
    return reduced(x, axes, **attributes)


@onnx_op("ReduceSum", type=reduced)
def reduce_sum(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The sum over `axes` (all without them)."""


@reduce_sum.vjp
def _(g, y, x, axes, **how):
    return OPERATORS["Expand"](kept(g, x, axes, **how), shape_of(x)), None


@onnx_op("ReduceMean", type=_floating_reduced)
def reduce_mean(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The mean over `axes` (all without them)."""


@reduce_mean.vjp
def _(g, y, x, axes, **how):
    g = divided_by_ratio(g, x, y)
    return OPERATORS["Expand"](kept(g, x, axes, **how), shape_of(x)), None


@onnx_op("ReduceMax", type=reduced)
def reduce_max(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The maximum over `axes` (all without them); ties share the derivative evenly."""


@reduce_max.vjp
def _(g, y, x, axes, **how):
    return _to_extremes(g, y, x, axes, how), None


@onnx_op("ReduceMin", type=reduced)
def reduce_min(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The minimum over `axes` (all without them); ties share the derivative evenly."""


@reduce_min.vjp
def _(g, y, x, axes, **how):
    return _to_extremes(g, y, x, axes, how), None


def _to_extremes(g, y, x, axes, how):
    hit = OPERATORS["Cast"](equal(x, kept(y, x, axes, **how)), to=x.type.dtype)
    count = reduce_sum(hit, axes, keepdims=True, noop_with_empty_axes=how["noop_with_empty_axes"])
    return kept(g, x, axes, **how) * (hit / count)


@onnx_op("ReduceLogSumExp", type=_floating_reduced)
def reduce_log_sum_exp(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """`log(sum(exp(x)))` over `axes` (all without them), without overflow."""


@reduce_log_sum_exp.vjp
def _(g, y, x, axes, **how):
    y = kept(y, x, axes, **how)
    # Where all terms are -inf their distance to the sum would be NaN; that to a sum of inf is -inf, or NaN for inf.
    return kept(g, x, axes, **how) * exp(x - where(isinf(y, detect_positive=False), 0, y)), None


@onnx_op("ReduceL1", type=_floating_reduced)
def reduce_l1(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The sum of absolute values over `axes` (all without them)."""


@reduce_l1.vjp
def _(g, y, x, axes, **how):
    return kept(g, x, axes, **how) * sign(x), None


@onnx_op("ReduceL2", type=_floating_reduced)
def reduce_l2(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The Euclidean length over `axes` (all without them); the derivative at length 0 is 0."""


@reduce_l2.vjp
def _(g, y, x, axes, **how):
    y = kept(y, x, axes, **how)
    zero = equal(y, 0)
    return where(zero, 0, kept(g, x, axes, **how) * (x / where(zero, 1, y))), None


@onnx_op("ReduceLogSum", type=reduced)
def reduce_log_sum(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The logarithm of the sum over `axes` (all without them)."""


@reduce_log_sum.vjp
def _(g, y, x, axes, **how):
    if 0 in x.type.shape:
        # The sum of nothing is 0 and does not move.
        return zeros_like(x), None
    g = g / reduce_sum(x, axes, **how)
    return OPERATORS["Expand"](kept(g, x, axes, **how), shape_of(x)), None


@onnx_op("ReduceSumSquare", type=reduced)
def reduce_sum_square(
    x: Input, axes: Input | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> Value:
    """The sum of squares over `axes` (all without them)."""


@reduce_sum_square.vjp
def _(g, y, x, axes, **how):
    return kept(g, x, axes, **how) * (2 * x), None


def _index_type(x, *, axis, keepdims, select_last_index):
    if x.type.dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came")
    axis = normal_axis(axis, len(x.type.shape))
    shape = x.type.shape
    return TensorType(DType.int64, (*shape[:axis], *((1,) if keepdims else ()), *shape[axis + 1 :]))


@onnx_op("ArgMax", type=_index_type, differentiable=False)
def arg_max(x: Input, *, axis: int = 0, keepdims: bool = True, select_last_index: bool = False) -> Value:
    """Where the maximum along `axis` stands first (or last)."""


@onnx_op("ArgMin", type=_index_type, differentiable=False)
def arg_min(x: Input, *, axis: int = 0, keepdims: bool = True, select_last_index: bool = False) -> Value:
    """Where the minimum along `axis` stands first (or last)."""


def _cumulated(x, axis, **_):
    require(axis.type.shape in ((), (1,)), "the axis must be one integer")
    known_axes(axis, len(x.type.shape))
    return x.type


@onnx_op("CumSum", type=_cumulated)
def cumsum(x: Input, axis: Input, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running sums along `axis`."""


@cumsum.vjp
def _(g, y, x, axis, *, exclusive, reverse):
    return cumsum(g, axis, exclusive=exclusive, reverse=not reverse), None
