"""The derivative of a map over sequences: a map over them and the cotangents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.control_flow.body import Given, Result, graph_of, inside_of, positions, pull, refused, whole
from staticgrad.graph import Graph, Value
from staticgrad.ops.bodies import captured_by
from staticgrad.ops.onnx_types import is_sequence, sequence_of
from staticgrad.ops.sequence import sequence_map_operator, zeros_of
from staticgrad.types import OpaqueType, TensorType, unknown


@sequence_map_operator.refuses
def _(*inputs: Value, wanted: Sequence[bool], arrives: Sequence[bool], body: Graph) -> str | None:
    """What its body holds and has no derivative, and sequences that it uses from outside."""
    first = len(inputs) - body.captures
    for value, asked in zip(inputs[first:], wanted[first:], strict=True):
        if asked and isinstance(value.type, OpaqueType) and not value.type.rankless:
            return (
                f"its body uses {value.type} from outside, whose cotangent each step would give as a whole; hand it "
                f"to the map as one of its inputs"
            )
    return refused(whole(body), positions(wanted), arrives)


@sequence_map_operator.vjp
def _(g: Given, y: Sequence[Value], *inputs: Value, wanted: Sequence[bool], body: Graph) -> Result:
    """A SequenceMap whose body computes its values once more and goes back from there.

    The cotangents of what every step takes as a whole come as a sequence, and are added up.
    """
    own = whole(body)
    targets = [own.formals[i] for i in positions(wanted)]
    inside = inside_of(own)
    formals, cotangents = pull(own, [o for o, arrived in enumerate(g) if arrived is not None], targets)
    found = [i for i in positions(wanted) if own.formals[i] in cotangents]
    if not found:
        return (None,) * len(inputs)
    results = [cotangents[own.formals[i]] for i in found]
    needed = captured_by(results, [*own.formals, *formals.values()], inside)
    first = len(inputs) - body.captures
    back = graph_of("back", [*own.formals[:first], *formals.values()], [*own.formals[first:], *needed], results)
    mapped = [i < first and is_sequence(inputs[i].type) for i in found]
    types = [inputs[i].type if each else sequence_of(inputs[i].type) for i, each in zip(found, mapped, strict=True)]
    given = (*inputs[:first], *[g[o] for o in formals], *inputs[first:], *needed)
    made = sequence_map_operator.apply(given, {"body": back}, types).outputs
    by_position = {i: v if each else _total(v, inputs[i]) for i, v, each in zip(found, made, mapped, strict=True)}
    return tuple(by_position.get(i) for i in range(len(inputs)))


def _total(xs: Value, like: Value) -> Value:
    """The sum of the elements of a sequence, all of the type of `like`."""
    # Runtimes put no empty sequence together.
    some = ops.sequence_insert(xs, zeros_of(like))
    type = like.type
    if not isinstance(type, OpaqueType):
        type = TensorType(type.dtype, (unknown(), *type.shape))
    stacked = ops.concat_from_sequence.apply((some,), {"axis": 0, "new_axis": True}, (type,)).outputs[0]
    how = {"keepdims": False, "noop_with_empty_axes": False}
    axes = ops.constant(np.zeros(1, np.int64))
    return ops.reduce_sum.apply((stacked, axes), how, (like.type,)).outputs[0]
