"""The workloads in JAX.

A step is one jitted function: `jax.value_and_grad` of the loss and the optimizer, the state donated. The optimizers are
written by hand as optax defines them. Batches become JAX arrays when a program is built, images as NHWC, as in all
peers: what is compared is the step. XLA runs on its own threads, as many as there are cores that the process may use.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.suite.peers.jax_models import LOSSES, MODELS, Array, Arrays, cross_entropy, of_pytorch
from benchmarks.suite.program import Program, Weights
from benchmarks.suite.workloads import Workload

State = dict[str, Any]


def build(workload: Workload, weights: Weights) -> Program:
    """The workload's program, from the weights."""
    arrays = of_pytorch(weights)
    state = {
        "parameters": {name: array for name, array in arrays.items() if ".running_" not in name},
        "statistics": {name: array for name, array in arrays.items() if ".running_" in name},
    }
    if workload.optimizer == "adagrad":
        state["sums"] = {name: jnp.full_like(array, 0.1) for name, array in state["parameters"].items()}
    if workload.optimizer in ("momentum", "adam", "adamw"):
        state["means"] = {name: jnp.zeros_like(array) for name, array in state["parameters"].items()}
    if workload.optimizer in ("adam", "adamw"):
        state["squares"] = {name: jnp.zeros_like(array) for name, array in state["parameters"].items()}
        state["count"] = jnp.zeros((), jnp.int32)
    batches = [_converted(batch["x"], batch["y"]) for batch in workload.data()]
    step = partial(_step_by_rows if workload.model == "embedding" else _step, workload)
    one = jax.jit(step, donate_argnums=0)
    many = jax.jit(
        lambda state, x, y: lax.scan(lambda s, _: step(s, x, y), state, length=workload.in_one_call), donate_argnums=0
    )
    at = count()

    def run(steps: int) -> list[float]:
        nonlocal state
        losses: list[Array] = []
        # Steps in one call stay with one batch; a workload that asks for them has no other.
        while workload.in_one_call > 1 and steps >= workload.in_one_call:
            state, several = many(state, *batches[0])
            losses.extend(several.tolist())
            steps -= workload.in_one_call
        for _ in range(steps):
            state, loss = one(state, *batches[next(at) % len(batches)])
            losses.append(loss)
        return [float(loss) for loss in losses]

    return run


def _converted(x: Any, y: Any) -> tuple[Array, Array]:
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    if y.ndim == 4:
        y = y.transpose(0, 2, 3, 1)
    return tuple(jnp.array(a.astype(np.int32) if a.dtype == np.int64 else a) for a in (x, y))  # type: ignore[return-value]


def _loss(workload: Workload, parameters: Arrays, statistics: Arrays, x: Array, y: Array) -> tuple[Array, Arrays]:
    moved: Arrays = {}
    output = MODELS[workload.model]({**parameters, **statistics}, x, workload.sizes, moved)
    return LOSSES.get(workload.model, cross_entropy)(output, y), moved


def _step(workload: Workload, state: State, x: Array, y: Array) -> tuple[State, Array]:
    of_parameters = jax.value_and_grad(partial(_loss, workload), has_aux=True)
    (loss, moved), gradients = of_parameters(state["parameters"], state["statistics"], x, y)
    return _updated(workload, state | {"statistics": moved}, gradients), loss


def _updated(workload: Workload, state: State, gradients: Arrays) -> State:
    """The state after the optimizer's step."""
    rate, parameters = workload.rate, state["parameters"]
    changed = dict(state)
    if workload.optimizer == "sgd":
        directions = gradients
    elif workload.optimizer == "adagrad":
        sums = {name: state["sums"][name] + jnp.square(g) for name, g in gradients.items()}
        directions = {name: g * lax.rsqrt(sums[name] + 1e-7) for name, g in gradients.items()}
        changed["sums"] = state["sums"] | sums
    elif workload.optimizer == "momentum":
        directions = {name: 0.9 * state["means"][name] + g for name, g in gradients.items()}
        changed["means"] = directions
    else:
        step = state["count"] + 1
        means = {name: 0.9 * state["means"][name] + 0.1 * g for name, g in gradients.items()}
        squares = {name: 0.999 * state["squares"][name] + 0.001 * jnp.square(g) for name, g in gradients.items()}
        mean_scale, square_scale = 1 / (1 - 0.9**step), 1 / (1 - 0.999**step)
        directions = {
            name: means[name] * mean_scale / (jnp.sqrt(squares[name] * square_scale) + 1e-8)
            + workload.weight_decay * parameters[name]
            for name in gradients
        }
        changed |= {"count": step, "means": means, "squares": squares}
    changed["parameters"] = parameters | {name: parameters[name] - rate * d for name, d in directions.items()}
    return changed


def _step_by_rows(workload: Workload, state: State, ids: Array, y: Array) -> tuple[State, Array]:
    """The same where the input is rows of a table: differentiated by these rows, and only they are changed."""
    parameters = dict(state["parameters"])
    table = parameters.pop("table.weight")
    loss_of = jax.value_and_grad(partial(_loss, workload), argnums=(0, 2), has_aux=True)
    (loss, _), (gradients, of_rows) = loss_of(parameters, {}, table[ids], y)
    changed = _updated(workload, state | {"parameters": parameters}, gradients)
    if workload.optimizer == "sgd":
        table = table.at[ids].add(-workload.rate * of_rows)
    else:
        # Rows that occur twice have their gradients added before they are squared; what is left over lies outside.
        size = ids.shape[0]
        rows, places = jnp.unique(ids, return_inverse=True, size=size, fill_value=table.shape[0])
        of_rows = jax.ops.segment_sum(of_rows, places, size)
        kept = state["sums"]["table.weight"]
        sums = kept.at[rows].get(mode="fill", fill_value=1.0) + jnp.square(of_rows)
        hints: Any = {"mode": "drop", "indices_are_sorted": True, "unique_indices": False}
        changed["sums"]["table.weight"] = kept.at[rows].set(sums, **hints)
        table = table.at[rows].add(-workload.rate * of_rows * lax.rsqrt(sums + 1e-7), **hints)
    changed["parameters"]["table.weight"] = table
    return changed, loss
