"""Where nodes come from: the user's line that declared them, and the derivative that they belong to."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from staticgrad.graph import Node, Value


class SourceLine(NamedTuple):
    """Where the user declared something: a line of a program, or a node of a model, which has a label too."""

    file: str
    line: int
    label: str = ""

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.label or self.line}"


_INSIDE = (__name__.partition(".")[0], "contextlib", "copy")


class Derivation(NamedTuple):
    """One run of reverse accumulation: the values that it went back from, and each gradient's `id` with its target.

    Gradients are known by their `id`, so that a graph has no references in a circle and is freed at once.
    """

    outputs: tuple[Value, ...]
    targets: dict[int, Value]


class Origin(NamedTuple):
    """The forward node in whose derivative a node was made, and the run that asked for it."""

    node: Node
    derivation: Derivation


current_origin: ContextVar[tuple[Origin | None, SourceLine] | None] = ContextVar("origin", default=None)


def source_line() -> SourceLine:
    """The line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE and frame.f_back is not None:
        frame = frame.f_back
    return SourceLine(frame.f_code.co_filename, frame.f_lineno)


class deriving_from:
    """Nodes made inside belong to the derivative of `node` and carry its source line."""

    __slots__ = ("origin", "token")

    def __init__(self, node: Node, derivation: Derivation) -> None:
        self.origin: tuple[Origin | None, SourceLine] = (Origin(node, derivation), node.source)

    def __enter__(self) -> None:
        self.token = current_origin.set(self.origin)

    def __exit__(self, *_: object) -> None:
        current_origin.reset(self.token)


class rewriting(deriving_from):
    """Nodes made inside stand in for `node`: they carry its source line and belong to the same derivative."""

    __slots__ = ()

    def __init__(self, node: Node) -> None:
        self.origin = (node.origin, node.source)
