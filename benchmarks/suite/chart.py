"""The ratios of a suite as a picture."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.suite.registry import OURS
from benchmarks.suite.report import ratios


def draw(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """A row for each workload, a mark for each peer: how many times our time its step takes, on a log scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    names = list(result["workloads"])
    peers = [name for name in result["peers"] if name != OURS]
    figure, axes = plt.subplots(figsize=(9, 1.8 + 0.45 * len(names)), layout="constrained")
    for i, peer in enumerate(peers):
        found = [(ratios(result["workloads"][n]["peers"]).get(peer), row) for row, n in enumerate(names)]
        points = [(ratio, row + 0.12 * (i - (len(peers) - 1) / 2)) for ratio, row in found if ratio is not None]
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        axes.scatter(xs, ys, s=46, marker="osD^vP"[i % 6], label=result["peers"][peer], zorder=3)
    axes.axvline(1.0, color="black", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), [result["workloads"][n]["title"] for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    for row in range(len(names) - 1):
        axes.axhline(row + 0.5, color="0.9", linewidth=0.8)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()
    low, high = min(low, 0.8), max(high, 1.25)
    axes.set_xlim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    machine = result["machine"]
    axes.set_xlabel(
        "time of a peer's step by ours (right of 1: staticgrad is faster)\n"
        f"{machine['processor']}, {result['settings']['threads']} threads, {result['date'][:10]}"
    )
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
