"""Several steps as one graph: a scan over stacked batches, or a loop over one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from staticgrad.graph import Graph, Leaf, Value
from staticgrad.ops.control_flow import loop_operator, scan_operator
from staticgrad.ops.registry import constant
from staticgrad.types import DType, TensorType

COUNT = "number of steps"
"""An input of the loop, which no name of a user's can be."""


def scanned(graph: Graph, feeds: Sequence[str], states: Sequence[str], results: Sequence[str]) -> Graph:
    """The steps of a step's graph over batches stacked along a new first axis; `states` are those that change."""
    length = "steps"
    while any(length in value.type.shape for value in graph.inputs.values()):
        length += "_"
    stacked = {name: _leaf(name, graph.inputs[name].type, (length,)) for name in feeds}
    carried, captured = _outer(graph, feeds, states)
    body = _body(graph, [*states, *feeds], list(captured), {}, states, results)
    given = (*carried.values(), *stacked.values(), *captured.values())
    node = scan_operator.apply(given, {**scan_operator.attributes, "body": body, "num_scan_inputs": len(feeds)})
    return _whole("scanned", {**stacked, **carried, **captured}, node.outputs, states, results)


def repeated(graph: Graph, feeds: Sequence[str], states: Sequence[str], results: Sequence[str]) -> Graph:
    """The steps of a step's graph over one batch, as many as the input `COUNT` says."""
    count = _leaf(COUNT, TensorType(DType.int64, ()))
    batch = {name: _leaf(name, graph.inputs[name].type) for name in feeds}
    carried, captured = _outer(graph, feeds, states)
    turn = {"turn": _leaf("turn", TensorType(DType.int64, ())), "going": _leaf("going", TensorType(DType.bool, ()))}
    body = _body(graph, list(states), [*feeds, *captured], turn, states, results)
    given = (count, None, *carried.values(), *batch.values(), *captured.values())
    node = loop_operator.apply(given, {"body": body})
    return _whole("repeated", {COUNT: count, **batch, **carried, **captured}, node.outputs, states, results)


def _leaf(name: str, type: TensorType, lead: tuple[str, ...] = ()) -> Value:
    return Leaf("input", name, TensorType(type.dtype, (*lead, *type.shape))).outputs[0]


def _outer(graph: Graph, feeds: Sequence[str], states: Sequence[str]) -> tuple[dict[str, Value], dict[str, Value]]:
    """The states that change, and those that do not."""
    inputs = {name: _leaf(name, value.type) for name, value in graph.inputs.items() if name not in feeds}
    kept = {name: value for name, value in inputs.items() if name not in states}
    return {name: inputs[name] for name in states}, kept


def _body(
    graph: Graph,
    given: Sequence[str],
    captured: Sequence[str],
    turn: Mapping[str, Value],
    states: Sequence[str],
    results: Sequence[str],
) -> Graph:
    inputs = {**turn, **{name: graph.inputs[name] for name in (*given, *captured)}}
    going = {"go on": constant(np.array(True))} if turn else {}
    following = {f"{name}.next": graph.outputs[f"{name}.next"] for name in states}
    outputs = {**going, **following, **{name: graph.outputs[name] for name in results}}
    return Graph("step", inputs, outputs, captures=len(captured))


def _whole(
    name: str, inputs: Mapping[str, Value], found: Sequence[Value], states: Sequence[str], results: Sequence[str]
) -> Graph:
    names = [*(f"{state}.next" for state in states), *results]
    return Graph(name, inputs, dict(zip(names, found, strict=True)))
