"""Attributes of a model's nodes as the operators here take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from staticgrad.errors import DeclarationError
from staticgrad.onnx_reader.tensors import array_of
from staticgrad.ops.onnx_types import read_type
from staticgrad.ops.registry import DTYPE_ATTRIBUTES, Operator
from staticgrad.types import dtype_from_onnx, unknown

_PROTO = onnx.AttributeProto


def attributes_of(
    node: onnx.NodeProto, entry: Operator[Any, Any], graphs: Mapping[str, Any], folder: Path | None
) -> Mapping[str, Any]:
    """The attributes of a node for its entry, defaults filled in; DeclarationError for one that it does not know."""
    if not node.attribute:
        missing = entry.required_attributes
        attributes = entry.attributes
    else:
        attributes = dict(entry.attributes)
        for given in node.attribute:
            if given.name not in attributes:
                raise DeclarationError(f"the attribute {given.name!r} is not known here")
            attributes[given.name] = graphs.get(given.name) or _value(given, attributes[given.name], folder)
        missing = frozenset(name for name in entry.required_attributes if attributes[name] is None)
    if missing:
        raise DeclarationError(f"the attribute {min(missing)!r} is missing")
    return attributes


def _value(given: onnx.AttributeProto, default: Any, folder: Path | None) -> Any:
    kind = given.type
    if kind == _PROTO.INT:
        if given.name in DTYPE_ATTRIBUTES and not isinstance(default, int):
            return dtype_from_onnx(given.i) if given.i else None
        return bool(given.i) if isinstance(default, bool) else given.i
    if kind == _PROTO.FLOAT:
        return given.f
    if kind == _PROTO.STRING:
        return given.s.decode("utf-8", "replace")
    if kind == _PROTO.INTS:
        return tuple(given.ints)
    if kind == _PROTO.FLOATS:
        return tuple(given.floats)
    if kind == _PROTO.STRINGS:
        return tuple(text.decode("utf-8", "replace") for text in given.strings)
    if kind == _PROTO.TENSOR:
        return array_of(given.t, folder)[0]
    if kind == _PROTO.TYPE_PROTO:
        return read_type(given.tp, lambda _: unknown())
    raise DeclarationError(f"the attribute {given.name!r} has a kind that is not known here")
