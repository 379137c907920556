"""Branches and loops: the operators whose attributes are graphs, and the types that come out of those."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from staticgrad.errors import DeclarationError, DTypeError, ShapeError
from staticgrad.graph import Graph, Value, constant_of
from staticgrad.ops.kinds import normal_axis
from staticgrad.ops.onnx_types import is_sequence, joined_sequence, rankless
from staticgrad.ops.registry import onnx_op
from staticgrad.types import Dim, OpaqueType, Shape, TensorType, dims_agree, is_unknown, unknown


def merged(a: TensorType, b: TensorType) -> TensorType:
    """The type of a value that has one of two types: a size in which they differ is unknown."""
    if a == b:
        return a
    if a.dtype is not b.dtype:
        raise DTypeError(f"a value is {a} or {b}; the element types must agree, cast one of them")
    if is_sequence(a) and is_sequence(b):
        return joined_sequence(a, b, merged)
    opaque = [t for t in (a, b) if isinstance(t, OpaqueType)]
    if any(not t.rankless for t in opaque):
        raise DTypeError(f"a value is {a} or {b}, and these have no common type")
    if opaque or len(a.shape) != len(b.shape):
        return rankless(a.dtype)
    return TensorType(a.dtype, tuple(d if d == e else unknown() for d, e in zip(a.shape, b.shape, strict=True)))


def widened(type: TensorType, following: TensorType, free: set[Dim]) -> TensorType:
    """The type of a carried value that has `type` before a step and `following` after it, so far as it stays.

    Sizes that change are new unknown ones, and put into `free`; such a one may be anything already.
    """
    if type == following:
        return type
    wide = merged(type, following)
    if is_sequence(wide):
        return wide
    if isinstance(wide, OpaqueType):
        raise ShapeError(f"a carried value is {type} and then {following}; its rank must stay")
    shape = tuple(d if d in free else e for d, e in zip(type.shape, wide.shape, strict=True))
    free.update(d for d, e in zip(shape, type.shape, strict=True) if d != e)
    return TensorType(type.dtype, shape)


def _names(dims: Iterable[Dim]) -> set[str]:
    return {name for dim in dims if isinstance(dim, str) for name in re.findall(r"[^-+*]+", dim)}


def _seen_outside(types: Iterable[TensorType], inputs: Iterable[Value | None]) -> list[TensorType]:
    """Types of a body's results, where unknown sizes that no input has are different ones each time it runs."""
    known: set[str] = set()
    for value in inputs:
        if value is not None:
            known |= _names(value.type.shape)
            known |= _names(value.content if isinstance(value.content, tuple) else (value.content or 0,))

    def lasting(dim: Dim) -> Dim:
        return unknown() if is_unknown(dim) and not _names((dim,)) <= known else dim

    return [
        type if isinstance(type, OpaqueType) else TensorType(type.dtype, tuple(lasting(d) for d in type.shape))
        for type in types
    ]


def _lasting(type: TensorType, following: TensorType) -> TensorType:
    """The type of a state of a Scan, whose sizes stay what they are at first; the body may know them better."""
    if isinstance(type, OpaqueType):
        return type
    sizes = zip(type.shape, following.shape, strict=True)
    return TensorType(type.dtype, tuple(e if is_unknown(d) and not is_unknown(e) else d for d, e in sizes))


