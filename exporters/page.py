"""A graph as a page for a person: forward left, backward right, one band for each group of the user's names."""

from __future__ import annotations

import html
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from staticgrad.graph import Graph, Leaf, Node, Value, application, forward_name, value_names

from .files import write_bytes

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(path: str | os.PathLike[str], graph: Graph, sections: Mapping[str, Sequence[Node]]) -> None:
    """Write an HTML page, with everything in it, that draws the graph in any browser."""
    data = json.dumps(page_data(graph, sections), separators=(",", ":")).replace("</", "<\\/")
    page = _TEMPLATE.read_text(encoding="utf-8").replace("TITLE", html.escape(graph.name)).replace('"DATA"', data)
    write_bytes(path, page.encode())


def page_data(graph: Graph, sections: Mapping[str, Sequence[Node]]) -> dict[str, Any]:
    """What the page draws: columns, groups, and nodes with the nodes that they read."""
    names = value_names(graph, itertools.chain.from_iterable(sections.values()))
    groups = _groups(graph, sections)
    outputs = set(graph.outputs.values())
    leaves = [value.node for value in graph.inputs.values()]
    nodes: list[dict[str, Any]] = []
    numbers: dict[Node, int] = {}
    columns = {node: column for column, listed in enumerate(sections.values()) for node in listed}
    for node in [*leaves, *itertools.chain.from_iterable(sections.values())]:
        numbers[node] = len(nodes)
        leaf = isinstance(node, Leaf)
        nodes.append(
            {
                "text": names[node.outputs[0]] if leaf else _text(node, names),
                "types": [str(y.type) for y in node.outputs],
                "kind": node.kind if isinstance(node, Leaf) else "output" if outputs & {*node.outputs} else "operator",
                "of": "" if node.derives_from is None else forward_name(graph, node.derives_from, names),
                "source": str(node.source),
                "column": columns.get(node, 0),
                "group": groups[node],
                "reads": [[numbers[v.node], v.index] for v in node.inputs if v is not None and v.node in numbers],
            }
        )
    return {
        "title": graph.name,
        "columns": list(sections),
        "groups": list(dict.fromkeys(groups.values())),
        "nodes": nodes,
    }


def _text(node: Node, names: Mapping[Value, str]) -> str:
    return f"{', '.join(names[y] for y in node.outputs)} = {application(node, names)}"


def group_of(name: str) -> str:
    """The group that a parameter or state belongs to: what stands before the last slash, or its own name."""
    folder, _, last = name.rpartition("/")
    return folder or last.partition(".")[0]


def _groups(graph: Graph, sections: Mapping[str, Sequence[Node]]) -> dict[Node, str]:
    """The group of every node.

    A forward node belongs to the parameters that it reads, or else to the latest group that flows into it; one of a
    derivative to the group of its forward node; one of the update to the state that it moves on.
    """
    forward, backward, update = sections.values()
    parameters = {v.node: group_of(name) for name, v in graph.inputs.items() if v.node.kind != "input"}  # type: ignore[attr-defined]
    found: dict[Node, str] = {v.node: parameters.get(v.node, "inputs") for v in graph.inputs.values()}
    order = {"inputs": 0}
    for node in forward:
        reads = [v.node for v in node.inputs if v is not None and v.node in found]
        own = [parameters[n] for n in reads if n in parameters]
        group = own[0] if own else max((found[n] for n in reads), key=lambda g: order.get(g, 0), default="inputs")
        order.setdefault(group, len(order))
        found[node] = group
    for node in backward:
        origin = node.derives_from and graph.became.get(node.derives_from, node.derives_from.outputs[0]).node
        reads = [v.node for v in node.inputs if v is not None and v.node in found]
        found[node] = found.get(origin, found[reads[0]] if reads else "inputs") if origin else "inputs"
    wanted: dict[Node, set[str]] = {}
    for name, value in graph.outputs.items():
        if name.endswith(".next"):
            wanted.setdefault(value.node, set()).add(group_of(name))
    for node in reversed(update):
        groups = wanted.get(node, set())
        found[node] = next(iter(groups)) if len(groups) == 1 else "optimizer"
        for v in node.inputs:
            if v is not None:
                wanted.setdefault(v.node, set()).add(found[node])
    ordered = sorted(found, key=lambda n: order.get(found[n], len(order)))
    return {node: found[node] for node in ordered}
