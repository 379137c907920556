"""Types of values: an element type and a shape of ints, named dimensions and small expressions over them."""

from __future__ import annotations

import builtins
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from staticgrad.errors import DTypeError, ShapeError, shown

Dim = int | str
"""A dimension: its size, or a name or polynomial over names (`N`, `N*6`, `N-1`).

Names that begin with `?` stand for sizes nobody named: each is equal to itself only, and may be 1. So are the names in
imported models (`?batch`), which are no promise there.
"""

Shape = tuple[Dim, ...]


class DType(StrEnum):
    """An element type; `str(dtype)` is its name."""

    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"
    float64 = "float64"
    int8 = "int8"
    int16 = "int16"
    int32 = "int32"
    int64 = "int64"
    uint8 = "uint8"
    uint16 = "uint16"
    uint32 = "uint32"
    uint64 = "uint64"
    bool = "bool"
    # What standard models hold and pass on, and what is not computed with here.
    float8e4m3fn = "float8e4m3fn"
    float8e4m3fnuz = "float8e4m3fnuz"
    float8e5m2 = "float8e5m2"
    float8e5m2fnuz = "float8e5m2fnuz"
    float8e8m0 = "float8e8m0"
    float4e2m1 = "float4e2m1"
    int4 = "int4"
    uint4 = "uint4"
    int2 = "int2"
    uint2 = "uint2"
    complex64 = "complex64"
    complex128 = "complex128"
    string = "string"

    short: str
    """As in printed graphs: `f32`."""
    numpy: np.dtype[Any]
    onnx: int
    """The number of this type in ONNX's TensorProto.DataType."""
    is_float: builtins.bool
    """Whether it is a floating type with derivatives; float8 and float4 are but a way to store numbers."""
    is_integer: builtins.bool
    rank: int
    """Position in PyTorch's promotion order; -1 where it has none, for nothing is computed in this type."""


_ONNX_CODES = (10, 16, 1, 11, 3, 5, 6, 7, 2, 4, 12, 13, 9, 17, 18, 19, 20, 24, 23, 22, 21, 26, 25, 14, 15, 8)
_PROMOTION = (8, 8, 9, 10, 2, 3, 4, 5, 1, 2, 3, 4, 0, *(-1,) * 13)
_OF_ML_DTYPES = {
    "bfloat16": "bfloat16",
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
    "float8e8m0": "float8_e8m0fnu",
    "float4e2m1": "float4_e2m1fn",
} | {name: name for name in ("int4", "uint4", "int2", "uint2")}
for _dtype, _code, _rank in zip(DType, _ONNX_CODES, _PROMOTION, strict=True):
    _stored = _rank < 0
    _dtype.short = _dtype.value if _dtype == "bool" or _stored else re.sub(r"^(bf|f|i|u)[a-z]*", r"\1", _dtype.value)
    if _dtype.value in _OF_ML_DTYPES:
        _dtype.numpy = np.dtype(getattr(ml_dtypes, _OF_ML_DTYPES[_dtype.value]))
    else:
        _dtype.numpy = np.dtype(object if _dtype == "string" else _dtype.value)
    _dtype.onnx = _code
    _dtype.is_float = "float" in _dtype.value and not _stored
    _dtype.is_integer = "int" in _dtype.value and not _stored
    _dtype.rank = _rank

COMPUTED = tuple(dtype for dtype in DType if dtype.rank >= 0)
"""The element types that are computed with here."""

_BY_NAME = {str(dtype): dtype for dtype in COMPUTED}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DType if dtype.numpy.kind not in "Oc"}
_BY_ONNX = {dtype.onnx: dtype for dtype in DType}


def as_dtype(dtype: object) -> DType:
    """The element type that a name (`"float32"`), a numpy dtype or a Python type stands for; DTypeError otherwise."""
    if isinstance(dtype, DType):
        return dtype
    if dtype is float:
        return DType.float32
    found = None
    if isinstance(dtype, str):
        # Only the names: to numpy "float" is float64, to PyTorch float32.
        found = _BY_NAME.get(dtype)
    elif dtype is not None:
        # None would be float64 to numpy.
        try:
            found = _BY_NUMPY.get(np.dtype(dtype))  # type: ignore[call-overload]
        except (TypeError, ValueError):
            pass
    if found is None:
        raise DTypeError(f"no element type {shown(dtype)}; one of {', '.join(COMPUTED)} is expected")
    return found


