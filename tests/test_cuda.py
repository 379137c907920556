"""Training steps on CUDA: the numbers of the CPU, state that stays on the device, no operator left to the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_export import X, Y, small_step

import staticgrad as sg
from staticgrad.runtime.device import cuda_missing

MISSING = cuda_missing(0)
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no CUDA here: {MISSING}")

SHAPE_ARITHMETIC = {"Shape", "Size", "Range", "ConstantOfShape", "Gather", "Slice", "Concat", "Squeeze", "Unsqueeze"}
"""Operators that may run on the CPU: what they compute there is sizes, which the host needs."""


def tutorial_step() -> sg.TrainStep:
    random = np.random.default_rng(0)
    x, y = sg.input("x", ("N", 5)), sg.input("y", ("N",), "int64")
    w1 = sg.parameter("w1", random.standard_normal((5, 6)).astype("float32"))
    w2 = sg.parameter("w2", random.standard_normal((6, 3)).astype("float32"))
    target = sg.nn.functional.one_hot(y, 3).float()
    return sg.train_step((x.mm(w1).clamp(min=0).mm(w2) - target).pow(2).sum(), sg.optim.sgd(1e-3))


STEPS: dict[str, Callable[[], sg.TrainStep]] = {
    "tutorial": tutorial_step,
    "adam": small_step,
    "adamw with a schedule": lambda: small_step(sg.optim.adamw(sg.optim.cosine_decay_schedule(1e-2, 20))),
    "momentum, clipped": lambda: small_step(
        sg.optim.chain(sg.optim.clip_by_global_norm(1.0), sg.optim.sgd(1e-2, momentum=0.9))
    ),
}


@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
def test_losses_are_those_of_the_cpu(make: Callable[[], sg.TrainStep]) -> None:
    here, there = sg.Trainer(make(), device="cpu"), sg.Trainer(make(), device="cuda")
    # CUDA may multiply in TF32, of ten bits, on some devices.
    for _ in range(10):
        assert float(there.step(x=X, y=Y)) == pytest.approx(float(here.step(x=X, y=Y)), rel=2e-3)


@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
def test_no_operator_is_left_to_the_cpu(make: Callable[[], sg.TrainStep], tmp_path: Path) -> None:
    trainer = sg.Trainer(make(), device="cuda", profile=tmp_path / "profile")
    trainer.step(x=X, y=Y)
    events = json.loads(Path(trainer.session.end_profiling()).read_text())
    left = sorted(
        {
            e["args"]["op_name"]
            for e in events
            if e.get("cat") == "Node" and e["args"].get("provider") == "CPUExecutionProvider"
        }
        - SHAPE_ARITHMETIC
    )
    assert not left, f"operators that the CUDA provider left to the CPU: {', '.join(left)}"


def test_state_stays_on_the_device() -> None:
    trainer = sg.Trainer(small_step(), device="cuda")
    trainer.step(x=X, y=Y)
    assert {value.device_name() for buffers in trainer._buffers for value in buffers.values()} == {"cuda"}


def test_checkpoints_move_between_devices(tmp_path: Path) -> None:
    there = sg.Trainer(small_step(), device="cuda")
    for _ in range(3):
        there.step(x=X, y=Y)
    there.save(tmp_path / "saved")
    here = sg.Trainer(small_step(), device="cpu")
    here.load(tmp_path / "saved")
    for name, array in there.state().items():
        np.testing.assert_array_equal(array, here.state()[name])


def test_bfloat16_trains() -> None:
    x = sg.input("x", ("N", 4), "bfloat16")
    w = sg.parameter("w", sg.init.normal((4, 2), dtype="bfloat16"))
    trainer = sg.Trainer(sg.train_step((x @ w).pow(2).mean(), sg.optim.sgd(0.1)), device="cuda")
    losses = [float(trainer.step(x=np.ones((3, 4)).tolist())) for _ in range(10)]
    assert losses[-1] < losses[0]


def test_tensors_on_the_device_are_taken_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    trainer = sg.Trainer(small_step(), device="cuda")
    x, y = torch.tensor(X, device="cuda"), torch.tensor(Y, device="cuda")
    assert trainer._feeds.check({"x": x, "y": y})["x"].data_ptr() == x.data_ptr()
    assert np.isfinite(float(trainer.step(x=x, y=y)))
