"""Runs broken models and their gradient models on onnxruntime, in a process that may crash: see `judged`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference

Pair = tuple[bytes, bytes]
"""A model and its gradient model."""

# What onnxruntime has no kernel for, in the element types that came.
_NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation", "NotImplemented")


def judged(pairs: Sequence[Pair], folder: Path) -> list[str]:
    """For each pair `same`, `invalid` (the model itself does not run), `no kernel`, or what is wrong with it."""
    (folder / "pairs").write_bytes(pickle.dumps(list(pairs)))
    found: list[str] = []
    while len(found) < len(pairs):
        arguments = [sys.executable, __file__, str(folder / "pairs"), str(len(found))]
        try:
            run = subprocess.run(arguments, capture_output=True, text=True, timeout=20)
            lines, end = run.stdout.splitlines(), f"onnxruntime crashed: {run.returncode}"
        except subprocess.TimeoutExpired as error:
            lines, end = (error.stdout or b"").decode().splitlines(), "onnxruntime did not come to an end"
        finished = [json.loads(line) for line in lines if line.startswith('"')]
        found += finished
        if len(found) < len(pairs):
            # The last line says whose turn it was.
            of_gradient = bool(lines) and lines[-1] == "gradient"
            found.append(f"gradient model: {end}" if of_gradient else "invalid")
    return found


def _drawn(info: Any, sizes: dict[str, int], draw: Any) -> Any:
    tensor = info.type.tensor_type
    shape = [
        d.dim_value if d.HasField("dim_value") else sizes.setdefault(d.dim_param or str(len(sizes)), 2 + len(sizes) % 3)
        for d in tensor.shape.dim
    ]
    if info.type.WhichOneof("value") != "tensor_type" or np.prod(shape, dtype=float) > 1e6 or min(shape, default=1) < 0:
        raise ValueError("not drawn")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind == "f":
        return draw.uniform(-1, 1, shape).astype(dtype)
    return draw.integers(1, 3, shape).astype(dtype)


def _judge(pair: Pair, seed: int) -> str:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    literal = onnxruntime.SessionOptions()
    literal.log_severity_level = 4
    literal.intra_op_num_threads = 1
    literal.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    draw, sizes = np.random.default_rng(seed), dict[str, int]()
    try:
        forward = onnxruntime.InferenceSession(pair[0], literal, ["CPUExecutionProvider"])
        model = onnx.ModelProto.FromString(pair[0])
        held = {t.name for t in model.graph.initializer}
        feeds = {i.name: _drawn(i, sizes, draw) for i in model.graph.input if i.name not in held}
        names = [y.name for y in forward.get_outputs()]
        expected = forward.run(None, feeds)
        if any(np.size(y) > 1e6 for y in expected if isinstance(y, np.ndarray)):
            return "invalid"
    except Exception:
        return "invalid"
    model_inputs = set(feeds)
    print("gradient", flush=True)
    try:
        backward = onnxruntime.InferenceSession(pair[1], settings, ["CPUExecutionProvider"])
        known = dict(zip(names, expected, strict=True))
        for given in backward.get_inputs():
            of = known.get(given.name.removeprefix("cotangent."))
            if given.name not in feeds and of is not None:
                feeds[given.name] = draw.uniform(-1, 1, of.shape).astype(of.dtype)
        feeds = {i.name: feeds[i.name] for i in backward.get_inputs() if i.name in feeds}
        results = backward.run(None, feeds)
    except Exception as error:
        text = " ".join(str(error).split())
        return "no kernel" if any(t in text for t in _NO_KERNEL) else f"gradient model: {text[:300]}"
    if _agree(expected, results):
        return "same"
    try:
        # Where a body hands an input on as it is, onnxruntime may overwrite it.
        found = onnx.reference.ReferenceEvaluator(model).run(None, {n: feeds[n] for n in feeds if n in model_inputs})
        if _agree(found, results):
            return "same"
    except Exception:
        pass
    return " ".join(f"another result: {expected!r} {results[: len(expected)]!r}".split())


def _agree(expected: Sequence[Any], results: Sequence[Any]) -> bool:
    for before, after in zip(expected, results, strict=False):
        if not isinstance(before, np.ndarray) or before.dtype.kind != "f":
            # Sequences, optionals, strings.
            if not np.array_equal(np.asarray(before, object), np.asarray(after, object)):
                return False
        elif np.shape(before) != np.shape(after) or not np.allclose(before, after, 1e-3, 1e-4, equal_nan=True):
            return False
    return True


if __name__ == "__main__":
    waiting = pickle.loads(Path(sys.argv[1]).read_bytes())
    for position in range(int(sys.argv[2]), len(waiting)):
        print("model", flush=True)
        print(json.dumps(_judge(waiting[position], position)), flush=True)
