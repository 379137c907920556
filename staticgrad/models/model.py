"""A forward model as values, to compute and to differentiate further with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx

from staticgrad.declare import declared_before, leaves_behind
from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Array, Graph, Leaf, Value
from staticgrad.models.weights import check_weight, with_weights
from staticgrad.onnx_reader import Reading, Source, load, read
from staticgrad.ops.registry import constant, literal
from staticgrad.optimise import optimise
from staticgrad.origin import source_line
from staticgrad.substitute import in_inference, substituted
from staticgrad.types import OpaqueType, dims_agree

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto


class Head(NamedTuple):
    """An output that is replaced by a function of a value: of the output itself, or of what the file calls `at`.

    `declared` are the parameters and states that the function declared, which it finds again when it is called again.
    """

    output: str
    function: Callable[[Value], Value]
    at: str | None
    declared: Mapping[str, Value]


class Model:
    """A model read by `from_onnx`: its inputs, outputs and floating initializers as Values, by name.

    Called with Values or arrays in the place of its inputs, by position or by name, it computes its outputs from those:
    one Value, or a tuple where there are several. The parameters are the same in every call. Running statistics of
    batch normalization are among them, as states.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self.name = source.name
        self.inputs: Mapping[str, Value] = MappingProxyType(dict(reading.inputs))
        self.outputs: Mapping[str, Value] = MappingProxyType(dict(reading.outputs))
        self.parameters: Mapping[str, Value] = MappingProxyType(dict(reading.parameters))
        self.values: Mapping[str, Value] = MappingProxyType(dict(reading.values))
        """Every value under the name that it has in the file."""
        self.source = source
        self.reading = reading
        self.heads: tuple[Head, ...] = ()

    @property
    def graph(self) -> Graph:
        """The graph from inputs and parameters to outputs."""
        return Graph(self.reading.graph.name, {**self.inputs, **self.parameters}, self.outputs)

    def __call__(self, *values: Any, **named: Any) -> Any:
        reading = read(self.source, self._given(values, named), self.reading.parameters)
        outputs = tuple(self.with_heads(reading.outputs, reading.values).values())
        return outputs[0] if len(outputs) == 1 else outputs

    def replace_output(self, name: str, function: Callable[[Value], Value], at: str | None = None) -> Model:
        """The model with another output `name`: `function` of the value called `at` in the file.

        `at` is any value of the model, such as the features before its last layer (default: the output itself).
        Parameters that `function` declares are the model's too; those that no output needs any more are gone. The
        function is called again where the model is computed from other inputs, or put into training.
        """
        if name not in self.outputs:
            raise DeclarationError(
                f"{self.name} has no output {shown(name)}; it has {', '.join(self.outputs)} ({source_line()})"
            )
        if not callable(function):
            raise DeclarationError(f"the new output {name!r} is a function, {shown(function)} came ({source_line()})")
        if at is not None and at not in self.values:
            close = get_close_matches(str(at), self.values, 3)
            hint = f"; is {' or '.join(map(repr, close))} meant?" if close else ""
            raise DeclarationError(f"{self.name} has no value {shown(at)}{hint} ({source_line()})")
        head = Head(name, function, at, {})
        value = _applied(head, self.outputs, self.values)
        given = {leaf.node for leaf in (*self.inputs.values(), *self.reading.parameters.values())}
        behind = [leaf for leaf in leaves_behind([value], derivative=True) if leaf not in given]
        fresh = [leaf for leaf in behind if leaf.kind == "input"]
        if fresh:
            raise DeclarationError(
                f"the new output {name!r} needs an input {fresh[0].name!r} of its own ({source_line()})"
            )
        made = copy(self)
        made.heads = (*self.heads, head._replace(declared={leaf.name: leaf.outputs[0] for leaf in behind}))
        made.outputs = MappingProxyType({**self.outputs, name: value})
        reached = leaves_behind(made.outputs.values(), derivative=True)
        made.parameters = MappingProxyType({leaf.name: leaf.outputs[0] for leaf in reached if leaf.kind != "input"})
        return made

    def with_heads(self, outputs: Mapping[str, Value], values: Mapping[str, Value]) -> dict[str, Value]:
        """The outputs with those replaced that are to be; `outputs` and `values` are what stands for the file's."""
        found = dict(outputs)
        for head in self.heads:
            found[head.output] = _applied(head, found, values)
        return found

    def with_parameters(self, arrays: Mapping[str, Array]) -> onnx.ModelProto:
        """The model with other weights, each of the type of the old one: same inputs, outputs, names and metadata.

        The file as it came but for its weights; where an output was replaced, a new one under the same names.
        """
        known = {name: value for name, value in (*self.inputs.items(), *self.parameters.items()) if _initial(value)}
        for name, array in arrays.items():
            if name not in known:
                raise DeclarationError(f"{self.name} has no parameter {shown(name)} ({source_line()})")
            check_weight(name, array, known[name].type)
        if self.heads:
            return joined_model(self, self.outputs, arrays)
        return with_weights(self.source, arrays)

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


def _applied(head: Head, outputs: Mapping[str, Value], values: Mapping[str, Value]) -> Value:
    """The new output."""
    with declared_before(head.declared):
        result = head.function(outputs[head.output] if head.at is None else values[head.at])
    if not isinstance(result, Value):
        raise DeclarationError(f"the new output {head.output!r} is {shown(result)}, not a Value ({source_line()})")
    return result


def _initial(value: Value) -> bool:
    return isinstance(value.node, Leaf) and value.node.has_initial


def joined_model(model: Model, outputs: Mapping[str, Value], arrays: Mapping[str, Array]) -> onnx.ModelProto:
    """A model of these outputs, in inference, under the names and with the metadata of the one that they are made from.

    `arrays` are the weights, as far as they are not those to begin with.
    """
    inferred = {name: in_inference(value) for name, value in outputs.items()}
    inputs = dict(model.inputs)
    weights: dict[str, Array] = {}
    stands_for: dict[Value, Value] = {}
    for leaf in leaves_behind(inferred.values()):
        value, array = leaf.outputs[0], arrays.get(leaf.name, leaf.initial)
        if leaf.name in inputs:
            if array is not None:
                # A weight that need not be fed, but may be, stays one.
                stands_for[value] = inputs[leaf.name] = Leaf("input", leaf.name, value.type, array).outputs[0]
        else:
            assert array is not None
            inputs[leaf.name], weights[leaf.name] = value, array
    inferred = {name: substituted(value, stands_for) for name, value in inferred.items()}
    graph = optimise(Graph(model.reading.graph.name, inputs, inferred))
    metadata = {p.key: p.value for p in model.source.proto.metadata_props}
    proto: onnx.ModelProto = exporters.to_model(graph, metadata, weights)
    proto.doc_string = model.source.proto.doc_string
    return proto


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
    """Read an ONNX model of any opset from 7 on (of older ones, what means the same): a path, bytes or a ModelProto.

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
