"""A graph as an ONNX model: names are assigned, literals become initializers, and that is all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from staticgrad.graph import (
    Array,
    Graph,
    Leaf,
    Node,
    Value,
    any_opaque,
    bodies,
    collection_paused,
    constant_of,
    with_inner,
)
from staticgrad.ops.foreign import Foreign
from staticgrad.ops.onnx_types import write_type
from staticgrad.ops.registry import DIALECT, Operator
from staticgrad.origin import SourceLine
from staticgrad.types import DType, TensorType, as_dtype

from .opset import FLOOR, lowest_opset, opset_beside, stamp

_ATTRIBUTE = onnx.AttributeProto
_KINDS = onnx.defs.OpSchema.AttrType
_OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional
_SPELT_OUT = {("STFT", "onesided")}  # ONNX's inference takes another default than its schema says
_FILLED = {"ConstantOfShape"}  # their attribute is an array, and no key
Attributes = dict[str, tuple[Any, Any, bool]]


def to_model(
    graph: Graph,
    metadata: Mapping[str, str] | None = None,
    initial: Mapping[str, Array] | None = None,
    defaults: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """The ONNX model of a graph, under the names of its inputs and outputs.

    The inputs named in `initial` become initializers with these values; those in `defaults`, and inputs of a model that
    have a value to begin with, stay inputs that need not be fed. `metadata` goes into `metadata_props`.
    """
    with collection_paused():
        model = empty_model(metadata or {})
        writer = _Writer(graph, initial or {}, {**_defaults(graph), **(defaults or {})})
        opset = writer.write(model.graph)
        for function in writer.functions:
            model.functions.append(onnx.FunctionProto.FromString(function))
            for imported in model.functions[-1].opset_import:
                if imported.domain not in ("", "ai.onnx"):
                    writer.domains.setdefault(imported.domain, imported.version)
        if model.functions:
            opset = opset_beside(model.functions, opset)
        stamp(model, opset, writer.domains)
        return model


def _defaults(graph: Graph) -> dict[str, Array]:
    """What the inputs of a graph are that are not fed."""
    leaves = {name: value.node for name, value in graph.inputs.items() if isinstance(value.node, Leaf)}
    return {name: leaf.initial for name, leaf in leaves.items() if leaf.kind == "input" and leaf.initial is not None}


def empty_model(metadata: Mapping[str, str]) -> onnx.ModelProto:
    """A model without a graph."""
    model = onnx.ModelProto(producer_name="staticgrad")
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


class _Writer:
    def __init__(self, graph: Graph, initial: Mapping[str, Array], defaults: Mapping[str, Array]) -> None:
        self.graph = graph
        self.initial = initial
        self.defaults = defaults
        self.taken = {*graph.inputs, *graph.outputs, *initial}
        self.names: dict[Value, str] = {value: name for name, value in graph.inputs.items()}
        self.counts: dict[str, int] = {}
        self.schemas: dict[str, Attributes] = {}
        self.optional: dict[str, list[bool]] = {}
        self.opset = FLOOR
        self.domains: dict[str, int] = {}
        self.functions: dict[bytes, None] = {}
        self.literals: Any = None
        self.used: set[Value | None] = set()
        self.sources: dict[SourceLine, str] = {}
        self.seen: set[Any] = set()

    def write(self, proto: onnx.GraphProto) -> int:
        """Fill `proto`; returns the opset it needs."""
        proto.name = self.graph.name
        self.literals = proto.initializer
        for name, value in self.graph.inputs.items():
            if name in self.initial:
                write_tensor(proto.initializer.add(), name, self.initial[name])
            else:
                value_info(proto.input, name, value.type)
                if name in self.defaults:
                    write_tensor(proto.initializer.add(), name, self.defaults[name])
        for name, value in self.graph.outputs.items():
            value_info(proto.output, name, value.type)
        self.unfused = _pads_to_keep(self.graph)
        self._body(proto, self.graph, self.graph.outputs)
        return self.opset

    def _body(self, proto: onnx.GraphProto, graph: Graph, outputs: Mapping[str, Value]) -> None:
        """Write the nodes of a graph, whose results are called `outputs`."""
        computed = set(graph.nodes)
        aliases = []
        for name, value in outputs.items():
            # An input or a literal cannot be an output by itself, nor can a value have two names.
            if value in self.names or value.node not in computed or constant_of(value) is not None:
                aliases.append((name, value))
            else:
                self.names[value] = name
        self.used.update(outputs.values())
        for node in graph.nodes:
            self.used.update(node.inputs)
        for node in graph.nodes:
            if node.op.name == "Constant":
                value = node.outputs[0]
                if value not in self.names:
                    self.names[value] = self._literal(node.attributes["value"], value.type.dtype, node.names)
            else:
                self._node(proto, node)
        for name, value in aliases:
            # An input that is an output under its own name needs no node.
            if self.names[value] != name:
                proto.node.add(op_type="Identity", name=name, input=[self.names[value]], output=[name])

    def _inner(self, proto: onnx.GraphProto, body: Graph, inputs: Sequence[str], alone: bool) -> None:
        """Write the body of a loop or a branch, which finds what it takes from outside under the names there.

        One that stands `alone` holds its literals itself.
        """
        proto.name = body.name
        # What stands here may stand elsewhere too, under another name.
        inner = [value for node in body.nodes for value in node.outputs if alone or constant_of(value) is None]
        inner += body.inputs.values()
        elsewhere = {value: self.names.pop(value) for value in inner if value in self.names}
        literals = self.literals
        if alone:
            self.literals = proto.initializer
        formal = len(body.inputs) - body.captures
        for (name, value), outer in zip(
            body.inputs.items(), [*[None] * formal, *inputs[len(inputs) - body.captures :]], strict=True
        ):
            self.names[value] = self._fresh(name) if outer is None else outer
            if outer is None:
                value_info(proto.input, self.names[value], value.type)
        outputs = {self._fresh(name): value for name, value in body.outputs.items()}
        for name, value in outputs.items():
            value_info(proto.output, name, value.type)
        self._body(proto, body, outputs)
        self.literals = literals
        for value in inner:
            self.names.pop(value, None)
        self.names.update(elsewhere)

    def _node(self, proto: onnx.GraphProto, node: Node) -> None:
        names = self.names
        operator = node.op.name
        inputs = ["" if v is None else names[v] for v in node.inputs]
        given, inner = inputs, bodies(node)
        if inner:
            inputs = inputs[: len(inputs) - max(body.captures for body in inner.values())]
        # A Loop names both of what may end it, given or not.
        while len(inputs) > (2 if operator == "Loop" else 0) and not inputs[-1]:
            inputs.pop()
        types = [None if v is None else v.type.dtype for v in node.inputs[: len(inputs)]]
        if operator == "Pad":
            self._name_axes(node, inputs, types)
        if operator == "BatchNormalization" and node.attributes["training_mode"]:
            self._copy_statistics(proto, node, inputs)
        foreign = node.op if isinstance(node.op, Foreign) else None
        kind = operator if foreign is None else foreign.operator
        outputs, unread = self._outputs(node)
        written = proto.node.add(op_type=kind, name=outputs[0] if outputs else kind, input=inputs, output=outputs)
        source = node.source
        if source not in self.sources:
            self.sources[source] = str(source)
        written.metadata_props.add(key="staticgrad.source", value=self.sources[source])
        attributes: Mapping[str, Any] = {}
        if foreign is not None:
            self._foreign(written, node, foreign)
        else:
            attributes = _given_attributes(written, node, self._schema(operator))
            results = [v.type.dtype for v in node.outputs[: len(outputs)]]
            known = (operator, len(types), *types, *results, *attributes.items()) if operator not in _FILLED else None
            if isinstance(node.op, Operator) and node.op.opaque and any_opaque(node):
                # What is no tensor the older forms may not take.
                self.opset = max(self.opset, onnx.defs.get_schema(operator, DIALECT).since_version)
            elif known is None or known not in self.seen:
                self.seen.add(known)
                self.opset = max(self.opset, lowest_opset(operator, types, results, attributes))
        for key, body in inner.items():
            attribute = written.attribute.add(name=key, type=_ATTRIBUTE.GRAPH)
            self._inner(attribute.g, body, given, foreign is not None)
        if unread:
            # onnxruntime's optimiser takes a Dropout out, of training too, if nothing reads its mask.
            name = self._fresh(f"{outputs[1]}.shape")
            proto.node.add(op_type="Shape", name=name, input=[outputs[1]], output=[name])

    def _outputs(self, node: Node) -> tuple[list[str], bool]:
        """The names of a node's outputs, and whether one is written only that onnxruntime keeps the node."""
        names = self.names
        if len(node.outputs) == 1:
            value = node.outputs[0]
            if value not in names:
                names[value] = self._fresh(_stem(node, 0))
            return [names[value]], False
        kept = [v in self.used or self._is_needed(node, position) for position, v in enumerate(node.outputs)]
        unread = node.op.name == "Dropout" and not kept[1] and _drops(node)
        if unread:
            kept[1] = True
        while kept and not kept[-1]:
            kept.pop()
        for position, (value, keep) in enumerate(zip(node.outputs, kept, strict=False)):
            if keep and value not in names:
                names[value] = self._fresh(_stem(node, position))
        return [names[v] if keep else "" for v, keep in zip(node.outputs, kept, strict=False)], unread

    def _is_needed(self, node: Node, position: int) -> bool:
        """Whether an output that nothing reads is written: kernels are faster without optional ones."""
        if isinstance(node.op, Foreign):
            return node.names is None or bool(node.names[position])
        if node.op.name == "BatchNormalization" and node.attributes["training_mode"]:
            # ONNX calls its statistics optional, and refuses a node of training without them.
            return True
        if node.op.name not in self.optional:
            outputs = onnx.defs.get_schema(node.op.name, DIALECT).outputs
            self.optional[node.op.name] = [o.option == _OPTIONAL for o in outputs]
        optional = self.optional[node.op.name]
        return position >= len(optional) or not optional[position]

    def _foreign(self, written: onnx.NodeProto, node: Node, entry: Foreign) -> None:
        """What else belongs to a node that is passed on as a model has it."""
        if entry.domain:
            written.domain = entry.domain
            written.overload = entry.overload
            self.domains[entry.domain] = max(self.domains.get(entry.domain, 0), entry.opset)
        else:
            self.opset = max(self.opset, onnx.defs.get_schema(entry.operator, DIALECT).since_version)
        for function in entry.functions:
            self.functions[function] = None
        for value in node.attributes.values():
            if isinstance(value, bytes):
                written.attribute.append(_ATTRIBUTE.FromString(value))

    def _name_axes(self, node: Node, inputs: list[str], types: list[DType | None]) -> None:
        """Have a Pad name all of its axes or none, as onnxruntime needs it.

        A Pad of some axes it breaks where it moves a Transpose over it. A Pad without axes it makes part of what stands
        behind it, which must not happen to those of `_pads_to_keep`.
        """
        rank = len(node.outputs[0].type.shape)
        pads, axes = (
            constant_of(v) if v is not None else None for v in (node.inputs[1], (*node.inputs, None, None)[3])
        )
        if pads is not None and axes is not None:
            full = np.zeros((2, rank), np.int64)
            full[:, axes] = pads.reshape(2, -1)
            inputs[1] = self._literal(full.ravel())
            del inputs[3:], types[3:]
            while not inputs[-1]:
                del inputs[-1], types[-1]
        if node in self.unfused and len(inputs) < 4:
            missing = 3 - len(inputs)
            inputs += [*[""] * missing, self._literal(np.arange(rank))]
            types += [*[None] * missing, DType.int64]

    def _copy_statistics(self, proto: onnx.GraphProto, node: Node, inputs: list[str]) -> None:
        """Have a BatchNormalization of training read copies of its running statistics.

        onnxruntime writes the new ones over the old ones, also where those are fed or constant. A Dropout that drops
        nothing is a copy that its optimiser neither takes out nor computes beforehand.
        """
        nothing = {}
        for position in (3, 4):
            value = node.inputs[position]
            assert value is not None
            dtype = value.type.dtype
            if dtype not in nothing:
                nothing[dtype] = self._literal(np.zeros((), dtype.numpy)), self._literal(np.array(True))
            name = self._fresh(f"{inputs[position]}.copy")
            proto.node.add(op_type="Dropout", name=name, input=[inputs[position], *nothing[dtype]], output=[name])
            inputs[position] = name

    def _literal(self, array: Array, dtype: DType | None = None, names: tuple[str, ...] | None = None) -> str:
        """Write a literal, where bodies of loops and branches see it too."""
        name = self._fresh(names[0] if names else "literal")
        write_tensor(self.literals.add(), name, array, dtype)
        return name

    def _schema(self, operator: str) -> Attributes:
        if operator not in self.schemas:
            schema: Any = onnx.defs.get_schema(operator, DIALECT)
            # Where ONNX infers types by the function body, that body lacks the defaults.
            bare = schema.has_function and not schema.has_type_and_shape_inference_function
            self.schemas[operator] = {
                k: (a.type, None if bare else _default(a), a.required) for k, a in schema.attributes.items()
            }
        return self.schemas[operator]

    def _fresh(self, stem: str) -> str:
        """`stem`, or with a number behind it where it is taken."""
        while True:
            count = self.counts.get(stem, 0) + 1
            self.counts[stem] = count
            name = stem if count == 1 else f"{stem}.{count}"
            if name not in self.taken:
                self.taken.add(name)
                return name


