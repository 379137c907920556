"""Nodes of any opset from 7 on in the one dialect that operators are known in."""

from __future__ import annotations

import onnx

from staticgrad.onnx_reader import argument_changes, meaning_changes, resize_changes
from staticgrad.onnx_reader.rewriting import Context, Upgrades

__all__ = ["UPGRADES", "Context", "lowered", "upgraded"]

UPGRADES: Upgrades = {
    **argument_changes.UPGRADES,
    **meaning_changes.UPGRADES,
    **resize_changes.UPGRADES,
}


def upgraded(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """A node of ONNX's own domain in `opset` as nodes of opset 26, or None where it means the same as it stands.

    Bodies of If, Loop and Scan are left alone: their nodes are upgraded one by one. UnsupportedOperatorError says why a
    node has no meaning in opset 26.
    """
    for below, upgrade in UPGRADES.get(node.op_type, ()):
        if opset < below:
            return upgrade(node, opset, context)
    return None


def lowered(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """A node of an opset above the dialect's as nodes of the dialect, or None where it means the same there."""
    lower = meaning_changes.NEWER.get(node.op_type)
    return None if lower is None else lower(node, opset, context)
