"""The derivative of a loop: a loop of as many steps, backwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from staticgrad import ops
from staticgrad.control_flow.body import (
    Body,
    Given,
    Result,
    arriving_at,
    depending,
    graph_of,
    inside_of,
    of_loop,
    positions,
    pull,
    reached_by,
    refused,
)
from staticgrad.graph import Graph, Value
from staticgrad.ops.bodies import captured_by, loop_body
from staticgrad.ops.control_flow import always_runs, if_operator, loop_operator
from staticgrad.ops.registry import constant
from staticgrad.ops.sequence import added, zeros_of
from staticgrad.types import OpaqueType


@loop_operator.leads
def _(*inputs: Value | None, wanted: Sequence[bool], body: Graph) -> list[int]:
    return [o - 1 for o in reached_by(of_loop(body), positions(wanted)) if o]


@loop_operator.refuses
def _(*inputs: Value | None, wanted: Sequence[bool], arrives: Sequence[bool], body: Graph) -> str | None:
    """What its bodies hold and has no derivative."""
    return refused(of_loop(body), positions(wanted), (False, *arrives))


@loop_operator.vjp
def _(
    g: Given,
    y: Sequence[Value],
    trip_count: Value | None,
    condition: Value | None,
    *rest: Value,
    wanted: Sequence[bool],
    body: Graph,
) -> Result:
    """A Loop of as many steps backwards, which computes what happened in a step once more before it goes back.

    The states that this needs come from a first Loop that gives them stacked: one copy of the states for each step.
    Those whose sizes may change from step to step cannot be stacked; they are computed anew from the start for every
    step, so that the time grows with the square of the number of steps.
    """
    own = of_loop(body)
    inputs = (trip_count, condition, *rest)
    # The first result of the body is the condition, which is no output of the loop.
    g, y = (None, *g), (rest[0], *y)
    targets = depending(own, positions(wanted))
    inside = inside_of(own)
    formals, cotangents = pull(own, arriving_at(own, g, targets), targets)
    carried = [(i, o) for i, o in own.states if o in formals]
    summed = [i for i in own.captured if wanted[i] and own.formals[i] in cotangents]
    if not carried and not summed:
        return (None,) * len(inputs)
    backwards = [own.formals[i] for i, _ in carried]
    results = [cotangents[x] if x in cotangents else zeros_of(x) for x in backwards]
    results += [cotangents[own.formals[i]] for i in summed]
    needed = captured_by(results, (), inside)
    branch = graph_of("step", [], needed, results)
    asked = set(needed)
    tapes, count = _tapes(own, inputs, [(i, o) for i, o in own.states if own.formals[i] in asked])
    yes = constant(np.array(True))

    def back(step: Value, *current: Value) -> tuple[None, list[Value], tuple[Value, ...]]:
        at = count - 1 - step
        bound: dict[Value, Value] = {}
        for o, x in formals.items():
            arrived = g[o]
            if arrived is not None and o > len(own.states):
                bound[x] = ops.gather(arrived, at)
        bound |= {formals[o]: v for (_, o), v in zip(carried, current, strict=False)}
        bound |= {own.formals[i]: inputs[i] for i in own.captured}  # type: ignore[misc]
        bound |= {x: _shaped_like(v, x) for x, v in zip(own.formals[:2], (at, yes), strict=True)}
        bound |= {own.formals[i]: ops.gather(tape, at) for i, tape in tapes.items()}
        if any(x in asked and x not in bound for x in own.formals):
            bound |= dict(zip((own.formals[i] for i, _ in own.states), _replayed(own, at, rest), strict=True)) | bound
        # A branch that is always taken gives names to values.
        given = [bound.get(x, x) for x in needed]
        found = if_operator.apply((yes, *given), {"then_branch": branch, "else_branch": branch}).outputs
        sums = [added(a, b) for a, b in zip(current[len(carried) :], found[len(carried) :], strict=True)]
        return None, [*found[: len(carried)], *sums], ()

    begin = [_or_zeros(g[o], y[o]) for _, o in carried] + [_or_zeros(None, inputs[i]) for i in summed]
    attributes, captured = loop_body(back, [v.type for v in begin])
    order = [*[i for i, _ in carried], *summed]
    types = [v.type for v in (inputs[i] for i in order) if v is not None]
    made = loop_operator.apply((count, None, *begin, *captured), attributes, types).outputs
    by_position = dict(zip(order, made, strict=True))
    return tuple(by_position.get(i) for i in range(len(inputs)))


def _shaped_like(v: Value, x: Value) -> Value:
    """A number of rank 0 with the rank that a body has for it; models have 1 there too."""
    return ops.reshape(v, constant(np.ones(len(x.type.shape), np.int64))) if x.type.shape else v


def _or_zeros(g: Value | None, x: Value | None) -> Value:
    """A cotangent of `x`, zeros where none came."""
    if g is not None:
        return g
    assert x is not None
    return zeros_of(x)


def _with_results(own: Body, name: str, further: Iterable[Value] = ()) -> Graph:
    """The body with its states and what is given besides."""
    results = [own.results[0], *[own.results[o] for _, o in own.states], *further]
    outputs = {f"out{i}": v for i, v in enumerate(results)}
    return Graph(name, own.graph.inputs, outputs, captures=own.graph.captures)


def _replayed(own: Body, at: Value, rest: tuple[Value, ...]) -> tuple[Value, ...]:
    """The states before step `at`."""
    return loop_operator.apply((at, None, *rest), {"body": _with_results(own, "replay")}).outputs


def _tapes(
    own: Body, inputs: tuple[Value | None, ...], needed: Iterable[tuple[int, int]]
) -> tuple[dict[int, Value], Value]:
    """The states before each step, of those that keep their sizes, and the number of steps."""
    trip_count, condition = inputs[:2]
    kept = [i for i, o in needed if own.results[o].type == own.formals[i].type]
    kept = [i for i in kept if not isinstance(own.formals[i].type, OpaqueType)]
    if not kept and trip_count is not None and always_runs(condition, own.graph):
        return {}, ops.max(ops.reshape(trip_count, constant(np.zeros(0, np.int64))), 0)
    forward = _with_results(own, "forward", (*[own.formals[i] for i in kept], own.formals[0]))
    made = loop_operator.apply(inputs, {"body": forward}).outputs[len(own.states) :]
    return dict(zip(kept, made, strict=False)), ops.size(made[-1])
