"""Nodes of opsets below 7 in opset 7, as far as they mean the same or broadcast in the way of that time."""

from __future__ import annotations

import onnx

from staticgrad.onnx_reader.loading import OLDEST_OPSET
from staticgrad.onnx_reader.rewriting import (
    Context,
    attributes_of,
    input_of,
    made,
    refusal,
    renewed,
    whole_numbers,
)

_ELEMENTWISE = {"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"}


def modernized(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """A node of an opset below 7 as nodes of opset 7; UnsupportedOperatorError where that one is said otherwise."""
    kind = node.op_type
    try:
        version = onnx.defs.get_schema(kind, opset).since_version
        if version == onnx.defs.get_schema(kind, OLDEST_OPSET).since_version or kind == "AveragePool":
            return [node]
        if version == onnx.defs.get_schema(kind, OLDEST_OPSET - 1).since_version:
            if kind in _ELEMENTWISE:
                return _broadcast(node, context, attributes_of(node).get("axis"))
            if kind == "PRelu":
                return _broadcast(node, context, 1 if context.shape(node.input[1]) not in ((1,), ()) else None)
            if kind == "Gemm":
                return [renewed(node, without=["broadcast"])]
            if kind in ("BatchNormalization", "Dropout") and attributes_of(node).get("is_test", 0):
                return [renewed(node, without=["is_test"])]
    except onnx.defs.SchemaError:
        pass
    raise refusal(node, opset, f"its form in opsets below {OLDEST_OPSET} is not known here; convert the model first")


def _broadcast(node: onnx.NodeProto, context: Context, axis: int | None) -> list[onnx.NodeProto]:
    """The second operand lies along axes of the first from `axis` on."""
    plain = renewed(node, without=["axis", "broadcast"])
    wide, narrow = context.rank(node.input[0]), context.rank(input_of(node, 1))
    if axis is None or wide is None or narrow is None:
        return [plain]
    behind = wide - (axis % max(wide, 1)) - narrow
    if behind <= 0:
        return [plain]
    aligned = context.fresh("aligned")
    axes = whole_numbers(context, range(narrow, narrow + behind))
    return [made("Unsqueeze", [node.input[1], axes], [aligned]), renewed(plain, [node.input[0], aligned])]
