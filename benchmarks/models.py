"""Real models: seconds to read, differentiate and write them, and to run forward and gradient.

`python -m benchmarks.models` prints a table over the models that the onnx package brings without their weights; these
are filled with random numbers. The gradient goes to all weights and to the image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import onnxruntime

import staticgrad as sg

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
NAMES = tuple(sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("light_*.onnx")))


def materialised(name: str, seed: int = 0) -> onnx.ModelProto:
    """A light model whose weights, all equal in the file, are initializers of random numbers.

    Their spread keeps the size of activations from layer to layer; running variances are around 1. A Softmax at the
    end is left out.
    """
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    sizes = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    sizes |= {n.output[0]: onnx.numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    filled = {n.output[0]: sizes[n.input[0]] for n in graph.node if n.op_type == "ConstantOfShape"}
    # A few layers have numbers of their own, among them variances of 1e-13.
    own = [x for n in graph.node if n.op_type == "BatchNormalization" for x in n.input[1:] if x in sizes]
    filled |= {x: np.array(sizes[x].shape) for x in own}
    roles = {x: (n.op_type, i) for n in graph.node for i, x in enumerate(n.input) if x in filled}
    # A scale that is one number for each channel goes through an Unsqueeze to a Mul, a shift to an Add.
    following = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "Unsqueeze"}
    shifts = {x for n in graph.node if n.op_type == "Add" for x in n.input}
    generator = np.random.default_rng(seed)
    for tensor in [t for t in graph.initializer if t.name in filled]:
        graph.initializer.remove(tensor)
    for output, shape in filled.items():
        kind, position = roles.get(output, ("", 0))
        noise = generator.standard_normal(tuple(shape), np.float32)
        if kind == "BatchNormalization" and position == 4:
            array = 1 + 0.2 * np.abs(noise)
        elif (kind == "BatchNormalization" and position == 1) or (
            kind == "Unsqueeze" and following[output] not in shifts
        ):
            array = 0.6 + 0.1 * noise
        elif len(shape) >= 2:
            inputs = int(np.prod(shape[1:]))
            array = noise * np.float32(np.sqrt((2 if len(shape) > 2 else 0.5) / inputs))
        else:
            array = 0.1 * noise
        graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), output))
    kept = [n for n in graph.node if n.output[0] not in filled]
    if kept[-1].op_type == "Softmax":
        # Random weights make logits so large that its gradient would be 0.
        graph.output[0].name = kept.pop().input[0]
    del graph.node[:]
    graph.node.extend(kept)
    model.ir_version = 8
    # What only the fillings read goes with them, and an initializer of a later IR version is no input.
    read = {x for n in kept for x in n.input}
    for values in (graph.initializer, graph.input):
        stay = [v for v in values if v.name in read]
        del values[:]
        values.extend(stay)
    held = {t.name for t in graph.initializer}
    inputs = [v for v in graph.input if v.name not in held]
    del graph.input[:]
    graph.input.extend(inputs)
    return model


def weights(model: onnx.ModelProto) -> list[str]:
    """The floating initializers of a model."""
    return [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]


def derived(model: onnx.ModelProto) -> tuple[onnx.ModelProto, float]:
    """The gradient to the image and all weights, serialized once, and the seconds that it took."""
    start = time.perf_counter()
    found = sg.gradient_model(model, wrt=[v.name for v in model.graph.input] + weights(model))
    found.SerializeToString()
    return found, time.perf_counter() - start


def run_seconds(model: onnx.ModelProto, rounds: int) -> float:
    """The least seconds of one run."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(1)
    feeds = {v.name: generator.standard_normal(v.shape, np.float32) for v in session.get_inputs()}
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        session.run(None, feeds)
        best = min(best, time.perf_counter() - start)
    return float(best)


def table(names: Iterable[str], rounds: int) -> None:
    print("model          nodes  weights (M)   derive+write (s)   nodes after   forward (ms)   gradient (ms)   ratio")
    for name in names:
        model = materialised(name)
        found, seconds = min((derived(model) for _ in range(rounds)), key=lambda pair: pair[1])
        forward, backward = run_seconds(model, rounds), run_seconds(found, rounds)
        millions = sum(int(np.prod(t.dims)) for t in model.graph.initializer) / 1e6
        print(
            f"{name:<13} {len(model.graph.node):>6} {millions:>12.2f} {seconds:>18.3f} {len(found.graph.node):>13} "
            f"{forward * 1e3:>14.1f} {backward * 1e3:>15.1f} {backward / forward:>7.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=NAMES, metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    table(given.models, given.rounds)
