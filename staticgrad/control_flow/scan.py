"""The derivative of a scan: a scan the other way round."""

from __future__ import annotations

from collections.abc import Sequence

from staticgrad.control_flow.body import (
    Given,
    Result,
    arriving_at,
    depending,
    graph_of,
    inside_of,
    of_scan,
    positions,
    pull,
    reached_by,
    refused,
)
from staticgrad.graph import Graph, Value
from staticgrad.ops.bodies import captured_by, formal, scan_attributes
from staticgrad.ops.control_flow import scan_axes, scan_operator
from staticgrad.ops.sequence import zeros_of
from staticgrad.types import OpaqueType


@scan_operator.leads
def _(*inputs: Value, wanted: Sequence[bool], body: Graph, num_scan_inputs: int, **_: object) -> list[int]:
    return reached_by(of_scan(body, num_scan_inputs), positions(wanted))


@scan_operator.refuses
def _(
    *inputs: Value,
    wanted: Sequence[bool],
    arrives: Sequence[bool],
    body: Graph,
    num_scan_inputs: int,
    **_: object,
) -> str | None:
    """What its bodies hold and has no derivative."""
    for value, asked in zip(inputs, wanted, strict=True):
        if asked and isinstance(value.type, OpaqueType):
            return f"its body uses {value.type} from outside, whose cotangent no Scan can carry; use Loop"
    return refused(of_scan(body, num_scan_inputs), positions(wanted), arrives)


@scan_operator.vjp
def _(
    g: Given,
    y: Sequence[Value],
    *inputs: Value,
    wanted: Sequence[bool],
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None,
    scan_input_directions: Sequence[int] | None,
    scan_output_axes: Sequence[int] | None,
    scan_output_directions: Sequence[int] | None,
) -> Result:
    """A Scan the other way round, which computes what happened in a step once more before it goes back through it.

    The states that this needs come from a first Scan that gives them stacked: one copy of the states for each step.
    """
    own = of_scan(body, num_scan_inputs)
    count = len(own.states)
    targets = depending(own, positions(wanted))
    inside = inside_of(own)
    formals, cotangents = pull(own, arriving_at(own, g, targets), targets)
    carried = [i for i in range(count) if i in formals]
    summed = [i for i in own.captured if wanted[i] and own.formals[i] in cotangents]
    elements = range(count, count + num_scan_inputs)
    stacked = [i for i in elements if wanted[i] and own.formals[i] in cotangents]
    if not carried and not summed and not stacked:
        return (None,) * len(inputs)
    sums = {i: formal(f"sum{i}", own.formals[i].type) for i in summed}
    results = [
        *[cotangents[own.formals[i]] if own.formals[i] in cotangents else zeros_of(own.formals[i]) for i in carried],
        *[sums[i] + cotangents[own.formals[i]] for i in summed],
        *[cotangents[own.formals[i]] for i in stacked],
    ]
    needed = captured_by(results, [*formals.values(), *sums.values()], inside)
    place = {x: i for i, x in enumerate(own.formals)}
    taken = {place[x] for x in needed if x in place}
    kept = [i for i in range(count) if i in taken]
    read = [i for i in elements if i in taken]
    given = [o for o in formals if o >= count]
    # The length of a Scan is that of its sequences.
    read = read if read or kept or given else [count]
    captured = [x for x in needed if x not in place or place[x] in own.captured]
    in_axes = scan_axes(scan_input_axes, num_scan_inputs)
    in_directions = scan_axes(scan_input_directions, num_scan_inputs)
    out_axes = scan_axes(scan_output_axes, len(own.results) - count)
    out_directions = scan_axes(scan_output_directions, len(own.results) - count)
    tapes: tuple[Value, ...] = ()
    if kept:
        again = [*own.results[:count], *[own.formals[i] for i in kept]]
        forward = Graph("forward", body.inputs, {f"out{i}": v for i, v in enumerate(again)}, captures=body.captures)
        forward_attributes = scan_attributes(forward, num_scan_inputs, in_axes, in_directions)
        tapes = scan_operator.apply(inputs, forward_attributes).outputs[count:]
    reverse = graph_of(
        "reverse",
        [
            *[formals[i] for i in carried],
            *sums.values(),
            *[own.formals[i] for i in (*kept, *read)],
            *[formals[o] for o in given],
        ],
        captured,
        results,
    )
    attributes = scan_attributes(
        reverse,
        len(kept) + len(read) + len(given),
        [*[0] * len(kept), *[in_axes[i - count] for i in read], *[out_axes[o - count] for o in given]],
        [
            *[1] * len(kept),
            *[1 - in_directions[i - count] for i in read],
            *[1 - out_directions[o - count] for o in given],
        ],
        [in_axes[i - count] for i in stacked],
        [1 - in_directions[i - count] for i in stacked],
    )
    begin = [zeros_of(y[i]) if g[i] is None else g[i] for i in carried]
    given_values = [
        *begin,
        *[zeros_of(inputs[i]) for i in summed],
        *tapes,
        *[inputs[i] for i in read],
        *[g[o] for o in given],
        *[inputs[place[x]] if x in place else x for x in captured],
    ]
    order = [*carried, *summed, *stacked]
    made = scan_operator.apply(tuple(given_values), attributes, [inputs[i].type for i in order]).outputs
    by_position = dict(zip(order, made, strict=True))
    return tuple(by_position.get(i) for i in range(len(inputs)))
