"""How our times grow: with the batch, the depth, the nodes of a graph, the length of an LSTM, the rows of a table."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import staticgrad as sg
from benchmarks.suite.report import table
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import WORKLOADS, Batch, Workload
from staticgrad.nn import functional as F


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of log(values) over log(sizes), by least squares: 1 is in proportion, 0 does not grow."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def best_step(step: sg.TrainStep, data: list[Batch], device: str, threads: int, seconds: float = 1.0) -> float:
    """Seconds of the shortest step within a second or so, after warm ones."""
    trainer = sg.Trainer(step, device=device, threads=threads)
    for i in range(3):
        trainer.step(data[i % len(data)])
    best, end, i = math.inf, time.perf_counter() + seconds, 0
    while i < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        trainer.step(data[i % len(data)])
        best = min(best, time.perf_counter() - start)
        i += 1
    return best


def _sized(name: str, **sizes: int) -> Workload:
    return replace(WORKLOADS[name], sizes={**WORKLOADS[name].sizes, **sizes})


def _milliseconds(workload: Workload, device: str, threads: int) -> float:
    return 1e3 * best_step(declare(workload), workload.data(), device, threads)


def deep_mlp(layers: int, width: int = 256, batch: int = 64) -> tuple[sg.TrainStep, list[Batch]]:
    """So many linear layers with relu, and a batch."""
    random = np.random.default_rng(0)
    x = sg.input("x", (batch, width))
    for i in range(layers):
        x = sg.nn.Linear(width, width, name=f"layer{i}", seed=i)(x).relu()
    loss = F.cross_entropy(x, sg.input("y", (batch,), dtype="int64"))
    data = {"x": random.standard_normal((batch, width), np.float32), "y": random.integers(0, width, batch)}
    return sg.train_step(loss, sg.optim.adam(1e-3)), [data]


def build_seconds(links: int) -> tuple[int, float]:
    """The nodes of the step of a chain, and the seconds of declaring, deriving, optimising and writing it."""
    start = time.perf_counter()
    w = sg.parameter("w", np.ones(8, np.float32))
    x: sg.Value = w
    for _ in range(links):
        x = sg.tanh(x * w)
    step = sg.train_step(x.sum(), sg.optim.sgd(0.1))
    step.model().SerializeToString()
    return len(step.graph.operators), time.perf_counter() - start


def growth(device: str, threads: int) -> str:
    """A row for each quantity, with its values and the exponent of its growth."""
    rows: list[list[str]] = []

    def row(what: str, unit: str, sizes: Sequence[float], values: Sequence[float]) -> None:
        shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
        at = "/".join(f"{size:g}" for size in sizes)
        rows.append([what, at, " / ".join(shown) + f" {unit}", f"{exponent(sizes, values):.2f}"])
        print(f"{what}: {' / '.join(shown)} {unit}", flush=True)

    for name in ("mlp", "lenet", "gpt"):
        base = WORKLOADS[name].sizes["batch"]
        batches = [base, 2 * base, 4 * base]
        row(f"{name}, batch", "ms", batches, [_milliseconds(_sized(name, batch=b), device, threads) for b in batches])
    depths = [2, 4, 8]
    row("mlp, layers", "ms", depths, [1e3 * best_step(*deep_mlp(n), device, threads) for n in depths])
    row("gpt, layers", "ms", depths, [_milliseconds(_sized("gpt", layers=n), device, threads) for n in depths])
    built = [build_seconds(links) for links in (250, 2_500, 25_000)]
    row("building, nodes", "s", [nodes for nodes, _ in built], [seconds for _, seconds in built])
    lengths = [16, 64, 256]
    counted = [len(declare(_sized("lstm", length=n)).graph.operators) for n in lengths]
    row("lstm, nodes by length", "nodes", lengths, counted)
    rows_of = [10_000, 100_000, 1_000_000]
    for name in ("embedding-sgd", "embedding-adagrad"):
        row(f"{name}, rows", "ms", rows_of, [_milliseconds(_sized(name, rows=n), device, threads) for n in rows_of])
    return table(["what grows", "sizes", "values", "exponent"], rows)
