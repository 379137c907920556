"""The body of a branch or a loop, gone through from its results back to its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from staticgrad.graph import Graph, Node, Value
from staticgrad.ops.bodies import Inside, formal, made_from_here
from staticgrad.ops.sequence import added
from staticgrad.origin import current_origin, deriving_from
from staticgrad.reverse import Cotangents, differentiable_inputs, differentiated, pull_within, refusals
from staticgrad.rewrite import draws_numbers

Given = Sequence[Value | None]
Result = tuple[Value | None, ...]


class Body(NamedTuple):
    """A body with its parts: `states` are the positions of a formal input and of the result that it has next."""

    graph: Graph
    formals: tuple[Value, ...]
    results: tuple[Value, ...]
    states: tuple[tuple[int, int], ...]
    ends: frozenset[Value]

    @property
    def captured(self) -> range:
        """The positions of what comes from outside."""
        return range(len(self.formals) - self.graph.captures, len(self.formals))


def whole(graph: Graph, states: Iterable[tuple[int, int]] = ()) -> Body:
    """A graph with its parts; a branch carries no states."""
    formals = tuple(graph.inputs.values())
    return Body(graph, formals, tuple(graph.outputs.values()), tuple(states), frozenset(formals))


def of_loop(graph: Graph) -> Body:
    """The body of a Loop with its parts."""
    return whole(graph, ((2 + i, 1 + i) for i in range(len(graph.inputs) - 2 - graph.captures)))


def of_scan(graph: Graph, sequences: int) -> Body:
    """The body of a Scan with its parts."""
    return whole(graph, ((i, i) for i in range(len(graph.inputs) - sequences - graph.captures)))


def depending(body: Body, wanted: Iterable[int]) -> dict[Value, None]:
    """The formal inputs that depend on wanted ones, at this step or at an earlier one."""
    targets = dict.fromkeys(body.formals[i] for i in wanted if body.formals[i].type.dtype.is_float)
    outputs = [y for y in body.results if y not in body.ends]
    while True:
        reached = differentiated(outputs, targets, body.ends)[1]
        more = [body.formals[i] for i, o in body.states if body.results[o] in reached]
        if all(x in targets for x in more):
            return targets
        targets.update(dict.fromkeys(more))


def _deriving() -> Callable[[Node], AbstractContextManager[None]]:
    """What says of nodes that they belong to the derivative of a node of a body, in the run of now."""
    inside = current_origin.get()
    if inside is None or inside[0] is None:
        return lambda _: nullcontext()
    derivation = inside[0].derivation
    return lambda node: deriving_from(node, derivation)


def inside_of(body: Body) -> Inside:
    """Says of a node whether it belongs to a derivative of the body that is made from here on."""
    own, newer = set(body.graph.nodes), made_from_here()
    return lambda node: node in own or newer(node)


def pull(body: Body, arriving: Iterable[int], targets: Iterable[Value]) -> tuple[dict[int, Value], Cotangents]:
    """Formal cotangents of results, and the cotangents of `targets`; with those of states that come back to them."""
    # To go back through what a body holds is dear: once, if all goes as expected.
    live = set(_live(body, arriving, targets))
    while True:
        formals = {o: formal(f"g{o}", body.results[o].type) for o in sorted(live)}
        seeds: Cotangents = {}
        for o, g in formals.items():
            y = body.results[o]
            seeds[y] = added(seeds[y], g) if y in seeds else g
        cotangents = pull_within(seeds, targets, body.ends, _deriving())
        more = {o for i, o in body.states if body.formals[i] in cotangents} - live
        if not more:
            return formals, cotangents
        live |= more


def arriving_at(body: Body, g: Given, targets: Iterable[Value]) -> list[int]:
    """The positions of results whose cotangents have anything to do with `targets`."""
    return [o for o in _led_to(body, targets) if g[o] is not None]


def reached_by(body: Body, wanted: Iterable[int]) -> list[int]:
    """The positions of results that depend on wanted inputs."""
    # Every body around this one asks, and more than once.
    question = (body.states, tuple(wanted))
    facts = body.graph.facts
    if question not in facts:
        facts[question] = _led_to(body, depending(body, question[1]))
    found: list[int] = facts[question]
    return found


def _led_to(body: Body, targets: Iterable[Value]) -> list[int]:
    """The positions of results that `targets` lead to: by a step, or as a state that no step at all leaves as it is."""
    targets = set(targets)
    reached = differentiated([y for y in body.results if y not in body.ends], targets, body.ends)[1]
    left = {o for i, o in body.states if body.formals[i] in targets}
    return [o for o, y in enumerate(body.results) if y in reached or o in left]


def _live(body: Body, arriving: Iterable[int], targets: Iterable[Value]) -> list[int]:
    """The positions of results that get cotangents: where some arrive, and where a state hands on that of a step."""
    live, targets = list(arriving), set(targets)
    while True:
        outputs = [body.results[o] for o in live if body.results[o] not in body.ends]
        active, _ = differentiated(outputs, targets, body.ends)
        used = {x for node in active for x in differentiable_inputs(node)} | {body.results[o] for o in live}
        more = [o for i, o in body.states if o not in live and body.formals[i] in targets and body.formals[i] in used]
        if not more:
            return live
        live += more


def refused(body: Body, wanted: Iterable[int], arrives: Sequence[bool]) -> str | None:
    """Why a body has no derivative here."""
    targets = depending(body, wanted)
    live = _live(body, (o for o, arrived in enumerate(arrives) if arrived), targets)
    outputs = [body.results[o] for o in live if body.results[o] not in body.ends]
    active, reached = differentiated(outputs, targets, body.ends)
    reasons = list(refusals(active, reached, outputs))
    touched = [body.results[o] for o in live if body.results[o] in reached or body.results[o] in targets]
    if touched:
        reasons += [
            f"{node.op.name} ({node.source}) in its body draws other numbers when the derivative runs the body again; "
            f"draw them outside, and take them in as values"
            for node in body.graph.nodes
            if draws_numbers(node)
        ]
    return "; ".join(dict.fromkeys(reasons)) or None


def positions(wanted: Iterable[bool]) -> list[int]:
    """Where the true ones are."""
    return [position for position, asked in enumerate(wanted) if asked]


def graph_of(name: str, formals: Iterable[Value], captured: Sequence[Value], results: Iterable[Value]) -> Graph:
    """The graph of a body from values that stand for its inputs."""
    inputs = {f"in{i}": v for i, v in enumerate([*formals, *captured])}
    return Graph(name, inputs, {f"out{i}": v for i, v in enumerate(results)}, captures=len(captured))
