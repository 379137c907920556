"""What `trainer.step` costs above a bare `run_with_iobinding` on the same session, in microseconds.

`python -m benchmarks.trainer`: the bare run has its inputs and outputs bound once; the step checks and binds a batch
of two arrays each time and copies the loss. Both are interleaved; the median of a round is taken, and the best round
counts, for what disturbs a round only makes it longer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import staticgrad as sg


def small_trainer() -> tuple[sg.Trainer, dict[str, Any]]:
    """A step so small that only the calls cost time."""
    random = np.random.default_rng(0)
    x, y = sg.input("x", ("N", 4)), sg.input("y", ("N", 1))
    w = sg.parameter("w", random.standard_normal((4, 1)).astype("float32"))
    step = sg.train_step((x @ w - y).pow(2).mean(), sg.optim.sgd(1e-3))
    batch = {"x": np.ones((2, 4), np.float32), "y": np.ones((2, 1), np.float32)}
    return sg.Trainer(step, device="cpu", threads=1), batch


def bare(trainer: sg.Trainer, batch: dict[str, Any]) -> Callable[[], None]:
    """One `run_with_iobinding` with everything bound before."""
    import onnxruntime

    session = trainer.session
    binding = session.io_binding()
    for name, array in {**batch, **trainer.state()}.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        room = np.zeros([d for d in output.shape if isinstance(d, int)], np.float32)
        binding.bind_ortvalue_output(output.name, onnxruntime.OrtValue.ortvalue_from_numpy(room))
    return lambda: session.run_with_iobinding(binding)


def median_microseconds(call: Callable[[], object], times: int) -> float:
    """The median time of a call."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return 1e6 * statistics.median(samples)


def main() -> None:
    """Print the table."""
    trainer, batch = small_trainer()
    plain = bare(trainer, batch)
    calls = {"bare run_with_iobinding": plain, "trainer.step": lambda: trainer.step(batch)}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(10):
        for name, call in calls.items():
            rounds[name].append(median_microseconds(call, 2000))
    results = {name: min(values) for name, values in rounds.items()}
    for name, value in results.items():
        print(f"{name:26} {value:6.1f} us   (longest round {max(rounds[name]):.1f})")
    added = results["trainer.step"] - results["bare run_with_iobinding"]
    print(f"{'trainer.step adds':26} {added:6.1f} us")


if __name__ == "__main__":
    main()
