"""Find the first value of a step that is not finite."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Array, Graph, Leaf, Node, Value, rewriting
from staticgrad.types import DType

FLAGS = "staticgrad.finite"
"""The output that holds, for each floating value of the graph in order, 0 where it is finite and NaN where not."""


def with_finite_flags(graph: Graph) -> Graph:
    """The graph with one more output: a vector of flags, one for each floating input, computed value and output."""
    flags = []
    for value in _watched(graph):
        with rewriting(value.node):
            # x - x is 0 where x is finite, NaN elsewhere, in every floating type.
            flags.append(ops.cast(ops.reshape(ops.reduce_sum(value - value, keepdims=False), [1]), to=DType.float32))
    return Graph(graph.name, graph.inputs, {**graph.outputs, FLAGS: ops.concat(*flags, axis=0)})


def first_not_finite(graph: Graph, flags: Array) -> str | None:
    """The first value that is not finite, in words, if that spoiled the loss, a metric or the state; else None.

    Infinities that a graph makes and masks away again are no fault.
    """
    watched = _watched(graph)
    bad = [value for value, flag in zip(watched, flags, strict=True) if not np.isfinite(flag)]
    spoiled = set(bad)
    names = {name: value for name, value in graph.outputs.items() if name != FLAGS}
    hit = [name for name, value in names.items() if value in spoiled]
    if not hit:
        return None
    first = bad[0]
    by_value = {value: name for name, value in names.items()}
    return f"{_described(first, by_value)} is not finite, and with it {', '.join(hit)}"


def _watched(graph: Graph) -> list[Value]:
    made: list[Node] = [n for n in graph.nodes if n.op.name != "Constant"]
    kept = _without_flags(graph, made)
    values = [*graph.inputs.values(), *(v for node in kept for v in node.outputs)]
    return [v for v in values if v.type.dtype.is_float]


def _without_flags(graph: Graph, nodes: list[Node]) -> list[Node]:
    if FLAGS not in graph.outputs:
        return nodes
    inner = Graph(graph.name, graph.inputs, {n: v for n, v in graph.outputs.items() if n != FLAGS})
    kept = set(inner.nodes)
    return [n for n in nodes if n in kept]


def _described(value: Value, names: dict[Value, str]) -> str:
    node = value.node
    if isinstance(node, Leaf):
        return f"the {node.kind} {node.name!r} (declared at {node.source})"
    if value in names:
        return f"{names[value]!r} ({node.op.name}, declared at {node.source})"
    if node.derives_from is not None:
        return f"a value in the derivative of {node.derives_from.op.name} ({node.op.name}, declared at {node.source})"
    inputs = ", ".join(str(v.name) for v in node.inputs if v is not None and v.name)
    return f"the result of {node.op.name}{f' of {inputs}' if inputs else ''} (declared at {node.source})"
