"""What the rewriting of nodes from an older opset is made of: what is known of a model, and nodes made from nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from staticgrad.errors import UnsupportedOperatorError

Array = NDArray[Any]


class Context(Protocol):
    """What is known about the values of the graph that a node stands in, and how it gets new ones."""

    def rank(self, name: str) -> int | None:
        """The number of axes of a value."""

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The sizes of a value, None where one is not known."""

    def constant(self, name: str) -> Array | None:
        """The numbers of an initializer or of a Constant's output."""

    def element_type(self, name: str) -> int | None:
        """The element type of a value, as ONNX numbers it."""

    def fresh(self, stem: str) -> str:
        """A name that no value has yet."""

    def literal(self, array: Array) -> str:
        """The name of a new constant that holds this array."""


Upgrade = Callable[[onnx.NodeProto, int, Context], list[onnx.NodeProto] | None]
"""A node of this opset as nodes of the dialect, or None where it means the same there."""

Upgrades = Mapping[str, tuple[tuple[int, Upgrade], ...]]
"""For an operator: below which opset which upgrade holds, the oldest first."""

ALWAYS = 1000
"""Above every opset: what the newest one still has, or has no longer."""


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def input_of(node: onnx.NodeProto, position: int) -> str:
    """The name of an input, empty where it is left out."""
    return node.input[position] if position < len(node.input) else ""


def output_of(node: onnx.NodeProto, position: int) -> str:
    """The name of an output, empty where it is left out."""
    return node.output[position] if position < len(node.output) else ""


def made(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    """A new node."""
    return onnx.helper.make_node(operator, inputs, outputs, **attributes)


def renewed(
    node: onnx.NodeProto,
    inputs: Iterable[str] | None = None,
    *,
    operator: str | None = None,
    without: Iterable[str] = (),
    **attributes: Any,
) -> onnx.NodeProto:
    """The same node with other inputs, without some attributes and with new ones."""
    result = onnx.NodeProto()
    result.CopyFrom(node)
    if operator is not None:
        result.op_type = operator
    if inputs is not None:
        names = list(inputs)
        while names and not names[-1]:
            names.pop()
        del result.input[:]
        result.input.extend(names)
    gone = {*without, *attributes}
    kept = [a for a in node.attribute if a.name not in gone]
    del result.attribute[:]
    result.attribute.extend([*kept, *(onnx.helper.make_attribute(k, v) for k, v in attributes.items())])
    return result


def whole_numbers(context: Context, numbers: Iterable[int]) -> str:
    """A list of int64 as a constant."""
    return context.literal(np.array(list(numbers), np.int64))


def number_like(context: Context, number: float, like: str) -> tuple[list[onnx.NodeProto], str]:
    """A number in the element type of a value, and the nodes that this takes."""
    element_type = context.element_type(like)
    if element_type is not None:
        return [], context.literal(np.array(number, onnx.helper.tensor_dtype_to_np_dtype(element_type)))
    name = context.fresh("number")
    return [made("CastLike", [context.literal(np.array(number, np.float32)), like], [name])], name


def refusal(node: onnx.NodeProto, opset: int, reason: str) -> UnsupportedOperatorError:
    """The error that says why a node of an older opset cannot be read."""
    named = f" {node.name!r}" if node.name else ""
    return UnsupportedOperatorError(f"{node.op_type}{named} of opset {opset} cannot be read: {reason}")


def gone(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """The refusal of an operator that another one took the place of."""
    successor = {"Scatter": "ScatterElements", "Upsample": "Resize"}[node.op_type]
    raise refusal(node, opset, f"ONNX no longer has it in this opset, {successor} took its place")
