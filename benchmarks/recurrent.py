"""What the value and all gradients of a recurrent layer cost, next to PyTorch where it is installed, in milliseconds.

`python -m benchmarks.recurrent`: the loss is the sum of all states; weights are fed, not held. Everything runs in turn
on two threads, and the shortest run counts, for what disturbs a run only makes it longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import staticgrad as sg
from staticgrad.methods import OPERATORS

SIZES = ((64, 32, 128), (16, 32, 512))
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
REPEATS = 20


def ours(kind: str, steps: int, batch: int, hidden: int) -> Callable[[], object]:
    """A run of the layer and its gradients."""
    rows = GATES[kind] * hidden
    shapes = {"x": (steps, batch, hidden), "w": (1, rows, hidden), "r": (1, rows, hidden), "b": (1, 2 * rows)}
    leaves = [sg.input(name, shape) for name, shape in shapes.items()]
    how = {"linear_before_reset": True} if kind == "GRU" else {}
    loss = OPERATORS[kind](*leaves, hidden_size=hidden, **how)[0].sum()
    run = sg.function([loss, *sg.grad(loss, leaves)], leaves)
    random = np.random.default_rng(0)
    feeds = [0.1 * random.standard_normal(shape).astype(np.float32) for shape in shapes.values()]
    return lambda: run(*feeds)


def pytorchs(kind: str, steps: int, batch: int, hidden: int) -> Callable[[], object] | None:
    """The same by PyTorch's layer, or None where PyTorch is missing."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(2)
    module = getattr(torch.nn, kind)(hidden, hidden)
    x = torch.randn(steps, batch, hidden, requires_grad=True)

    def run() -> None:
        module.zero_grad()
        x.grad = None
        module(x)[0].sum().backward()

    return run


def milliseconds(call: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    print(f"{'layer':6}{'time, batch, hidden':>22}{'staticgrad':>13}{'PyTorch':>10}")
    for sizes in SIZES:
        for kind in GATES:
            calls = [call for call in (ours(kind, *sizes), pytorchs(kind, *sizes)) if call is not None]
            for call in calls:
                call()
            rounds = [[milliseconds(call) for call in calls] for _ in range(REPEATS)]
            best = [min(column) for column in zip(*rounds, strict=True)]
            print(f"{kind:6}{sizes!s:>22}{best[0]:13.2f}" + "".join(f"{b:10.2f}" for b in best[1:]))


if __name__ == "__main__":
    main()
