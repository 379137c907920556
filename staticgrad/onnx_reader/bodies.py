"""Bodies of loops and branches while they are read: what they take from outside becomes inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx

from staticgrad.errors import ModelError, UnsupportedOperatorError, shown
from staticgrad.graph import Graph, Leaf, Value
from staticgrad.onnx_reader.names import check_name
from staticgrad.onnx_reader.scope import UNTYPED, Scope
from staticgrad.onnx_reader.signatures import check_text
from staticgrad.onnx_reader.tensors import array_of, dense_of
from staticgrad.ops.bodies import scan_of_batches
from staticgrad.ops.onnx_types import inner_type, is_sequence, joined_sequence, rankless, read_type
from staticgrad.ops.registry import constant
from staticgrad.types import Dim, DType, OpaqueType, TensorType, is_unknown, unknown


class Body(NamedTuple):
    """The inputs and outputs of a body, and which value inside stands for which outside."""

    name: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    captured: Mapping[Value, Value]


def joined(bodies: Mapping[str, Body]) -> tuple[dict[str, Graph], list[Value]]:
    """The graphs of a node's bodies, which all take the same values from outside, and these values."""
    outer = list(dict.fromkeys(v for body in bodies.values() for v in body.captured))
    graphs = {}
    for key, body in bodies.items():
        inputs = dict(body.inputs)
        for value in outer:
            inner = body.captured.get(value)
            if inner is None:
                inner = Leaf("input", "unused", value.type).outputs[0]
            name = inner.name or "captured"
            while name in inputs:
                name += "_"
            inputs[name] = inner
        graphs[key] = Graph(body.name, inputs, body.outputs, captures=len(outer))
    return graphs, outer


def widened(a: TensorType, b: TensorType, free: set[Dim]) -> TensorType:
    """A type for values of both: sizes that differ are unknown, and put into `free`; those may be anything."""
    if is_sequence(a) and is_sequence(b) and a.dtype is b.dtype:
        return a if a == b else joined_sequence(a, b, lambda x, y: widened(x, y, free))
    if a == b or isinstance(a, OpaqueType):
        return a
    if isinstance(b, OpaqueType):
        return b if b.rankless else a
    if a.dtype is not b.dtype:
        raise ModelError(f"a loop hands on {b} where it began with {a}")
    if len(a.shape) != len(b.shape):
        return rankless(a.dtype)
    shape = tuple(x if x == y or x in free else unknown() for x, y in zip(a.shape, b.shape, strict=True))
    free.update(new for new, old in zip(shape, a.shape, strict=True) if new != old)
    return a if shape == a.shape else TensorType(a.dtype, shape)


def bodies_of(scope: Scope, node: onnx.NodeProto) -> dict[str, Body]:
    """The graphs among the attributes of a node, read with the types of what the node hands to them."""
    graphs = {a.name: a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH}
    if not graphs:
        return {}
    given = [scope.lookup(name) for name in node.input]
    return {key: _typed_body(scope, node, graph, given) for key, graph in graphs.items()}


def _typed_body(scope: Scope, node: onnx.NodeProto, graph: onnx.GraphProto, given: Sequence[Value | None]) -> Body:
    """A body read with the types that its node hands to it; what it hands on itself is as wide as needed."""
    declared = [read_type(v.type, scope.names.dim) if v.type.WhichOneof("value") else UNTYPED for v in graph.input]
    if node.op_type == "SequenceMap" and not node.domain:
        # What a body declares of elements is more than what is known of a sequence.
        elements = [UNTYPED if v is None else inner_type(v.type) if is_sequence(v.type) else v.type for v in given]
        pairs = zip(declared, elements, strict=False)
        declared = [h if isinstance(d, OpaqueType) and d.rankless else d for d, h in pairs]
    if node.op_type not in ("Loop", "Scan") or node.domain:
        return _body(scope, graph, declared)
    types = [None if v is None else v.type for v in given]
    if node.op_type == "Loop":
        handed = [TensorType(DType.int64, ()), TensorType(DType.bool, ()), *types[2:]]
        kept, skipped = range(2, len(handed)), 1
    else:
        attributes = {a.name: a for a in node.attribute}
        count = attributes["num_scan_inputs"].i if "num_scan_inputs" in attributes else 0
        if not 0 <= count <= len(types):
            raise ModelError(f"num_scan_inputs is {count}, there are {len(types)} inputs")
        axes = list(attributes["scan_input_axes"].ints) if "scan_input_axes" in attributes else [0] * count
        states = len(types) - count
        handed = [*types[:states], *(_without(t, a) for t, a in zip(types[states:], axes, strict=False))]
        kept, skipped = range(states), 0
    if len(handed) != len(graph.input):
        raise ModelError(f"the body has {len(graph.input)} inputs, {len(handed)} are handed to it")
    known: list[TensorType] = [t if t is not None else d for t, d in zip(handed, declared, strict=True)]
    # What a Scan carries keeps the sizes that it has, whatever is known of them.
    free: set[Dim] = set() if node.op_type == "Loop" else {d for t in known for d in t.shape if is_unknown(d)}
    # A body around this one may be read again: what changed here before is unknown from the start.
    place = (*scope.names.calling, tuple(node.output))
    changing = scope.names.changing.setdefault(place, set())
    for position, axis in changing:
        known[position] = _freed(known[position], axis, free)
    while True:
        body = _body(scope, graph, known)
        results = [v.type for v in body.outputs.values()][skipped:]
        wider = list(known)
        for position, result in zip(kept, results, strict=False):
            wider[position] = widened(known[position], result, free)
            before, after = known[position].shape, wider[position].shape
            changing.update((position, a) for a in range(min(len(before), len(after))) if before[a] != after[a])
        if wider == known:
            return body
        known = wider


