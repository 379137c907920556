"""Changing the element type, copies, and bringing operands to a common type."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from staticgrad.eager.dtypes import (
    Array,
    DType,
    DTypeLike,
    bfloat16,
    boolean,
    dtype_of,
    float16,
    float32,
    float64,
    int32,
    int64,
    is_float,
    python_dtype,
    result_type,
)
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Operand: TypeAlias = "Tensor | builtins.float | Array"


def to(input: Tensor, dtype: DTypeLike | Tensor, *, copy: builtins.bool = False) -> Tensor:
    """The same values as elements of `dtype` (a type, or a tensor that has it); the gradient is cast back.

    The tensor itself comes back if it has that type already. Float to integer truncates and cuts the gradient.
    """
    target = dtype_of(dtype if isinstance(dtype, str | builtins.type | np.dtype) else dtype.dtype)
    if target == input.dtype and not copy:
        return input
    with np.errstate(all="ignore"):
        return result(input.array.astype(target), (input, lambda g: g), dtype=target)


def type_(input: Tensor, dtype: DTypeLike | None = None) -> Tensor | str:
    """The tensor as elements of `dtype`; without one, the name of its type."""
    return str(input.dtype) if dtype is None else to(input, dtype)


def float_(input: Tensor) -> Tensor:
    """The tensor as float32."""
    return to(input, float32)


def double(input: Tensor) -> Tensor:
    """The tensor as float64."""
    return to(input, float64)


def half(input: Tensor) -> Tensor:
    """The tensor as float16; values beyond 65504 become infinite."""
    return to(input, float16)


def bfloat16_(input: Tensor) -> Tensor:
    """The tensor as bfloat16, float32 with 8 bits of mantissa."""
    return to(input, bfloat16)


def int_(input: Tensor) -> Tensor:
    """The tensor as int32, truncated towards zero."""
    return to(input, int32)


def long(input: Tensor) -> Tensor:
    """The tensor as int64, truncated towards zero."""
    return to(input, int64)


def bool_(input: Tensor) -> Tensor:
    """True where the value is not zero."""
    return to(input, boolean)


def clone(input: Tensor) -> Tensor:
    """A copy with its own memory; the gradient passes through."""
    return result(input.array.copy(), (input, lambda g: g))


def detach(input: Tensor) -> Tensor:
    """The same values (the same memory) without history: no gradient passes."""
    return type(input)(input.array, _memory=input.memory, _cut=True)


def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if its elements lie in memory in row-major order, else a copy for which they do."""
    return input if input.array.flags.c_contiguous else clone(input)


def floating(x: Tensor) -> Tensor:
    """The tensor for a function of real numbers: itself if it is floating, else as float32."""
    return x if is_float(x.dtype) else to(x, float32)


def promote(*operands: Operand, dtype: DType | None = None) -> tuple[Tensor, ...]:
    """The operands as tensors of one type: PyTorch's common type, or `dtype`.

    Python and numpy scalars are weak: they change the category (bool, integer, float) but never the width.
    """
    kind: Any = next((builtins.type(x) for x in operands if hasattr(x, "memory")), None)
    if kind is None:
        raise EagerError("no tensor among the operands: expected at least one")
    plain = [x.item() if isinstance(x, np.generic) else x for x in operands]
    tensors = [None if isinstance(x, builtins.int | builtins.float) else _tensor(x, kind) for x in plain]
    if dtype is None:
        dtype = result_type(
            [t.dtype for t in tensors if t is not None and t.ndim],
            [t.dtype for t in tensors if t is not None and not t.ndim],
            [python_dtype(x) for x, t in zip(plain, tensors, strict=True) if t is None],
        )
    return tuple(
        _number(x, kind, dtype) if t is None else t if t.dtype == dtype else to(t, dtype)
        for x, t in zip(plain, tensors, strict=True)
    )


def _number(x: Any, kind: builtins.type[Tensor], dtype: DType) -> Tensor:
    """A Python number as a 0-dim tensor of `dtype`, rounded once."""
    with np.errstate(all="ignore"):
        return kind(np.asarray(x).astype(dtype))


def _tensor(x: Any, kind: builtins.type[Tensor]) -> Tensor:
    if isinstance(x, kind):
        return x
    if isinstance(x, np.ndarray):
        return kind(x.astype(dtype_of(x.dtype)))  # a copy: the tape could not see it change
    raise TypeError(f"operand of type {builtins.type(x).__name__}: expected a tensor, a number or a numpy array")
