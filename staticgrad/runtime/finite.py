"""Find the first value of a step that is not finite."""

from __future__ import annotations

import numpy as np

from staticgrad import ops
from staticgrad.graph import Array, Graph, Leaf, Value
from staticgrad.ops.kinds import is_half
from staticgrad.origin import rewriting
from staticgrad.types import DType


def with_finite_flags(graph: Graph) -> tuple[Graph, str]:
    """The graph with one more output, and its name: a vector with a flag for each floating value of the graph in order.

    A flag is 0 where all elements are finite, else NaN.
    """
    flags = []
    for value in _watched(graph):
        with rewriting(value.node):
            # x - x is 0 where x is finite, NaN elsewhere; the CPU provider has no Sub of bfloat16.
            x = ops.cast(value, to=DType.float32) if is_half(value.type.dtype) else value
            flags.append(ops.cast(ops.reshape(ops.reduce_sum(x - x, keepdims=False), [1]), to=DType.float32))
    name = "finite"
    while name in graph.inputs or name in graph.outputs:
        name += "_"
    return Graph(graph.name, graph.inputs, {**graph.outputs, name: ops.concat(*flags, axis=0)}), name


def first_not_finite(graph: Graph, flags: Array) -> str | None:
    """The first value that is not finite, in words, if that spoiled the loss, a metric or the state; else None.

    Infinities that a graph makes and masks away again are no fault.
    """
    watched = _watched(graph)
    bad = [value for value, flag in zip(watched, flags, strict=True) if not np.isfinite(flag)]
    spoiled = set(bad)
    hit = [name for name, value in graph.outputs.items() if value in spoiled]
    if not hit:
        return None
    first = bad[0]
    by_value = {value: name for name, value in graph.outputs.items()}
    return f"{_described(first, by_value)} is not finite, and with it {', '.join(hit)}"


def _watched(graph: Graph) -> list[Value]:
    values = [*graph.inputs.values(), *(v for node in graph.operators for v in node.outputs)]
    return [v for v in values if v.type.dtype.is_float]


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
