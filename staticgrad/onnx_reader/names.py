"""What the scopes of one model share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import TYPE_CHECKING

import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.graph import Value
from staticgrad.onnx_reader.loading import Source
from staticgrad.onnx_reader.signatures import check_text, domain_of
from staticgrad.onnx_reader.sizing import check_expansion
from staticgrad.types import Dim

if TYPE_CHECKING:
    from staticgrad.onnx_reader.scope import Scope

Function = tuple[str, str, str]
"""The domain, the name and the overload of a function."""


class Names:
    """What the scopes of one model share: its functions, its names for sizes, and how much has been read.

    `read` reads nodes in a scope, which bodies and functions ask for.
    """

    def __init__(
        self,
        source: Source,
        inline: bool | Collection[int],
        read: Callable[[Scope, Sequence[onnx.NodeProto]], None],
    ) -> None:
        self.read = read
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
        self.changing: dict[object, set[tuple[int, int]]] = {}
        """For bodies that were read: which input has a size, on which axis, that changes from step to step."""
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


def check_name(name: str, what: str, taken: Container[str]) -> None:
    """Refuse an input or initializer without a name of its own."""
    check_text(name)
    if not name:
        raise ModelError(f"{what} has no name")
    if name in taken:
        raise ModelError(f"{what}, {shown(name)}, is there twice")
