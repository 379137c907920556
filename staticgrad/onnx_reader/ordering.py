"""In which order nodes are read, and what they read."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.onnx_reader.signatures import check_text, label_of


def in_order(nodes: Sequence[onnx.NodeProto], taken: Container[str]) -> Iterable[onnx.NodeProto]:
    """The nodes as they stand if each has its inputs before it, as ONNX demands; sorted otherwise.

    No node may give a name in `taken`.
    """
    giver: dict[str, int] = {}
    for position, node in enumerate(nodes):
        check_text(node.op_type, node.domain, node.overload, node.name, *(a.name for a in node.attribute))
        check_text(*node.input, *node.output)
        for name in node.output:
            if name and (name in giver or name in taken):
                raise ModelError(f"the value {shown(name)} is given twice; node {label_of(node)!r}")
            giver[name] = position
    giver.pop("", None)
    needs = [{giver[name] for name in names_read(node) if name in giver} for node in nodes]
    if all(all(n < position for n in needed) for position, needed in enumerate(needs)):
        return nodes
    done: dict[int, None] = {}
    for start in range(len(nodes)):
        stack = [(start, iter(needs[start]))]
        open_ = {start}
        while stack:
            position, rest = stack[-1]
            following = next((n for n in rest if n not in done), None)
            if position in done or following is None:
                done[position] = None
                open_.discard(position)
                stack.pop()
            elif following in open_:
                raise ModelError(f"the node {label_of(nodes[following])!r} depends on its own result")
            else:
                open_.add(following)
                stack.append((following, iter(needs[following])))
    return [nodes[position] for position in done]


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """The nodes and those in their bodies."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            stack.extend(attribute.g.node)
            for graph in attribute.graphs:
                stack.extend(graph.node)


def names_read(node: onnx.NodeProto) -> list[str]:
    """The names that a node and the bodies in it read from outside."""
    found = {name: None for name in node.input if name}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            graph = attribute.g
            inner = {v.name for v in graph.input} | {t.name for t in graph.initializer}
            inner.update(t.values.name for t in graph.sparse_initializer)
            inner.update(name for n in graph.node for name in n.output)
            for n in graph.node:
                found.update((name, None) for name in names_read(n) if name not in inner)
            found.update((v.name, None) for v in graph.output if v.name not in inner)
    return list(found)
