"""A forward model as values, to compute and to differentiate further with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from staticgrad.declare import leaves_behind
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Array, Graph, Leaf, Value
from staticgrad.onnx_reader import Reading, Source, load, read
from staticgrad.ops.registry import constant, literal
from staticgrad.origin import source_line
from staticgrad.rewrite import substituted
from staticgrad.types import OpaqueType, dims_agree

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto


class Model:
    """A model read by `from_onnx`: its inputs, outputs and floating initializers as Values, by name.

    Called with Values or arrays in the place of its inputs, by position or by name, it computes its outputs from those:
    one Value, or a tuple where there are several. The parameters are the same in every call.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self.name = source.name
        self.inputs: Mapping[str, Value] = MappingProxyType(dict(reading.inputs))
        self.outputs: Mapping[str, Value] = MappingProxyType(dict(reading.outputs))
        self.parameters: Mapping[str, Value] = MappingProxyType(dict(reading.parameters))
        self.values: Mapping[str, Value] = MappingProxyType(dict(reading.values))
        """Every value under the name that it has in the file."""
        self._source = source
        self._is_whole = True

    @property
    def graph(self) -> Graph:
        """The graph from inputs and parameters to outputs."""
        return Graph("model", {**self.inputs, **self.parameters}, self.outputs)

    def __call__(self, *values: Any, **named: Any) -> Any:
        given = self._given(values, named)
        if self._is_whole:
            outputs = tuple(read(self._source, given, self.parameters).outputs.values())
        else:
            replaced = {self.inputs[name]: value for name, value in given.items()}
            outputs = tuple(substituted(value, replaced) for value in self.outputs.values())
        return outputs[0] if len(outputs) == 1 else outputs

    def replace_output(self, name: str, function: Callable[[Value], Value], at: str | None = None) -> Model:
        """The model with another output `name`: `function` of the value called `at` in the file.

        `at` is any value of the model, such as the features before its last layer (default: the output itself).
        Parameters that `function` declares are the model's too; those that no output needs any more are gone.
        """
        if name not in self.outputs:
            raise DeclarationError(
                f"{self.name} has no output {shown(name)}; it has {', '.join(self.outputs)} ({source_line()})"
            )
        start = self.outputs[name] if at is None else self.values.get(at)
        if start is None:
            close = get_close_matches(str(at), self.values, 3)
            hint = f"; is {' or '.join(close)} meant?" if close else ""
            raise DeclarationError(f"{self.name} has no value {shown(at)}{hint} ({source_line()})")
        head = function(start)
        if not isinstance(head, Value):
            raise DeclarationError(f"the new output {name!r} is {shown(head)}, not a Value ({source_line()})")
        made = copy(self)
        made._is_whole = False
        made.outputs = MappingProxyType({**self.outputs, name: head})
        reached = leaves_behind(made.outputs.values())
        fresh = [leaf for leaf in reached if leaf.kind == "input" and self.inputs.get(leaf.name) is not leaf.outputs[0]]
        if fresh:
            raise DeclarationError(
                f"the new output {name!r} needs an input {fresh[0].name!r} of its own ({source_line()})"
            )
        made.parameters = MappingProxyType({leaf.name: leaf.outputs[0] for leaf in reached if leaf.kind != "input"})
        return made

    def with_parameters(self, arrays: Mapping[str, Array]) -> onnx.ModelProto:
        """The model with other weights, each of the type of the old one: same inputs, outputs, names and metadata.

        The file as it came but for its weights; where an output was replaced, a new one under the same names.
        """
        if not self._is_whole:
            weights = {}
            for name, value in self.parameters.items():
                assert isinstance(value.node, Leaf) and value.node.initial is not None
                weights[name] = arrays.get(name, value.node.initial)
            metadata = {p.key: p.value for p in self._source.proto.metadata_props}
            return exporters.to_model(self.graph, metadata, weights)
        proto = onnx.ModelProto()
        proto.CopyFrom(self._source.proto)
        for tensor in proto.graph.initializer:
            held = self._source.array(tensor)
            array = np.asarray(arrays.get(tensor.name, held))
            if tensor.name in arrays or tensor.data_location == onnx.TensorProto.EXTERNAL:
                name = tensor.name
                tensor.Clear()
                exporters.write_tensor(tensor, name, array)
        return proto

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the model as one .onnx file."""
        exporters.write_model(self.with_parameters({}), path)

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
