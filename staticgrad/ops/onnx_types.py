"""Types as ONNX writes them: TypeProto to type and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import onnx

from staticgrad.errors import DTypeError, ShapeError
from staticgrad.types import Dim, DType, OpaqueType, TensorType, dtype_from_onnx, unknown

HIGHEST_RANK = 64
"""The most axes that numpy's arrays have."""

_EMPTY = "nothing"
"""Marks types here, and is not written into models."""

_KINDS = {
    "sequence_type": "seq",
    "optional_type": "optional",
    "map_type": "map",
    "sparse_tensor_type": "sparse",
    "opaque_type": "opaque",
}


def write_type(proto: onnx.TypeProto, type: TensorType, whole: bool = False) -> None:
    """Write a type into a TypeProto; a size that nobody named is left open, unless all are kept `whole`."""
    if isinstance(type, OpaqueType):
        proto.ParseFromString(type.onnx)
        if proto.denotation == _EMPTY:
            proto.ClearField("denotation")
        return
    tensor = proto.tensor_type
    tensor.elem_type = type.dtype.onnx
    # Also a tensor of rank 0 has a shape.
    tensor.shape.SetInParent()
    for dim in type.shape:
        written = tensor.shape.dim.add()
        if isinstance(dim, int):
            if dim >= 2**63:
                raise ShapeError(f"a size of {dim} has no place in a model")
            written.dim_value = dim
        elif whole:
            written.dim_param = dim
        elif not re.search(r"\?\d", dim):
            # What a model calls a size is written as the model has it.
            written.dim_param = dim.replace("?", "")


def read_type(proto: onnx.TypeProto, named: Callable[[str], Dim]) -> TensorType:
    """The type that a TypeProto tells; `named` gives the dimension that a model's name for it stands for."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        tensor = proto.tensor_type
        dtype = dtype_from_onnx(tensor.elem_type)
        if not tensor.HasField("shape"):
            return rankless(dtype)
        if len(tensor.shape.dim) > HIGHEST_RANK:
            raise ShapeError(f"a tensor has {len(tensor.shape.dim)} axes, at most {HIGHEST_RANK} are expected")
        return TensorType(dtype, tuple(_dim(d, named) for d in tensor.shape.dim))
    if kind is None:
        raise DTypeError("a type is missing")
    inner = _innermost(proto)
    dtype = DType.string if inner is None else dtype_from_onnx(inner)
    return OpaqueType(dtype, proto.SerializeToString(deterministic=True), _title(proto))


def rankless(dtype: DType) -> OpaqueType:
    """The type of a tensor of which only the element type is known."""
    proto = onnx.TypeProto()
    proto.tensor_type.elem_type = dtype.onnx
    return OpaqueType(dtype, proto.SerializeToString(deterministic=True), f"{dtype.short}[...]", True)


def is_sequence(type: TensorType) -> bool:
    """Whether a value of this type is a sequence."""
    return isinstance(type, OpaqueType) and _proto(type).WhichOneof("value") == "sequence_type"


def is_optional(type: TensorType) -> bool:
    """Whether a value of this type is an optional."""
    return isinstance(type, OpaqueType) and _proto(type).WhichOneof("value") == "optional_type"


def sequence_of(type: TensorType) -> OpaqueType:
    """The type of sequences of tensors of this type."""
    proto = onnx.TypeProto()
    write_type(proto.sequence_type.elem_type, type)
    return _opaque(proto, type.dtype)


def empty_sequence(dtype: DType) -> OpaqueType:
    """The type of a sequence that holds nothing, so that what it is joined with tells what its elements are."""
    proto = onnx.TypeProto(denotation=_EMPTY)
    write_type(proto.sequence_type.elem_type, rankless(dtype))
    return _opaque(proto, dtype)


def joined_sequence(a: TensorType, b: TensorType, merged: Callable[[TensorType, TensorType], TensorType]) -> OpaqueType:
    """The type of a sequence that has one of two types, whose elements are `merged`."""
    assert isinstance(a, OpaqueType) and isinstance(b, OpaqueType)
    if is_empty(a) or is_empty(b):
        return b if is_empty(a) else a
    return sequence_of(merged(inner_type(a), inner_type(b)))


def is_empty(type: TensorType) -> bool:
    """Whether a sequence of this type is known to hold nothing."""
    return isinstance(type, OpaqueType) and _proto(type).denotation == _EMPTY


def optional_of(type: TensorType) -> OpaqueType:
    """The type of optionals that may hold a value of this type."""
    proto = onnx.TypeProto()
    write_type(proto.optional_type.elem_type, type)
    return _opaque(proto, type.dtype)


def inner_type(type: TensorType) -> TensorType:
    """The type of what a sequence or an optional holds; sizes that are no numbers differ from element to element."""
    assert isinstance(type, OpaqueType)
    proto = _proto(type)
    return read_type(getattr(proto, str(proto.WhichOneof("value"))).elem_type, lambda _: unknown())


@lru_cache(maxsize=1024)
def _parsed(data: bytes) -> onnx.TypeProto:
    proto = onnx.TypeProto()
    proto.ParseFromString(data)
    return proto


def _proto(type: OpaqueType) -> onnx.TypeProto:
    return _parsed(type.onnx)


def _opaque(proto: onnx.TypeProto, dtype: DType) -> OpaqueType:
    return OpaqueType(dtype, proto.SerializeToString(deterministic=True), _title(proto))


def _dim(dim: Any, named: Callable[[str], Dim]) -> Dim:
    if dim.HasField("dim_value"):
        size: int = dim.dim_value
        # Some exporters write an open size as 0 or -1; a size of 0 is one all the same.
        if size < 0:
            return unknown()
        return size
    return named(dim.dim_param) if dim.dim_param else unknown()


def _innermost(proto: onnx.TypeProto) -> int | None:
    """The element type of the tensors in sequences and optionals; None in maps and the like."""
    while True:
        kind = proto.WhichOneof("value")
        if kind == "tensor_type":
            return proto.tensor_type.elem_type or None
        if kind not in ("sequence_type", "optional_type"):
            return None
        proto = getattr(proto, kind).elem_type


def _title(proto: onnx.TypeProto) -> str:
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        tensor = proto.tensor_type
        if tensor.elem_type == onnx.TensorProto.UNDEFINED:
            return "tensor"
        short = dtype_from_onnx(tensor.elem_type).short
        if not tensor.HasField("shape"):
            return f"{short}[...]"
        sizes = (str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
        return f"{short}[{','.join(sizes)}]"
    if kind in ("sequence_type", "optional_type"):
        return f"{_KINDS[kind]}({_title(getattr(proto, kind).elem_type)})"
    return _KINDS.get(kind or "", "nothing")
