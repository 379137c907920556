"""What a folder of optimised models saves at the start: `python -m benchmarks.start [--repeats N] [WORKLOAD ...]`.

Seconds to declare and derive, and to build a trainer without a folder, with an empty one and with a filled one; the
shortest of some repeats, which take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict

import staticgrad as sg
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import WORKLOADS, Workload


def starts(workload: Workload, repeats: int) -> dict[str, float]:
    """Seconds by what they go to."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        begin = time.perf_counter()
        step = declare(workload)
        times["derive"].append(time.perf_counter() - begin)
        with tempfile.TemporaryDirectory() as folder:
            for name, cache in (("no cache", ""), ("empty", folder), ("filled", folder)):
                begin = time.perf_counter()
                sg.Trainer(step, device="cpu", cache=cache)
                times[name].append(time.perf_counter() - begin)
    return {name: min(taken) for name, taken in times.items()}


def main() -> None:
    """Print a line for each workload."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=["resnet", "mobilenet", "gpt"], help="names of the suite's")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    for name in given.workloads:
        found = starts(WORKLOADS[name], given.repeats)
        print(f"{name:<16}", "  ".join(f"{what} {seconds:.3f} s" for what, seconds in found.items()), flush=True)


if __name__ == "__main__":
    main()
