"""What ONNX's schemas say of a node before anything is made of it: its attributes, and how many inputs and outputs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import onnx

from staticgrad.errors import ModelError, shown
from staticgrad.methods import OPERATORS

_KIND = onnx.AttributeProto.AttributeType
# Where the value of an attribute of a kind stands; without it, runtimes and checkers each read something else.
_FIELDS = {_KIND.Value(name.upper()): name[0] for name in ("int", "float", "string", "tensor", "graph")}


class _Signature(NamedTuple):
    kinds: dict[str, int]
    required: frozenset[str]
    flags: frozenset[str]
    inputs: tuple[int, int]
    outputs: tuple[int, int]


@lru_cache(maxsize=4096)
def _signature(operator: str, opset: int) -> _Signature:
    schema = onnx.defs.get_schema(operator, opset)
    attributes = schema.attributes
    known = OPERATORS[operator].attributes if operator in OPERATORS else {}
    return _Signature(
        {name: int(a.type) for name, a in attributes.items()},  # type: ignore[call-overload]
        frozenset(name for name, a in attributes.items() if a.required),
        frozenset(name for name, value in known.items() if isinstance(value, bool)),
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
    )


def check_signature(node: onnx.NodeProto, opset: int) -> None:
    """Refuse a node of ONNX's own domain whose attributes or numbers of inputs and outputs its schema does not know."""
    signature = _signature(node.op_type, opset)
    given = set()
    for attribute in node.attribute:
        name, kind = attribute.name, signature.kinds.get(attribute.name)
        if kind is None:
            raise ModelError(f"{node.op_type} of opset {opset} has no attribute {shown(name)}")
        if kind != attribute.type:
            raise ModelError(f"its attribute {name!r} is of kind {_name(attribute.type)}, {_name(kind)} is expected")
        if kind in _FIELDS and not attribute.HasField(_FIELDS[kind]):
            raise ModelError(f"its attribute {name!r} has no value")
        if name in signature.flags and attribute.i not in (0, 1):
            # Some runtimes take every number but 0 for true, others 1 alone.
            raise ModelError(f"its attribute {name!r} is {attribute.i}, 0 or 1 is expected")
        given.add(name)
    missing = signature.required - given
    if missing:
        raise ModelError(f"its attribute {min(missing)!r} is missing")
    for what, names, (least, most) in (
        ("inputs", node.input, signature.inputs),
        ("outputs", node.output, signature.outputs),
    ):
        count = len(names)
        while count and not names[count - 1]:
            count -= 1
        if not least <= len(names) or count > most:
            expected = str(least) if least == most else f"{least} to {most}" if most < 2**31 - 1 else f"{least} or more"
            raise ModelError(f"it has {len(names)} {what}, {expected} are expected")


def _name(kind: int) -> str:
    return _KIND.Name(kind) if kind in _KIND.values() else str(kind)


def check_text(*texts: str) -> None:
    """Refuse names that are no text, and those with a zero byte, which only names that are made up here have."""
    for text in texts:
        # Protobuf gives what is not UTF-8 as bytes.
        if type(text) is not str:
            raise ModelError(f"the name {shown(text)} is not UTF-8")
        if "\0" in text:
            raise ModelError(f"the name {shown(text)} has a zero byte in it")


def domain_of(domain: str) -> str:
    """ONNX's own domain has two names."""
    return "" if domain == "ai.onnx" else domain


def label_of(node: onnx.NodeProto) -> str:
    """What errors and the nodes made from it call a node: one line that is not too long."""
    name = node.name or next((name for name in node.output if name), node.op_type)
    if type(name) is not str:
        return shown(name)
    if name.isprintable() and len(name) <= 200:
        return name
    return "".join(c if c.isprintable() else "_" for c in name[:200])


def first_line(error: BaseException) -> str:
    """What an error of another library says, in short."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
