"""Branches and loops from Python functions: what a body uses from outside is found by looking."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Graph, Leaf, Node, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.control_flow import scan_axes, widened
from staticgrad.ops.kinds import normal_axis
from staticgrad.ops.onnx_types import inner_type, is_sequence
from staticgrad.ops.registry import Input, constant, literal
from staticgrad.origin import source_line
from staticgrad.types import Dim, DType, TensorType

Inside = Callable[[Node], bool]


def formal(name: str, type: TensorType) -> Value:
    """What stands in a body for a value that it is given."""
    return Leaf("input", name, type).outputs[0]


class made_from_here:
    """Says of a node whether it was made after this."""

    def __init__(self) -> None:
        self.start = constant(np.zeros(0)).node.order

    def __call__(self, node: Node) -> bool:
        return node.order > self.start


def captured_by(results: Iterable[Value], formals: Iterable[Value], inside: Inside) -> list[Value]:
    """The values from outside on which `results` depend, also by a replaced derivative only; literals are none."""
    known = set(formals)
    found: dict[Value, None] = {}
    seen: set[Node] = set()
    stack = list(results)
    while stack:
        value = stack.pop()
        if value in known or constant_of(value) is not None:
            continue
        node = value.node
        if not inside(node) or isinstance(node, Leaf):
            found[value] = None
        elif node not in seen:
            seen.add(node)
            stack.extend(() if node.training is None else (node.training.inference,))
            if node.training is not None and node.training.updates:
                raise DeclarationError(
                    f"the body of a loop or a branch moves states on in training ({node.source}), which a training "
                    f"step does not see; do so outside ({source_line()})"
                )
            stack.extend(v for v in node.inputs if v is not None)
            stack.extend(node.pullback.inputs if node.pullback is not None else ())
    # In the order of their making, so that equal declarations give equal graphs.
    return sorted(found, key=lambda v: (v.node.order, v.index))


def body_of(name: str, formals: Mapping[str, Value], results: Iterable[Value], captured: Sequence[Value]) -> Graph:
    """The graph from formal inputs and captured values to `results`."""
    inputs = {**formals, **{f"captured{i}": v for i, v in enumerate(captured)}}
    return Graph(name, inputs, {f"result{i}": v for i, v in enumerate(results)}, captures=len(captured))


def _values(given: object, what: str) -> tuple[Value, ...]:
    """Values and numbers as a tuple of Values."""
    if isinstance(given, Value):
        return (given,)
    if not isinstance(given, (tuple, list)):
        raise DeclarationError(
            f"{what} are Values or numbers in a tuple or list, {shown(given)} came ({source_line()})"
        )
    return tuple(v if isinstance(v, Value) else literal(v) for v in given)


def if_(condition: Value, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """What `then()` gives where `condition`, a bool of one element, is true, else what `otherwise()` gives.

    Each gives a Value or a tuple of Values, of the same number and element types; what is declared inside runs only
    if its branch is taken.
    """
    inside = made_from_here()
    chosen, other = then(), otherwise()
    alone = isinstance(chosen, Value)
    branches = [_values(r, "results of a branch") for r in (chosen, other)]
    captured = captured_by([v for branch in branches for v in branch], (), inside)
    then_branch, else_branch = (
        body_of(name, {}, branch, captured) for name, branch in zip(("then", "else"), branches, strict=True)
    )
    attributes = {"then_branch": then_branch, "else_branch": else_branch}
    results = OPERATORS["If"].apply((condition, *captured), attributes).outputs
    return results[0] if alone else results


def loop(
    function: Callable[..., Any],
    states: Sequence[Input],
    trip_count: Value | int | None = None,
    condition: Value | None = None,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The last states and the stacked outputs of `function(step, *states)`, run `trip_count` times at most.

    The function gives `(condition, states, outputs)`: whether to go on (a bool of one element, None for always), the
    next states and what comes out stacked, step by step. `condition` says whether to begin. It is called again, with
    less that is known of sizes, where the sizes of states change from step to step.
    """
    carried = _values(list(states), "states")
    count = literal(operator.index(trip_count)) if isinstance(trip_count, int) else trip_count
    attributes, captured = loop_body(function, [v.type for v in carried])
    results = OPERATORS["Loop"].apply((count, condition, *carried, *captured), attributes).outputs
    return results[: len(carried)], results[len(carried) :]


