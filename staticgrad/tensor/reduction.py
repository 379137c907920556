"""PyTorch's reductions and the softmax family."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value, source_line
from staticgrad.ops.kinds import is_half, normal_axis, ratio_of_sizes
from staticgrad.ops.registry import element_type, literal
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import floating
from staticgrad.types import DType

Dims = int | Sequence[int] | None

_INDEX_ZERO = np.zeros((), np.int64)


class ValuesAndIndices(NamedTuple):
    """What `max` and `min` over one dimension give."""

    values: Value
    indices: Value


def axes(x: Value, dim: Dims) -> list[int] | None:
    """The dimensions as non-negative numbers; None for all of them."""
    if dim is None:
        return None
    listed = list(dim) if isinstance(dim, Sequence) and not isinstance(dim, str) else [dim]
    if not listed:
        return None
    try:
        # A tensor of rank 0 counts as one of rank 1, as in PyTorch.
        normal = [normal_axis(d, builtins.max(len(x.type.shape), 1)) for d in listed]
    except ValueError as error:
        raise type(error)(f"{error}; in a reduction of {x.type} ({source_line()})") from None
    if len(set(normal)) != len(normal):
        raise DeclarationError(f"dim {listed} names one dimension twice ({source_line()})")
    return normal if x.type.shape else None


def _reduced(operator: ops.Operator[..., Value], x: Value, dim: Dims, keepdim: bool) -> Value:
    if not x.type.shape:
        # Nothing to reduce over, but the operator still means something (the absolute value, the identity).
        axes(x, dim)
        return operator(x, keepdims=False)
    return operator(x, axes(x, dim), keepdims=keepdim)


@function
def sum(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The sum over `dim` (all dimensions without it); of bools and integers in int64."""
    if dtype is not None:
        x = ops.cast(x, to=element_type(dtype))
    elif not x.type.dtype.is_float and x.type.dtype is not DType.int64:
        x = ops.cast(x, to=DType.int64)
    return _reduced(ops.reduce_sum, x, dim, keepdim)


