"""PyTorch's optimizers: each step changes the parameters in place, from their `.grad`.

A parameter whose `.grad` is None is skipped. `params` is a list of tensors, or of groups, dicts with "params" and
options of their own; `optimizer.param_groups[0]["lr"] = ...` changes an option between steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import no_grad
from staticgrad.eager.tensor import Tensor

State = dict[str, Any]


class Optimizer:
    """The loop over parameters; a subclass says how one of them moves."""

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], **options: Any) -> None:
        given: list[Any] = list(params)
        if not given:
            raise EagerError("optimizer without parameters: expected at least one tensor")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = [{**options, **g, "params": list(g["params"])} for g in groups]
        self.state: dict[Tensor, State] = {}
        for p in (p for group in self.param_groups for p in group["params"]):
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise EagerError("optimizer with a parameter that is no leaf tensor: expected one made by the user")
        for name in ("lr", "eps", "weight_decay", "momentum"):
            if any(group.get(name, 0) < 0 for group in self.param_groups):
                raise EagerError(f"optimizer with a negative {name}: expected 0 or more")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: `.grad` becomes None, or zeros if `set_to_none` is False."""
        for p in (p for group in self.param_groups for p in group["params"]):
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        with no_grad(), np.errstate(all="ignore"):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state.setdefault(p, {"step": 0})
                    state["step"] += 1
                    g = p.grad.wide if not group["maximize"] else -p.grad.wide
                    p.copy_(Tensor(np.asarray(self.moved(p.wide, g, state, group), p.wide.dtype)))

    def moved(self, p: Array, g: Array, state: State, group: dict[str, Any]) -> Array:
        """The next value of a parameter `p` with gradient `g`; `state` is its own, and kept."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent with momentum.

    v = momentum v + (1 - dampening) g (the first v is g); p -= lr v, or lr (g + momentum v) with `nesterov`.
    `weight_decay` adds that much of p to g.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise EagerError("SGD with nesterov: expected a positive momentum and no dampening")
        options = {"dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, lr=lr, momentum=momentum, **options)

    def moved(self, p: Array, g: Array, state: State, group: dict[str, Any]) -> Array:
        """One step of gradient descent."""
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if group["momentum"]:
            old = state.get("momentum_buffer")
            v = g.copy() if old is None else group["momentum"] * old + (1 - group["dampening"]) * g
            state["momentum_buffer"] = v
            g = g + group["momentum"] * v if group["nesterov"] else v
        return np.asarray(p - group["lr"] * g)


class Adam(Optimizer):
    """Kingma and Ba 2015, arXiv:1412.6980: a step of lr m / (sqrt(v) + eps).

    m and v are running means of g and g^2 with the factors `betas`, corrected for their start at 0. `weight_decay` adds
    that much of p to g (AdamW shrinks p instead); `amsgrad` divides by the largest v so far.
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if not all(0 <= b < 1 for b in betas):
            raise EagerError(f"betas {betas}: expected two numbers from 0 on, below 1")
        options = {"weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        super().__init__(params, lr=lr, betas=betas, eps=eps, **options)

    def moved(self, p: Array, g: Array, state: State, group: dict[str, Any]) -> Array:
        """One step of Adam or AdamW."""
        (beta1, beta2), lr, decay, n = group["betas"], group["lr"], group["weight_decay"], state["step"]
        if decay and self._decoupled:
            p = p * (1 - lr * decay)
        elif decay:
            g = g + decay * p
        m = state["exp_avg"] = state.get("exp_avg", np.zeros_like(g)) * beta1 + (1 - beta1) * g
        v = state["exp_avg_sq"] = state.get("exp_avg_sq", np.zeros_like(g)) * beta2 + (1 - beta2) * g * g
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"] = np.maximum(state.get("max_exp_avg_sq", v), v)
        size = np.sqrt(v) / (1 - beta2**n) ** 0.5 + group["eps"]
        return np.asarray(p - lr / (1 - beta1**n) * (m / size))


class AdamW(Adam):
    """Loshchilov and Hutter 2019, arXiv:1711.05101: Adam in which `weight_decay` shrinks p by lr weight_decay p."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class RMSprop(Optimizer):
    """Hinton's lecture 6e: a step of lr g / (sqrt(v) + eps), v the running mean of g^2 with the factor `alpha`.

    `centered` takes the square of the running mean of g from v; `momentum` sums the steps.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"weight_decay": weight_decay, "momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, **options)

    def moved(self, p: Array, g: Array, state: State, group: dict[str, Any]) -> Array:
        """One step of RMSprop."""
        alpha = group["alpha"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        v = state["square_avg"] = state.get("square_avg", np.zeros_like(g)) * alpha + (1 - alpha) * g * g
        if group["centered"]:
            m = state["grad_avg"] = state.get("grad_avg", np.zeros_like(g)) * alpha + (1 - alpha) * g
            v = v - m * m
        move = g / (np.sqrt(v) + group["eps"])
        if group["momentum"]:
            old = state.get("momentum_buffer", np.zeros_like(g))
            move = state["momentum_buffer"] = group["momentum"] * old + move
        return np.asarray(p - group["lr"] * move)


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer 2011: a step of lr g / (sqrt(sum of all g^2 so far) + eps).

    `lr_decay` divides lr by 1 + (n - 1) lr_decay at step n.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, lr_decay=lr_decay, eps=eps, **options)

    def moved(self, p: Array, g: Array, state: State, group: dict[str, Any]) -> Array:
        """One step of Adagrad."""
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        total = state["sum"] = state.get("sum", np.full_like(g, group["initial_accumulator_value"])) + g * g
        lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        return np.asarray(p - lr * g / (np.sqrt(total) + group["eps"]))
