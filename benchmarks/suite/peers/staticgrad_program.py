"""The workloads in staticgrad itself."""

from __future__ import annotations

from itertools import cycle, islice

import staticgrad as sg
from benchmarks.suite.program import Program
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import Workload


def build(workload: Workload, device: str = "cpu", threads: int | None = None) -> Program:
    """Declare, differentiate, optimise, and make the session; the weights are those of the declaration."""
    trainer = sg.Trainer(declare(workload), device=device, threads=threads)
    data = workload.data()
    batches, each = cycle(data), workload.in_one_call

    def run(count: int) -> list[float]:
        if each == 1:
            results = [trainer.step(batch) for batch in islice(batches, count)]
        elif len(data) == 1:
            results = [r for done in range(0, count, each) for r in trainer.steps(data[0], min(each, count - done))]
        else:
            results = trainer.steps(list(islice(batches, count)))
        return [result.loss for result in results]

    return run