@function
def mean(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The mean over `dim` (all dimensions without it)."""
    x = floating(x) if dtype is None else ops.cast(x, to=element_type(dtype))
    return _reduced(ops.reduce_mean, x, dim, keepdim)


@function
def amax(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """The maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
    return _reduced(ops.reduce_max, x, dim, keepdim)


@function
def amin(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """The minimum over `dim` (all dimensions without it); ties share the derivative evenly."""
    return _reduced(ops.reduce_min, x, dim, keepdim)


@function
def max(x: Value, dim: int | Value | None = None, keepdim: bool = False) -> Value | ValuesAndIndices:
    """The maximum of all elements; over one `dim` also where it stands; with a tensor the elementwise maximum.

    Over one dimension the derivative goes to the element whose index is reported, the first of equal ones.
    """
    return _extreme(ops.reduce_max, ops.arg_max, ops.max, x, dim, keepdim)


@function
def min(x: Value, dim: int | Value | None = None, keepdim: bool = False) -> Value | ValuesAndIndices:
    """The minimum of all elements; over one `dim` also where it stands; with a tensor the elementwise minimum.

    Over one dimension the derivative goes to the element whose index is reported, the first of equal ones.
    """
    return _extreme(ops.reduce_min, ops.arg_min, ops.min, x, dim, keepdim)


def _extreme(
    reduce: ops.Operator[..., Value],
    argument: ops.Operator[..., Value],
    pairwise: ops.Operator[..., Value],
    x: Value,
    dim: int | Value | None,
    keepdim: bool,
) -> Value | ValuesAndIndices:
    if isinstance(dim, np.ndarray):
        dim = literal(dim)
    if isinstance(dim, Value):
        return pairwise(x, dim)
    if dim is None:
        return _reduced(reduce, x, None, False)
    chosen = axes(x, dim)
    if chosen is None:
        return ValuesAndIndices(ops.identity(x), ops.constant(_INDEX_ZERO))
    where = argument(x, axis=chosen[0], keepdims=True)
    values = ops.gather_elements(x, where, axis=chosen[0])
    if keepdim:
        return ValuesAndIndices(values, where)
    return ValuesAndIndices(ops.squeeze(values, chosen), ops.squeeze(where, chosen))


@function
def argmax(x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """Where the maximum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
    return _where_extreme(ops.arg_max, x, dim, keepdim)


@function
def argmin(x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """Where the minimum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
    return _where_extreme(ops.arg_min, x, dim, keepdim)


def _where_extreme(operator: ops.Operator[..., Value], x: Value, dim: int | None, keepdim: bool) -> Value:
    if dim is None:
        found = operator(ops.reshape(x, [-1]), axis=0, keepdims=False)
        return ops.reshape(found, [1] * len(x.type.shape)) if keepdim else found
    chosen = axes(x, dim)
    if chosen is None:
        return ops.constant(_INDEX_ZERO)
    return operator(x, axis=chosen[0], keepdims=keepdim)


@function
def all(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """Whether all elements over `dim` are not zero."""
    wrong = ops.cast(ops.logical_not(ops.cast(x, to=DType.bool)), to=DType.int64)
    return ops.equal(_reduced(ops.reduce_sum, wrong, dim, keepdim), 0)


@function
def any(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """Whether some element over `dim` is not zero."""
    right = ops.cast(ops.cast(x, to=DType.bool), to=DType.int64)
    return ops.greater(_reduced(ops.reduce_sum, right, dim, keepdim), 0)


@function
def var(x: Value, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Value:
    """The variance over `dim`, divided by the number of elements less `correction`."""
    x = floating(x)
    if is_half(x.type.dtype):
        # Neither the squares nor the count have room in 16 bits.
        return ops.cast(var(ops.cast(x, to=DType.float32), dim, correction, keepdim), to=x.type.dtype)
    centre = _reduced(ops.reduce_mean, x, dim, bool(x.type.shape))
    deviation = x - centre
    total = _reduced(ops.reduce_sum, deviation * deviation, dim, keepdim)
    count = ratio_of_sizes(x, total)
    if correction == 0:
        return total / count
    left = count - correction
    return total / (ops.max(left, 0) if isinstance(left, Value) else builtins.max(left, 0.0))


@function
def std(x: Value, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Value:
    """The standard deviation over `dim`: the square root of `var`; the derivative at deviation 0 is 0."""
    variance = var(x, dim, correction, keepdim)
    zero = ops.equal(variance, 0)
    return ops.where(zero, 0, ops.sqrt(ops.where(zero, 1, variance)))


@function
def logsumexp(x: Value, dim: Dims, keepdim: bool = False) -> Value:
    """`log(sum(exp(x)))` over `dim`, without overflow."""
    return _reduced(ops.reduce_log_sum_exp, floating(x), dim, keepdim)


@function
def norm(x: Value, p: float | str = 2, dim: Dims = None, keepdim: bool = False) -> Value:
    """The p-norm over `dim`: `sum(|x|^p)^(1/p)`, the largest or smallest `|x|` for p = inf or -inf, a count for p = 0.

    The derivative where the norm is 0 is 0 (for p > 1 and p = 2).
    """
    x = floating(x)
    if p == "fro":
        p = 2
    if isinstance(p, str):
        raise DeclarationError(f"norm takes a number for p or 'fro', {shown(p)} came ({source_line()})")
    if p == 2:
        return _reduced(ops.reduce_l2, x, dim, keepdim)
    if p == 1:
        return _reduced(ops.reduce_l1, x, dim, keepdim)
    if p == 0:
        return _reduced(ops.reduce_sum, ops.cast(ops.logical_not(ops.equal(x, 0)), to=x.type.dtype), dim, keepdim)
    if math.isinf(p):
        return _reduced(ops.reduce_max if p > 0 else ops.reduce_min, ops.abs(x), dim, keepdim)
    size = ops.abs(x)
    if p > 0:
        # |x|^p has no finite slope at 0 for p < 1; the root has none at 0 for p > 1.
        nothing = ops.equal(x, 0)
        powers = ops.where(nothing, 0, ops.pow(ops.where(nothing, 1, size), p))
    else:
        powers = ops.pow(size, p)
    total = _reduced(ops.reduce_sum, powers, dim, keepdim)
    zero = ops.equal(total, 0)
    return ops.where(zero, 0, ops.pow(ops.where(zero, 1, total), 1 / p))


@function
def cumsum(x: Value, dim: int) -> Value:
    """Running sums along `dim`; of bools and integers in int64."""
    chosen = axes(x, dim)
    if not x.type.dtype.is_float and x.type.dtype is not DType.int64:
        x = ops.cast(x, to=DType.int64)
    return x if chosen is None else ops.cumsum(x, chosen[0])


@function
def softmax(x: Value, dim: int) -> Value:
    """Exponentials of `x`, normalised to sum to one along `dim`."""
    return _normalised(ops.softmax, x, dim)


@function
def log_softmax(x: Value, dim: int) -> Value:
    """The logarithm of `softmax(x, dim)`, computed without overflow."""
    return _normalised(ops.log_softmax, x, dim)


@function
def softmin(x: Value, dim: int) -> Value:
    """`softmax(-x, dim)`."""
    return _normalised(ops.softmax, ops.neg(floating(x)), dim)


def _normalised(operator: ops.Operator[..., Value], x: Value, dim: int) -> Value:
    x = floating(x)
    chosen = axes(x, dim)
    if chosen is None:
        return ops.reshape(operator(ops.reshape(x, [1]), axis=0), [])
    return operator(x, axis=chosen[0])
