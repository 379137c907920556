"""How large a model becomes with its functions expanded, found beforehand: small files can mean endless ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.onnx_reader.signatures import domain_of, label_of

DEEPEST = 100
"""How deep functions may call functions."""

_DEEPEST_BODY = 30  # protobuf writes and reads a hundred nested messages, three for each body
_MOST_NODES = 200_000
_MOST_FOR_ONE = 20
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)

Function = tuple[str, str, str]


def check_expansion(graph: onnx.GraphProto, functions: Mapping[Function, onnx.FunctionProto]) -> int:
    """The number of nodes that reading may come to; ModelError where functions call themselves, or it is too large."""
    own, calls = _content(graph.node, functions)
    total = own
    sizes: dict[Function, int] = {}
    inner = {key: _content(function.node, functions) for key, function in functions.items()}
    total += sum(count for count, _ in inner.values())
    most = _MOST_NODES + _MOST_FOR_ONE * total
    for start in calls:
        stack = [start]
        while stack:
            key = stack[-1]
            waiting = [k for k in inner[key][1] if k not in sizes]
            if key in sizes or not waiting:
                stack.pop()
                sizes[key] = inner[key][0] + sum(sizes[k] * n for k, n in inner[key][1].items())
            elif waiting[0] in stack:
                raise ModelError(f"the function {shown(waiting[0][1])} calls itself")
            else:
                stack.append(waiting[0])
                if len(stack) > DEEPEST:
                    raise ModelError(f"functions call functions, deeper than {DEEPEST}")
    if own + sum(sizes[key] * count for key, count in calls.items()) > most:
        raise ModelError(f"the model comes to more than {most} nodes with its functions expanded")
    return most


def _content(
    nodes: Iterable[onnx.NodeProto], functions: Mapping[Function, onnx.FunctionProto]
) -> tuple[int, dict[Function, int]]:
    """The number of nodes, those in bodies too, and how often functions are called."""
    count = 0
    calls: dict[Function, int] = {}
    stack = [(node, 0) for node in nodes]
    while stack:
        node, depth = stack.pop()
        count += 1
        key = (domain_of(node.domain), node.op_type, node.overload)
        if key in functions:
            calls[key] = calls.get(key, 0) + 1
        for attribute in node.attribute:
            if attribute.type in _GRAPHS:
                if depth >= _DEEPEST_BODY:
                    raise ModelError(f"bodies are nested deeper than {_DEEPEST_BODY}; node {label_of(node)!r}")
                for body in (attribute.g, *attribute.graphs):
                    stack.extend((inner, depth + 1) for inner in body.node)
    return count, calls
