"""Gradients of real convolutional nets to all their weights, against differences."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import staticgrad as sg
from benchmarks.models import NAMES, derived, materialised, weights

SUBSETS = 2
STEP = 5e-5


def session(model: onnx.ModelProto) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])


def as_inputs(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with its weights as inputs, and the weights."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    names = set(weights(model))
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name in names}
    stay = [t for t in found.graph.initializer if t.name not in names]
    del found.graph.initializer[:]
    found.graph.initializer.extend(stay)
    for name, array in arrays.items():
        found.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape))
    return found, arrays


def test_all_nine_are_there() -> None:
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
def test_gradient_to_all_weights_is_that_of_differences(name: str) -> None:
    model = materialised(name)
    gradient, _ = derived(model)
    onnx.checker.check_model(gradient, full_check=len(gradient.graph.node) < 1000)
    assert {node.domain for node in gradient.graph.node} == {""}
    generator = np.random.default_rng(0)
    image = model.graph.input[0]
    shape = [d.dim_value for d in image.type.tensor_type.shape.dim]
    x = generator.standard_normal(shape, np.float32)
    run = session(gradient)
    seed = next(i for i in run.get_inputs() if i.name.startswith("cotangent."))
    cotangent = generator.standard_normal(seed.shape, np.float32)
    names = [image.name, *weights(model)]
    output, *gradients = run.run(None, {image.name: x, seed.name: cotangent})
    del run
    assert np.isfinite(output).all() and all(np.isfinite(g).all() for g in gradients)
    g = dict(zip(names, gradients, strict=True))
    forward, arrays = as_inputs(model)
    arrays[image.name] = x
    run = session(forward)

    def along(direction: dict[str, Any], step: float) -> float:
        moved = {n: a + np.float32(step) * direction[n] if n in direction else a for n, a in arrays.items()}
        return float((run.run(None, moved)[0].astype(np.float64) * cotangent).sum())

    for _ in range(SUBSETS):
        # Along part of the gradient itself, each tensor as far as its own size asks: there the slope is large.
        direction = {}
        for n in names:
            kept = g[n].astype(np.float64) * (generator.random(g[n].shape) < 0.5)
            norm = np.linalg.norm(kept)
            if generator.random() < 0.6 and norm > 1e-12:
                direction[n] = (kept * (np.linalg.norm(arrays[n]) / norm)).astype(np.float32)
        expected = sum(float((g[n].astype(np.float64) * t).sum()) for n, t in direction.items())
        near, far = ((along(direction, h) - along(direction, -h)) / (2 * h) for h in (STEP, 2 * STEP))
        assert expected > 0
        assert abs(near - expected) <= 3 * abs(near - far) + 0.01 * expected, (near, far, expected)
        assert abs(near - far) <= 0.1 * expected, (near, far, expected)


def test_resnet_is_derived_and_written_quickly_and_growth_is_linear() -> None:
    rates = {}
    for name in ("resnet50", "densenet121"):
        model = materialised(name)
        seconds = min(derived(model)[1] for _ in range(3))
        rates[name] = seconds / len(model.graph.node)
    # A bound that a machine ten times slower than needed keeps; benchmarks.models measures.
    assert rates["resnet50"] * 176 < 20
    assert rates["densenet121"] < 5 * rates["resnet50"]


def test_a_written_gradient_is_differentiated_again() -> None:
    model = materialised("squeezenet")
    image = model.graph.input[0].name
    first = sg.gradient_model(model, wrt=image)
    start = time.perf_counter()
    second = sg.gradient_model(first, of=f"grad.{image}", wrt=[image], prefix="grad2")
    assert time.perf_counter() - start < 60
    onnx.checker.check_model(second, full_check=True)
    assert [o.name for o in second.graph.output][-1] == f"grad2.{image}"
