"""Element types: the names that `dtype` arguments accept, and PyTorch's rules for mixing types.

An element type is a `numpy.dtype`; its `str` is the plain name ("float32", "int64", "bool", "bfloat16").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import ml_dtypes
import numpy as np
import numpy.typing as npt

from staticgrad.eager.errors import EagerError

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]
DTypeLike: TypeAlias = str | type | DType

float16: DType = np.dtype("float16")
bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
float32: DType = np.dtype("float32")
float64: DType = np.dtype("float64")
int8: DType = np.dtype("int8")
int16: DType = np.dtype("int16")
int32: DType = np.dtype("int32")
int64: DType = np.dtype("int64")
uint8: DType = np.dtype("uint8")
uint16: DType = np.dtype("uint16")
uint32: DType = np.dtype("uint32")
uint64: DType = np.dtype("uint64")
boolean: DType = np.dtype("bool")

_FLOATS = (float16, bfloat16, float32, float64)
_NAMES: dict[str, DType] = {
    str(d): d for d in (*_FLOATS, int8, int16, int32, int64, uint8, uint16, uint32, uint64, boolean)
} | {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64}

P = ParamSpec("P")
R = TypeVar("R")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: log(0) is -inf and 0/0 is nan without a warning, as in PyTorch; clashing shapes are an EagerError."""

    @functools.wraps(function)
    def quieted(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            try:
                return function(*args, **kwargs)
            except EagerError:
                raise
            except ValueError as error:
                if "broadcast" not in str(error):
                    raise
                reason = " ".join(str(error).split())
                raise EagerError(f"{function.__name__} of shapes that do not fit each other: {reason}") from None

    return quieted


def dtype_of(dtype: DTypeLike) -> DType:
    """The element type that a name ("float32", also PyTorch's "long"), a `numpy.dtype` or a Python type means."""
    found = _NAMES.get(dtype) if isinstance(dtype, str) else _NAMES.get(str(np.dtype(dtype)))
    if found is None:
        raise EagerError(f"dtype {dtype!r} is not supported: expected one of {', '.join(_NAMES)}")
    return found


def is_float(dtype: DType) -> bool:
    """Whether the type is floating, and so can carry a gradient."""
    return dtype in _FLOATS


def wide_dtype(dtype: DType) -> DType:
    """The type that arithmetic on `dtype` is done in: float32 for the two half precisions, else itself."""
    return float32 if dtype in (float16, bfloat16) else dtype


def widened(array: Array) -> Array:
    """The array in the type that arithmetic is done in: itself, or a float32 copy of a half precision."""
    return array.astype(wide_dtype(array.dtype), copy=False)


def python_dtype(number: object) -> DType:
    """The type that a Python number stands for on its own: bool, int64 or float32."""
    if isinstance(number, bool):
        return boolean
    return int64 if isinstance(number, int) else float32


def _category(dtype: DType) -> int:
    return 0 if dtype == boolean else 2 if is_float(dtype) else 1


def promote_types(a: DType, b: DType) -> DType:
    """The smallest type that holds both: float beats integer beats bool, then the wider one.

    float16 with bfloat16 is float32; an integer never widens a float (int64 with float16 is float16).
    """
    if a == b:
        return a
    if _category(a) != _category(b):
        return a if _category(a) > _category(b) else b
    if {a, b} == {float16, bfloat16}:
        return float32
    if _category(a) == 2:
        return a if a.itemsize > b.itemsize else b
    both = np.promote_types(a, b)
    if is_float(both):
        raise EagerError(f"{a} and {b} have no common integer type: cast one of them")
    return both


def result_type(arrays: Iterable[DType], scalars: Iterable[DType], numbers: Iterable[DType]) -> DType:
    """The common type of tensors with dimensions, of 0-dim tensors and of Python numbers.

    Each kind only counts against the kinds before it if its category (bool, integer, float) is higher.
    """
    common: DType | None = None
    for kind in (arrays, scalars, numbers):
        own: DType | None = None
        for dtype in kind:
            own = dtype if own is None else promote_types(own, dtype)
        if own is not None and (common is None or _category(own) > _category(common)):
            common = own if common is None else promote_types(common, own)
    if common is None:
        raise EagerError("no operands: expected at least one tensor")
    return common