def _freed(type: TensorType, axis: int, free: set[Dim]) -> TensorType:
    """The type with an unknown size on an axis, which may be any."""
    if isinstance(type, OpaqueType) or axis >= len(type.shape):
        return type
    size = unknown()
    free.add(size)
    return TensorType(type.dtype, (*type.shape[:axis], size, *type.shape[axis + 1 :]))


def read_scan_of_batches(scope: Scope, node: onnx.NodeProto) -> None:
    """A Scan of opset 8 without lengths of its own: over each sequence of a batch."""
    attributes = {a.name: a for a in node.attribute}
    count = attributes["num_scan_inputs"].i
    given = [scope.lookup(name) for name in node.input[1:]]
    values = [v for v in given if v is not None]
    states = len(values) - count
    if len(values) < len(given) or states < 0 or any(isinstance(v.type, OpaqueType) for v in values):
        raise ModelError(f"a Scan of {count} sequences has {len(given)} states and sequences of known rank")
    types = [_without(v.type, 0) for v in values]
    types[states:] = [_without(t, 0) for t in types[states:]]
    graph = attributes["body"].g
    if len(types) != len(graph.input) or any(t is None for t in types):
        raise ModelError("the body has other inputs than a batch of sequences gives it")
    graphs, captured = joined({"body": _body(scope, graph, [t for t in types if t is not None])})
    if captured:
        raise UnsupportedOperatorError("a Scan of opset 8 whose body uses values from outside is not read")
    directions = tuple(attributes["directions"].ints) if "directions" in attributes else ()
    results = scan_of_batches(graphs["body"], values[:states], values[states:], directions)
    for name, value in zip(node.output, results, strict=True):
        if name:
            scope.values[name] = value


def _body(scope: Scope, graph: onnx.GraphProto, types: Sequence[TensorType]) -> Body:
    check_text(graph.name, *(v.name for v in graph.output))
    inside = Scope(scope.names, scope.opsets, scope, scope.attributes)
    inside.declared = {v.name: v.type for v in (*graph.value_info, *graph.output)}
    formal: dict[str, Value] = {}
    for info, type in zip(graph.input, types, strict=True):
        check_name(info.name, "an input of a body", formal)
        formal[info.name] = inside.values[info.name] = Leaf("input", info.name, type).outputs[0]
    stored = [(t.name, *array_of(t, inside.names.folder)) for t in graph.initializer]
    stored += [(t.values.name, *dense_of(t, inside.names.folder)) for t in graph.sparse_initializer]
    for name, array, dtype in stored:
        check_name(name, "an initializer of a body", inside.values)
        value = constant(array, dtype=dtype)
        value.node.names = (name,)
        inside.values[name] = value
    inside.names.read(inside, graph.node)
    outputs: dict[str, Value] = {}
    for info in graph.output:
        found = inside.lookup(info.name)
        if found is None:
            raise ModelError(f"the output {shown(info.name)} of a body is left out by what should give it")
        name = info.name
        while name in outputs:
            name += "_"
        outputs[name] = found
    return Body(graph.name or "body", formal, outputs, inside.captured)


def _without(type: TensorType | None, axis: int) -> TensorType | None:
    if type is None or isinstance(type, OpaqueType) or not -len(type.shape) <= axis < len(type.shape):
        return None
    axis %= len(type.shape)
    return TensorType(type.dtype, type.shape[:axis] + type.shape[axis + 1 :])
