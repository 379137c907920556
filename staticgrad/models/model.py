"""A forward model as values, to compute and to differentiate further with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import onnx

from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Leaf, Value
from staticgrad.onnx_reader import Reading, Source, load, read
from staticgrad.ops.registry import constant, literal
from staticgrad.origin import source_line
from staticgrad.types import OpaqueType, dims_agree

ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto


class Model:
    """A model read by `from_onnx`: its inputs, outputs and floating initializers as Values, by name.

    Called with Values or arrays in the place of its inputs, by position or by name, it computes its outputs from those:
    one Value, or a tuple where there are several. The parameters are the same in every call.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self.name = source.name
        self.inputs: Mapping[str, Value] = MappingProxyType(dict(reading.inputs))
        self.outputs: Mapping[str, Value] = MappingProxyType(dict(reading.outputs))
        self.parameters: Mapping[str, Value] = MappingProxyType(dict(reading.parameters))

    def __call__(self, *values: Any, **named: Any) -> Any:
        given = self._given(values, named)
        outputs = tuple(read(self._source, given, self.parameters).outputs.values())
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{name}: {value.type}" for name, value in values.items())
            for values in (self.inputs, self.outputs)
        )
        return f"<Model {self.name}: ({inputs}) -> ({outputs}), {len(self.parameters)} parameters>"

    def _given(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Value]:
        """The values for the inputs, each of a type that the input takes."""
        names = list(self.inputs)
        if len(values) > len(names):
            raise DeclarationError(
                f"{self.name} takes {len(names)} inputs, {', '.join(names)}; {len(values)} came ({source_line()})"
            )
        given = dict(zip(names, values, strict=False))
        for name, value in named.items():
            if name not in self.inputs or name in given:
                what = "was given twice" if name in given else f"is no input of {self.name}, which takes {names}"
                raise DeclarationError(f"{name!r} {what} ({source_line()})")
            given[name] = value
        for name, value in self.inputs.items():
            if name not in given:
                initial = value.node.initial if isinstance(value.node, Leaf) else None
                if initial is None:
                    raise DeclarationError(f"{self.name} needs the input {name!r}: {value.type} ({source_line()})")
                given[name] = constant(initial)
        return {name: _fitting(name, self.inputs[name], value) for name, value in given.items()}


def _fitting(name: str, formal: Value, given: Any) -> Value:
    """The value, if an input takes its type."""
    value = given if isinstance(given, Value) else literal(given, formal.type.dtype)
    type, expected = value.type, formal.type
    if type.dtype is not expected.dtype or isinstance(type, OpaqueType) != isinstance(expected, OpaqueType):
        raise DTypeError(f"the input {name!r} is {expected}, {type} came; cast it first ({source_line()})")
    if len(type.shape) != len(expected.shape) or any(
        not dims_agree(a, b) for a, b in zip(type.shape, expected.shape, strict=True)
    ):
        raise ShapeError(f"the input {name!r} is {expected}, {type} came ({source_line()})")
    return value


def from_onnx(model: ModelLike) -> Model:
    """Read an ONNX model of any opset from 7 on: a path, bytes or a ModelProto.

    Floating initializers become parameters, `Constant` nodes literals. Names of sizes are no promise in models: such a
    size is of unknown value here, and may be 1.
    """
    source = load(model)
    return Model(source, read(source))


def chosen(names: Any, known: Mapping[str, Value], what: str, model: str) -> dict[str, Value]:
    """The values that were asked for by name."""
    listed = [names] if isinstance(names, str) else list(names)
    if not listed:
        raise DeclarationError(f"{what} is empty: there is nothing to differentiate ({source_line()})")
    found = {}
    for name in listed:
        if not isinstance(name, str) or name not in known:
            raise DeclarationError(
                f"{what} names {shown(name)}, which {model} does not have; it has {', '.join(known) or 'none'} "
                f"({source_line()})"
            )
        if name in found:
            raise DeclarationError(f"{what} names {name!r} twice ({source_line()})")
        if not known[name].type.dtype.is_float:
            raise DTypeError(
                f"{what} names {name!r}, which is {known[name].type}; only floating values have derivatives "
                f"({source_line()})"
            )
        found[name] = known[name]
    return found