def dtype_from_onnx(code: int) -> DType:
    """The element type with this number in ONNX's TensorProto.DataType."""
    if code not in _BY_ONNX:
        raise DTypeError(f"ONNX element type {code} is not supported; one of {', '.join(COMPUTED)} is expected")
    return _BY_ONNX[code]


def narrowed(array: NDArray[Any], dtype: DType) -> NDArray[Any] | None:
    """The array in another element type; None where one of its numbers has no place there."""
    if dtype.is_integer and array.size and array.dtype.kind in "iu":
        limits = np.iinfo(dtype.numpy)
        if array.min() < limits.min or array.max() > limits.max:
            return None
    with np.errstate(over="ignore"):
        narrow: NDArray[Any] = array.astype(dtype.numpy)
    if dtype.is_float and (np.isinf(narrow.astype(np.float64)) & np.isfinite(array.astype(np.float64))).any():
        return None
    return narrow


class TensorType(NamedTuple):
    """An element type and a shape."""

    dtype: DType
    shape: Shape

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(show(d) for d in self.shape)}]"


class OpaqueType(TensorType):
    """What is passed on without a look inside: a sequence, an optional, a map, a tensor of unknown rank.

    `onnx` is the serialized TypeProto, `dtype` the element type of the tensors inside, `rankless` whether it is a
    tensor. The shape is empty and says nothing.
    """

    onnx: bytes
    title: str
    rankless: bool

    def __new__(cls, dtype: DType, onnx: bytes, title: str, rankless: bool = False) -> OpaqueType:
        made = super().__new__(cls, dtype, ())
        made.onnx = onnx
        made.title = title
        made.rankless = rankless
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpaqueType) and other.onnx == self.onnx

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.onnx)

    def __str__(self) -> str:
        return self.title


def show(dim: Dim) -> str:
    """A dimension as printed: unknown sizes are `?`, those with a name in a model `?name`."""
    return re.sub(r"\?\d+", "?", dim) if isinstance(dim, str) else str(dim)


_unknowns = itertools.count()


def unknown() -> str:
    """A dimension about which nothing is known, different from every other."""
    return f"?{next(_unknowns)}"


def is_unknown(dim: Dim) -> bool:
    """Whether the size depends on a dimension that nobody named."""
    return isinstance(dim, str) and "?" in dim


def dims_agree(a: Dim, b: Dim) -> bool:
    """Whether two dimensions are equal as far as they are known."""
    return a == b or is_unknown(a) or is_unknown(b)


# Polynomials over names: a sorted tuple of names -> an integer coefficient.
Polynomial = dict[tuple[str, ...], int]
_MOST_TERMS = 64


@lru_cache(maxsize=65536)
def _polynomial(dim: Dim) -> tuple[tuple[tuple[str, ...], int], ...]:
    if isinstance(dim, int):
        return (((), dim),) if dim else ()
    terms: Polynomial = {}
    for sign, term in re.findall(r"([+-]?)([^+-]+)", dim):
        names = []
        factor = -1 if sign == "-" else 1
        for part in term.split("*"):
            if part.isdigit():
                factor *= int(part)
            else:
                names.append(part)
        key = tuple(sorted(names))
        terms[key] = terms.get(key, 0) + factor
    return tuple(terms.items())


def _dim(polynomial: Iterable[tuple[tuple[str, ...], int]]) -> Dim:
    terms = sorted(((k, c) for k, c in polynomial if c), key=lambda t: (-len(t[0]), t[0]))
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    if len(terms) > _MOST_TERMS or any(len(names) > _MOST_TERMS or abs(factor) > 2**63 for names, factor in terms):
        # Nobody knows such a size any more.
        return unknown()
    text = ""
    for names, factor in terms:
        parts = [*names, *([str(abs(factor))] if abs(factor) != 1 or not names else [])]
        text += ("-" if factor < 0 else "+" if text else "") + "*".join(parts)
    return text


