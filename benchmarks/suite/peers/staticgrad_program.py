"""The workloads in staticgrad itself."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import staticgrad as sg
from benchmarks.suite.program import Program
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import Workload


def build(workload: Workload, device: str = "cpu", threads: int | None = None) -> Program:
    """Declare, differentiate, optimise, and make the session; the weights are those of the declaration."""
    trainer: Any = sg.Trainer(declare(workload), device=device, threads=threads)
    batches = cycle(workload.data())
    in_one_call = workload.in_one_call > 1 and hasattr(trainer, "steps")

    def run(count: int) -> list[float]:
        given = islice(batches, count)
        results = trainer.steps(list(given)) if in_one_call else [trainer.step(batch) for batch in given]
        return [result.loss for result in results]

    return run
