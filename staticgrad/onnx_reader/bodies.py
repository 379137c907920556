"""Bodies of loops and branches while they are read: what they take from outside becomes inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from staticgrad.errors import ModelError
from staticgrad.graph import Graph, Leaf, Value
from staticgrad.ops.onnx_types import is_sequence, joined_sequence, rankless
from staticgrad.types import Dim, OpaqueType, TensorType, unknown


class Body(NamedTuple):
    """The inputs and outputs of a body, and which value inside stands for which outside."""

    name: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    captured: Mapping[Value, Value]


def joined(bodies: Mapping[str, Body]) -> tuple[dict[str, Graph], list[Value]]:
    """The graphs of a node's bodies, which all take the same values from outside, and these values."""
    outer = list(dict.fromkeys(v for body in bodies.values() for v in body.captured))
    graphs = {}
    for key, body in bodies.items():
        inputs = dict(body.inputs)
        for value in outer:
            inner = body.captured.get(value)
            if inner is None:
                inner = Leaf("input", "unused", value.type).outputs[0]
            name = inner.name or "captured"
            while name in inputs:
                name += "_"
            inputs[name] = inner
        graphs[key] = Graph(body.name, inputs, body.outputs, captures=len(outer))
    return graphs, outer


def widened(a: TensorType, b: TensorType, free: set[Dim]) -> TensorType:
    """A type for values of both: sizes that differ are unknown, and put into `free`; those may be anything."""
    if is_sequence(a) and is_sequence(b) and a.dtype is b.dtype:
        return a if a == b else joined_sequence(a, b, lambda x, y: widened(x, y, free))
    if a == b or isinstance(a, OpaqueType):
        return a
    if isinstance(b, OpaqueType):
        return b if b.rankless else a
    if a.dtype is not b.dtype:
        raise ModelError(f"a loop hands on {b} where it began with {a}")
    if len(a.shape) != len(b.shape):
        return rankless(a.dtype)
    shape = tuple(x if x == y or x in free else unknown() for x, y in zip(a.shape, b.shape, strict=True))
    free.update(new for new, old in zip(shape, a.shape, strict=True) if new != old)
    return a if shape == a.shape else TensorType(a.dtype, shape)
