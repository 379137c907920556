"""The derivative of a branch: a branch."""

from __future__ import annotations

from collections.abc import Sequence

from staticgrad.control_flow.body import (
    Given,
    Result,
    graph_of,
    inside_of,
    positions,
    pull,
    reached_by,
    refused,
    whole,
)
from staticgrad.graph import Graph, Value
from staticgrad.ops.bodies import captured_by
from staticgrad.ops.control_flow import if_operator
from staticgrad.ops.sequence import zeros_of


@if_operator.leads
def _(_: Value, *captured: Value, wanted: Sequence[bool], then_branch: Graph, else_branch: Graph) -> set[int]:
    return {o for branch in (then_branch, else_branch) for o in reached_by(whole(branch), positions(wanted[1:]))}


@if_operator.refuses
def _(
    condition: Value,
    *captured: Value,
    wanted: Sequence[bool],
    arrives: Sequence[bool],
    then_branch: Graph,
    else_branch: Graph,
) -> str | None:
    """What its bodies hold and has no derivative."""
    for branch in (then_branch, else_branch):
        reason = refused(whole(branch), positions(wanted[1:]), arrives)
        if reason is not None:
            return reason
    return None


@if_operator.vjp
def _(
    g: Given,
    y: Sequence[Value],
    condition: Value,
    *captured: Value,
    wanted: Sequence[bool],
    then_branch: Graph,
    else_branch: Graph,
) -> Result:
    """An If with the same condition: a branch computes its values once more and goes back from there."""
    branches = (whole(then_branch), whole(else_branch))
    asked = positions(wanted[1:])
    arriving = [o for o, arrived in enumerate(g) if arrived is not None]
    insides = [inside_of(body) for body in branches]
    pulled = [pull(body, arriving, [body.formals[i] for i in asked]) for body in branches]
    found = [i for i in asked if any(body.formals[i] in c for body, (_, c) in zip(branches, pulled, strict=True))]
    if not found:
        return (None,) * (1 + len(captured))
    results, needed = [], []
    for body, inside, (formals, cotangents) in zip(branches, insides, pulled, strict=True):
        inner = [body.formals[i] for i in found]
        results.append([cotangents[x] if x in cotangents else zeros_of(x) for x in inner])
        needed.append(captured_by(results[-1], formals.values(), inside))
    places = [{x: i for i, x in enumerate(body.formals)} for body in branches]
    taken = sorted({at[x] for at, values in zip(places, needed, strict=True) for x in values if x in at})
    outer = dict.fromkeys(x for at, values in zip(places, needed, strict=True) for x in values if x not in at)
    attributes = {}
    for name, body, (formals, _), values in zip(("then_branch", "else_branch"), branches, pulled, results, strict=True):
        attributes[name] = graph_of(name, [], [*[body.formals[i] for i in taken], *formals.values(), *outer], values)
    given = (condition, *[captured[i] for i in taken], *[g[o] for o in arriving], *outer)
    made = if_operator.apply(given, attributes, [captured[i].type for i in found]).outputs
    by_position = dict(zip(found, made, strict=True))
    return (None, *[by_position.get(i) for i in range(len(captured))])
