"""Losses by name, attached to an output of a model with an input for the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Leaf, Value
from staticgrad.ops import cast
from staticgrad.ops.kinds import is_half
from staticgrad.origin import source_line
from staticgrad.tensor import loss as losses
from staticgrad.tensor import probability_loss
from staticgrad.types import DType, OpaqueType, TensorType


class NamedLoss(NamedTuple):
    """A loss of PyTorch's: its function, and whether the target holds classes."""

    function: Callable[[Value, Value], Any]
    classes: bool = False


LOSSES = {
    "cross_entropy": NamedLoss(losses.cross_entropy, classes=True),
    "nll": NamedLoss(losses.nll_loss, classes=True),
    "mse": NamedLoss(losses.mse_loss),
    "l1": NamedLoss(losses.l1_loss),
    "smooth_l1": NamedLoss(losses.smooth_l1_loss),
    "huber": NamedLoss(losses.huber_loss),
    "bce": NamedLoss(probability_loss.binary_cross_entropy),
    "bce_with_logits": NamedLoss(losses.binary_cross_entropy_with_logits),
}


def target_for(name: str, output: Value, target: str) -> Value:
    """The input for what an output is compared with: of its type, or int64 classes without its axis 1."""
    type = output.type
    if isinstance(type, OpaqueType) or not type.dtype.is_float:
        raise ShapeError(f"the loss {name!r} is of a floating tensor of known rank, {type} came ({source_line()})")
    if LOSSES[name].classes:
        if not type.shape:
            raise ShapeError(f"{name} needs an output of (N, C, ...), it is {type} ({source_line()})")
        axis = min(1, len(type.shape) - 1)
        type = TensorType(DType.int64, type.shape[:axis] + type.shape[axis + 1 :])
    return Leaf("input", target, type).outputs[0]


def named_loss(name: str, output: Value, target: Value) -> Value:
    """The mean loss of an output against a target, which is computed in float32 where the output has 16 bits."""
    wide = [cast(v, to=DType.float32) if is_half(v.type.dtype) else v for v in (output, target)]
    result: Value = LOSSES[name].function(*wide)
    return result


def check_name(name: str, outputs: list[str]) -> None:
    """Refuse what is neither an output nor a loss."""
    if name not in LOSSES:
        raise DeclarationError(
            f"loss={shown(name)} is neither an output ({', '.join(outputs)}) nor one of {', '.join(LOSSES)} "
            f"({source_line()})"
        )
