"""A graph as an ONNX model: names are assigned, literals become initializers, and that is all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from staticgrad.graph import Array, Graph, Node, Value, collection_paused, constant_of
from staticgrad.ops.registry import DIALECT
from staticgrad.origin import SourceLine
from staticgrad.types import DType, TensorType, as_dtype, is_unknown

from .opset import FLOOR, lowest_opset, stamp

_ATTRIBUTE = onnx.AttributeProto
_KINDS = onnx.defs.OpSchema.AttrType
_FILLED = {"ConstantOfShape"}  # their attribute is an array, and no key
Attributes = dict[str, tuple[Any, Any, bool]]


def to_model(
    graph: Graph,
    metadata: Mapping[str, str] | None = None,
    initial: Mapping[str, Array] | None = None,
    defaults: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """The ONNX model of a graph, under the names of its inputs and outputs.

    The inputs named in `initial` become initializers with these values; those in `defaults` stay inputs that need not
    be fed. `metadata` goes into `metadata_props`.
    """
    with collection_paused():
        model = empty_model(metadata or {})
        stamp(model, _Writer(graph, initial or {}, defaults or {}).write(model.graph))
        return model


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
        self.taken = {*graph.inputs, *graph.outputs}
        self.names: dict[Value, str] = {value: name for name, value in graph.inputs.items()}
        self.counts: dict[str, int] = {}
        self.schemas: dict[str, Attributes] = {}
        self.opset = FLOOR
        self.sources: dict[SourceLine, str] = {}
        self.seen: set[Any] = set()

    def write(self, proto: onnx.GraphProto) -> int:
        """Fill `proto`; returns the opset it needs."""
        proto.name = self.graph.name
        for name, value in self.graph.inputs.items():
            if name in self.initial:
                write_tensor(proto.initializer.add(), name, self.initial[name])
            else:
                value_info(proto.input, name, value.type)
                if name in self.defaults:
                    write_tensor(proto.initializer.add(), name, self.defaults[name])
        computed = set(self.graph.nodes)
        aliases = []
        for name, value in self.graph.outputs.items():
            value_info(proto.output, name, value.type)
            # An input or a literal cannot be an output by itself, nor can a value have two names.
            if value in self.names or value.node not in computed or constant_of(value) is not None:
                aliases.append((name, value))
            else:
                self.names[value] = name
        self.unfused = _pads_to_keep(self.graph)
        for node in self.graph.nodes:
            if node.op.name == "Constant":
                self.names[node.outputs[0]] = self._literal(proto, node.attributes["value"])
            else:
                self._node(proto, node)
        for name, value in aliases:
            proto.node.add(op_type="Identity", name=name, input=[self.names[value]], output=[name])
        return self.opset

    def _node(self, proto: onnx.GraphProto, node: Node) -> None:
        operator = node.op.name
        names = self.names
        source = node.source
        if source not in self.sources:
            self.sources[source] = str(source)
        inputs = ["" if v is None else names[v] for v in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        types = [None if v is None else v.type.dtype for v in node.inputs[: len(inputs)]]
        if operator == "Pad":
            self._name_axes(proto, node, inputs, types)
        if operator == "BatchNormalization" and node.attributes["training_mode"]:
            self._copy_statistics(proto, node, inputs)
        for value in node.outputs:
            if value not in names:
                prefix = "" if node.derives_from is None else "grad."
                names[value] = self._fresh(f"{prefix}{operator}_{source.line}")
        outputs = [names[v] for v in node.outputs]
        written = proto.node.add(op_type=operator, name=outputs[0], input=inputs, output=outputs)
        given = _given_attributes(written, node, self._schema(operator))
        written.metadata_props.add(key="staticgrad.source", value=self.sources[source])
        results = [v.type.dtype for v in node.outputs]
        known = (operator, len(types), *types, *results, *given.items()) if operator not in _FILLED else None
        if known is None or known not in self.seen:
            self.seen.add(known)
            self.opset = max(self.opset, lowest_opset(operator, types, results, given))

    def _name_axes(self, proto: onnx.GraphProto, node: Node, inputs: list[str], types: list[DType | None]) -> None:
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
            inputs[1] = self._literal(proto, full.ravel())
            del inputs[3:], types[3:]
            while not inputs[-1]:
                del inputs[-1], types[-1]
        if node in self.unfused and len(inputs) < 4:
            missing = 3 - len(inputs)
            inputs += [*[""] * missing, self._literal(proto, np.arange(rank))]
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
                nothing[dtype] = self._literal(proto, np.zeros((), dtype.numpy)), self._literal(proto, np.array(True))
            name = self._fresh(f"{inputs[position]}.copy")
            proto.node.add(op_type="Dropout", name=name, input=[inputs[position], *nothing[dtype]], output=[name])
            inputs[position] = name

    def _literal(self, proto: onnx.GraphProto, array: Array) -> str:
        name = self._fresh("literal")
        write_tensor(proto.initializer.add(), name, array)
        return name

    def _schema(self, operator: str) -> Attributes:
        if operator not in self.schemas:
            schema = onnx.defs.get_schema(operator, DIALECT)
            self.schemas[operator] = {k: (a.type, _default(a), a.required) for k, a in schema.attributes.items()}
        return self.schemas[operator]

    def _fresh(self, stem: str) -> str:
        """`stem`, or with a number behind it where it is taken."""
        while True:
            count = self.counts.get(stem, 0) + 1
            self.counts[stem] = count
            name = stem if count == 1 else f"{stem}.{count}"
            if name not in self.taken:
                return name


def _pads_to_keep(graph: Graph) -> set[Node]:
    """The nodes Pad that onnxruntime must not make part of the Conv or pool behind them.

    It would do so also where they pad a weight, where they exceed the kernel, and where the last window of ceil_mode
    does not count what the pool itself fills up.
    """
    found = set()
    for node in graph.nodes:
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
        if value is None:
            continue
        kind, default, required = schema[key]
        if not required and default is not None and not isinstance(value, np.ndarray) and value == default:
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
        elif kind is _KINDS.INTS:
            attribute.type = _ATTRIBUTE.INTS
            attribute.ints.extend(value)
        elif kind is _KINDS.FLOATS:
            attribute.type = _ATTRIBUTE.FLOATS
            attribute.floats.extend(value)
        elif kind is _KINDS.TENSOR:
            attribute.type = _ATTRIBUTE.TENSOR
            write_tensor(attribute.t, "", value)
        else:
            raise AssertionError(f"attribute {key} of {node.op.name} has a kind that is not written: {kind}")
    return given


def write_tensor(proto: onnx.TensorProto, name: str, array: Array) -> None:
    """Write an array into a TensorProto, as raw little-endian bytes.

    Into one that is in its place already: protobuf cannot move messages of 2 GiB.
    """
    proto.name = name
    proto.data_type = as_dtype(array.dtype).onnx
    proto.dims.extend(array.shape)
    proto.raw_data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def value_info(into: Any, name: str, type: TensorType) -> None:
    """Add a named, typed input or output; a size that nobody named is left open."""
    tensor = into.add(name=name).type.tensor_type
    tensor.elem_type = type.dtype.onnx
    # Also a tensor of rank 0 has a shape.
    tensor.shape.SetInParent()
    for dim in type.shape:
        written = tensor.shape.dim.add()
        if isinstance(dim, int):
            written.dim_value = dim
        elif not is_unknown(dim):
            written.dim_param = dim
