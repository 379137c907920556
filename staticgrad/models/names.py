"""Which parameters of a model are meant: by name, by pattern, and by what exporters called them before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Graph, Node, Value, bodies
from staticgrad.ops.foreign import Foreign
from staticgrad.origin import source_line

Patterns = str | Iterable[str] | None

_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "Gemm": ("", "weight", "bias"),
    "MatMul": ("weight", "weight"),
    "Add": ("bias", "bias"),
    "Gather": ("weight",),
    "BatchNormalization": ("", "weight", "bias", "running_mean", "running_var"),
    "LayerNormalization": ("", "weight", "bias"),
    "InstanceNormalization": ("", "weight", "bias"),
    "GroupNormalization": ("", "weight", "bias"),
    "PRelu": ("", "weight"),
    "LSTM": ("", "weight_ih", "weight_hh", "bias"),
    "GRU": ("", "weight_ih", "weight_hh", "bias"),
    "RNN": ("", "weight_ih", "weight_hh", "bias"),
}


class Use(NamedTuple):
    """A node that reads a parameter, and as what."""

    node: str
    operator: str
    argument: str


def uses(graph: Graph, others: Iterable[Value] = ()) -> dict[Value, list[Use]]:
    """For every input, every parameter and `others` the nodes that read it, in bodies of loops and branches too."""
    found: dict[Value, list[Use]] = {value: [] for value in (*graph.inputs.values(), *others)}
    _collect(graph, {value: value for value in found}, found)
    return found


def _collect(graph: Graph, stands_for: Mapping[Value, Value], found: dict[Value, list[Use]]) -> None:
    for node in graph.nodes:
        for position, value in enumerate(node.inputs):
            if value is not None and value in stands_for:
                kind = node.op.operator if isinstance(node.op, Foreign) else node.op.name
                found[stands_for[value]].append(Use(node.source.label, kind, _argument(node, position)))
        for body in bodies(node).values():
            captured = list(body.inputs.values())[len(body.inputs) - body.captures :]
            outer = node.inputs[len(node.inputs) - body.captures :]
            inner = {
                i: stands_for[o] for i, o in zip(captured, outer, strict=True) if o is not None and o in stands_for
            }
            _collect(body, inner, found)


def _argument(node: Node, position: int) -> str:
    roles = _ROLES.get(node.op.name, ())
    return roles[position] if position < len(roles) else ""


def known_as(name: str, read_by: Sequence[Use]) -> str | None:
    """The name that a parameter had in the program that exported it, by the one node that reads it.

    Exporters number weights that they transposed or folded, as in `onnx::MatMul_17`, but nodes keep the path of their
    layer, as in `/encoder/fc/MatMul`.
    """
    if not re.fullmatch(r"onnx::\w+|_v_\d+|val_\d+|\d+", name) or len(read_by) != 1:
        return None
    node, operator, argument = read_by[0]
    path = [part for part in node.split("/") if part]
    if len(path) < 2 or not path[-1].startswith(operator) or not argument:
        return None
    # A layer of a Sequential repeats the name of that: `/features/features.0/Conv`.
    layers = [a for a, b in zip(path[:-1], [*path[1:-1], ""], strict=True) if not b.startswith(f"{a}.")]
    return ".".join([*layers, argument])


def matching(patterns: Patterns, names: Mapping[str, str | None], what: str, model: str) -> list[str]:
    """The names that patterns such as `encoder.*` match, by name or by what they were known as; in their order."""
    if patterns is None:
        return []
    listed = [patterns] if isinstance(patterns, str) else list(patterns)
    found: set[str] = set()
    for pattern in listed:
        if not isinstance(pattern, str):
            raise DeclarationError(f"{what} are names or patterns, {shown(pattern)} came ({source_line()})")
        hits = {n for n, alias in names.items() if pattern in (n, alias) or fnmatchcase(n, pattern)}
        hits |= {n for n, alias in names.items() if alias is not None and fnmatchcase(alias, pattern)}
        if not hits:
            raise DeclarationError(
                f"{what}: {shown(pattern)} matches no parameter of {model}; it has "
                f"{', '.join(alias or n for n, alias in names.items()) or 'none'} ({source_line()})"
            )
        found |= hits
    return [name for name in names if name in found]
