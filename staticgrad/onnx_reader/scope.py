"""The values of one graph, body or function by name."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.graph import Array, Leaf, Node, Value, constant_of
from staticgrad.onnx_reader.names import Names
from staticgrad.ops.onnx_types import read_type, write_type
from staticgrad.ops.registry import constant
from staticgrad.types import DType, OpaqueType

UNTYPED = OpaqueType(DType.float32, b"", "a value of unknown type", True)


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

    def is_visible(self, name: str) -> bool:
        """Whether a name stands for a value here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return True
            scope = scope.outer
        return False

    def proto(self, name: str) -> onnx.TypeProto | None:
        """The type of a value as ONNX writes it; None where it is not known."""
        value = self.lookup(name)
        if value is None or value.type is UNTYPED:
            return None
        proto = onnx.TypeProto()
        write_type(proto, value.type, whole=True)
        return proto

    def bind(self, made: Node, node: onnx.NodeProto) -> None:
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
