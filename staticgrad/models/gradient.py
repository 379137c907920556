"""The gradient of a model as a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx

from staticgrad.differentiate import vjp
from staticgrad.errors import DeclarationError, GradientError, shown
from staticgrad.graph import Array, Graph, Leaf, Value, with_inner
from staticgrad.models.model import ModelLike, chosen
from staticgrad.onnx_reader import Reading, Source, load, read, understood
from staticgrad.ops.registry import constant
from staticgrad.optimise import optimise
from staticgrad.origin import source_line
from staticgrad.reverse import differentiated
from staticgrad.types import OpaqueType

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

Names = str | Iterable[str] | None


def gradient_model(model: ModelLike, of: Names = None, wrt: Names = None, prefix: str = "grad") -> onnx.ModelProto:
    """The model that gives the outputs of `model` and then its gradients, `grad.<name>` for each name in `wrt`.

    `of` are the outputs that are differentiated (default: all floating ones), `wrt` inputs or initializers (default:
    all floating inputs, or all floating initializers if there is no such input). For each differentiated output there
    is an input `cotangent.<output>` of its type, unless `of` is one single scalar: then the gradient is that of it. A
    name that no differentiated output depends on gets zeros. With another `prefix` the new names are
    `<prefix>.<name>` and `<prefix>.cotangent.<output>`, so that a result can be differentiated again.
    """
    if not isinstance(prefix, str) or not prefix:
        raise DeclarationError(f"the prefix is a text that is not empty, {shown(prefix)} came ({source_line()})")
    source = load(model)
    with understood(source.name):
        try:
            return _gradient(source, _read(source, of, wrt), of, wrt, prefix)
        except exporters.MixedOpsetsError:
            return _gradient(source, read(source), of, wrt, prefix)


def _gradient(source: Source, reading: Reading, of: Names, wrt: Names, prefix: str) -> onnx.ModelProto:
    outputs, targets = _ends(reading, of, wrt, source.name)
    first = next(iter(outputs.values()))
    seeds: dict[str, Value] = {}
    if len(outputs) == 1 and not first.type.shape and not isinstance(first.type, OpaqueType):
        cotangents = [constant(np.ones((), first.type.dtype.numpy))]
    else:
        title = "cotangent" if prefix == "grad" else f"{prefix}.cotangent"
        seeds = {f"{title}.{name}": Leaf("input", f"{title}.{name}", y.type).outputs[0] for name, y in outputs.items()}
        cotangents = list(seeds.values())
    gradients = vjp(list(outputs.values()), list(targets.values()), cotangents)
    results = {f"{prefix}.{name}": g for name, g in zip(targets, gradients, strict=True)}
    _check_free([*seeds, *results], reading, source)
    inputs = {**reading.inputs, **seeds, **reading.parameters}
    graph = optimise(Graph(reading.graph.name, inputs, {**reading.outputs, **results}))
    return to_proto(graph, reading, source, "gradient")


def _ends(reading: Reading, of: Names, wrt: Names, name: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """The outputs to differentiate, and the values to differentiate them by."""
    if of is None:
        outputs = {n: y for n, y in reading.outputs.items() if y.type.dtype.is_float}
        if not outputs:
            raise GradientError(f"{name} has no floating output, so it has no gradient ({source_line()})")
    else:
        outputs = chosen(of, reading.outputs, "of", name)
    if wrt is None:
        targets = {n: x for n, x in reading.inputs.items() if x.type.dtype.is_float} or dict(reading.parameters)
        if not targets:
            raise GradientError(f"{name} has neither floating inputs nor floating initializers ({source_line()})")
    else:
        targets = chosen(wrt, {**reading.inputs, **reading.parameters}, "wrt", name)
    return outputs, targets


def _read(source: Source, of: Names, wrt: Names) -> Reading:
    """The model, with functions read as operators that are on the differentiated path, or in bodies there."""
    reading = read(source, inline=())
    if not reading.calls:
        return reading
    outputs, targets = _ends(reading, of, wrt, source.name)
    active = set(with_inner(differentiated(outputs.values(), targets.values())[0]))
    on_path = {number for number, value in reading.calls.items() if value.node in active}
    return read(source, inline=on_path) if on_path else reading


def _check_free(names: Iterable[str], reading: Reading, source: Source) -> None:
    taken = {*reading.inputs, *reading.outputs, *reading.parameters}
    given: set[str] = set()
    for name in names:
        if name in given:
            raise DeclarationError(
                f"{name!r} would be both a cotangent and a gradient of {source.name}; leave an output out of `of`, or "
                f"an input out of `wrt` ({source_line()})"
            )
        given.add(name)
        if name in taken:
            raise DeclarationError(
                f"{source.name} has a value called {name!r} already; give another prefix, such as prefix='grad2' "
                f"({source_line()})"
            )


def to_proto(graph: Graph, reading: Reading, source: Source, kind: str) -> onnx.ModelProto:
    """A graph made from a model as a model again: its initializers and metadata stay."""
    initial = initial_of(reading.parameters)
    metadata = {p.key: p.value for p in source.proto.metadata_props} | exporters.metadata_of(kind, ())
    used = {v for node in graph.nodes for v in node.inputs} | set(graph.outputs.values())
    kept = {n: v for n, v in graph.inputs.items() if n not in initial or v in used}
    lean = Graph(graph.name, kept, graph.outputs, graph.nodes, graph.became)
    proto = exporters.to_model(lean, metadata, {n: a for n, a in initial.items() if n in kept})
    proto.doc_string = source.proto.doc_string
    return proto


def initial_of(values: Mapping[str, Value]) -> dict[str, Array]:
    """The numbers that leaves have to begin with, by name."""
    found = {}
    for name, value in values.items():
        if isinstance(value.node, Leaf) and value.node.initial is not None:
            found[name] = value.node.initial
    return found