def _check_count(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise DeclarationError(f"{name} has {found} inputs besides its own, its body takes {expected}")


def _check_states(
    formals: Sequence[Value], inputs: Sequence[Value], results: Sequence[Value], stays: bool = False
) -> None:
    """Whether what is carried can go into the body at every step; its size `stays` the same in a Scan."""
    # An unknown size that is one of outside stays what it is there.
    known = set() if stays else {d for v in inputs for d in v.type.shape}
    for position, (formal, given, result) in enumerate(zip(formals, inputs[: len(formals)], results, strict=True)):
        for other in (given, result):
            a, b = formal.type, other.type
            if a.dtype is not b.dtype or isinstance(a, OpaqueType) != isinstance(b, OpaqueType):
                raise DTypeError(f"the body takes {a} as its carried value {position}, {b} came")
            trusted = stays or other is given
            if len(a.shape) != len(b.shape) or any(
                d != e and (d in known or not is_unknown(d)) and not (trusted and is_unknown(e))
                for d, e in zip(a.shape, b.shape, strict=True)
            ):
                raise ShapeError(
                    f"the body takes {a} as its carried value {position}, {b} came; a size that changes is declared "
                    f"unknown in the body"
                )


def _if_types(condition: Value, *captured: Value, then_branch: Graph, else_branch: Graph) -> tuple[TensorType, ...]:
    branches = (then_branch, else_branch)
    for branch in branches:
        _check_count("If", len(captured), branch.captures)
    if len(then_branch.outputs) != len(else_branch.outputs):
        raise DeclarationError(
            f"the branches give {len(then_branch.outputs)} and {len(else_branch.outputs)} values; they must give the "
            f"same number"
        )
    found = [_seen_outside((v.type for v in branch.outputs.values()), captured) for branch in branches]
    return tuple(merged(a, b) for a, b in zip(*found, strict=True))


@onnx_op("If", type=_if_types, opaque=True)
def if_operator(condition: Value, *captured: Value, then_branch: Graph, else_branch: Graph) -> tuple[Value, ...]:
    """The results of one of two graphs: `then_branch` where `condition` is true, else `else_branch`.

    Both take all of `captured`, the values that they use from outside.
    """


def always_runs(condition: Value | None, body: Graph) -> bool:
    """Whether only the trip count ends a loop."""
    goes_on, number = next(iter(body.outputs.values())), constant_of(condition)
    begins = condition is None or (number is not None and bool(number.all()))
    number = constant_of(goes_on)
    return begins and (goes_on is list(body.inputs.values())[1] or (number is not None and bool(number.all())))


def steps(trip_count: Value | None, condition: Value | None, body: Graph) -> Dim | None:
    """How often a loop runs, where that is known when declaring."""
    content = None if trip_count is None or not always_runs(condition, body) else trip_count.content
    if isinstance(content, tuple) and len(content) == 1:
        content = content[0]
    if isinstance(content, int):
        return max(content, 0)
    # A difference of sizes may be below zero.
    return content if isinstance(content, str) and "-" not in content else None


def _loop_types(
    trip_count: Value | None = None, condition: Value | None = None, *rest: Value, body: Graph
) -> tuple[TensorType, ...]:
    carried = len(body.inputs) - 2 - body.captures
    _check_count("Loop", len(rest), carried + body.captures)
    if carried < 0 or len(body.outputs) < 1 + carried:
        raise DeclarationError(f"the body of Loop takes {carried} carried values and gives {len(body.outputs)} results")
    formals, results = list(body.inputs.values())[2:], list(body.outputs.values())
    _check_states(formals[:carried], rest, results[1 : 1 + carried])
    found = _seen_outside((v.type for v in results), (trip_count, *rest))
    length = steps(trip_count, condition, body)
    lead = unknown() if length is None else length
    states = [merged(v.type, t) for v, t in zip(rest[:carried], found[1 : 1 + carried], strict=True)]
    stacked = []
    for type in found[1 + carried :]:
        if isinstance(type, OpaqueType):
            raise ShapeError(f"a loop cannot stack values of the type {type}")
        stacked.append(TensorType(type.dtype, (lead, *type.shape)))
    return (*states, *stacked)


@onnx_op("Loop", type=_loop_types, opaque=True)
def loop_operator(
    trip_count: Value | None = None, condition: Value | None = None, *carried_and_captured: Value, body: Graph
) -> tuple[Value, ...]:
    """`body(step, condition, *carried, *captured)`, again and again, gives the condition to go on and what is carried.

    At most `trip_count` times, while the condition is true. What else the body gives at each step comes out stacked.
    """


def scan_axes(given: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Axes or directions of a scan, whose default is 0."""
    return tuple(int(i) for i in given) if given else (0,) * count


def _scan_types(
    *inputs: Value,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None,
    scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None,
    scan_output_directions: tuple[int, ...] | None = None,
) -> tuple[TensorType, ...]:
    _check_count("Scan", len(inputs), len(body.inputs))
    states = len(body.inputs) - body.captures - num_scan_inputs
    if states < 0 or num_scan_inputs < 1 or len(body.outputs) < states:
        raise DeclarationError(f"a Scan over {num_scan_inputs} sequences has {len(body.inputs)} inputs in its body")
    formals, results = list(body.inputs.values()), list(body.outputs.values())
    _check_states(formals[:states], inputs, results[:states], stays=True)
    length: Dim | None = None
    axes = scan_axes(scan_input_axes, num_scan_inputs)
    for position, axis in enumerate(axes):
        sequence, formal = inputs[states + position].type, formals[states + position].type
        axis = normal_axis(axis, len(sequence.shape))
        element: Shape = sequence.shape[:axis] + sequence.shape[axis + 1 :]
        if formal.dtype is not sequence.dtype or len(formal.shape) != len(element):
            raise ShapeError(f"the body takes {formal} of a sequence, {TensorType(sequence.dtype, element)} came")
        if not all(map(dims_agree, formal.shape, element)):
            raise ShapeError(f"the body takes {formal} of a sequence, {TensorType(sequence.dtype, element)} came")
        size = sequence.shape[axis]
        if length is not None and not dims_agree(length, size):
            raise ShapeError(f"the sequences have lengths {length} and {size}, which must agree")
        if length is None or (is_unknown(length) and not is_unknown(size)):
            length = size
    assert length is not None
    found = _seen_outside((v.type for v in results), inputs)
    carried = [_lasting(v.type, t) for v, t in zip(inputs[:states], found[:states], strict=True)]
    stacked = []
    for axis, type in zip(scan_axes(scan_output_axes, len(results) - states), found[states:], strict=True):
        axis = normal_axis(axis, len(type.shape) + 1)
        stacked.append(TensorType(type.dtype, (*type.shape[:axis], length, *type.shape[axis:])))
    return (*carried, *stacked)


@onnx_op("Scan", type=_scan_types, opaque=True)
def scan_operator(
    *states_sequences_captured: Value,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None,
    scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None,
    scan_output_directions: tuple[int, ...] | None = None,
) -> tuple[Value, ...]:
    """`body(*states, *elements, *captured)` for the elements of sequences in turn; its further results come stacked.

    Sequences lie along `scan_input_axes` and are run through from the back where `scan_input_directions` is 1; results
    are stacked along `scan_output_axes`, from the back to the front where `scan_output_directions` is 1. onnxruntime
    has no Scan over sequences of length 0.
    """
