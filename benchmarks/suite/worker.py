"""One peer at work, in its own interpreter: a JSON line in says what to do, a JSON line out what came of it.

`python -m benchmarks.suite.worker`, started by `benchmarks.suite.processes`. Requests are "build", "run", "memory" and
"quit"; the clock stands here, around the steps alone. Between requests the process waits for its input.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

Reply = dict[str, Any]
ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-training-cpu")
PACKAGES = ("numpy", "onnx", *ONNXRUNTIMES, "onnxsim", "torch", "jax", "jaxlib", "staticgrad")


def resident(field: str) -> int | None:
    """Bytes in the line `field` of /proc/self/status; None where there is no such file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0]) * 1024


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that are in use here."""
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    return {"python": sys.version.split()[0]} | {
        name: found[name] for name in PACKAGES if name in found and name.partition("-")[0] in sys.modules
    }


class Worker:
    """What the requests do."""

    def __init__(self) -> None:
        self.program: Callable[[int], list[float]] | None = None

    def build(
        self,
        module: str,
        libraries: list[str],
        workload: str,
        folder: str,
        arguments: dict[str, Any],
        sizes: dict[str, int] | None = None,
    ) -> Reply:
        """Make the program and run it for the first time; the clock starts after imports and reading of the data."""
        from benchmarks.suite.program import UnableError
        from benchmarks.suite.workloads import WORKLOADS

        try:
            for library in libraries:
                importlib.import_module(library)
            build = importlib.import_module(module).build
        except ImportError as error:
            return {"failed": f"{type(error).__name__}: {error}"}
        given = WORKLOADS[workload]
        if sizes:
            given = replace(given, sizes={**given.sizes, **sizes})
        accepted = inspect.signature(build).parameters
        if arguments.get("device", "cpu") != "cpu" and "device" not in accepted:
            return {"unable": "its program here is for the CPU only"}
        known = {name: value for name, value in arguments.items() if name in accepted}
        if "weights" in accepted:
            known["weights"] = _weights(folder)
        if "folder" in accepted:
            known["folder"] = folder
        given.data()
        before = resident("VmRSS")
        start = time.perf_counter()
        try:
            self.program = program = build(given, **known)
            first = program(given.in_one_call)
        except UnableError as error:
            return {"unable": str(error)}
        seconds = time.perf_counter() - start
        more = program(given.in_one_call) if given.in_one_call == 1 else []
        more += program(given.in_one_call) if given.in_one_call == 1 else []
        losses = [float(loss) for loss in (first + more)[:3]]
        return {"seconds": seconds, "losses": losses, "resident_before": before, "versions": versions()}

    def run(self, steps: int, in_one_call: int = 1) -> Reply:
        """So many further steps, in calls of `in_one_call` where that is not 1."""
        assert self.program is not None
        calls = [steps] if in_one_call == 1 else [in_one_call] * (steps // in_one_call)
        start = time.perf_counter()
        for count in calls:
            losses = self.program(count)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "steps": sum(calls), "loss": float(losses[-1])}

    def memory(self) -> Reply:
        """The most memory that the process ever had, and what it has now."""
        return {"peak": resident("VmHWM"), "resident": resident("VmRSS")}


def _weights(folder: str) -> dict[str, Any]:
    import numpy as np

    with np.load(Path(folder) / "weights.npz") as stored:
        return {name: stored[name] for name in stored.files}


def main() -> None:
    """Answer requests until "quit" or the end of the input."""
    # Whatever a library prints goes to the error stream; the replies have the output to themselves.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        action = request.pop("do")
        if action == "quit":
            return
        try:
            reply = getattr(worker, action)(**request)
        except Exception as error:
            reply = {"failed": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
