"""How many nodes a second pass through declare, differentiate, optimise and write; by shape and size of the graph.

`python -m benchmarks.build` prints a table; the rate counts the nodes of the written model. No bend upward means that
the rate at 100k nodes is that at 1k.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable

import numpy as np
from staticgrad.exporters import to_model

import staticgrad as sg
from staticgrad.declare import leaves_behind

Loss = tuple[sg.Value, list[sg.Value]]


def chain(size: int) -> Loss:
    """One operator behind the other."""
    w = sg.parameter("w", np.ones(8, np.float32))
    x = w
    for _ in range(size // 4):
        x = sg.tanh(x * w)
    return x.sum(), [w]


def wide(size: int) -> Loss:
    """Many short paths side by side, summed in pairs."""
    x = sg.input("x", ("N", 8))
    parameters = [sg.parameter(f"w{i}", np.ones(8, np.float32)) for i in range(size // 7)]
    parts = [sg.tanh(x * w) for w in parameters]
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[len(parts) // 2 * 2 :]
    return parts[0].sum(), parameters


def diamond(size: int) -> Loss:
    """Every value is used twice and joined again."""
    w = sg.parameter("w", np.ones(8, np.float32))
    x = w
    for _ in range(size // 9):
        x = sg.sin(x) * sg.cos(x)
    return x.sum(), [w]


GRAPHS: dict[str, Callable[[int], Loss]] = {"chain": chain, "wide": wide, "diamond": diamond}


def measure(make: Callable[[int], Loss], size: int) -> tuple[int, dict[str, float]]:
    """The number of nodes written, and the seconds of each phase."""
    gc.collect()
    times = {}
    start = time.perf_counter()
    loss, parameters = make(size)
    times["declare"] = time.perf_counter() - start
    start = time.perf_counter()
    gradients = sg.grad(loss, parameters)
    times["differentiate"] = time.perf_counter() - start
    start = time.perf_counter()
    inputs = {"x": loss_input(loss)} if make is wide else {}
    inputs |= {str(p.name): p for p in parameters}
    outputs = {"loss": loss} | {f"grad.{p.name}": g for p, g in zip(parameters, gradients, strict=True)}
    graph = sg.optimise(sg.Graph("build", inputs, outputs))
    times["optimise"] = time.perf_counter() - start
    start = time.perf_counter()
    data = to_model(graph).SerializeToString()
    times["write"] = time.perf_counter() - start
    assert data
    return len(graph.operators), times


def loss_input(loss: sg.Value) -> sg.Value:
    """The declared input that a loss depends on."""
    return next(leaf.outputs[0] for leaf in leaves_behind([loss]) if leaf.kind == "input")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3, help="the best round counts")
    given = parser.parse_args()
    print(f"{'graph':8} {'nodes':>8} {'nodes/s':>9}   microseconds a node: declare, differentiate, optimise, write")
    for name, make in GRAPHS.items():
        for size in given.sizes:
            nodes, times = min((measure(make, size) for _ in range(given.rounds)), key=lambda r: sum(r[1].values()))
            each = ", ".join(f"{1e6 * seconds / nodes:.1f}" for seconds in times.values())
            print(f"{name:8} {nodes:8} {nodes / sum(times.values()):9.0f}   {each}", flush=True)


if __name__ == "__main__":
    main()
