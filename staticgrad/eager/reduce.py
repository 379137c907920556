"""Functions that take dimensions away: sums, extrema, norms, statistics; and the running sums and products.

`dim` is a dimension, several, or None for all; negative ones count from the end. `keepdim` leaves them with size 1.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from staticgrad.eager.arithmetic import maximum, minimum, neg
from staticgrad.eager.cast import detach, floating, to
from staticgrad.eager.dtypes import Array, DTypeLike, boolean, int64, is_float, quiet, uint8
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Dims: TypeAlias = int | Sequence[int] | None


class Extremum(NamedTuple):
    """The extreme values along a dimension, and where they are (the first, if there are several)."""

    values: Tensor
    indices: Tensor


def axis_of(dim: int, ndim: int) -> int:
    """The dimension counted from the start; a 0-dim tensor counts as one of size 1."""
    room = builtins.max(ndim, 1)
    if not -room <= dim < room:
        raise EagerError(f"dim {dim} is out of range: expected {-room} to {room - 1} for a tensor of {ndim} dimensions")
    return dim % room


def axes_of(dim: Dims, ndim: int) -> tuple[int, ...]:
    """The dimensions that `dim` means, counted from the start; None and () mean all."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return tuple(range(ndim))
    dims = tuple(axis_of(d, ndim) for d in ([dim] if isinstance(dim, int) else dim))
    if len(set(dims)) < len(dims):
        raise EagerError(f"dim {dim} names a dimension twice")
    return dims if ndim else ()


def _truth_axes(dim: Dims, ndim: int) -> tuple[int, ...]:
    """As `axes_of`, but () means none, as in PyTorch's `all` and `any`."""
    return () if dim is not None and not isinstance(dim, int) and not len(dim) else axes_of(dim, ndim)


