"""Losses by name, attached to an output of a model with an input for the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Leaf, Value
from staticgrad.nn import functional
from staticgrad.origin import source_line
from staticgrad.types import DType, TensorType


class NamedLoss(NamedTuple):
    """A loss of PyTorch's: its function, and whether the target holds classes."""

    function: Callable[[Value, Value], Any]
    classes: bool = False


LOSSES = {
    "cross_entropy": NamedLoss(functional.cross_entropy, classes=True),
    "nll": NamedLoss(functional.nll_loss, classes=True),
    "mse": NamedLoss(functional.mse_loss),
    "l1": NamedLoss(functional.l1_loss),
    "smooth_l1": NamedLoss(functional.smooth_l1_loss),
    "huber": NamedLoss(functional.huber_loss),
    "bce": NamedLoss(functional.binary_cross_entropy),
    "bce_with_logits": NamedLoss(functional.binary_cross_entropy_with_logits),
}


def named_loss(name: str, output: Value, target: str) -> Value:
    """The mean loss of an output against a new input `target`.

    Of the type of the output, or, for `cross_entropy` and `nll`, int64 classes without the output's axis 1.
    """
    loss = LOSSES[name]
    type = output.type
    if loss.classes:
        if len(type.shape) < 1:
            raise ShapeError(f"{name} needs an output of (N, C, ...), it is {type} ({source_line()})")
        axis = min(1, len(type.shape) - 1)
        type = TensorType(DType.int64, type.shape[:axis] + type.shape[axis + 1 :])
    expected = Leaf("input", target, type).outputs[0]
    result: Value = loss.function(output, expected)
    return result


def check_name(name: str, outputs: list[str]) -> None:
    """Refuse what is neither an output nor a loss."""
    if name not in LOSSES:
        raise DeclarationError(
            f"loss={shown(name)} is neither an output ({', '.join(outputs)}) nor one of {', '.join(LOSSES)} "
            f"({source_line()})"
        )
