"""The file of a model with other weights in it, and with its layers in inference again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx

from staticgrad.errors import DTypeError, ShapeError
from staticgrad.graph import Array
from staticgrad.onnx_reader import Source
from staticgrad.onnx_reader.ordering import all_nodes
from staticgrad.origin import source_line
from staticgrad.types import TensorType, as_dtype

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

_EXTERNAL = onnx.TensorProto.EXTERNAL


class Statistic(NamedTuple):
    """A running statistic that got a state of its own: the first output of its layer, which input it is, its name."""

    layer: str
    position: int
    name: str


def check_weight(name: str, array: Array, type: TensorType) -> None:
    """Whether an array can be the weight `name`, which is of `type`."""
    came = np.asarray(array)
    if as_dtype(came.dtype) is not type.dtype:
        raise DTypeError(f"the parameter {name!r} is {type}, an array of {came.dtype} came ({source_line()})")
    if tuple(came.shape) != tuple(type.shape):
        raise ShapeError(f"the parameter {name!r} is {type}, an array of {list(came.shape)} came ({source_line()})")


def with_weights(source: Source, arrays: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with these initializers; all that it kept in files beside it is in it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(source.proto)
    graph = proto.graph
    for tensor in _tensors(proto):
        if tensor.data_location == _EXTERNAL and tensor.name not in arrays:
            _write(tensor, source.array(tensor))
    for tensor in graph.initializer:
        if tensor.name in arrays:
            _write(tensor, np.asarray(arrays[tensor.name]))
    for position in reversed(range(len(graph.sparse_initializer))):
        name = graph.sparse_initializer[position].values.name
        if name in arrays:
            del graph.sparse_initializer[position]
            exporters.write_tensor(graph.initializer.add(), name, np.asarray(arrays[name]))
    return proto


def _write(tensor: onnx.TensorProto, array: Array) -> None:
    """Put an array into a tensor in its place."""
    name, text = tensor.name, tensor.doc_string
    tensor.Clear()
    exporters.write_tensor(tensor, name, array)
    if text:
        tensor.doc_string = text


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a model, those in attributes, bodies and functions too."""
    graphs = [proto.graph]
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    while graphs or nodes:
        while nodes:
            for attribute in nodes.pop().attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                for sparse in (
                    *attribute.sparse_tensors,
                    *([attribute.sparse_tensor] * attribute.HasField("sparse_tensor")),
                ):
                    yield from (sparse.values, sparse.indices)
                for graph in (*attribute.graphs, *([attribute.g] * attribute.HasField("g"))):
                    graphs.append(graph)
                    nodes.extend(graph.node)
        while graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)


def write_statistics(graph: onnx.GraphProto, statistics: Iterable[Statistic], state: Mapping[str, Array]) -> None:
    """Have layers read statistics of their own, which the file shared with something else."""
    layers = {node.output[0]: node for node in graph.node if node.op_type == "BatchNormalization" and node.output}
    readers: dict[str, list[Statistic]] = {}
    for statistic in statistics:
        if statistic.name in state and statistic.layer in layers:
            readers.setdefault(statistic.name, []).append(statistic)
    for name, reading in readers.items():
        for statistic in reading:
            layers[statistic.layer].input[statistic.position] = ""
        read = _read_by(graph.node)
        results = {output.name for output in graph.output}
        giving = [i for i, node in enumerate(graph.node) if list(node.output) == [name]]
        if giving and name not in read and name not in results:
            # The file held it as a copy of what it shared.
            del graph.node[giving[0]]
        taken = _names(graph)
        own = name
        while own in taken:
            own += ".own"
        for statistic in reading:
            layers[statistic.layer].input[statistic.position] = own
        exporters.write_tensor(graph.initializer.add(), own, state[name])


def _read_by(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names that nodes read, and those in their bodies."""
    found: set[str] = set()
    for node in all_nodes(nodes):
        found.update(node.input)
        for attribute in node.attribute:
            found.update(output.name for output in attribute.g.output)
    return found


def _names(graph: onnx.GraphProto) -> set[str]:
    """All names of a graph and of the bodies in it."""
    found = {v.name for v in (*graph.input, *graph.output)} | {t.name for t in graph.initializer}
    found.update(sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        found.update((*node.input, *node.output))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= _names(attribute.g)
    return found


def put_into_inference(proto: onnx.ModelProto) -> None:
    """Have the layers of a model, and those of its functions, be in inference where they were exported in training."""
    for function in proto.functions:
        _infer(function.node)
        _drop(function.node, set(function.output))
    flags = _infer(proto.graph.node)
    read = {*_read_by(proto.graph.node), *(v.name for v in (*proto.graph.input, *proto.graph.output))}
    _drop(proto.graph.node, read)
    initializers = proto.graph.initializer
    for position in reversed(range(len(initializers))):
        # onnxruntime warns of initializers that nothing reads.
        if initializers[position].name in flags - read:
            del initializers[position]


def _infer(nodes: Any) -> set[str]:
    """Put the layers among nodes into inference; gives the names that said that they are in training."""
    flags = set()
    copies = []
    for position, node in enumerate(nodes):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Dropout" and len(node.input) > 2:
            flags.add(node.input[2])
            del node.input[2:]
            while not node.input[-1]:
                del node.input[-1]
        if node.op_type == "BatchNormalization":
            for attribute in node.attribute:
                if attribute.name == "training_mode":
                    attribute.i = 0
            copies += [(position, node.input[3 + i], name) for i, name in enumerate(node.output[1:3]) if name]
            del node.output[1:]
    for position, statistic, name in reversed(copies):
        nodes.insert(position + 1, onnx.helper.make_node("Identity", [statistic], [name], name=name))
    return flags


def _drop(nodes: Any, results: set[str]) -> None:
    """Take out the constants that nothing reads."""
    read = _read_by(nodes)
    for position in reversed(range(len(nodes))):
        node = nodes[position]
        if node.op_type == "Constant" and not node.domain and not any(n in read or n in results for n in node.output):
            del nodes[position]
