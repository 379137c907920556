"""Which states a step may overwrite while it runs.

onnxruntime runs the nodes of a graph in an order of its own, which only dependence of data makes certain. So a state is
overwritten where whoever reads it comes before whoever writes its next value, because the one needs what the other
gives, or is the writer itself and reads every element before it writes it. All other states have two buffers in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from staticgrad.graph import Graph, Node, Value, bodies

_VIEWS = frozenset(
    "Reshape Squeeze Unsqueeze Flatten Identity Transpose Expand Cast Slice Pad Concat Split Dropout".split()
)
"""What may give the memory that it got: as a rule of its own, or where there is nothing to do."""

_SIZES = frozenset(("Shape", "Size"))
"""What needs no element of what it gets, and may be known before the run."""

_ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Max", "Min", "Where", "Sum"))

_FALLIBLE = frozenset(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot"))
"""What stops a run where a number that is fed is out of range."""


def overwritten(graph: Graph, states: Iterable[str], results: Iterable[str]) -> set[str]:
    """The states `S` whose next value `S.next` may be written where `S` is.

    Before any of them is written all has run that stops a run where feeds are wrong for what `results` need.
    """
    found = {}
    given = Counter(graph.outputs.values())
    operators = set(graph.operators)
    for name in states:
        state, following = graph.inputs[name], graph.outputs[f"{name}.next"]
        if not given[state] and given[following] == 1 and following.node in operators:
            found[name] = (state, following.node)
    readers = _readers(graph, [state for state, _ in found.values()])
    fallible = _fallible(graph, results)
    before = _ancestors(graph, {node for nodes in (*readers.values(), *fallible) for node in nodes})
    checks = [before.mask(nodes) for nodes in fallible]
    return {
        name
        for name, (state, writer) in found.items()
        if all(before[writer] & check for check in checks)
        and all(
            before.has(writer, node) or (node is writer and _reads_first(node, state, positions))
            for node, positions in readers[state].items()
        )
    }


def _readers(graph: Graph, states: Iterable[Value]) -> dict[Value, dict[Node, list[int]]]:
    """Who reads the memory of each state, also as another shape of it, and by which inputs."""
    readers: dict[Value, dict[Node, list[int]]] = {state: {} for state in states}
    memory = {state: {state} for state in readers}
    for node in graph.operators:
        read: set[Value] = set()
        for position, value in enumerate(node.inputs):
            for state in memory.get(value, ()) if value is not None else ():
                readers[state].setdefault(node, []).append(position)
                read.add(state)
        if read and (node.op.name in _VIEWS or bodies(node)):
            memory.update(dict.fromkeys(node.outputs, read))
    return readers


def _fallible(graph: Graph, results: Iterable[str]) -> list[list[Node]]:
    """Of what may stop the computation of results, all that stop for the same reason together."""
    needed = {graph.outputs[name].node for name in results}
    reasons: dict[Any, list[Node]] = {}
    wanted = set()
    for node in reversed(graph.operators):
        if node in needed:
            needed.update(v.node for v in node.inputs if v is not None)
        if node.op.name in _FALLIBLE or bodies(node):
            reason = _reason(node)
            reasons.setdefault(reason, []).append(node)
            if node in needed:
                wanted.add(reason)
    return [nodes for reason, nodes in reasons.items() if reason in wanted]


def _reason(node: Node) -> Any:
    """Which positions a node takes to be less than which size."""
    if node.op.name not in _FALLIBLE or node.op.name == "OneHot":
        return node
    data, positions = node.inputs[:2]
    assert data is not None and positions is not None
    if node.op.name.endswith("ND"):
        if positions.type.shape[-1:] != (1,):
            return node
        size = data.type.shape[0]
    else:
        size = data.type.shape[node.attributes["axis"]]
    while positions.node.op.name in ("Unsqueeze", "Squeeze", "Reshape"):
        positions = positions.node.inputs[0]
        assert positions is not None
    return positions, size


def _reads_first(writer: Node, state: Value, positions: list[int]) -> bool:
    """Whether a node that reads a state there reads each element before it writes the element in the same place."""
    if writer.outputs[0].type != state.type or len(positions) != 1 or writer.inputs[positions[0]] is not state:
        return False
    name = writer.op.name
    return name in _ELEMENTWISE or (name, positions[0]) in (("ScatterND", 0), ("Gemm", 2))


class _Ancestors:
    """For every node which of the marked ones it comes after, a bit for each."""

    def __init__(self, marked: Iterable[Node]) -> None:
        self.bits = {node: 1 << i for i, node in enumerate(marked)}
        self.masks: dict[Node, int] = {}

    def __getitem__(self, node: Node) -> int:
        return self.masks[node]

    def mask(self, nodes: Iterable[Node]) -> int:
        """The bits of several marked nodes."""
        return sum(self.bits[node] for node in set(nodes))

    def has(self, node: Node, other: Node) -> bool:
        """Whether `node` needs what the marked `other` gives."""
        return bool(self.masks[node] & self.bits[other])


def _ancestors(graph: Graph, marked: Iterable[Node]) -> _Ancestors:
    found = _Ancestors(marked)
    for node in graph.nodes:
        mask = 0
        if node.op.name not in _SIZES:
            for value in node.inputs:
                if value is not None:
                    mask |= found.masks.get(value.node, 0) | found.bits.get(value.node, 0)
        found.masks[node] = mask
    return found
