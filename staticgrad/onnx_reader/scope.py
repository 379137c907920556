"""The names of one graph, body or function, and how its nodes become values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from staticgrad.errors import ModelError, StaticgradError, UnsupportedOperatorError, shown
from staticgrad.graph import Array, Leaf, Node, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.onnx_reader.attributes import attributes_of
from staticgrad.onnx_reader.bodies import Body, joined, widened
from staticgrad.onnx_reader.dialect import lowered, upgraded
from staticgrad.onnx_reader.loading import OLDEST_OPSET, Source
from staticgrad.onnx_reader.old_opsets import modernized
from staticgrad.onnx_reader.signatures import check_signature, check_text, domain_of, label_of
from staticgrad.onnx_reader.sizing import DEEPEST, check_expansion
from staticgrad.onnx_reader.tensors import array_of, dense_of
from staticgrad.ops.foreign import Foreign
from staticgrad.ops.onnx_types import inner_type, is_sequence, read_type, write_type
from staticgrad.ops.registry import DIALECT, constant
from staticgrad.origin import SourceLine, current_origin
from staticgrad.types import Dim, DType, OpaqueType, TensorType, is_unknown

_GRAPH = onnx.AttributeProto.GRAPH
_UNTYPED = OpaqueType(DType.float32, b"", "a value of unknown type", True)
# Inputs without a derivative that a type rule needs as numbers: floating initializers are literals there.
_STATIC = {"Resize": (1, 2), "Dropout": (1,)}
# What entries and bodies raise at input that makes no sense; ONNX's own inference then decides.
_SENSELESS = (
    *(StaticgradError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError),
    *(MemoryError, UnicodeError),
)
_NO_RULE = "there is no gradient rule for it"

Function = tuple[str, str, str]


class Names:
    """What the scopes of one model share: its functions, its names for sizes, and how much has been read."""

    def __init__(self, source: Source, inline: bool | Collection[int]) -> None:
        self.file = source.name
        self.folder = source.folder
        self.inline = inline
        self.functions: dict[Function, onnx.FunctionProto] = {}
        for function in source.proto.functions:
            key = (domain_of(function.domain), function.name, function.overload)
            if key in self.functions:
                raise ModelError(f"the function {shown('.'.join(key[:2]))} is there twice")
            self.functions[key] = function
        self.most = check_expansion(source.proto.graph, self.functions)
        self.calling: list[Function] = []
        self.calls: dict[int, Value] = {}
        self.unsupported: list[str] = []
        self.count = 0
        self.number = 0
        """Of the node that is read; those of functions have none of their own."""
        self.depth = 0
        self._dims: dict[str, Dim] = {}
        self._taken: dict[str, int] = {}
        self._fresh = 0

    def dim(self, name: str) -> Dim:
        """The size that a model calls `name`: equal wherever the name stands, but nothing else is known of it."""
        if name not in self._dims:
            check_text(name)
            plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
            stem = dim = f"?{plain}" if plain and not plain[0].isdigit() else f"?_{plain}"
            while dim in self._taken:
                self._taken[stem] += 1
                dim = f"{stem}_{self._taken[stem]}"
            self._taken[dim] = 1
            self._dims[name] = dim
        return self._dims[name]

    def fresh(self, stem: str) -> str:
        """A name that no value has yet."""
        self._fresh += 1
        return f"{stem}\0{self._fresh}"

    def counted(self) -> None:
        """Refuse models that expand without end."""
        self.count += 1
        if self.count > self.most:
            raise ModelError(f"the model comes to more than {self.most} nodes with its functions and bodies expanded")


class Scope:
    """The values of one graph by name; those of the graph around it are captured where they are asked for."""

    def __init__(
        self,
        names: Names,
        opsets: Mapping[str, int],
        outer: Scope | None = None,
        attributes: Mapping[str, onnx.AttributeProto] | None = None,
    ) -> None:
        self.names = names
        self.opsets = opsets
        self.outer = outer
        self.attributes = attributes
        self.values: dict[str, Value | None] = {}
        self.literals: dict[str, Array] = {}
        self.declared: Mapping[str, onnx.TypeProto] = {}
        self.captured: dict[Value, Value] = {}

    # - what the rewriting of older opsets asks -

    def rank(self, name: str) -> int | None:
        """The number of axes of a value."""
        value = self.lookup(name)
        return None if value is None or isinstance(value.type, OpaqueType) else len(value.type.shape)

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The sizes of a value, None where one is not known."""
        value = self.lookup(name)
        if value is None or isinstance(value.type, OpaqueType):
            return None
        return tuple(d if isinstance(d, int) else None for d in value.type.shape)

    def constant(self, name: str) -> Array | None:
        """The numbers of an initializer or of a Constant's output."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.literals:
                return scope.literals[name]
            if name in scope.values:
                return constant_of(scope.values[name])
            scope = scope.outer
        return None

    def element_type(self, name: str) -> int | None:
        """The element type of a value, as ONNX numbers it."""
        value = self.lookup(name)
        return None if value is None else value.type.dtype.onnx

    def fresh(self, stem: str) -> str:
        """A name that no value has yet."""
        return self.names.fresh(stem)

    def literal(self, array: Array) -> str:
        """The name of a new constant that holds this array."""
        name = self.fresh("literal")
        self.values[name] = constant(array)
        return name

    # - names and nodes -

    def lookup(self, name: str) -> Value | None:
        """The value of a name; None for an optional one that is left out."""
        if not name:
            return None
        if name in self.values:
            return self.values[name]
        if self.outer is None:
            raise ModelError(f"the value {shown(name)} is used, but no input, initializer or node gives it")
        found = self.outer.lookup(name)
        if found is not None and constant_of(found) is None:
            if found not in self.captured:
                leaf = Leaf("input", name, found.type).outputs[0]
                leaf.content = found.content
                self.captured[found] = leaf
            found = self.captured[found]
        self.values[name] = found
        return found

    def read(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Read all nodes, each after those that it depends on."""
        self.names.depth += 1
        if self.names.depth > DEEPEST:
            raise ModelError(f"bodies and functions are nested deeper than {DEEPEST}")
        for node in self._in_order(nodes):
            self._node(self._bound(node))
        self.names.depth -= 1

    def _in_order(self, nodes: Sequence[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
        """The nodes as they stand if each has its inputs before it, as ONNX demands; sorted otherwise."""
        giver: dict[str, int] = {}
        for position, node in enumerate(nodes):
            check_text(node.op_type, node.domain, node.overload, node.name, *(a.name for a in node.attribute))
            check_text(*node.input, *node.output)
            for name in node.output:
                if name and (name in giver or name in self.values):
                    raise ModelError(f"the value {shown(name)} is given twice; node {label_of(node)!r}")
                giver[name] = position
        giver.pop("", None)
        needs = [{giver[name] for name in _names_read(node) if name in giver} for node in nodes]
        if all(all(n < position for n in needed) for position, needed in enumerate(needs)):
            return nodes
        done: dict[int, None] = {}
        for start in range(len(nodes)):
            stack = [(start, iter(needs[start]))]
            open_ = {start}
            while stack:
                position, rest = stack[-1]
                following = next((n for n in rest if n not in done), None)
                if position in done or following is None:
                    done[position] = None
                    open_.discard(position)
                    stack.pop()
                elif following in open_:
                    raise ModelError(f"the node {label_of(nodes[following])!r} depends on its own result")
                else:
                    open_.add(following)
                    stack.append((following, iter(needs[following])))
        return [nodes[position] for position in done]

    def _bound(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The node with the attributes that a function hands on to it."""
        if not any(a.ref_attr_name for a in node.attribute):
            return node
        if self.attributes is None:
            raise ModelError(f"an attribute refers to one of a function, outside of any; node {label_of(node)!r}")
        bound = onnx.NodeProto()
        bound.CopyFrom(node)
        del bound.attribute[:]
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                bound.attribute.append(attribute)
            elif attribute.ref_attr_name in self.attributes:
                bound.attribute.append(self.attributes[attribute.ref_attr_name])
                bound.attribute[-1].name = attribute.name
        return bound

    def _node(self, node: onnx.NodeProto) -> None:
        names = self.names
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
                self._function(function, node, number)
            elif domain:
                self._other_domain(node, domain)
            else:
                self._standard(node)
        except StaticgradError as error:
            text = str(error)
            if "; node " in text:
                raise
            raise type(error)(f"{text}; node {label_of(node)!r} ({shown(node.op_type)[1:-1]})") from error
        except _SENSELESS as error:
            cause = _first_line(error)
            raise ModelError(
                f"this is no valid {shown(node.op_type)[1:-1]}: {cause}; node {label_of(node)!r}"
            ) from error
        finally:
            if token is not None:
                current_origin.reset(token)

    def _standard(self, node: onnx.NodeProto) -> None:
        opset = self.opsets.get("")
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
            self._newer(node, schema, opset)
            return
        if opset >= OLDEST_OPSET:
            self._upgraded(node, min(opset, DIALECT))
            return
        modern = modernized(node, opset, self)
        for made in modern[:-1]:
            self._dialect(made)
        self._upgraded(modern[-1], OLDEST_OPSET)

    def _upgraded(self, node: onnx.NodeProto, opset: int) -> None:
        """A node in the words of the dialect."""
        following = upgraded(node, opset, self)
        for made in [node] if following is None else following:
            self._dialect(made)

    def _other_domain(self, node: onnx.NodeProto, domain: str) -> None:
        """A node of a domain that is not ONNX's own: by its function body where onnx has one, else as it stands."""
        opset = self.opsets.get(domain)
        if opset is not None and onnx.defs.has(node.op_type, domain):
            schema = onnx.defs.get_schema(node.op_type, opset, domain)
            function = self._schema_function(node, schema, opset)
            if function is not None:
                if all(o.domain for o in function.opset_import):
                    function.opset_import.add(version=self.opsets.get("", DIALECT))
                self._expand(function, node, (domain, node.op_type, str(opset)))
                return
        reason = _OTHER_DOMAINS.get(domain, f"nothing is known of operators of the domain {domain!r}")
        self._foreign(node, domain, reason)

    def _newer(self, node: onnx.NodeProto, schema: Any, opset: int) -> None:
        """A node whose operator is newer than the dialect: as an older form of it takes it, or by its function body."""
        try:
            onnx.defs.get_schema(node.op_type, DIALECT)
            for made in lowered(node, opset, self) or [node]:
                self._dialect(made)
            return
        except (onnx.defs.SchemaError, StaticgradError):
            if self._widened(node):
                return
        function = self._schema_function(node, schema, opset)
        if function is None:
            self.names.unsupported.append(
                f"{node.op_type} ({SourceLine(self.names.file, 0, label_of(node))}) of opset {schema.since_version} "
                f"runs nowhere yet and has no function body; use a form of opset {DIALECT}"
            )
            for name in node.output:
                self.values[name] = self._untyped(name)
            return
        self._expand(function, node, ("", node.op_type, str(opset)))

    def _widened(self, node: onnx.NodeProto) -> bool:
        """Read a node that takes bfloat16 in its newest form only in float32, where that is possible."""
        given = {name: self.lookup(name) for name in node.input}
        narrow = [name for name, v in given.items() if v is not None and v.type.dtype is DType.bfloat16]
        if not narrow:
            return False
        wide = onnx.NodeProto()
        wide.CopyFrom(node)
        try:
            for position, name in enumerate(node.input):
                if name in narrow:
                    wide.input[position] = self.fresh("wide")
                    self._cast(name, wide.input[position], DType.float32)
            for position, name in enumerate(node.output):
                wide.output[position] = self.fresh("wide") if name else ""
            self._dialect(wide)
            for inner, name in zip(wide.output, node.output, strict=True):
                value = self.lookup(inner)
                if value is not None and value.type.dtype is DType.float32:
                    self._cast(inner, name, DType.bfloat16)
                elif value is not None:
                    self.values[name] = value
        except (onnx.defs.SchemaError, StaticgradError):
            return False
        return True

    def _cast(self, name: str, result: str, to: DType) -> None:
        self._dialect(onnx.helper.make_node("Cast", [name], [result], to=to.onnx))

    def _untyped(self, name: str) -> Value:
        return Leaf("input", name, _UNTYPED).outputs[0]

    def _schema_function(self, node: onnx.NodeProto, schema: Any, opset: int) -> onnx.FunctionProto | None:
        """The function body that ONNX gives for an operator."""
        if schema.has_function:
            version = max(v for v in schema.function_opset_versions if v <= opset)
            return _parsed_function(schema.get_function_with_opset_version(version))
        if schema.has_context_dependent_function:
            version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
            types = [self._proto(name) for name in node.input]
            given = [b"" if t is None else t.SerializeToString() for t in types]
            body = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), given)
            return _parsed_function(body) if body else None
        return None

    def _function(self, key: Function, node: onnx.NodeProto, number: int) -> None:
        """A call of one of the model's functions: read as what it is made of, or left as it stands."""
        names = self.names
        function = names.functions[key]
        if names.calling or not key[0] or names.inline is True or (names.inline and number in names.inline):
            self._expand(function, node, key)
            return
        kept = dict(self.values)
        self._expand(function, node, key)
        types = [None if not n else self.values[n] for n in node.output]
        self.values = kept
        written = tuple(f.SerializeToString(deterministic=True) for f in self._called(key))
        reason = "a function of the model is differentiated as its body"
        entry = Foreign(node.op_type, key[0], reason, written, self.opsets.get(key[0], 1), key[2])
        self._make(node, entry, [_UNTYPED if v is None else v.type for v in types])
        outputs = [v for v in (self.values[n] for n in node.output if n) if v is not None]
        if outputs:
            names.calls[number] = outputs[0]

    def _called(self, key: Function) -> list[onnx.FunctionProto]:
        """The function and those that it calls."""
        found: dict[Function, None] = {}
        stack = [key]
        while stack:
            current = stack.pop()
            if current in self.names.functions and current not in found:
                found[current] = None
                stack.extend(
                    (domain_of(n.domain), n.op_type, n.overload) for n in _all_nodes(self.names.functions[current].node)
                )
        return [self.names.functions[k] for k in found]

    def _expand(self, function: onnx.FunctionProto, node: onnx.NodeProto, key: Function) -> None:
        names = self.names
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
        given = [self.lookup(name) for name in node.input]
        for position, name in enumerate(function.input):
            inner.values[name] = given[position] if position < len(given) else None
        names.calling.append(key)
        inner.read(function.node)
        names.calling.pop()
        for name, result in zip(node.output, function.output, strict=False):
            if name:
                self.values[name] = inner.lookup(result)

    def _dialect(self, node: onnx.NodeProto) -> None:
        """A node in the dialect: by its entry, or passed on as it stands."""
        if node.op_type == "Constant":
            self._constant(node)
            return
        entry = OPERATORS.get(node.op_type)
        if entry is None:
            self._foreign(node, "", _NO_RULE)
            return
        bodies = self._bodies(node)
        inputs = [self.lookup(name) for name in node.input]
        try:
            for position in _STATIC.get(node.op_type, ()):
                if position < len(node.input) and node.input[position]:
                    array = self.constant(node.input[position])
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
            attributes = attributes_of(node, entry, graphs, self.names.folder)
            made = entry.apply((*inputs, *captured), attributes)
            if len(made.outputs) < len(node.output) and any(node.output[len(made.outputs) :]):
                raise UnsupportedOperatorError(f"its output {node.output[-1]!r} is not known here")
        except _SENSELESS as error:
            self._foreign(node, "", str(error), bodies)
            return
        self._name(made, node)

    def _name(self, made: Node, node: onnx.NodeProto) -> None:
        """Bind the outputs of a node to its names."""
        names = [*node.output, *[""] * (len(made.outputs) - len(node.output))]
        # Names with a number behind a zero byte stand nowhere in the model.
        made.names = tuple([name if "\0" not in name else "" for name in names])
        for name, value in zip(node.output, made.outputs, strict=False):
            if name:
                declaration = self.declared.get(name)
                if (
                    isinstance(value.type, OpaqueType)
                    and value.type.rankless
                    and declaration is not None
                    and declaration.WhichOneof("value")
                ):
                    # What the model declares is all that is known.
                    declared = read_type(declaration, self.names.dim)
                    if declared.dtype is value.type.dtype:
                        value.type = declared
                self.values[name] = value

    def _constant(self, node: onnx.NodeProto) -> None:
        if len(node.attribute) != 1 or node.attribute[0].name != "value" or len(node.output) != 1:
            raise ModelError("a Constant has one value and one output")
        array, dtype = array_of(node.attribute[0].t, self.names.folder)
        value = constant(array, dtype=dtype)
        value.node.names = (node.output[0],)
        self.values[node.output[0]] = value

    # - what no entry describes -

    def _foreign(
        self, node: onnx.NodeProto, domain: str, reason: str, bodies: Mapping[str, Body] | None = None
    ) -> None:
        """Pass a node on as it stands; a derivative of it is refused with `reason`."""
        if bodies is None:
            bodies = self._bodies(node)
        version = self.opsets.get(domain)
        if version is None:
            raise ModelError(f"the model names no version of the domain {shown(domain)}")
        self._make(node, Foreign(node.op_type, domain, reason, opset=version), self._inferred(node, domain), bodies)

    def _make(
        self,
        node: onnx.NodeProto,
        entry: Foreign,
        types: Sequence[TensorType],
        bodies: Mapping[str, Body] | None = None,
    ) -> None:
        graphs, captured = joined(bodies or {})
        attributes: dict[str, Any] = {
            a.name: a.SerializeToString(deterministic=True) for a in node.attribute if a.type != _GRAPH
        }
        inputs = tuple([self.lookup(name) for name in node.input])
        self._name(Node(entry, (*inputs, *captured), {**attributes, **graphs}, types), node)

    def _inferred(self, node: onnx.NodeProto, domain: str) -> list[TensorType]:
        """The types of a node's outputs by ONNX's inference, else as the model declares them."""
        found: dict[str, onnx.TypeProto] = {}
        version = DIALECT if not domain else self.opsets[domain]
        try:
            schema = onnx.defs.get_schema(node.op_type, version, domain)
        except (onnx.defs.SchemaError, TypeError):
            # A version beyond 32 bits is a TypeError.
            schema = None
        if schema is not None:
            reads = {name: self._proto(name) for name in _names_read(node) if self._visible(name)}
            types = {name: t for name, t in reads.items() if t is not None}
            small = {}
            for name in node.input:
                array = self.constant(name) if name else None
                if array is not None and array.size <= 1024 and not array.dtype.hasobject:
                    small[name] = onnx.numpy_helper.from_array(np.asarray(array), name)
            imports = [onnx.helper.make_opsetid(d, v if d else DIALECT) for d, v in self.opsets.items()]
            try:
                found = onnx.shape_inference.infer_node_outputs(schema, node, types, small, opset_imports=imports)
            except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, KeyError) as error:
                raise ModelError(f"this is no valid {node.op_type}: {_first_line(error)}") from error
            handed = {d.dim_param for t in types.values() for d in t.tensor_type.shape.dim if d.dim_param}

            def dim(size: str) -> Dim:
                """Inference hands on names of sizes as it got them; those in bodies are the model's own."""
                return size if size in handed else self.names.dim(size)

            return [self._type(name, found.get(name), dim) for name in node.output]
        return [self._type(name, None, self.names.dim) for name in node.output]

    def _type(self, name: str, inferred: onnx.TypeProto | None, dim: Callable[[str], Dim]) -> TensorType:
        for proto in (inferred, self.declared.get(name)):
            if proto is not None and proto.WhichOneof("value") is not None:
                if proto.WhichOneof("value") == "tensor_type" and not proto.tensor_type.elem_type:
                    continue
                type = read_type(proto, dim if proto is inferred else self.names.dim)
                if not (isinstance(type, OpaqueType) and type.rankless and proto is inferred):
                    return type
        if inferred is not None and inferred.tensor_type.elem_type:
            return read_type(inferred, dim)
        return _UNTYPED

    def _visible(self, name: str) -> bool:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return True
            scope = scope.outer
        return False

    def _proto(self, name: str) -> onnx.TypeProto | None:
        value = self.lookup(name)
        if value is None or value.type is _UNTYPED:
            return None
        proto = onnx.TypeProto()
        write_type(proto, value.type, whole=True)
        return proto

    # - bodies of loops and branches -

    def _bodies(self, node: onnx.NodeProto) -> dict[str, Body]:
        """The graphs among the attributes of a node, read with the types of what the node hands to them."""
        graphs = {a.name: a.g for a in node.attribute if a.type == _GRAPH}
        if not graphs:
            return {}
        given = [self.lookup(name) for name in node.input]
        return {key: self._typed_body(node, graph, given) for key, graph in graphs.items()}

    def _typed_body(self, node: onnx.NodeProto, graph: onnx.GraphProto, given: Sequence[Value | None]) -> Body:
        """A body read with the types that its node hands to it; what it hands on itself is as wide as needed."""
        declared = [read_type(v.type, self.names.dim) if v.type.WhichOneof("value") else _UNTYPED for v in graph.input]
        if node.op_type == "SequenceMap" and not node.domain:
            # What a body declares of elements is more than what is known of a sequence.
            elements = [_UNTYPED if v is None else inner_type(v.type) if is_sequence(v.type) else v.type for v in given]
            pairs = zip(declared, elements, strict=False)
            declared = [h if isinstance(d, OpaqueType) and d.rankless else d for d, h in pairs]
        if node.op_type not in ("Loop", "Scan") or node.domain:
            return self._body(graph, declared)
        types = [None if v is None else v.type for v in given]
        if node.op_type == "Loop":
            handed = [TensorType(DType.int64, ()), TensorType(DType.bool, ()), *types[2:]]
            kept, skipped = range(2, len(handed)), 1
        else:
            attributes = {a.name: a for a in node.attribute}
            count = attributes["num_scan_inputs"].i if "num_scan_inputs" in attributes else 0
            if not 0 <= count <= len(types):
                raise ModelError(f"num_scan_inputs is {count}, there are {len(types)} inputs")
            axes = list(attributes["scan_input_axes"].ints) if "scan_input_axes" in attributes else [0] * count
            states = len(types) - count
            handed = [*types[:states], *(_without(t, a) for t, a in zip(types[states:], axes, strict=False))]
            kept, skipped = range(states), 0
        if len(handed) != len(graph.input):
            raise ModelError(f"the body has {len(graph.input)} inputs, {len(handed)} are handed to it")
        known = [t if t is not None else d for t, d in zip(handed, declared, strict=True)]
        # What a Scan carries keeps the sizes that it has, whatever is known of them.
        free: set[Dim] = set() if node.op_type == "Loop" else {d for t in known for d in t.shape if is_unknown(d)}
        while True:
            body = self._body(graph, known)
            results = [v.type for v in body.outputs.values()][skipped:]
            wider = list(known)
            for position, result in zip(kept, results, strict=False):
                wider[position] = widened(known[position], result, free)
            if wider == known:
                return body
            known = wider

    def _body(self, graph: onnx.GraphProto, types: Sequence[TensorType]) -> Body:
        check_text(graph.name, *(v.name for v in graph.output))
        scope = Scope(self.names, self.opsets, self, self.attributes)
        scope.declared = {v.name: v.type for v in (*graph.value_info, *graph.output)}
        formal: dict[str, Value] = {}
        for info, type in zip(graph.input, types, strict=True):
            check_name(info.name, "an input of a body", formal)
            formal[info.name] = scope.values[info.name] = Leaf("input", info.name, type).outputs[0]
        stored = [(t.name, *array_of(t, self.names.folder)) for t in graph.initializer]
        stored += [(t.values.name, *dense_of(t, self.names.folder)) for t in graph.sparse_initializer]
        for name, array, dtype in stored:
            check_name(name, "an initializer of a body", scope.values)
            value = constant(array, dtype=dtype)
            value.node.names = (name,)
            scope.values[name] = value
        scope.read(graph.node)
        outputs: dict[str, Value] = {}
        for info in graph.output:
            found = scope.lookup(info.name)
            if found is None:
                raise ModelError(f"the output {shown(info.name)} of a body is left out by what should give it")
            name = info.name
            while name in outputs:
                name += "_"
            outputs[name] = found
        return Body(graph.name or "body", formal, outputs, scope.captured)


