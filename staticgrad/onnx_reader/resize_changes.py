"""Upsample, and Resize as it was before it had a choice of coordinates."""

from __future__ import annotations

import numpy as np
import onnx

from staticgrad.onnx_reader.rewriting import (
    ALWAYS,
    Context,
    Upgrades,
    attributes_of,
    gone,
    input_of,
    made,
    refusal,
    renewed,
)


def _upsample(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """Upsample and Resize of opset 10: an element of the result stands at its index divided by the scale.

    The nearest element is the one before when an axis grows, and the one behind when it shrinks: so onnxruntime has it,
    and ONNX's own tests of Resize 10.
    """
    given = attributes_of(node)
    scales = input_of(node, 1)
    if "scales" in given:
        scales = context.literal(np.array(given["scales"], np.float32))
    if given.get("mode", b"nearest") != b"nearest":
        return [_resize(node, node.input[0], scales, node.output[0], mode="linear")]
    numbers = context.constant(scales)
    if node.op_type == "Upsample" or (numbers is not None and (numbers >= 1).all()):
        return [_resize(node, node.input[0], scales, node.output[0], nearest_mode="floor")]
    if numbers is not None and (numbers <= 1).all():
        return [_resize(node, node.input[0], scales, node.output[0], nearest_mode="ceil")]
    # Some axes grow and others shrink, or the run tells which: first all that grow.
    grown = context.fresh("grown")
    nodes: list[onnx.NodeProto] = []
    if numbers is not None:
        up, down = context.literal(np.maximum(numbers, 1)), context.literal(np.minimum(numbers, 1))
    else:
        one = context.literal(np.array(1, np.float32))
        up, down = context.fresh("scales_up"), context.fresh("scales_down")
        nodes += [made("Max", [scales, one], [up]), made("Min", [scales, one], [down])]
    return [
        *nodes,
        _resize(node, node.input[0], up, grown, nearest_mode="floor"),
        _resize(node, grown, down, node.output[0], nearest_mode="ceil"),
    ]


def _resize(node: onnx.NodeProto, x: str, scales: str, y: str, **attributes: str) -> onnx.NodeProto:
    return made(
        "Resize", [x, "", scales], [y], name=node.name, coordinate_transformation_mode="asymmetric", **attributes
    )


_HALF_PIXEL = {b"floor": "round_prefer_ceil", b"round_prefer_floor": "ceil"}
"""How an index is rounded down, and to the nearest, half a pixel further back."""


def _chosen_coordinates(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """Resize of opsets 11 and 12: inputs that are left out are empty tensors, and one choice of coordinates is gone."""
    inputs = ["" if _is_empty(context, name) else name for name in node.input]
    given = attributes_of(node)
    if given.get("coordinate_transformation_mode") == b"tf_half_pixel_for_nn":
        rounding = given.get("nearest_mode", b"round_prefer_floor")
        if given.get("mode", b"nearest") != b"nearest" or rounding not in _HALF_PIXEL:
            raise refusal(node, opset, "tf_half_pixel_for_nn is known with mode=nearest and nearest_mode=floor")
        return [renewed(node, inputs, coordinate_transformation_mode="half_pixel", nearest_mode=_HALF_PIXEL[rounding])]
    return None if inputs == list(node.input) else [renewed(node, inputs)]


def _is_empty(context: Context, name: str) -> bool:
    if not name:
        return False
    numbers = context.constant(name)
    return numbers.size == 0 if numbers is not None else context.shape(name) == (0,)


UPGRADES: Upgrades = {
    "Upsample": ((10, _upsample), (ALWAYS, gone)),
    "Resize": ((11, _upsample), (13, _chosen_coordinates)),
}
