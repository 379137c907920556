"""The suite's PyTorch programs have the losses of ours, from the same weights and batches, at small sizes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import staticgrad as sg
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import WORKLOADS

pytest.importorskip("torch")
from benchmarks.suite.peers import pytorch

SMALL = {
    "tutorial": {"inputs": 20, "hidden": 10},
    "mlp": {"batch": 8, "inputs": 12, "hidden": 16},
    "lenet": {"batch": 4},
    "resnet": {"batch": 8, "size": 16},
    "gpt": {"batch": 2, "length": 8, "vocabulary": 16, "layers": 2, "width": 16, "heads": 2},
    "lstm": {"batch": 3, "length": 5, "inputs": 4, "hidden": 6},
    "embedding-sgd": {"rows": 20, "width": 8, "batch": 16},
    "embedding-adagrad": {"rows": 20, "width": 8, "batch": 16},
    "unet": {"batch": 2, "size": 16, "width": 4},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_losses_agree(name: str) -> None:
    workload = WORKLOADS[name]
    # In smaller steps than in the suite: where a loss has all but vanished, so has what it says of a gradient.
    rate = workload.rate / 10 if workload.optimizer == "momentum" else workload.rate
    workload = dataclasses.replace(workload, sizes=workload.sizes | SMALL[name], rate=rate)
    step = declare(workload)
    of_optimizer = tuple(f"{parameter}." for parameter in step.parameters)
    weights = {
        name.replace("/", "."): np.array(array)
        for name, array in step.state.items()
        if name != "step" and not name.startswith(of_optimizer)
    }
    program = pytorch.build(workload, weights)
    trainer, batches = sg.Trainer(step, device="cpu"), workload.data()
    # The kinks of many small normalized channels make more of a rounding at every step: two updates are compared there.
    more = 1 if name == "resnet" else 3
    ours = [float(trainer.step(batches[i % len(batches)])) for i in range(2 + more)]
    np.testing.assert_allclose(program(2) + program(more), ours, rtol=1e-4)
