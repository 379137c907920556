"""Where the time of our steps goes, from onnxruntime's own profile, and how near the products are to the ceiling."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from staticgrad.exporters import to_model

import staticgrad as sg
from benchmarks.suite.report import table
from benchmarks.suite.staticgrad_models import declare
from benchmarks.suite.workloads import WORKLOADS, Workload

Event = dict[str, Any]

PRODUCTS = {"Gemm", "MatMul", "FusedGemm", "FusedMatMul"}
CONVOLUTIONS = {"Conv", "FusedConv", "ConvTranspose", "NhwcFusedConv"}
RECURRENT = {"LSTM"}
CONTROL_FLOW = {"Scan", "Loop", "If"}
STEPS = 8


def events(workload: Workload, device: str, threads: int) -> list[Event]:
    """What the profile says of the shortest of some steps: the run, and the kernels inside it.

    Loops and branches are left out, for the kernels of their bodies are there too.
    """
    data = workload.data()
    with tempfile.TemporaryDirectory() as folder:
        trainer = sg.Trainer(declare(workload), device=device, threads=threads, profile=Path(folder) / "profile")
        for i in range(STEPS):
            trainer.step(data[i % len(data)])
        found: list[Event] = json.loads(Path(trainer.session.end_profiling()).read_text())
    run = min((event for event in found if event["name"] == "model_run"), key=lambda event: event["dur"])
    start, end = run["ts"], run["ts"] + run["dur"]
    named = [
        e for e in found if e.get("cat") == "Node" and e["name"].endswith("kernel_time") and start <= e["ts"] < end
    ]
    return [run, *(event for event in named if event["args"]["op_name"] not in CONTROL_FLOW)]


def operations(event: Event) -> int | None:
    """Floating-point operations of a product or a convolution, from the shapes in its event; None of others, and of
    those whose constant weight onnxruntime packed beforehand, which has no shape there.

    A product of (m, k) and (k, n) has 2 m k n. A convolution has 2 for each element of its weight behind one channel
    of the output, times the output; a transposed one has them for each element of its input.
    """
    name = event["args"]["op_name"]
    inputs, outputs = (
        [next(iter(shape.values())) for shape in event["args"][key]]
        for key in ("input_type_shape", "output_type_shape")
    )
    if len(inputs) < 2:
        return None
    if name in PRODUCTS:
        # The size summed over is in both factors: |a| |b| = m k k n, |output| = m n; in batches, all share the batch.
        a, b, y = (math.prod(shape) for shape in (inputs[0], inputs[1], outputs[0]))
        if not y:
            return 0
        common = math.prod(outputs[0][:-2]) if len(inputs[1]) > 2 and len(inputs[0]) > 2 else 1
        return 2 * y * round(math.sqrt(a * b / (y * common)))
    if name in CONVOLUTIONS:
        over = inputs[0] if name == "ConvTranspose" else outputs[0]
        return 2 * math.prod(over) * math.prod(inputs[1][1:])
    return None


def ceiling(threads: int, size: int = 1536, repeats: int = 40) -> float:
    """Most GFLOP/s of a square product in onnxruntime."""
    x, y = sg.input("x", (size, size)), sg.input("y", (size, size))
    model = to_model(sg.Graph("product", {"x": x, "y": y}, {"product": x @ y}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    array = np.ones((size, size), np.float32)
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        session.run(None, {"x": array, "y": array})
        best = min(best, time.perf_counter() - start)
    return float(2e-9 * size**3 / best)


def _rate(kernels: Iterable[Event], names: set[str]) -> str:
    counted = [(operations(event), event["dur"]) for event in kernels if event["args"]["op_name"] in names]
    known = [(count, duration) for count, duration in counted if count is not None]
    microseconds = sum(duration for _, duration in known)
    return f"{1e-3 * sum(count for count, _ in known) / microseconds:.1f}" if microseconds else "-"


def kernels(names: Iterable[str], device: str, threads: int) -> str:
    """A table: milliseconds of a step, the shares of the heavy kernels and of all else, and their GFLOP/s."""
    rows = []
    for name in names:
        run, *inner = events(WORKLOADS[name], device, threads)
        whole = run["dur"]
        heavy = sum(e["dur"] for e in inner if e["args"]["op_name"] in PRODUCTS | CONVOLUTIONS | RECURRENT)
        all_kernels = sum(event["dur"] for event in inner)
        rows.append(
            [
                name,
                f"{whole / 1000:.3f}",
                str(len(inner)),
                f"{100 * heavy / whole:.0f}%",
                f"{100 * (all_kernels - heavy) / whole:.0f}%",
                f"{100 * (whole - all_kernels) / whole:.0f}%",
                _rate(inner, PRODUCTS),
                _rate(inner, CONVOLUTIONS),
            ]
        )
    head = ["workload", "ms", "kernels", "heavy", "others", "between", "products GFLOP/s", "convolutions GFLOP/s"]
    return (
        "Heavy kernels are products, convolutions and LSTM; the profile itself costs time between kernels\n\n"
        f"{table(head, rows)}\n\nceiling: {ceiling(threads):.1f} GFLOP/s, a square product"
    )