def loop_body(function: Callable[..., Any], types: Sequence[TensorType]) -> tuple[dict[str, Graph], list[Value]]:
    """The attributes of a Loop whose states have these types at first, and what its body captures."""

    current = list(types)
    free: set[Dim] = set()
    while True:
        inside = made_from_here()
        formals = {
            "step": formal("step", TensorType(DType.int64, ())),
            "go_on": formal("go_on", TensorType(DType.bool, ())),
            **{f"state{i}": formal(f"state{i}", type) for i, type in enumerate(current)},
        }
        step, going, *inner = formals.values()
        goes_on, states, outputs = function(step, *inner)
        following = _values(states, "states")
        if len(following) != len(types):
            raise DeclarationError(
                f"the body of a loop gives {len(following)} states, {len(types)} are carried ({source_line()})"
            )
        results = (going if goes_on is None else goes_on, *following, *_values(outputs, "outputs"))
        # Sizes that change from step to step are unknown at all of them.
        wider = [widened(a, b.type, free) for a, b in zip(current, following, strict=True)]
        if wider == current:
            captured = captured_by(results, formals.values(), inside)
            return {"body": body_of("body", formals, results, captured)}, captured
        current = wider


def scan(
    function: Callable[..., Any],
    states: Sequence[Input],
    sequences: Sequence[Value],
    *,
    input_axes: Sequence[int] | None = None,
    input_directions: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
    output_directions: Sequence[int] | None = None,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The last states and the stacked outputs of `function(*states, *elements)`, run over the elements of sequences.

    The function gives `(states, outputs)`. Sequences lie along `input_axes`, outputs are stacked along `output_axes`
    (0 by default); a direction of 1 goes from the back to the front. The states keep their types.
    """
    inside = made_from_here()
    carried, given = _values(list(states), "states"), _values(list(sequences), "sequences")
    formals = {f"state{i}": formal(f"state{i}", v.type) for i, v in enumerate(carried)}
    for i, (value, axis) in enumerate(zip(given, scan_axes(input_axes, len(given)), strict=True)):
        shape = list(value.type.shape)
        del shape[normal_axis(axis, len(shape))]
        formals[f"element{i}"] = formal(f"element{i}", TensorType(value.type.dtype, tuple(shape)))
    following, outputs = function(*formals.values())
    results = (*_values(following, "states"), *_values(outputs, "outputs"))
    captured = captured_by(results, formals.values(), inside)
    attributes = scan_attributes(
        body_of("body", formals, results, captured),
        len(given),
        input_axes,
        input_directions,
        output_axes,
        output_directions,
    )
    made = OPERATORS["Scan"].apply((*carried, *given, *captured), attributes).outputs
    return made[: len(carried)], made[len(carried) :]


def scan_of_batches(
    body: Graph, states: Sequence[Value], sequences: Sequence[Value], directions: Sequence[int] = ()
) -> tuple[Value, ...]:
    """The Scan of opset 8: `body` over each sequence of a batch, whose axis stands first in all inputs and outputs.

    Gives the last states and then the stacked results; the body captures nothing.
    """
    attributes = scan_attributes(body, len(sequences), input_directions=directions)

    def whole(*values: Value) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        return (), OPERATORS["Scan"].apply(values, attributes).outputs

    return scan(whole, (), [*states, *sequences])[1]


def scan_attributes(
    body: Graph,
    sequences: int,
    input_axes: Sequence[int] | None = None,
    input_directions: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
    output_directions: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The attributes of a Scan."""
    return {
        "body": body,
        "num_scan_inputs": sequences,
        "scan_input_axes": tuple(input_axes or ()) or None,
        "scan_input_directions": tuple(input_directions or ()) or None,
        "scan_output_axes": tuple(output_axes or ()) or None,
        "scan_output_directions": tuple(output_directions or ()) or None,
    }


def sequence_map(function: Callable[..., Any], *inputs: Value) -> Any:
    """The sequence of what `function` gives for the elements of sequences in turn, or a tuple of such sequences.

    The first input is a sequence. Others of them are sequences of the same length, or tensors that every call is given.
    """
    inside = made_from_here()
    types = [inner_type(v.type) if is_sequence(v.type) else v.type for v in inputs]
    formals = {f"element{i}": formal(f"element{i}", type) for i, type in enumerate(types)}
    given = function(*formals.values())
    results = _values(given, "results of a map")
    captured = captured_by(results, formals.values(), inside)
    made = OPERATORS["SequenceMap"].apply((*inputs, *captured), {"body": body_of("body", formals, results, captured)})
    return made.outputs[0] if isinstance(given, Value) else made.outputs
