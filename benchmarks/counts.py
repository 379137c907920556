"""What a training step consists of, in numbers that need no clock: `python -m benchmarks.counts` prints what changed.

For each workload, nodes by section, bytes of the values between nodes, passes of the update over a parameter, and
the nodes of the LSTM at two lengths. `--write` records them in counts.json, which a test compares with.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import staticgrad as sg
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import WORKLOADS
from staticgrad.types import is_static

RECORD = Path(__file__).resolve().parent / "counts.json"
SMALLER: dict[str, dict[str, int]] = {"embedding-sgd": {"rows": 20_000}, "embedding-adagrad": {"rows": 20_000}}
"""Sizes that are slow to declare as the workload has them."""

Counts = dict[str, dict[str, int]]


def counts_of(step: sg.TrainStep) -> dict[str, int]:
    """The numbers of one step."""
    sections = step.sections
    shapes = [step.graph.inputs[name].type.shape for name in step.parameters]
    outputs = [value for node in step.graph.operators for value in node.outputs]
    results = set(step.graph.outputs.values())
    between = [v.type for v in outputs if v not in results and is_static(v.type.shape)]
    changed = [v.type.shape for node in sections["update"] for v in node.outputs]
    return {
        **{name: len(nodes) for name, nodes in sections.items()},
        "bytes between nodes": sum(math.prod(map(int, t.shape)) * t.dtype.numpy.itemsize for t in between),
        "passes over parameters": sum(shape in shapes for shape in changed),
    }


def all_counts() -> Counts:
    """The numbers of every workload, and the nodes of the LSTM at two lengths."""
    found: Counts = {}
    for name, workload in WORKLOADS.items():
        if workload.in_one_call == 1:
            small = replace(workload, sizes={**workload.sizes, **SMALLER.get(name, {})})
            found[name] = counts_of(declare(small))
    lstm = WORKLOADS["lstm"]
    found["lstm by length"] = {
        str(length): len(declare(replace(lstm, sizes={**lstm.sizes, "length": length})).graph.operators)
        for length in (16, 256)
    }
    return found


def recorded() -> Counts:
    """The numbers in counts.json."""
    found: Counts = json.loads(RECORD.read_text())
    return found


def differences(before: Counts, now: Counts) -> list[str]:
    """What grew, shrank, came or went, a line each."""
    lines = []
    for name in [*before, *(n for n in now if n not in before)]:
        old, new = before.get(name, {}), now.get(name, {})
        for key in [*old, *(k for k in new if k not in old)]:
            if key not in new or key not in old:
                lines.append(f"{name}: {key} {'is new' if key in new else 'is gone'}")
            elif new[key] != old[key]:
                word = "grew" if new[key] > old[key] else "shrank"
                lines.append(f"{name}: {key} {word} by {abs(new[key] - old[key])}, from {old[key]} to {new[key]}")
    return lines


def main() -> None:
    """Print what changed, and record it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the numbers in counts.json")
    given = parser.parse_args()
    now = all_counts()
    print("\n".join(differences(recorded() if RECORD.exists() else {}, now)) or "nothing changed")
    if given.write:
        RECORD.write_text(json.dumps(now, indent=1) + "\n")


if __name__ == "__main__":
    main()