_OTHER_DOMAINS = {
    "ai.onnx.preview.training": "the step of an optimizer, which is not differentiated; sg.train and sg.optim make one",
    "ai.onnx.ml": "trees, classifiers and what encodes labels have no derivative here; take their results as inputs",
}
_GONE = {"Scatter", "Upsample"}


def check_name(name: str, what: str, taken: Container[str]) -> None:
    """Refuse an input or initializer without a name of its own."""
    check_text(name)
    if not name:
        raise ModelError(f"{what} has no name")
    if name in taken:
        raise ModelError(f"{what}, {shown(name)}, is there twice")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _without(type: TensorType | None, axis: int) -> TensorType | None:
    if type is None or isinstance(type, OpaqueType) or not -len(type.shape) <= axis < len(type.shape):
        return None
    axis %= len(type.shape)
    return TensorType(type.dtype, type.shape[:axis] + type.shape[axis + 1 :])


def _parsed_function(data: bytes) -> onnx.FunctionProto:
    function = onnx.FunctionProto()
    function.ParseFromString(data)
    return function


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """The nodes and those in their bodies."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            stack.extend(attribute.g.node)
            for graph in attribute.graphs:
                stack.extend(graph.node)


def _names_read(node: onnx.NodeProto) -> list[str]:
    """The names that a node and the bodies in it read from outside."""
    found = {name: None for name in node.input if name}
    for attribute in node.attribute:
        if attribute.type == _GRAPH:
            graph = attribute.g
            inner = {v.name for v in graph.input} | {t.name for t in graph.initializer}
            inner.update(t.values.name for t in graph.sparse_initializer)
            inner.update(name for n in graph.node for name in n.output)
            for n in graph.node:
                found.update((name, None) for name in _names_read(n) if name not in inner)
            found.update((v.name, None) for v in graph.output if v.name not in inner)
    return list(found)