def _kept(g: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """A reduced gradient with the reduced dimensions back, of size 1."""
    return g if keepdim else np.expand_dims(g, axes)


def _summable(input: Tensor, dtype: DTypeLike | None) -> Tensor:
    """The operand of a sum or product: in `dtype`, and int64 for bool and integers."""
    return to(input, dtype if dtype is not None else input.dtype if is_float(input.dtype) else int64)


@quiet
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The sum; bool and integers give int64. The gradient goes to every element."""
    x = _summable(input, dtype)
    shape, axes = x.shape, axes_of(dim, x.ndim)
    y = np.sum(x.wide, axis=axes, keepdims=keepdim)
    return result(y, (x, lambda g: np.broadcast_to(_kept(g, axes, keepdim), shape)))


@quiet
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The arithmetic mean, of floating types only; nan of nothing."""
    x = input if dtype is None else to(input, dtype)
    if not is_float(x.dtype):
        raise EagerError(f"mean of {x.dtype}: expected a floating type, pass dtype='float32' or cast")
    shape, axes = x.shape, axes_of(dim, x.ndim)
    n = math.prod(shape[i] for i in axes)
    y = np.sum(x.wide, axis=axes, keepdims=keepdim) / np.asarray(n, x.wide.dtype)
    return result(y, (x, lambda g: np.broadcast_to(_kept(g, axes, keepdim) / n, shape)))


@quiet
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The product over one dimension or all; the gradient is the product of the others, also where there are zeros."""
    x = _summable(input, dtype)
    a, shape = x.wide, x.shape
    axes = axes_of(dim, x.ndim)

    def others(g: Array) -> Array:
        flat = a.reshape(1, -1) if dim is None else np.moveaxis(a, axes, tuple(range(-len(axes), 0)))
        one = np.ones_like(flat[..., :1])
        before = np.cumprod(np.concatenate([one, flat], -1), -1)[..., :-1]
        after = np.cumprod(np.concatenate([one, flat[..., ::-1]], -1), -1)[..., -2::-1]
        rest = before * after
        rest = rest.reshape(shape) if dim is None else np.moveaxis(rest, tuple(range(-len(axes), 0)), axes)
        return np.asarray(_kept(g, axes, keepdim) * rest)

    def scalar(g: Array) -> Array:
        return g.reshape(shape) if x.array.size else np.zeros(shape, g.dtype)

    return result(np.prod(a, axis=axes, keepdims=keepdim), (x, others if x.ndim and a.size else scalar))


def _evenly(input: Tensor, dim: Dims, keepdim: bool, largest: bool) -> Tensor:
    x, axes = input.wide, axes_of(dim, input.ndim)
    if builtins.any(x.shape[i] == 0 for i in axes):
        raise EagerError(f"extremum of no elements: shape {input.shape}, dim {dim}")
    y = (np.max if largest else np.min)(x, axis=axes, keepdims=True)

    def share(g: Array) -> Array:
        ties = (x == y) | (np.isnan(x) & np.isnan(y))
        return np.asarray(_kept(g, axes, keepdim) * ties / np.sum(ties, axis=axes, keepdims=True))

    return result(y if keepdim else np.squeeze(y, axis=axes), (input, share))


@quiet
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest element; several that are equal share the gradient evenly. nan wins."""
    return _evenly(input, dim, keepdim, largest=True)


@quiet
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest element; several that are equal share the gradient evenly. nan wins."""
    return _evenly(input, dim, keepdim, largest=False)


def _along(input: Tensor, dim: int, keepdim: bool, largest: bool) -> Extremum:
    axis = axis_of(dim, input.ndim)
    index = (argmax if largest else argmin)(input, dim, keepdim=True)
    where, shape = index.array, input.shape
    y = np.take_along_axis(input.array, where, axis) if input.ndim else input.array.copy()

    def to_index(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        if not shape:
            return g
        np.put_along_axis(z, where, g if keepdim else np.expand_dims(g, axis), axis)
        return z

    if not keepdim and input.ndim:
        y = np.squeeze(y, axis)
        index = type(input)(np.squeeze(where, axis).copy())
    return Extremum(result(y, (input, to_index), (index, None)), index)


def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Tensor | Extremum:
    """Three functions: the largest of all; with a dim, `(values, indices)` along it; with a tensor, `maximum`.

    Of equal elements the first is reported and gets the whole gradient; without a dim they share it as in `amax`.
    """
    if dim is None:
        return amax(input)
    return _along(input, dim, keepdim, largest=True) if isinstance(dim, int) else maximum(input, dim)


def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Tensor | Extremum:
    """Three functions: the smallest of all; with a dim, `(values, indices)` along it; with a tensor, `minimum`.

    Of equal elements the first is reported and gets the whole gradient; without a dim they share it as in `amin`.
    """
    if dim is None:
        return amin(input)
    return _along(input, dim, keepdim, largest=False) if isinstance(dim, int) else minimum(input, dim)


def _position(input: Tensor, dim: int | None, keepdim: bool, largest: bool) -> Tensor:
    find = np.argmax if largest else np.argmin
    x = input.wide
    if not x.ndim:
        return result(np.zeros((), int64), (input, None), dtype=int64)
    if (x.size if dim is None else x.shape[axis_of(dim, x.ndim)]) == 0:
        raise EagerError(f"extremum of no elements: shape {input.shape}, dim {dim}")
    axis = None if dim is None else axis_of(dim, x.ndim)
    return result(find(x, axis=axis, keepdims=keepdim), (input, None), dtype=int64)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is, the first if there are several; without a dim in the flattened tensor."""
    return _position(input, dim, keepdim, largest=True)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is, the first if there are several; without a dim in the flattened tensor."""
    return _position(input, dim, keepdim, largest=False)


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are not zero."""
    y = np.all(input.array.astype(bool), axis=_truth_axes(dim, input.ndim), keepdims=keepdim)
    return result(y, (input, None), dtype=uint8 if input.dtype == uint8 else boolean)


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether at least one element is not zero."""
    y = np.any(input.array.astype(bool), axis=_truth_axes(dim, input.ndim), keepdims=keepdim)
    return result(y, (input, None), dtype=uint8 if input.dtype == uint8 else boolean)


def _spread(
    input: Tensor, dim: Dims | bool, unbiased: bool, keepdim: bool, correction: float | None, root: bool
) -> Tensor:
    """Variance or its root; PyTorch's older form has `unbiased` in the place of `dim`."""
    if isinstance(dim, bool):
        unbiased, dim = dim, None
    if not is_float(input.dtype):
        raise EagerError(f"var and std of {input.dtype}: expected a floating type")
    x, axes = input.wide, axes_of(dim, input.ndim)
    n = math.prod(x.shape[i] for i in axes)
    free = np.asarray(builtins.max(n - (int(unbiased) if correction is None else correction), 0), x.dtype)
    off = x - np.sum(x, axis=axes, keepdims=True) / np.asarray(n, x.dtype)
    y = np.sum(off * off, axis=axes, keepdims=True) / free
    if root:
        y = np.sqrt(y)

    def formula(g: Array) -> Array:
        g = _kept(g, axes, keepdim)
        return np.where(y == 0, 0, g * off / (y * free)) if root else g * 2 * off / free

    return result(y if keepdim else np.squeeze(y, axis=axes), (input, formula))


@quiet
def var(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance, the sum of (x - mean)^2 over n - correction; the correction is 1 (0 if `unbiased` is False)."""
    return _spread(input, dim, unbiased, keepdim, correction, root=False)


@quiet
def std(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation, the root of `var`; its gradient is 0 where it is 0."""
    return _spread(input, dim, unbiased, keepdim, correction, root=True)


@quiet
def norm(
    input: Tensor,
    p: float | str = 2.0,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DTypeLike | None = None,
) -> Tensor:
    """The p-norm, (sum |x|^p)^(1/p); the largest |x| for inf, the smallest for -inf, the number of nonzeros for 0.

    The gradient is 0 where the norm is 0; ties of inf share it evenly. Scaled by the largest element, so that squares
    neither overflow nor vanish.
    """
    x = input if dtype is None else to(input, dtype)
    if not is_float(x.dtype):
        raise EagerError(f"norm of {x.dtype}: expected a floating type")
    if isinstance(p, str):
        if p != "fro":
            raise EagerError(f"norm with p={p!r}: expected a number or 'fro'")
        p = 2.0
    power = p
    a, axes = x.wide, axes_of(dim, x.ndim)
    size = np.abs(a)
    if (power < 0 or np.isinf(power)) and 0 in [size.shape[i] for i in axes]:
        raise EagerError(f"norm with p={power} of shape {list(x.shape)}: there is none of no elements")
    if power == 0:
        y = np.sum(size != 0, axis=axes, keepdims=keepdim)
        return result(y, (detach(x), None), dtype=x.dtype)
    if math.isinf(power):
        y = (np.max if power > 0 else np.min)(size, axis=axes, keepdims=True)
    elif power == 1:
        y = np.sum(size, axis=axes, keepdims=True)
    else:
        largest = np.max(size, axis=axes, keepdims=True, initial=0)
        scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1).astype(a.dtype)
        y = scale * np.power(np.sum(np.power(size / scale, power), axis=axes, keepdims=True), 1 / power)

    def formula(g: Array) -> Array:
        g = _kept(g, axes, keepdim)
        if math.isinf(power):
            ties = size == y
            return np.asarray(g * np.sign(a) * ties / np.sum(ties, axis=axes, keepdims=True))
        slope = np.sign(a) if power == 1 else np.sign(a) * np.power(size / y, power - 1)
        return np.where((y == 0) | (a == 0), 0, g * slope)

    return result(y if keepdim else np.squeeze(y, axis=axes), (x, formula))


@quiet
def cumsum(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running sum, y_i = x_0 + ... + x_i; the gradient is the running sum from the other end."""
    x = _summable(input, dtype)
    if not x.ndim:
        return result(x.array.copy(), (x, lambda g: g))
    axis = axis_of(dim, x.ndim)
    return result(np.cumsum(x.wide, axis), (x, lambda g: np.flip(np.cumsum(np.flip(g, axis), axis), axis)))


@quiet
def cumprod(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running product, y_i = x_0 ... x_i; the gradient does not divide, so zeros are fine."""
    x = _summable(input, dtype)
    if not x.ndim:
        return result(x.array.copy(), (x, lambda g: g))
    a, axis = x.wide, axis_of(dim, x.ndim)

    def formula(g: Array) -> Array:
        # dL/dx_k = (x_0 ... x_(k-1)) r_k, with r_k = g_k + x_(k+1) r_(k+1) from the end
        last, factors = np.moveaxis(g, axis, 0), np.moveaxis(a, axis, 0)
        before = np.ones_like(factors)
        before[1:] = np.cumprod(factors[:-1], 0)
        r = np.array(last)
        for k in range(len(r) - 2, -1, -1):
            r[k] += factors[k + 1] * r[k + 1]
        return np.moveaxis(before * r, 0, axis)

    return result(np.cumprod(a, axis), (x, formula))


@quiet
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """y = ln sum e^x, shifted by the largest x so that nothing overflows; the gradient is softmax(x)."""
    x = floating(input)
    a, axes = x.wide, axes_of(dim, x.ndim)
    top = np.max(a, axis=axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0).astype(a.dtype)
    y = np.log(np.sum(np.exp(a - shift), axis=axes, keepdims=True)) + shift
    return result(y if keepdim else np.squeeze(y, axis=axes), (x, lambda g: _kept(g, axes, keepdim) * np.exp(a - y)))


def _softmax_operand(input: Tensor, dtype: DTypeLike | None) -> Tensor:
    x = input if dtype is None else to(input, dtype)
    if not is_float(x.dtype):
        raise EagerError(f"softmax of {x.dtype}: expected a floating type, pass dtype='float32' or cast")
    return x


@quiet
def softmax(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """y = e^x / sum e^x along `dim`; the gradient is y (g - sum g y)."""
    x = _softmax_operand(input, dtype)
    axis = axes_of(dim, x.ndim)
    e = np.exp(x.wide - np.max(x.wide, axis=axis, keepdims=True, initial=-np.inf))
    y = e / np.sum(e, axis=axis, keepdims=True)
    return result(y, (x, lambda g: y * (g - np.sum(g * y, axis=axis, keepdims=True))))


@quiet
def softmin(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """The softmax of -x."""
    return softmax(neg(input), dim, dtype=dtype)


@quiet
def log_softmax(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """y = x - ln sum e^x along `dim`; the gradient is g - e^y sum g."""
    x = _softmax_operand(input, dtype)
    axis = axes_of(dim, x.ndim)
    a = x.wide - np.max(x.wide, axis=axis, keepdims=True, initial=-np.inf)
    y = a - np.log(np.sum(np.exp(a), axis=axis, keepdims=True))
    return result(y, (x, lambda g: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)))
