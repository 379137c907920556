"""Which parameters of a model are meant: by name, by pattern, and by what exporters called them before."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

import onnx

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value
from staticgrad.origin import source_line

Patterns = str | Iterable[str | Value] | None

ROLES = {
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


_NUMBERED = re.compile(r"onnx::\w+|_v_\d+|val_\d+|\d+")
_SCOPES = "pkg.torch.onnx.name_scopes"


def old_names(model: onnx.ModelProto) -> dict[str, list[str]]:
    """The names that parameters had in the program that exported them, by the nodes that read them.

    Exporters number weights that they transposed or folded, as in `onnx::MatMul_17`, but nodes keep the path of their
    layer, as in `/encoder/fc/MatMul`, or in their metadata.
    """
    held = {t.name for t in (*model.graph.initializer, *(s.values for s in model.graph.sparse_initializer))}
    found: dict[str, list[str]] = {}
    stack = [model.graph]
    while stack:
        graph = stack.pop()
        for node in graph.node:
            stack.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
            roles = ROLES.get(node.op_type, ()) if not node.domain else ()
            for role, name in zip(roles, node.input, strict=False):
                if role and name in held and _NUMBERED.fullmatch(name):
                    layer = _layer(node)
                    old = f"{layer}.{role}"
                    if layer and old not in held and old not in found.setdefault(name, []):
                        found[name].append(old)
    return found


def _layer(node: onnx.NodeProto) -> str:
    """The path of the layer that a node was exported from; empty where nothing tells it."""
    path = [part for part in node.name.split("/") if part]
    if len(path) > 1 and path[-1].startswith(node.op_type):
        # A layer of a Sequential repeats the name of that: `/features/features.0/Conv`.
        return ".".join(a for a, b in zip(path[:-1], [*path[1:-1], ""], strict=True) if not b.startswith(f"{a}."))
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            with suppress(ValueError, SyntaxError):
                scopes = ast.literal_eval(entry.value)
                if isinstance(scopes, list) and len(scopes) > 1:
                    return str(scopes[-2])
    return ""


def listed(patterns: Patterns, what: str) -> list[str] | None:
    """The patterns as a list; DeclarationError where they are none."""
    if patterns is None:
        return None
    found = [patterns] if isinstance(patterns, (str, Value)) else patterns
    if not isinstance(found, Iterable):
        raise DeclarationError(f"{what} are names or patterns, {shown(found)} came ({source_line()})")
    result = []
    for pattern in found:
        name = pattern.name if isinstance(pattern, Value) else pattern
        if not isinstance(name, str):
            raise DeclarationError(f"{what} are names or patterns, {shown(pattern)} came ({source_line()})")
        result.append(name)
    return result


def exact(patterns: list[str] | None) -> set[str]:
    """The patterns that are names."""
    return {pattern for pattern in patterns or () if not set(pattern) & set("*?[")}


def matching(patterns: list[str] | None, names: Mapping[str, Sequence[str]], what: str, model: str) -> list[str]:
    """The names that patterns such as `encoder.*` match, by name or by what they were known as; in their order."""
    found: set[str] = set()
    for pattern in patterns or ():
        hits = {
            name
            for name, old in names.items()
            if any(pattern == each or fnmatchcase(each, pattern) for each in (name, *old))
        }
        if not hits:
            raise DeclarationError(
                f"{what}: {shown(pattern)} matches no parameter of {model}; it has "
                f"{', '.join(old[0] if old else name for name, old in names.items()) or 'none'} ({source_line()})"
            )
        found |= hits
    return [name for name in names if name in found]
