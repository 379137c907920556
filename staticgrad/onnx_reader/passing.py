"""Nodes that no entry describes: passed on as they stand, with the types that ONNX infers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.graph import Node
from staticgrad.onnx_reader.bodies import Body, bodies_of, joined
from staticgrad.onnx_reader.ordering import names_read
from staticgrad.onnx_reader.scope import UNTYPED, Scope
from staticgrad.onnx_reader.signatures import first_line
from staticgrad.ops.foreign import Foreign
from staticgrad.ops.onnx_types import read_type
from staticgrad.ops.registry import DIALECT
from staticgrad.types import Dim, OpaqueType, TensorType


def pass_on(
    scope: Scope, node: onnx.NodeProto, domain: str, reason: str, bodies: Mapping[str, Body] | None = None
) -> None:
    """Pass a node on as it stands; a derivative of it is refused with `reason`."""
    if bodies is None:
        bodies = bodies_of(scope, node)
    version = scope.opsets.get(domain)
    if version is None:
        raise ModelError(f"the model names no version of the domain {shown(domain)}")
    entry = Foreign(node.op_type, domain, reason, opset=version)
    made_as_it_stands(scope, node, entry, _inferred(scope, node, domain), bodies)


def made_as_it_stands(
    scope: Scope,
    node: onnx.NodeProto,
    entry: Foreign,
    types: Sequence[TensorType],
    bodies: Mapping[str, Body] | None = None,
) -> None:
    """A node of a foreign operator, with what the model has as its attributes."""
    graphs, captured = joined(bodies or {})
    attributes: dict[str, Any] = {
        a.name: a.SerializeToString(deterministic=True) for a in node.attribute if a.type != onnx.AttributeProto.GRAPH
    }
    inputs = tuple([scope.lookup(name) for name in node.input])
    scope.bind(Node(entry, (*inputs, *captured), {**attributes, **graphs}, types), node)


def _inferred(scope: Scope, node: onnx.NodeProto, domain: str) -> list[TensorType]:
    """The types of a node's outputs by ONNX's inference, else as the model declares them."""
    found: dict[str, onnx.TypeProto] = {}
    version = DIALECT if not domain else scope.opsets[domain]
    try:
        schema = onnx.defs.get_schema(node.op_type, version, domain)
    except (onnx.defs.SchemaError, TypeError):
        # A version beyond 32 bits is a TypeError.
        schema = None
    if schema is not None:
        reads = {name: scope.proto(name) for name in names_read(node) if scope.is_visible(name)}
        types = {name: t for name, t in reads.items() if t is not None}
        small = {}
        for name in node.input:
            array = scope.constant(name) if name else None
            if array is not None and array.size <= 1024 and not array.dtype.hasobject:
                small[name] = onnx.numpy_helper.from_array(np.asarray(array), name)
        imports = [onnx.helper.make_opsetid(d, v if d else DIALECT) for d, v in scope.opsets.items()]
        try:
            found = onnx.shape_inference.infer_node_outputs(schema, node, types, small, opset_imports=imports)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, KeyError) as error:
            raise ModelError(f"this is no valid {node.op_type}: {first_line(error)}") from error
        handed = {d.dim_param for t in types.values() for d in t.tensor_type.shape.dim if d.dim_param}

        def dim(size: str) -> Dim:
            """Inference hands on names of sizes as it got them; those in bodies are the model's own."""
            return size if size in handed else scope.names.dim(size)

        return [_type(scope, name, found.get(name), dim) for name in node.output]
    return [_type(scope, name, None, scope.names.dim) for name in node.output]


def _type(scope: Scope, name: str, inferred: onnx.TypeProto | None, dim: Callable[[str], Dim]) -> TensorType:
    for proto in (inferred, scope.declared.get(name)):
        if proto is not None and proto.WhichOneof("value") is not None:
            if proto.WhichOneof("value") == "tensor_type" and not proto.tensor_type.elem_type:
                continue
            type = read_type(proto, dim if proto is inferred else scope.names.dim)
            if not (isinstance(type, OpaqueType) and type.rankless and proto is inferred):
                return type
    if inferred is not None and inferred.tensor_type.elem_type:
        return read_type(inferred, dim)
    return UNTYPED