def _stem(node: Node, position: int) -> str:
    """What an output is called if nobody named it: as in the model it comes from, or by operator and line."""
    if node.names is not None and node.names[position]:
        return node.names[position]
    prefix = "" if node.derives_from is None else "grad."
    kind = node.op.operator if isinstance(node.op, Foreign) else node.op.name
    return f"{prefix}{kind}_{node.source.label or node.source.line}"


def _drops(node: Node) -> bool:
    """Whether a Dropout may drop anything."""
    ratio, training = (None if v is None else constant_of(v) for v in node.inputs[1:])
    off = node.inputs[2] is None or (training is not None and not training.any())
    return not off and (ratio is None or bool(ratio.any()))


def _pads_to_keep(graph: Graph) -> set[Node]:
    """The nodes Pad that onnxruntime must not make part of the Conv or pool behind them.

    It would do so also where they pad a weight, where they exceed the kernel, and where the last window of ceil_mode
    does not count what the pool itself fills up.
    """
    found = set()
    for node in with_inner(graph.nodes):
        if node.op.name in ("Conv", "AveragePool", "MaxPool"):
            value = node.inputs[node.op.name == "Conv"]
            while value is not None and value.node.op.name == "Cast":
                value = value.node.inputs[0]
            if value is not None and value.node.op.name == "Pad":
                found.add(value.node)
    return found


