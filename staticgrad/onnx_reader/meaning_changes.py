"""Operators that mean something else than they did, though they may look the same."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from staticgrad.onnx_reader.rewriting import (
    ALWAYS,
    Context,
    Upgrade,
    Upgrades,
    attributes_of,
    gone,
    input_of,
    made,
    number_like,
    output_of,
    refusal,
    renewed,
    whole_numbers,
)


def _softmax(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """Softmax, LogSoftmax and Hardmax, which took all axes from `axis` on as one."""
    axis = attributes_of(node).get("axis", 1)
    rank = context.rank(node.input[0])
    if axis == -1 or (rank is not None and axis == rank - 1):
        return [renewed(node, axis=-1)]
    flat, result, sizes = (context.fresh(stem) for stem in ("flat", "softmax", "shape"))
    return [
        made("Shape", [node.input[0]], [sizes]),
        made("Flatten", [node.input[0]], [flat], axis=axis),
        made(node.op_type, [flat], [result], name=node.name, axis=-1),
        made("Reshape", [result, sizes], [node.output[0]], allowzero=1),
    ]


def _batch_normalization(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    if any(node.output[1:]):
        raise refusal(
            node,
            opset,
            "it has the outputs of training, of which ONNX does not say what they hold; export for inference",
        )
    given = attributes_of(node)
    if "spatial" not in given and len(node.output) == 1:
        return None
    if given.get("spatial", 1):
        result = renewed(node, without=["spatial"])
        del result.output[1:]
        return [result]
    x, scale, bias, mean, variance = node.input
    nodes, epsilon = number_like(context, given.get("epsilon", 1e-5), x)
    centred, shifted, deviation, z, scaled = (
        context.fresh(stem) for stem in ("centred", "variance", "deviation", "normalized", "scaled")
    )
    return [
        *nodes,
        made("Sub", [x, mean], [centred]),
        made("Add", [variance, epsilon], [shifted]),
        made("Sqrt", [shifted], [deviation]),
        made("Div", [centred, deviation], [z]),
        made("Mul", [z, scale], [scaled]),
        made("Add", [scaled, bias], [node.output[0]], name=node.name),
    ]


def _group_normalization(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """Scale and bias were one number a group; now they are one a channel."""
    x, *parameters = node.input
    groups = attributes_of(node)["num_groups"]
    shape = context.shape(x)
    channels = shape[1] if shape is not None else None
    nodes: list[onnx.NodeProto] = []
    if channels is not None:
        sizes = whole_numbers(context, [groups, channels // groups])
    else:
        count, each, sizes = (context.fresh(stem) for stem in ("channels", "channels_of_group", "shape"))
        divisor = whole_numbers(context, [groups])
        nodes += [
            made("Shape", [x], [count], start=1, end=2),
            made("Div", [count, divisor], [each]),
            made("Concat", [divisor, each], [sizes], axis=0),
        ]
    inputs = [x]
    for parameter in parameters:
        column, repeated, whole = (context.fresh(stem) for stem in ("column", "repeated", "of_channels"))
        nodes += [
            made("Unsqueeze", [parameter, whole_numbers(context, [1])], [column]),
            made("Expand", [column, sizes], [repeated]),
            made("Reshape", [repeated, whole_numbers(context, [-1])], [whole]),
        ]
        inputs.append(whole)
    return [*nodes, renewed(node, inputs)]


def _scatter(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    return [renewed(node, operator="ScatterElements")]


def _scan(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    raise refusal(node, opset, "its sequences have lengths of their own; export with opset 9 or later")


def _recurrent(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """RNN, LSTM and GRU with the batch in front, for which onnxruntime has no kernel: with the steps in front."""
    if not attributes_of(node).get("layout", 0):
        return None
    inputs, nodes = list(node.input), []
    for position in (0, 5, 6):
        if input_of(node, position):
            inputs[position] = context.fresh("steps_first")
            nodes.append(made("Transpose", [node.input[position]], [inputs[position]], perm=[1, 0, 2]))
    inner = renewed(node, inputs, without=["layout"])
    nodes.append(inner)
    for position, perm in ((0, [2, 0, 1, 3]), (1, [1, 0, 2]), (2, [1, 0, 2])):
        if output_of(node, position):
            inner.output[position] = context.fresh("steps_first")
            nodes.append(made("Transpose", [inner.output[position]], [node.output[position]], perm=perm))
    return nodes


def _mod(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """The remainder of floats with the sign of the divisor, which the newest opsets have."""
    a, b = node.input
    if attributes_of(node).get("fmod", 0) or context.element_type(a) not in _FLOATS:
        return None
    remainder, product, moved, signs, differ = (
        context.fresh(stem) for stem in ("remainder", "product", "moved", "sign", "differ")
    )
    nodes, zero = number_like(context, 0, a)
    return [
        *nodes,
        made("Mod", [a, b], [remainder], fmod=1),
        made("Sign", [remainder], [signs]),
        made("Mul", [signs, b], [product]),
        made("Less", [product, zero], [differ]),
        made("Add", [remainder, b], [moved]),
        made("Where", [differ, moved, remainder], [node.output[0]], name=node.name),
    ]


_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

NEWER: Mapping[str, Upgrade] = {"Mod": _mod}
"""Nodes that only an opset above the dialect has, as nodes of the dialect."""

UPGRADES: Upgrades = {
    "Softmax": ((13, _softmax),),
    "LogSoftmax": ((13, _softmax),),
    "Hardmax": ((13, _softmax),),
    "BatchNormalization": ((14, _batch_normalization),),
    "GroupNormalization": ((21, _group_normalization),),
    "Scatter": ((11, _scatter), (ALWAYS, gone)),
    "Scan": ((9, _scan),),
    "RNN": ((ALWAYS, _recurrent),),
    "LSTM": ((ALWAYS, _recurrent),),
    "GRU": ((ALWAYS, _recurrent),),
}
