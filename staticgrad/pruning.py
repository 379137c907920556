"""Branches and loops without what nobody needs, and loops that do the same only once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from staticgrad.graph import Graph, Node, Value, bodies, topological
from staticgrad.ops.control_flow import scan_axes


class Pruned(NamedTuple):
    """What is left of a node: the positions of its inputs and outputs that stay, and its attributes."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, Any]


def pruned(node: Node, used: Iterable[int]) -> Pruned | None:
    """What is left of a branch or a loop of which only the outputs at positions `used` are needed; None for all."""
    used = set(used)
    parts = {"If": _branches, "Loop": _loop, "Scan": _scan}.get(node.op.name)
    found = None if parts is None else parts(node, used)
    everything = found is None or (len(found.inputs) == len(node.inputs) and len(found.outputs) == len(node.outputs))
    return None if everything else found


def _needed(body: Graph, results: Iterable[Value]) -> set[Value]:
    """The formal inputs on which results depend."""
    formals = set(body.inputs.values())
    results = list(results)
    nodes = topological([v for v in results if v not in formals], formals)
    return {x for x in (*results, *(v for node in nodes for v in node.inputs if v is not None)) if x in formals}


def _carried(body: Graph, always: Sequence[int], used: set[int], states: Sequence[tuple[int, int]]) -> set[int]:
    """The positions of needed results: what is `always` or `used`, and the states that go into such."""
    formals, results = list(body.inputs.values()), list(body.outputs.values())
    kept = {*always, *used}
    while True:
        needed = _needed(body, [results[o] for o in kept])
        more = {o for i, o in states if o not in kept and formals[i] in needed}
        if not more:
            return kept
        kept |= more


def _cut(body: Graph, inputs: Iterable[int], outputs: Iterable[int], captures: int) -> Graph:
    names, results = list(body.inputs), list(body.outputs)
    return Graph(
        body.name,
        {names[i]: body.inputs[names[i]] for i in inputs},
        {results[o]: body.outputs[results[o]] for o in outputs},
        became=body.became,
        captures=captures,
    )


def _captured(body: Graph, needed: set[Value]) -> list[int]:
    """The positions of captured formal inputs that are needed."""
    formals = list(body.inputs.values())
    return [i for i in range(len(formals) - body.captures, len(formals)) if formals[i] in needed]


def _branches(node: Node, used: set[int]) -> Pruned:
    inner = bodies(node)
    outputs = sorted(used)
    captured: set[int] = set()
    for body in inner.values():
        results = list(body.outputs.values())
        captured.update(_captured(body, _needed(body, [results[o] for o in outputs])))
    attributes = {key: _cut(body, sorted(captured), outputs, len(captured)) for key, body in inner.items()}
    return Pruned((0, *[1 + i for i in sorted(captured)]), tuple(outputs), attributes)


def _loop(node: Node, used: set[int]) -> Pruned:
    body: Graph = node.attributes["body"]
    states = [(2 + i, 1 + i) for i in range(len(body.inputs) - 2 - body.captures)]
    results = sorted(_carried(body, [0], {1 + o for o in used}, states))
    values = list(body.outputs.values())
    captured = _captured(body, _needed(body, [values[o] for o in results]))
    inputs = [0, 1, *[i for i, o in states if o in results], *captured]
    cut = _cut(body, inputs, results, len(captured))
    # The first result of the body is the condition, which is no output.
    return Pruned(tuple(inputs), tuple(o - 1 for o in results[1:]), {**node.attributes, "body": cut})


def _scan(node: Node, used: set[int]) -> Pruned:
    attributes = node.attributes
    body: Graph = attributes["body"]
    sequences: int = attributes["num_scan_inputs"]
    count = len(body.inputs) - body.captures - sequences
    outputs = sorted(_carried(body, [], used, [(i, i) for i in range(count)]))
    formals, values = list(body.inputs.values()), list(body.outputs.values())
    needed = _needed(body, [values[o] for o in outputs])
    captured = _captured(body, needed)
    # The length of a Scan is that of its sequences, so that one of them stays.
    read = [i for i in range(count, count + sequences) if formals[i] in needed] or [count]
    inputs = [*[i for i in range(count) if i in outputs], *read, *captured]
    cut = {**attributes, "body": _cut(body, inputs, outputs, len(captured)), "num_scan_inputs": len(read)}
    for kind, kept, whole in (("input", read, sequences), ("output", outputs, len(values) - count)):
        for key in (f"scan_{kind}_axes", f"scan_{kind}_directions"):
            if attributes[key] is not None:
                given = scan_axes(attributes[key], whole)
                cut[key] = tuple(given[i - count] for i in kept if i >= count)
    return Pruned(tuple(inputs), tuple(outputs), cut)


def shared_runs(nodes: Iterable[Node]) -> dict[Node, tuple[Node, tuple[int, ...]]]:
    """Loops that differ in what they give stacked only, each with one that gives all of it, and where it stands there.

    A derivative runs a loop again for its states; together with the loop itself that is one run.
    """
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        if node.op.name in ("Loop", "Scan"):
            body: Graph = node.attributes["body"]
            states = tuple(body.outputs.values())[: _count_of_states(node)]
            sequences = node.attributes.get("num_scan_inputs", 0)
            ahead = tuple(scan_axes(node.attributes.get(f"scan_input_{k}"), sequences) for k in ("axes", "directions"))
            key = (node.op.name, *map(id, (*node.inputs, *body.inputs.values(), *states)), len(states), ahead)
            groups.setdefault(key, []).append(node)
    return {node: pair for group in groups.values() if len(group) > 1 for node, pair in _together(group).items()}


_STACKED = ("scan_output_axes", "scan_output_directions")


def _count_of_states(node: Node) -> int:
    """How many results of a body are carried, the condition of a loop among them."""
    body: Graph = node.attributes["body"]
    sequences = node.attributes.get("num_scan_inputs", 1)
    return len(body.inputs) - body.captures - int(sequences)


def _together(group: Sequence[Node]) -> dict[Node, tuple[Node, tuple[int, ...]]]:
    first = group[0]
    body: Graph = first.attributes["body"]
    states = _count_of_states(first)
    hidden = int(first.op.name == "Loop")
    places: dict[tuple[Value, int, int], int] = {}
    types = [y.type for y in first.outputs[: states - hidden]]
    positions = {}
    for node in group:
        stacked = list(node.attributes["body"].outputs.values())[states:]
        axes, directions = (scan_axes(node.attributes.get(key), len(stacked)) for key in _STACKED)
        found = []
        for y, *how in zip(node.outputs[states - hidden :], stacked, axes, directions, strict=True):
            place = places.setdefault((how[0], how[1], how[2]), len(types))
            types += [y.type] if place == len(types) else []
            found.append(place)
        positions[node] = (*range(states - hidden), *found)
    names = list(body.outputs)[:states]
    outputs = {name: body.outputs[name] for name in names} | {f"stacked{i}": v for i, (v, _, _) in enumerate(places)}
    attributes = {**first.attributes, "body": Graph(body.name, body.inputs, outputs, captures=body.captures)}
    if not hidden:
        attributes |= dict(zip(_STACKED, zip(*((a, d) for _, a, d in places), strict=True), strict=False))
    common = Node(first.op, first.inputs, attributes, types, source=first.source, origin=first.origin)
    return {node: (common, found) for node, found in positions.items()}
