"""Softmax beside its logarithm, which a loss computes and whose cotangent needs the softmax too."""

from __future__ import annotations

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.optimise.equations import equation
from staticgrad.optimise.products import ReadOnce, fusion
from staticgrad.types import DType

_FEW = 64
"""Elements along the axis up to which a softmax costs more than as many exponentials."""


def _is_cheap(logarithm: Value) -> bool:
    """Whether, of a logarithm that is there, the exponential costs less than another softmax."""
    size = logarithm.type.shape[logarithm.node.attributes["axis"]]
    return logarithm.type.dtype is DType.float32 and isinstance(size, int) and size <= _FEW


def _softmax(logarithm: Value) -> Value:
    x = logarithm.node.inputs[0]
    assert x is not None
    return ops.softmax(x, axis=logarithm.node.attributes["axis"])


@equation("Exp")
def _exponential(node: Node) -> Value | None:
    """exp(log_softmax(x)) = softmax(x) of long rows"""
    x = node.inputs[0]
    assert x is not None
    return _softmax(x) if x.node.op.name == "LogSoftmax" and not _is_cheap(x) else None


@fusion("Exp")
def _only_exponential(node: Node, read_once: ReadOnce) -> Value | None:
    """exp(log_softmax(x)) = softmax(x) where nobody else reads the logarithm"""
    x = node.inputs[0]
    assert x is not None
    return _softmax(x) if x.node.op.name == "LogSoftmax" and read_once(x) else None
