"""PyTorch's reductions and the softmax family."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import is_half, normal_axis
from staticgrad.ops.registry import element_type, literal
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import floating
from staticgrad.types import DType

Dims = int | Sequence[int] | None

_INDEX_ZERO = np.zeros((), np.int64)


class ValuesAndIndices(NamedTuple):
    """What `max`, `min` and the functions of order give along one dimension."""

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


def reduced(operator: ops.Operator[..., Value], x: Value, dim: Dims, keepdim: bool) -> Value:
    """A reduction of ONNX over `dim`, as PyTorch calls it."""
    if not x.type.shape:
        # Nothing to reduce over, but the operator still means something (the absolute value, the identity).
        axes(x, dim)
        return operator(x, keepdims=False)
    return operator(x, axes(x, dim), keepdims=keepdim)


@function
def sum(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The sum over `dim` (all dimensions without it); of bools and integers in int64."""
    return reduced(ops.reduce_sum, summable(x, dtype), dim, keepdim)


def summable(x: Value, dtype: object) -> Value:
    """The operand of a sum or product: in `dtype`; without one, bools and integers in int64."""
    if dtype is not None:
        return ops.cast(x, to=element_type(dtype))
    return x if x.type.dtype.is_float else ops.cast(x, to=DType.int64)


@function
def nansum(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The sum over `dim` of what is not NaN."""
    return sum(_without_nan(x), dim, keepdim, dtype)


@function
def nanmean(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The mean over `dim` of what is not NaN; NaN where there is nothing else."""
    x = floating(x) if dtype is None else ops.cast(x, to=element_type(dtype))
    wide = ops.cast(x, to=DType.float32) if is_half(x.type.dtype) else x
    count = sum(ops.cast(ops.logical_not(ops.isnan(wide)), to=wide.type.dtype), dim, keepdim)
    mean = ops.div(sum(_without_nan(wide), dim, keepdim), count)
    return mean if wide is x else ops.cast(mean, to=x.type.dtype)


def _without_nan(x: Value) -> Value:
    return ops.where(ops.isnan(x), 0, x) if x.type.dtype.is_float else x


@function
def mean(x: Value, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The mean over `dim` (all dimensions without it).

    That of no elements is NaN; where only the run knows that there are none, it is what the runtime makes of it.
    """
    x = floating(x) if dtype is None else ops.cast(x, to=element_type(dtype))
    if 0 in x.type.shape:
        chosen = axes(x, dim)
        if chosen is None or builtins.any(x.type.shape[axis] == 0 for axis in chosen):
            return ops.div(reduced(ops.reduce_sum, x, dim, keepdim), 0)
    return reduced(ops.reduce_mean, x, dim, keepdim)


@function
def prod(x: Value, dim: int | None = None, keepdim: bool = False, dtype: object = None) -> Value:
    """The product over one `dim` (all dimensions without it); of bools and integers in int64."""
    if not (dim is None or isinstance(dim, (int, np.integer))):
        raise DeclarationError(f"prod takes one dimension or none, {shown(dim)} came ({source_line()})")
    x = summable(x, dtype)
    return x if not x.type.shape and axes(x, dim) is None else reduced(ops.reduce_prod, x, dim, keepdim)


def expect_something(x: Value, dim: Dims, name: str) -> None:
    """Refuse an extreme of no elements, which does not exist."""
    chosen = axes(x, dim)
    empty = [i for i, d in enumerate(x.type.shape) if d == 0 and (chosen is None or i in chosen)]
    if empty:
        raise ShapeError(f"{name} of nothing: dimension {empty[0]} of {x.type} has size 0 ({source_line()})")


@function
def amax(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """The maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
    expect_something(x, dim, "amax")
    if x.type.dtype is DType.bool:
        return any(x, None if dim == () else dim, keepdim)
    return reduced(ops.reduce_max, x, dim, keepdim)


@function
def amin(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """The minimum over `dim` (all dimensions without it); ties share the derivative evenly."""
    expect_something(x, dim, "amin")
    if x.type.dtype is DType.bool:
        return all(x, None if dim == () else dim, keepdim)
    return reduced(ops.reduce_min, x, dim, keepdim)


class Extremes(NamedTuple):
    """What `aminmax` gives."""

    min: Value
    max: Value


@function
def aminmax(x: Value, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """The minimum and the maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
    return Extremes(amin(x, dim, keepdim), amax(x, dim, keepdim))


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
    expect_something(x, dim, "an extreme")
    if dim is None:
        return reduced(reduce, x, None, False)
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
    expect_something(x, dim, "the place of an extreme")
    if dim is None:
        found = operator(ops.reshape(x, [-1]), axis=0, keepdims=False)
        return ops.reshape(found, [1] * len(x.type.shape)) if keepdim else found
    chosen = axes(x, dim)
    if chosen is None:
        return ops.constant(_INDEX_ZERO)
    return operator(x, axis=chosen[0], keepdims=keepdim)


@function
def all(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """Whether all elements over `dim` are not zero; over no dimension, `()`, every element by itself."""
    if isinstance(dim, Sequence) and not len(dim):
        return ops.cast(x, to=DType.bool)
    wrong = ops.cast(ops.logical_not(ops.cast(x, to=DType.bool)), to=DType.int64)
    return ops.equal(reduced(ops.reduce_sum, wrong, dim, keepdim), 0)


@function
def any(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    """Whether some element over `dim` is not zero; over no dimension, `()`, every element by itself."""
    if isinstance(dim, Sequence) and not len(dim):
        return ops.cast(x, to=DType.bool)
    right = ops.cast(ops.cast(x, to=DType.bool), to=DType.int64)
    return ops.greater(reduced(ops.reduce_sum, right, dim, keepdim), 0)


@function
def logsumexp(x: Value, dim: Dims, keepdim: bool = False) -> Value:
    """`log(sum(exp(x)))` over `dim`, without overflow."""
    return reduced(ops.reduce_log_sum_exp, floating(x), dim, keepdim)


@function
def softmax(x: Value, dim: int, dtype: object = None) -> Value:
    """Exponentials of `x`, normalised to sum to one along `dim`."""
    return _normalised(ops.softmax, x, dim, dtype)


@function
def log_softmax(x: Value, dim: int, dtype: object = None) -> Value:
    """The logarithm of `softmax(x, dim)`, computed without overflow."""
    return _normalised(ops.log_softmax, x, dim, dtype)


@function
def softmin(x: Value, dim: int, dtype: object = None) -> Value:
    """`softmax(-x, dim)`."""
    return _normalised(ops.softmax, ops.neg(floating(x)), dim, dtype)


def _normalised(operator: ops.Operator[..., Value], x: Value, dim: int, dtype: object) -> Value:
    x = floating(x) if dtype is None else ops.cast(x, to=element_type(dtype))
    chosen = axes(x, dim)
    if chosen is None:
        return ops.reshape(operator(ops.reshape(x, [1]), axis=0), [])
    return operator(x, axis=chosen[0])
