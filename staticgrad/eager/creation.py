"""Making tensors: from numbers and arrays, regular ones, random ones. All are leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad.eager.dtypes import Array, DTypeLike, dtype_of, float32, int64
from staticgrad.eager.errors import EagerError
from staticgrad.eager.shape import Sizes, numbers_of
from staticgrad.eager.tape import result
from staticgrad.eager.tensor import Tensor

_generator = [np.random.default_rng()]


def manual_seed(seed: int) -> None:
    """Start the random numbers of `randn`, `rand` and `randint` again from a seed (numpy's, not PyTorch's, numbers)."""
    _generator[0] = np.random.default_rng(seed)


def _leaf(array: Array, dtype: DTypeLike, requires_grad: bool) -> Tensor:
    return Tensor(array.astype(dtype_of(dtype), copy=False), requires_grad)


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares the memory of an array: writing to one writes to both, and `backward` cannot notice."""
    dtype = dtype_of(array.dtype.newbyteorder("="))
    return Tensor(array.astype(dtype, copy=False))


def randn(*size: Sizes, dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """Random numbers of the normal distribution with mean 0 and variance 1."""
    return _leaf(_generator[0].standard_normal(numbers_of("randn", size, None)), dtype, requires_grad)


def rand(*size: Sizes, dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
    target = dtype_of(dtype)
    draw = _generator[0].random(numbers_of("rand", size, None), np.float64 if target.itemsize == 8 else np.float32)
    return _leaf(np.minimum(draw, 1 - 2.0**-8) if target.itemsize == 2 else draw, target, requires_grad)


def randint(
    low: int, high: int | Sequence[int], size: Sequence[int] | None = None, *, dtype: DTypeLike = int64
) -> Tensor:
    """Random integers from low to high - 1: `randint(high, size)`, where low is 0, or `randint(low, high, size)`."""
    if isinstance(high, int):
        if size is None:
            raise EagerError("randint without a size: expected randint(high, size) or randint(low, high, size)")
        bounds, shape = (low, high), tuple(size)
    else:
        bounds, shape = (0, low), tuple(high)
    return _leaf(_generator[0].integers(*bounds, shape), dtype, False)


def zeros(*size: Sizes, dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """All 0."""
    return Tensor(np.zeros(numbers_of("zeros", size, None), dtype_of(dtype)), requires_grad)


def ones(*size: Sizes, dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """All 1."""
    return Tensor(np.ones(numbers_of("ones", size, None), dtype_of(dtype)), requires_grad)


def full(
    size: Sequence[int], fill_value: Any, *, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """All equal to a number, of its type (float32 for a float) unless `dtype` is given."""
    value = np.asarray(fill_value)
    default = float32 if value.dtype == float else dtype_of(value.dtype)
    return _leaf(np.full(tuple(size), value), default if dtype is None else dtype, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; `arange(end)` starts at 0. int64 if all are integers, else float32."""
    if end is None:
        start, end = 0, start
    whole = all(isinstance(n, int | np.integer) for n in (start, end, step))
    kind = dtype_of(dtype) if dtype is not None else int64 if whole else float32
    if kind.kind in "iu":
        # Bounds and steps of integers lose their fractions first; the length of the short ones is counted before.
        length = (end - start) / step if step else 0
        start, end, step = int(start), int(end), int(step)
        length = (end - start) / step if step and kind == int64 else length
    else:
        length = (end - start) / step if step else 0
    if not step or length < 0:
        raise EagerError(f"arange from {start} to {end} by steps of {step}: expected steps that lead there")
    return _leaf(start + np.arange(int(np.ceil(length))) * step, kind, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """The n by m matrix (m = n by default) with 1 on the diagonal, 0 elsewhere."""
    if n < 0 or (m is not None and m < 0):
        raise EagerError(f"eye of {n} by {n if m is None else m}: expected sizes of 0 or more")
    return _leaf(np.eye(n, m), dtype, requires_grad)


def linspace(
    start: float | Tensor,
    end: float | Tensor,
    steps: int,
    *,
    dtype: DTypeLike = float32,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included; the gradient goes to bounds that are tensors."""
    share = np.linspace(0, 1, steps)
    low, high = (np.asarray(x.array if isinstance(x, Tensor) else x, np.float64) for x in (start, end))
    if dtype_of(dtype).kind in "iu":
        low, high = np.trunc(low), np.trunc(high)
    line = np.linspace(low, high, steps)
    edges = [
        (x, formula)
        for x, formula in ((start, lambda g: (g * (1 - share)).sum()), (end, lambda g: (g * share).sum()))
        if isinstance(x, Tensor)
    ]
    return result(line, *edges, dtype=dtype_of(dtype)) if edges else _leaf(line, dtype, requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DTypeLike = float32,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the powers of evenly spaced numbers from start to end, both included."""
    if dtype_of(dtype).kind in "iu":
        start, end = int(start), int(end)
    return _leaf(np.power(float(base), np.linspace(start, end, steps)), dtype, requires_grad)


def zeros_like(input: Tensor, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """All 0, in the shape and type of another tensor."""
    return zeros(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """All 1, in the shape and type of another tensor."""
    return ones(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def full_like(input: Tensor, fill_value: Any, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """All equal to a number, in the shape and type of another tensor."""
    return full(input.shape, fill_value, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)
