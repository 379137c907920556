"""Optimizers: chains of transformations under their usual names.

`learning_rate` is a number, a schedule, or a Value of rank 0 such as `sg.input("lr", ())`, fed at every step.
"""

from __future__ import annotations

from staticgrad.train.schedules import number
from staticgrad.train.transformations import (
    GradientTransformation,
    Mask,
    Rate,
    Rates,
    chain,
    decaying,
    identity,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_rms,
    scale_by_rss,
    scale_by_stddev,
    trace,
)


def _momentum(momentum: float | None, nesterov: bool) -> GradientTransformation:
    return identity() if momentum is None else trace(number(momentum, "momentum", 0), nesterov)


def sgd(learning_rate: Rate, momentum: float | None = None, nesterov: bool = False) -> GradientTransformation:
    """Gradient descent: p <- p - lr g, with the `trace` of g in its place where there is a momentum."""
    return chain(_momentum(momentum, nesterov), scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Rate, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """p <- p - lr m / (sqrt(v + eps_root) + eps), see `scale_by_adam` (Kingma and Ba 2015, arXiv:1412.6980)."""
    return chain(scale_by_adam(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: Rate = 1e-4,
    mask: Mask | None = None,
) -> GradientTransformation:
    """`adam` that also takes lr weight_decay p from p (Loshchilov and Hutter 2019, arXiv:1711.05101).

    `mask` chooses the parameters that decay: a function of the name, a collection of names, or a dict of names and
    bools.
    """
    # The same as decaying before the learning rate scales, with one pass less over every parameter.
    rates = Rates(("learning_rate", learning_rate), ("weight_decay", weight_decay), least=0, sign=-1)
    return chain(scale_by_adam(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate), decaying(rates, mask))


def rmsprop(
    learning_rate: Rate,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformation:
    """p <- p - lr g / sqrt(nu + eps), see `scale_by_rms` and, for `centered`, `scale_by_stddev`.

    A momentum applies to the scaled steps. PyTorch's is that of `eps_in_sqrt=False`, with 0.99 for `decay`.
    """
    by = scale_by_stddev if centered else scale_by_rms
    return chain(
        by(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
        _momentum(momentum, nesterov),
    )


def adagrad(learning_rate: Rate, initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> GradientTransformation:
    """p <- p - lr g / sqrt(sum of all g^2 + eps), see `scale_by_rss` (Duchi, Hazan and Singer 2011)."""
    return chain(scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate))
