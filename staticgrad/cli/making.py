"""Commands that write models."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from staticgrad.errors import DeclarationError
from staticgrad.models import gradient_model, train_step_model
from staticgrad.train import optimizers
from staticgrad.train.transformations import GradientTransformation

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

OPTIMIZERS: Mapping[str, Callable[..., GradientTransformation]] = {
    "adagrad": optimizers.adagrad,
    "adam": optimizers.adam,
    "adamw": optimizers.adamw,
    "rmsprop": optimizers.rmsprop,
    "sgd": optimizers.sgd,
}
_TAKES = {"momentum": ("sgd", "rmsprop"), "weight_decay": ("adamw",)}


def grad(given: argparse.Namespace) -> int:
    """`staticgrad grad`."""
    exporters.write_model(gradient_model(given.model, given.of, given.wrt, given.prefix), given.output)
    return 0


def train_step(given: argparse.Namespace) -> int:
    """`staticgrad train-step`."""
    settings: dict[str, Any] = {}
    for name, takers in _TAKES.items():
        if getattr(given, name) is not None:
            if given.optimizer not in takers:
                raise DeclarationError(
                    f"--{name.replace('_', '-')} is of {' and '.join(takers)}, not {given.optimizer}"
                )
            settings[name] = getattr(given, name)
    step = train_step_model(
        given.model,
        given.loss,
        OPTIMIZERS[given.optimizer](given.lr, **settings),
        given.params,
        given.freeze,
        output=given.output,
        target=given.target,
        training=given.training,
    )
    step.export_bundle(given.into)
    return 0
