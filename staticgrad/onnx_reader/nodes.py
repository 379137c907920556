"""How nodes of any opset become values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from staticgrad.errors import ModelError, StaticgradError, UnsupportedOperatorError, shown
from staticgrad.graph import Leaf, Value
from staticgrad.methods import OPERATORS
from staticgrad.onnx_reader.attributes import attributes_of
from staticgrad.onnx_reader.bodies import bodies_of, joined, read_scan_of_batches
from staticgrad.onnx_reader.dialect import lowered, upgraded
from staticgrad.onnx_reader.functions import call, expand, schema_function
from staticgrad.onnx_reader.loading import OLDEST_OPSET
from staticgrad.onnx_reader.old_opsets import modernized
from staticgrad.onnx_reader.ordering import in_order
from staticgrad.onnx_reader.passing import pass_on
from staticgrad.onnx_reader.scope import UNTYPED, Scope
from staticgrad.onnx_reader.signatures import check_signature, domain_of, first_line, label_of
from staticgrad.onnx_reader.sizing import DEEPEST
from staticgrad.onnx_reader.tensors import array_of
from staticgrad.ops.registry import DIALECT, constant
from staticgrad.origin import SourceLine, current_origin
from staticgrad.types import DType, OpaqueType

# Inputs without a derivative that a type rule needs as numbers: floating initializers are literals there.
_STATIC = {"Resize": (1, 2), "Dropout": (1,)}
# What entries and bodies raise at input that makes no sense; ONNX's own inference then decides.
_SENSELESS = (
    *(StaticgradError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError),
    *(MemoryError, UnicodeError),
)
_NO_RULE = "there is no gradient rule for it"
_OTHER_DOMAINS = {
    "ai.onnx.preview.training": "the step of an optimizer, which is not differentiated; sg.train and sg.optim make one",
    "ai.onnx.ml": "trees, classifiers and what encodes labels have no derivative here; take their results as inputs",
}
_GONE = {"Scatter", "Upsample"}


def read_nodes(scope: Scope, nodes: Sequence[onnx.NodeProto]) -> None:
    """Read all nodes, each after those that it depends on."""
    scope.names.depth += 1
    try:
        if scope.names.depth > DEEPEST:
            raise ModelError(f"bodies and functions are nested deeper than {DEEPEST}")
        for node in in_order(nodes, scope.values):
            _node(scope, _bound(scope, node))
    finally:
        # Of a newer node another form is tried where one cannot be read.
        scope.names.depth -= 1


def _bound(scope: Scope, node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with the attributes that a function hands on to it."""
    if not any(a.ref_attr_name for a in node.attribute):
        return node
    if scope.attributes is None:
        raise ModelError(f"an attribute refers to one of a function, outside of any; node {label_of(node)!r}")
    bound = onnx.NodeProto()
    bound.CopyFrom(node)
    del bound.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            bound.attribute.append(attribute)
        elif attribute.ref_attr_name in scope.attributes:
            bound.attribute.append(scope.attributes[attribute.ref_attr_name])
            bound.attribute[-1].name = attribute.name
    return bound


def _node(scope: Scope, node: onnx.NodeProto) -> None:
    names = scope.names
    names.counted()
    domain = domain_of(node.domain)
    number = -1
    token = None
    if not names.calling:
        names.number += 1
        number = names.number
        token = current_origin.set((None, SourceLine(names.file, number, label_of(node))))
    try:
        doubled = len({a.name for a in node.attribute}) < len(node.attribute)
        if doubled:
            raise ModelError("an attribute is there twice")
        function = (domain, node.op_type, node.overload)
        if function in names.functions:
            call(scope, function, node, number)
        elif domain:
            _other_domain(scope, node, domain)
        else:
            _standard(scope, node)
    except StaticgradError as error:
        text = str(error)
        if "; node " in text:
            raise
        raise type(error)(f"{text}; node {label_of(node)!r} ({shown(node.op_type)[1:-1]})") from error
    except _SENSELESS as error:
        cause = first_line(error)
        raise ModelError(f"this is no valid {shown(node.op_type)[1:-1]}: {cause}; node {label_of(node)!r}") from error
    finally:
        if token is not None:
            current_origin.reset(token)


def _standard(scope: Scope, node: onnx.NodeProto) -> None:
    opset = scope.opsets.get("")
    if opset is None:
        raise ModelError("the model names no version of ONNX's own operators")
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        schema = None
    if schema is None and node.op_type not in _GONE:
        raise ModelError(f"ONNX has no operator {shown(node.op_type)} in opset {opset}")
    if schema is not None:
        check_signature(node, opset)
    if schema is not None and schema.since_version > DIALECT:
        _newer(scope, node, schema, opset)
        return
    if node.op_type == "Scan" and opset == 8 and not node.input[0]:
        read_scan_of_batches(scope, node)
        return
    if opset >= OLDEST_OPSET:
        _upgraded(scope, node, min(opset, DIALECT))
        return
    modern = modernized(node, opset, scope)
    for made in modern[:-1]:
        read_in_dialect(scope, made)
    _upgraded(scope, modern[-1], OLDEST_OPSET)


def _upgraded(scope: Scope, node: onnx.NodeProto, opset: int) -> None:
    """A node in the words of the dialect."""
    following = upgraded(node, opset, scope)
    for made in [node] if following is None else following:
        read_in_dialect(scope, made)


