"""Functions of models and of ONNX: read as the operators that they are made of, or left as they stand."""

from __future__ import annotations

from typing import Any

import onnx

from staticgrad.errors import ModelError, UnsupportedOperatorError, shown
from staticgrad.onnx_reader.loading import OLDEST_OPSET
from staticgrad.onnx_reader.names import Function, Names
from staticgrad.onnx_reader.ordering import all_nodes
from staticgrad.onnx_reader.passing import made_as_it_stands
from staticgrad.onnx_reader.scope import UNTYPED, Scope
from staticgrad.onnx_reader.signatures import domain_of
from staticgrad.ops.foreign import Foreign


def call(scope: Scope, key: Function, node: onnx.NodeProto, number: int) -> None:
    """A call of one of the model's functions: read as what it is made of, or left as it stands."""
    names = scope.names
    function = names.functions[key]
    if names.calling or not key[0] or names.inline is True or (names.inline and number in names.inline):
        expand(scope, function, node, key)
        return
    # What it is made of tells the types; the node as it stands then takes the names of its outputs.
    expand(scope, function, node, key)
    types = [None if not n else scope.values[n] for n in node.output]
    written = tuple(f.SerializeToString(deterministic=True) for f in _called(scope.names, key))
    reason = "a function of the model is differentiated as its body"
    entry = Foreign(node.op_type, key[0], reason, written, scope.opsets.get(key[0], 1), key[2])
    made_as_it_stands(scope, node, entry, [UNTYPED if v is None else v.type for v in types])
    outputs = [v for v in (scope.values[n] for n in node.output if n) if v is not None]
    if outputs:
        names.calls[number] = outputs[0]


def _called(names: Names, key: Function) -> list[onnx.FunctionProto]:
    """The function and those that it calls."""
    found: dict[Function, None] = {}
    stack = [key]
    while stack:
        current = stack.pop()
        if current in names.functions and current not in found:
            found[current] = None
            stack.extend((domain_of(n.domain), n.op_type, n.overload) for n in all_nodes(names.functions[current].node))
    return [names.functions[k] for k in found]


def expand(scope: Scope, function: onnx.FunctionProto, node: onnx.NodeProto, key: Function) -> None:
    names = scope.names
    if key in names.calling:
        raise ModelError(f"the function {shown(key[1])} calls itself")
    bound = {a.name: a for a in function.attribute_proto} | {a.name: a for a in node.attribute}
    opsets = {domain_of(o.domain): o.version for o in function.opset_import}
    inner = Scope(names, opsets, None, bound)
    if len(node.input) > len(function.input) or len(node.output) > len(function.output):
        raise ModelError(f"the function {shown(key[1])} has fewer inputs or outputs than it is called with")
    if len(set(function.input)) < len(function.input) or "" in function.input:
        raise ModelError(f"the function {shown(key[1])} has an input without a name, or two of one name")
    version = opsets.get("", onnx.defs.onnx_opset_version())
    if not OLDEST_OPSET <= version <= onnx.defs.onnx_opset_version():
        raise UnsupportedOperatorError(
            f"the function {shown(key[1])} has opset {version}; {OLDEST_OPSET} to "
            f"{onnx.defs.onnx_opset_version()} can be read"
        )
    given = [scope.lookup(name) for name in node.input]
    for position, name in enumerate(function.input):
        inner.values[name] = given[position] if position < len(given) else None
    names.calling.append(key)
    try:
        names.read(inner, function.node)
    finally:
        names.calling.pop()
    for name, result in zip(node.output, function.output, strict=False):
        if name:
            scope.values[name] = inner.lookup(result)


def schema_function(scope: Scope, node: onnx.NodeProto, schema: Any, opset: int) -> onnx.FunctionProto | None:
    """The function body that ONNX gives for an operator."""
    if schema.has_function:
        version = max(v for v in schema.function_opset_versions if v <= opset)
        return _parsed_function(schema.get_function_with_opset_version(version))
    if schema.has_context_dependent_function:
        version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
        types = [scope.proto(name) for name in node.input]
        given = [b"" if t is None else t.SerializeToString() for t in types]
        body = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), given)
        return _parsed_function(body) if body else None
    return None


def _parsed_function(data: bytes) -> onnx.FunctionProto:
    function = onnx.FunctionProto()
    function.ParseFromString(data)
    return function
