"""The parts of a training step that a reader wants apart: forward, backward and update."""

from __future__ import annotations

from collections.abc import Iterable

from staticgrad.graph import Graph, Node, Value, topological


def sections(graph: Graph, results: Iterable[str]) -> dict[str, tuple[Node, ...]]:
    """The operators of a step in order, by what they serve: its `results` (loss and metrics), gradients, next states.

    What several serve counts for the first of them. A gradient inside the loss is part of the forward computation.
    """
    forward = set(_behind(graph, [graph.outputs[name] for name in results]))
    derived = [y for node in graph.nodes if node.origin is not None for y in node.outputs]
    backward = set(_behind(graph, derived)) - forward
    return {
        "forward": tuple(n for n in graph.operators if n in forward),
        "backward": tuple(n for n in graph.operators if n in backward),
        "update": tuple(n for n in graph.operators if n not in forward and n not in backward),
    }


def _behind(graph: Graph, values: Iterable[Value]) -> list[Node]:
    return topological(values, graph.inputs.values())