def _other_domain(scope: Scope, node: onnx.NodeProto, domain: str) -> None:
    """A node of a domain that is not ONNX's own: by its function body where onnx has one, else as it stands."""
    opset = scope.opsets.get(domain)
    if opset is not None and onnx.defs.has(node.op_type, domain):
        schema = onnx.defs.get_schema(node.op_type, opset, domain)
        function = schema_function(scope, node, schema, opset)
        if function is not None:
            if all(o.domain for o in function.opset_import):
                function.opset_import.add(version=scope.opsets.get("", DIALECT))
            expand(scope, function, node, (domain, node.op_type, str(opset)))
            return
    reason = _OTHER_DOMAINS.get(domain, f"nothing is known of operators of the domain {domain!r}")
    pass_on(scope, node, domain, reason)


def _newer(scope: Scope, node: onnx.NodeProto, schema: Any, opset: int) -> None:
    """A node whose operator is newer than the dialect: as an older form of it takes it, or by its function body."""
    try:
        onnx.defs.get_schema(node.op_type, DIALECT)
        for made in lowered(node, opset, scope) or [node]:
            read_in_dialect(scope, made)
        return
    except (onnx.defs.SchemaError, StaticgradError):
        if _widened(scope, node):
            return
    function = schema_function(scope, node, schema, opset)
    if function is None:
        scope.names.unsupported.append(
            f"{node.op_type} ({SourceLine(scope.names.file, 0, label_of(node))}) of opset {schema.since_version} "
            f"runs nowhere yet and has no function body; use a form of opset {DIALECT}"
        )
        for name in node.output:
            scope.values[name] = _untyped(name)
        return
    expand(scope, function, node, ("", node.op_type, str(opset)))


def _widened(scope: Scope, node: onnx.NodeProto) -> bool:
    """Read a node that takes bfloat16 in its newest form only in float32, where that is possible."""
    given = {name: scope.lookup(name) for name in node.input}
    narrow = [name for name, v in given.items() if v is not None and v.type.dtype is DType.bfloat16]
    if not narrow:
        return False
    wide = onnx.NodeProto()
    wide.CopyFrom(node)
    try:
        for position, name in enumerate(node.input):
            if name in narrow:
                wide.input[position] = scope.fresh("wide")
                _cast(scope, name, wide.input[position], DType.float32)
        for position, name in enumerate(node.output):
            wide.output[position] = scope.fresh("wide") if name else ""
        read_in_dialect(scope, wide)
        for inner, name in zip(wide.output, node.output, strict=True):
            value = scope.lookup(inner)
            if value is not None and value.type.dtype is DType.float32:
                _cast(scope, inner, name, DType.bfloat16)
            elif value is not None:
                scope.values[name] = value
    except (onnx.defs.SchemaError, StaticgradError):
        return False
    return True


def _cast(scope: Scope, name: str, result: str, to: DType) -> None:
    read_in_dialect(scope, onnx.helper.make_node("Cast", [name], [result], to=to.onnx))


def _untyped(name: str) -> Value:
    return Leaf("input", name, UNTYPED).outputs[0]


def read_in_dialect(scope: Scope, node: onnx.NodeProto) -> None:
    """A node in the dialect: by its entry, or passed on as it stands."""
    if node.op_type == "Constant":
        _constant(scope, node)
        return
    entry = OPERATORS.get(node.op_type)
    if entry is None:
        pass_on(scope, node, "", _NO_RULE)
        return
    bodies = bodies_of(scope, node)
    inputs = [scope.lookup(name) for name in node.input]
    try:
        for position in _STATIC.get(node.op_type, ()):
            if position < len(node.input) and node.input[position]:
                array = scope.constant(node.input[position])
                if array is not None:
                    inputs[position] = constant(array)
        if not entry.opaque:
            for name, value in zip(node.input, inputs, strict=True):
                if value is not None and isinstance(value.type, OpaqueType):
                    raise UnsupportedOperatorError(f"its input {name!r} is {value.type}")
        if not entry.variadic:
            missing = len(entry.input_names) - len(inputs)
            if missing < 0 or any(v is None for v in [*inputs, *[None] * missing][: entry.required]):
                raise UnsupportedOperatorError(f"it has {len(inputs)} inputs, not {', '.join(entry.input_names)}")
            inputs += [None] * missing
        graphs, captured = joined(bodies)
        attributes = attributes_of(node, entry, graphs, scope.names.folder)
        made = entry.apply((*inputs, *captured), attributes)
        if len(made.outputs) < len(node.output) and any(node.output[len(made.outputs) :]):
            raise UnsupportedOperatorError(f"its output {node.output[-1]!r} is not known here")
    except _SENSELESS as error:
        pass_on(scope, node, "", str(error), bodies)
        return
    scope.bind(made, node)


def _constant(scope: Scope, node: onnx.NodeProto) -> None:
    if len(node.attribute) != 1 or node.attribute[0].name != "value" or len(node.output) != 1:
        raise ModelError("a Constant has one value and one output")
    array, dtype = array_of(node.attribute[0].t, scope.names.folder)
    value = constant(array, dtype=dtype)
    value.node.names = (node.output[0],)
    scope.values[node.output[0]] = value
