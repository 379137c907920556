"""Who reads the inputs and parameters of a model, in bodies of loops and branches too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from staticgrad.graph import Graph, Node, Value, bodies
from staticgrad.models.names import ROLES
from staticgrad.ops.foreign import Foreign


class Use(NamedTuple):
    """A node that reads a parameter, and as what."""

    node: str
    operator: str
    argument: str


def uses(graph: Graph, others: Iterable[Value] = ()) -> dict[Value, list[Use]]:
    """For every input, every parameter and `others` the nodes that read it, in bodies of loops and branches too."""
    found: dict[Value, list[Use]] = {value: [] for value in (*graph.inputs.values(), *others)}
    _collect(graph, {value: value for value in found}, found)
    return found


def _collect(graph: Graph, stands_for: Mapping[Value, Value], found: dict[Value, list[Use]]) -> None:
    for node in graph.nodes:
        for position, value in enumerate(node.inputs):
            if value is not None and value in stands_for:
                kind = node.op.operator if isinstance(node.op, Foreign) else node.op.name
                found[stands_for[value]].append(Use(node.source.label, kind, _argument(node, position)))
        for body in bodies(node).values():
            captured = list(body.inputs.values())[len(body.inputs) - body.captures :]
            outer = node.inputs[len(node.inputs) - body.captures :]
            inner = {
                i: stands_for[o] for i, o in zip(captured, outer, strict=True) if o is not None and o in stands_for
            }
            _collect(body, inner, found)


def _argument(node: Node, position: int) -> str:
    roles = ROLES.get(node.op.name, ())
    return roles[position] if position < len(roles) else ""