@lru_cache(maxsize=65536)
def add_dims(*dims: Dim) -> Dim:
    """The sum of dimensions, in canonical form."""
    total: Polynomial = {}
    for dim in dims:
        for key, factor in _polynomial(dim):
            total[key] = total.get(key, 0) + factor
    return _dim(total.items())


@lru_cache(maxsize=65536)
def multiply_dims(*dims: Dim) -> Dim:
    """The product of dimensions, in canonical form."""
    product: Polynomial = {(): 1}
    for dim in dims:
        step: Polynomial = {}
        terms = _polynomial(dim)
        if len(product) * len(terms) > _MOST_TERMS**2:
            return unknown()
        for left, a in product.items():
            for right, b in terms:
                key = tuple(sorted(left + right))
                step[key] = step.get(key, 0) + a * b
        product = step
    return _dim(product.items())


def constant_term(dim: Dim) -> int:
    """What is left of a dimension where all names in it are 0."""
    return dict(_polynomial(dim)).get((), 0)


@lru_cache(maxsize=65536)
def divide_dims(dim: Dim, divisor: Dim) -> Dim | None:
    """`dim / divisor` where that is a polynomial for all sizes, else None; `divisor` is one term."""
    terms = _polynomial(divisor)
    if len(terms) != 1:
        return 1 if dim == divisor and terms else None
    ((names, factor),) = terms
    quotient: list[tuple[tuple[str, ...], int]] = []
    for key, coefficient in _polynomial(dim):
        rest = list(key)
        for name in names:
            if name not in rest:
                return None
            rest.remove(name)
        if coefficient % factor:
            return None
        quotient.append((tuple(rest), coefficient // factor))
    return _dim(quotient)


def evaluate_dim(dim: Dim, sizes: Mapping[str, int]) -> int | None:
    """The size of a dimension for given sizes of the names in it; None where one is not given."""
    total = 0
    for names, factor in _polynomial(dim):
        for name in names:
            if name not in sizes:
                return None
            factor *= sizes[name]
        total += factor
    return total


def count_elements(shape: Sequence[Dim]) -> Dim:
    """The number of elements of a tensor of this shape."""
    return multiply_dims(*shape) if shape else 1


def is_static(shape: Shape) -> bool:
    """Whether every dimension is a number."""
    return all(isinstance(d, int) for d in shape)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape by ONNX's multidirectional broadcasting; ShapeError where two sizes cannot agree.

    Named dimensions are taken to be different from 1; what meets an unknown size may turn out to be either.
    """
    widest = max(shapes, key=len)
    # The usual cases: equal shapes, and operands that lack the leading dimensions.
    if all(not s or widest[-len(s) :] == s for s in shapes):
        return widest
    rank = max(len(s) for s in shapes)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(_broadcast_dims(column) for column in zip(*padded, strict=True))


def _broadcast_dims(dims: tuple[Dim, ...]) -> Dim:
    result: Dim = 1
    for dim in dims:
        if dim == 1 or dim == result:
            continue
        if result == 1:
            result = dim
        elif not is_unknown(dim) and not is_unknown(result):
            raise ShapeError(f"dimensions {result} and {dim} do not agree")
        elif isinstance(dim, int) or isinstance(result, int):
            result = dim if isinstance(dim, int) else result
        else:
            result = unknown()
    return result


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def declared_shape(shape: object) -> Shape:
    """A shape as users write it (ints, names, `None` for unknown), checked."""
    if isinstance(shape, (int, str)) or shape is None:
        shape = (shape,)
    if not isinstance(shape, Iterable):
        raise ShapeError(f"a shape is a sequence of ints, names and None, not {shown(shape)}")
    dims: list[Dim] = []
    for dim in shape:
        if dim is None:
            dims.append(unknown())
        elif isinstance(dim, str):
            if not _NAME.fullmatch(dim):
                raise ShapeError(f"dimension name {shown(dim)} is not an identifier")
            dims.append(dim)
        elif isinstance(dim, (int, np.integer)) and not isinstance(dim, bool):
            if dim < 0:
                raise ShapeError(f"dimension {dim} is negative; None or a name declares a dynamic size")
            dims.append(int(dim))
        else:
            raise ShapeError(f"dimension {shown(dim)} is neither an int nor a name nor None")
    return tuple(dims)
