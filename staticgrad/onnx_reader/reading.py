"""The reader: names become values, nodes of any opset operators of the one dialect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from staticgrad.errors import ModelError, StaticgradError, UnsupportedOperatorError, shown
from staticgrad.graph import Array, Graph, Leaf, Value, collection_paused
from staticgrad.onnx_reader.loading import Source, understood
from staticgrad.onnx_reader.names import Names, check_name
from staticgrad.onnx_reader.nodes import read_nodes
from staticgrad.onnx_reader.running import running_statistics
from staticgrad.onnx_reader.scope import Scope
from staticgrad.onnx_reader.signatures import check_text, domain_of
from staticgrad.onnx_reader.tensors import array_of, dense_of
from staticgrad.ops.onnx_types import read_type
from staticgrad.ops.registry import constant
from staticgrad.origin import source_line
from staticgrad.types import OpaqueType, TensorType, dims_agree


@dataclass(frozen=True)
class Reading:
    """A model as values: its inputs, outputs and floating initializers by name, and `values` under all its names.

    Running statistics of batch normalization are states among the parameters. `calls` are the functions of the model
    that were left as they stand, by the number of the node that calls. `running` names all running statistics.
    """

    graph: Graph
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    parameters: Mapping[str, Value]
    values: Mapping[str, Value]
    calls: Mapping[int, Value] = field(default_factory=dict)
    running: Collection[str] = ()


def read(
    source: Source,
    inputs: Mapping[str, Value] | None = None,
    parameters: Mapping[str, Value] | None = None,
    inline: bool | Collection[int] = True,
) -> Reading:
    """Read a model.

    `inputs` and `parameters` are values that stand for those of the model. `inline` says which calls of the model's
    functions are read as the operators that they are made of, all or the nodes with these numbers.
    """
    try:
        with collection_paused(), understood(source.name):
            return _Model(source, inline).read(inputs or {}, parameters or {})
    except StaticgradError as error:
        text = " ".join(str(error).split())
        here = f"({source_line()})"
        raise type(error)(text if text.endswith(here) else f"{text}; in {source.name} {here}") from error


class _Model:
    def __init__(self, source: Source, inline: bool | Collection[int]) -> None:
        self.proto = source.proto
        self.folder: Path | None = source.folder
        self.names = Names(source, inline, read_nodes)

    def read(self, given: Mapping[str, Value], known: Mapping[str, Value]) -> Reading:
        graph = self.proto.graph
        scope = Scope(self.names, self._opsets())
        scope.declared = {v.name: v.type for v in (*graph.value_info, *graph.output)}
        formal: dict[str, onnx.ValueInfoProto] = {}
        check_text(*(info.name for info in graph.output))
        for info in graph.input:
            check_name(info.name, "an input", formal)
            formal[info.name] = info
        # Before IR version 4 every initializer had to be an input too.
        overridable = set(formal) if self.proto.ir_version >= 4 else set()
        running = running_statistics(self.proto)
        inputs: dict[str, Value] = {}
        parameters: dict[str, Value] = {}
        initial: dict[str, Array] = {}
        for name, array, dtype in self._initializers(graph):
            check_name(name, "an initializer", initial)
            initial[name] = array
            if name in overridable:
                _check_default(name, TensorType(dtype, array.shape), read_type(formal[name].type, self.names.dim))
                continue
            if dtype.is_float:
                if name in known:
                    leaf = known[name]
                else:
                    array.flags.writeable = False
                    kind: Literal["parameter", "state"] = "state" if name in running else "parameter"
                    type = TensorType(dtype, array.shape)
                    leaf = Leaf(kind, name, type, array, kind == "parameter").outputs[0]
                parameters[name] = scope.values[name] = leaf
                scope.literals[name] = array
            else:
                value = constant(array, dtype=dtype)
                value.node.names = (name,)
                scope.values[name] = value
        for name, info in formal.items():
            if name in scope.values:
                continue
            if name in given:
                value = given[name]
            else:
                type = read_type(info.type, self.names.dim)
                value = Leaf("input", name, type, initial.get(name)).outputs[0]
            inputs[name] = scope.values[name] = value
        read_nodes(scope, graph.node)
        outputs: dict[str, Value] = {}
        for info in graph.output:
            if info.name in outputs:
                raise ModelError(f"the output {shown(info.name)} is there twice")
            found = scope.lookup(info.name)
            if found is None:
                raise ModelError(f"the output {shown(info.name)} is left out by what should give it")
            if isinstance(found.type, OpaqueType) and not found.type.onnx:
                raise ModelError(f"the output {shown(info.name)} has no type")
            outputs[info.name] = found
        if not outputs:
            raise ModelError("the graph has no outputs")
        if self.names.unsupported:
            raise UnsupportedOperatorError("; ".join(dict.fromkeys(self.names.unsupported)))
        whole = Graph(graph.name or "model", {**inputs, **parameters}, outputs)
        values = {name: value for name, value in scope.values.items() if value is not None and "\0" not in name}
        return Reading(whole, inputs, outputs, parameters, values, self.names.calls, running)

    def _opsets(self) -> dict[str, int]:
        return {domain_of(opset.domain): opset.version for opset in self.proto.opset_import}

    def _initializers(self, graph: onnx.GraphProto) -> Iterable[tuple[str, Array, Any]]:
        for tensor in graph.initializer:
            yield tensor.name, *array_of(tensor, self.folder)
        for sparse in graph.sparse_initializer:
            array, dtype = dense_of(sparse, self.folder)
            yield sparse.values.name, np.asarray(array), dtype


def _check_default(name: str, held: TensorType, declared: TensorType) -> None:
    """Refuse an initializer that is no default of the input of its name."""
    fits = held.dtype is declared.dtype and (
        (isinstance(declared, OpaqueType) and declared.rankless)
        or (len(held.shape) == len(declared.shape) and all(map(dims_agree, held.shape, declared.shape)))
    )
    if not fits:
        raise ModelError(f"the input {shown(name)} is {declared}, its initializer {held}")