def _default(attribute: Any) -> Any:
    """The default of an attribute of a schema; None where it has none."""
    if not attribute.default_value.name:
        return None
    value = onnx.helper.get_attribute_value(attribute.default_value)
    return value.decode() if isinstance(value, bytes) else value


def _given_attributes(written: onnx.NodeProto, node: Node, schema: Attributes) -> Mapping[str, Any]:
    """Write the attributes that are not at their defaults; returns them."""
    given: dict[str, Any] = {}
    for key, value in node.attributes.items():
        if value is None or isinstance(value, Graph):
            continue
        kind, default, required = schema[key]
        defaulted = not required and default is not None and not isinstance(value, np.ndarray) and value == default
        if defaulted and (node.op.name, key) not in _SPELT_OUT:
            continue
        given[key] = value
        attribute = written.attribute.add(name=key)
        if kind is _KINDS.INT:
            attribute.type = _ATTRIBUTE.INT
            attribute.i = value.onnx if isinstance(value, DType) else int(value)
        elif kind is _KINDS.FLOAT:
            attribute.type = _ATTRIBUTE.FLOAT
            attribute.f = value
        elif kind is _KINDS.STRING:
            attribute.type = _ATTRIBUTE.STRING
            attribute.s = value.encode()
        elif kind is _KINDS.STRINGS:
            attribute.type = _ATTRIBUTE.STRINGS
            attribute.strings.extend(text.encode() for text in value)
        elif kind is _KINDS.INTS:
            attribute.type = _ATTRIBUTE.INTS
            attribute.ints.extend(value)
        elif kind is _KINDS.FLOATS:
            attribute.type = _ATTRIBUTE.FLOATS
            attribute.floats.extend(value)
        elif kind is _KINDS.TYPE_PROTO:
            attribute.type = _ATTRIBUTE.TYPE_PROTO
            write_type(attribute.tp, value)
        elif kind is _KINDS.TENSOR:
            attribute.type = _ATTRIBUTE.TENSOR
            write_tensor(attribute.t, "", value)
        else:
            raise AssertionError(f"attribute {key} of {node.op.name} has a kind that is not written: {kind}")
    return given


def write_tensor(proto: onnx.TensorProto, name: str, array: Array, dtype: DType | None = None) -> None:
    """Write an array into a TensorProto, as raw little-endian bytes.

    Into one that is in its place already: protobuf cannot move messages of 2 GiB.
    """
    dtype = dtype or as_dtype(array.dtype)
    if dtype.rank < 0 and dtype is not DType.string:
        # Small numbers are packed, several in a byte.
        proto.CopyFrom(onnx.numpy_helper.from_array(array))
    proto.name = name
    if dtype.rank >= 0 or dtype is DType.string:
        proto.data_type = dtype.onnx
        proto.dims.extend(array.shape)
    if dtype is DType.string:
        proto.string_data.extend(text if isinstance(text, bytes) else str(text).encode() for text in array.ravel())
    elif dtype.rank >= 0:
        proto.raw_data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def value_info(into: Any, name: str, type: TensorType) -> None:
    """Add a named, typed input or output."""
    write_type(into.add(name=name).type, type)
