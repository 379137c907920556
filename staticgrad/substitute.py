"""Values computed from others in the place of some, and what stands in inference in the place of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from staticgrad.errors import GradientError
from staticgrad.graph import Graph, Leaf, Node, Pullback, Value, bodies, topological
from staticgrad.methods import OPERATORS
from staticgrad.types import TensorType


def sealed(graph: Graph, untouched: set[str]) -> Graph:
    """The graph with outputs that refuse to be differentiated: the replaced derivatives in it are gone."""
    new: dict[Value, Value] = {}
    ends = {value.node for name, value in graph.outputs.items() if value.type.dtype.is_float}
    for node in graph.nodes:
        if node in ends or any(v in new for v in node.inputs):
            inputs = tuple([None if v is None else new.get(v, v) for v in node.inputs])
            copy = with_inputs(node, inputs, refusing(inputs) if node in ends else None)
            new.update(zip(node.outputs, copy.outputs, strict=True))
    outputs = {}
    for name, value in graph.outputs.items():
        if isinstance(value.node, Leaf) and name not in untouched:
            value = OPERATORS["Identity"].apply((value,), pullback=refusing((value,))).outputs[0]
        outputs[name] = new.get(value, value)
    became = {node: new.get(value, value) for node, value in graph.became.items()}
    return Graph(graph.name, graph.inputs, outputs, became=became, captures=graph.captures)


def in_inference(value: Value) -> Value:
    """`value` with what stands in inference in the place of values of training; it cannot be differentiated."""
    return _in_inference([value], ())[0]


def _in_inference(values: Iterable[Value], ends: Iterable[Value]) -> list[Value]:
    """Values computed from `ends` and behind, with what stands in inference in the place of those of training."""
    new: dict[Value, Value] = {}
    values, ends = list(values), set(ends)
    for node in topological([v for v in values if v not in ends], ends, inference=True):
        if node.training is not None:
            inference = node.training.inference
            new[node.outputs[0]] = new.get(inference, inference)
            continue
        inner = {key: _body_in_inference(body) for key, body in bodies(node).items()}
        if any(body is not node.attributes[key] for key, body in inner.items()):
            _copied(node, new, {**node.attributes, **inner})
        else:
            _carry(node, new)
    return [new.get(v, v) for v in values]


def _body_in_inference(body: Graph) -> Graph:
    outputs = _in_inference(body.outputs.values(), body.inputs.values())
    if all(a is b for a, b in zip(outputs, body.outputs.values(), strict=True)):
        return body
    return Graph(body.name, body.inputs, dict(zip(body.outputs, outputs, strict=True)), captures=body.captures)


def substituted(value: Value, replacement: Mapping[Value, Value]) -> Value:
    """`value` computed from others in the place of some; it cannot be differentiated."""
    new = dict(replacement)
    for node in topological([value], replacement):
        _carry(node, new)
    return new.get(value, value)


def with_replaced(graph: Graph, replacement: Mapping[Value, Value]) -> Graph:
    """The graph with others in the place of some values, which may be computed from what is replaced further back."""
    new: dict[Value, Value] = {}

    def following(value: Value) -> Value:
        return new.get(replacement.get(value, value), replacement.get(value, value))

    seen: set[Node] = set()
    stack = [replacement.get(value, value).node for value in graph.outputs.values()]
    while stack:
        node = stack[-1]
        waiting = [source for v in node.inputs if v is not None and (source := replacement.get(v, v).node) not in seen]
        if node in seen or isinstance(node, Leaf) or not waiting:
            stack.pop()
            if node not in seen and any(v is not None and following(v) is not v for v in node.inputs):
                inputs = tuple([None if v is None else following(v) for v in node.inputs])
                copy = with_inputs(node, inputs, None if node.pullback is None else refusing(inputs))
                new.update(zip(node.outputs, copy.outputs, strict=True))
            seen.add(node)
        else:
            stack.extend(reversed(waiting))
    became = {}
    for node in graph.nodes:
        forward = node.derives_from
        if forward is not None:
            became[forward] = following(graph.became.get(forward, forward.outputs[0]))
    outputs = {name: following(value) for name, value in graph.outputs.items()}
    return Graph(graph.name, graph.inputs, outputs, became=became, captures=graph.captures)


def _carry(node: Node, new: dict[Value, Value]) -> None:
    """Copy a node any of whose inputs has a new value."""
    if any(v in new for v in node.inputs):
        _copied(node, new)


def _copied(node: Node, new: dict[Value, Value], attributes: Mapping[str, Any] | None = None) -> None:
    """Copy a node on the new values of its inputs."""
    inputs = tuple([None if v is None else new.get(v, v) for v in node.inputs])
    copy = with_inputs(node, inputs, None if node.pullback is None else refusing(inputs), attributes)
    new.update(zip(node.outputs, copy.outputs, strict=True))


def refusing(inputs: tuple[Value | None, ...]) -> Pullback:
    def refuse(_: Value) -> tuple[Value | None, ...]:
        raise GradientError(
            "an optimised graph, or one of inference, has lost its replaced derivatives; differentiate first"
        )

    return Pullback(tuple([v for v in inputs if v is not None]), refuse)


def with_inputs(
    node: Node,
    inputs: Sequence[Value | None],
    pullback: Pullback | None = None,
    attributes: Mapping[str, Any] | None = None,
    types: Sequence[TensorType] | None = None,
) -> Node:
    """The same operator on other inputs of the same types."""
    copy = Node(
        node.op,
        tuple(inputs),
        attributes or node.attributes,
        [v.type for v in node.outputs] if types is None else types,
        source=node.source,
        origin=node.origin,
        pullback=pullback,
        names=node.names if types is None else None,
    )
    if types is None:
        for new, old in zip(copy.outputs, node.outputs, strict=True):
            new.content = old.content
    return copy
