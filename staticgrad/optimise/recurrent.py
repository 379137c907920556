"""Recurrent layers in a graph that holds their derivative."""

from __future__ import annotations

from collections.abc import Mapping

from staticgrad import ops
from staticgrad.graph import Graph, Node, Value, bodies
from staticgrad.ops.recurrent_layer import DIRECTIONS, joined
from staticgrad.ops.recurrent_rules import AGAIN, whole_of
from staticgrad.origin import rewriting
from staticgrad.substitute import with_replaced


def run_once(graph: Graph) -> Graph:
    """The graph in which a layer that its derivative runs once more, with all that it keeps, does not run before.

    A kernel is faster than that scan, but not than nothing.
    """
    again: dict[Node, dict[bool, Node]] = {}
    for node in graph.nodes:
        forward = node.derives_from
        if node.op.name == "Scan" and forward is not None and bodies(node)["body"].name == AGAIN:
            layer = graph.became.get(forward, forward.outputs[0]).node
            given = [id(v) for v in layer.inputs if v is not None]
            if layer.op.name in ("RNN", "GRU", "LSTM") and [*map(id, node.inputs)][-len(given) :] == given:
                directions = node.attributes["scan_input_directions"]
                again.setdefault(layer, {}).setdefault(bool(directions[0]), node)
    replacement: dict[Value, Value] = {}
    for node in graph.nodes:
        if node in again:
            replacement.update(_outputs(node, again[node]))
    return with_replaced(graph, replacement) if replacement else graph


def _outputs(layer: Node, runs: Mapping[bool, Node]) -> dict[Value, Value]:
    """The outputs of a layer from those of the scans in its directions; nothing where one has none."""
    directions = DIRECTIONS[layer.attributes["direction"]]
    if any(reverse not in runs for reverse in directions):
        return {}
    batch_first = layer.attributes["layout"] == 1
    count = len(layer.outputs) - 1
    with rewriting(layer):
        whole = joined([ops.unsqueeze(whole_of(runs[way], count), [1]) for way in directions], 1)
        lasts = [
            joined([ops.unsqueeze(runs[way].outputs[state], [0]) for way in directions], 0) for state in range(count)
        ]
        if batch_first:
            whole = ops.transpose(whole, perm=(2, 0, 1, 3))
            lasts = [ops.transpose(v, perm=(1, 0, 2)) for v in lasts]
    return dict(zip(layer.outputs, (whole, *lasts), strict=True))
