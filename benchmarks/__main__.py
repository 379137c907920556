"""Training steps of nine models, here and in other libraries.

`python -m benchmarks` measures all of them and writes a .json, a .md and a .png into benchmarks/results;
`python -m benchmarks.install_peers` makes the environments of the other libraries. `--kernels` and `--growth` measure
staticgrad alone: what its time goes to, and how it grows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.suite.registry import OURS, PEERS
from benchmarks.suite.runner import Settings, run_suite
from benchmarks.suite.workloads import WORKLOADS

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Read the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="NAME")
    others = [name for name in PEERS if name != OURS]
    parser.add_argument("--peer", nargs="*", choices=others, default=others, metavar="NAME", help=", ".join(others))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of every peer (2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every peer (7)")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of a turn (0.7)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds a peer may take to begin (900)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--kernels", action="store_true", help="what the time of our steps goes to")
    parser.add_argument("--growth", action="store_true", help="how our times grow with batch, depth, nodes and rows")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    if given.kernels or given.growth:
        alone(given)
        return
    from benchmarks.suite.report import report

    settings = Settings(given.device, given.threads, given.rounds, given.seconds, timeout=given.timeout)
    path = given.output / f"suite-{time.strftime('%Y-%m-%d')}-{given.device}"

    def keep(result: dict[str, Any]) -> None:
        path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")

    result = run_suite(given.workload, given.peer, settings, lambda line: print(line, flush=True), keep)
    path.with_suffix(".md").write_text(report(result) + "\n")
    print("\n" + report(result) + "\n")
    try:
        from benchmarks.suite.chart import draw

        draw(result, path.with_suffix(".png"))
    except ImportError as error:
        print(f"no chart: {error}; it needs staticgrad[examples]")
    print(f"written to {path}.json, .md and .png")


def alone(given: argparse.Namespace) -> None:
    """What is measured of staticgrad alone."""
    if given.kernels:
        from benchmarks.suite.kernels import kernels

        print(kernels(given.workload, given.device, given.threads))
    if given.growth:
        from benchmarks.suite.growth import growth

        print(growth(given.device, given.threads))


if __name__ == "__main__":
    main()
