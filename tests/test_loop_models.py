"""Gradients of models whose loops come from files: against differences of the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import SETTINGS, Array
from onnx import parser

import staticgrad as sg


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Array]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))


def check(text: str, wrt: list[str], seed: int = 0, domains: str = '"" : 18', **feeds: Any) -> None:
    """Compare the gradients of all floating outputs with central differences along random directions."""
    model = parser.parse_model(f"<ir_version: 8, opset_import: [{domains}]> {text}")
    for node in model.graph.node:
        if node.op_type == "Loop" and len(node.input) == 1:
            node.input.append("")  # what the text has no word for
    generator = np.random.default_rng(seed)
    own = run(model, feeds)
    found = sg.gradient_model(model, wrt=wrt)
    seeds = {n: generator.standard_normal(np.shape(y)) for n, y in own.items() if y.dtype == np.float64}
    names = {i.name for i in found.graph.input}
    seeds = {n: s if f"cotangent.{n}" in names else np.ones(()) for n, s in seeds.items()}
    given = {f"cotangent.{n}": s for n, s in seeds.items() if f"cotangent.{n}" in names}
    results = run(found, {**feeds, **given})
    for name in wrt:
        assert results[f"grad.{name}"].shape == feeds[name].shape
        tangent = generator.standard_normal(feeds[name].shape)
        there = [run(model, {**feeds, name: feeds[name] + h * tangent}) for h in (1e-6, -1e-6)]
        slope = sum(float(np.sum(s * (there[0][n] - there[1][n]))) for n, s in seeds.items()) / 2e-6
        np.testing.assert_allclose(np.sum(results[f"grad.{name}"] * tangent), slope, 1e-5, 1e-7)


@pytest.mark.parametrize("wrt", ["x", "xw"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_state_that_every_step_overwrites(count: int, wrt: str) -> None:
    """Without any step the result is the initial value, and so the derivative goes there."""
    check(
        """m (int64 n, double[2] x, double[2] w) => (double[2] y) {
            t = Constant<value = bool {1}>()
            y = Loop (n, t, x) <
                body = step (int64 i, bool go, double[2] h) => (bool g, double[2] k) { g = Identity(go)  k = Tanh(w) }
            >
        }""",
        list(wrt),
        n=np.array(count),
        x=np.array([0.3, -0.4]),
        w=np.array([0.1, 0.2]),
    )


def test_a_loop_without_states_and_condition() -> None:
    check(
        """m (int64 n, double[2] x) => (double[K, 2] y) {
            y = Loop (n, ) <
                body = step (int64 i, bool go) => (bool g, double[2] k) { g = Identity(go)  k = Tanh(x) }
            >
        }""",
        ["x"],
        n=np.array(3),
        x=np.array([0.3, -0.4]),
    )


def test_a_state_whose_size_the_body_gives_as_a_number() -> None:
    check(
        """m (int64 n, double[N] x, double[3] w) => (double[M] y) {
            t = Constant<value = bool {1}>()
            y = Loop (n, t, x) <
                body = step (int64 i, bool go, double[M] h) => (bool g, double[M] k) {
                    g = Identity(go)
                    s = ReduceSum<keepdims = 0>(h)
                    m = Mul(s, w)
                    k = Tanh(m)
                }
            >
        }""",
        ["x", "w"],
        n=np.array(2),
        x=np.array([0.3, -0.4]),
        w=np.array([0.1, 0.2, 0.4]),
    )


_CALLING = """m (int64 n, bool c, double[2] x) => (double[2] y, double[2] z) {
    t = Constant<value = bool {1}>()
    y = Loop (n, t, x) <
        body = step (int64 i, bool go, double[2] h) => (bool g, double[2] k) {
            g = Identity(go)
            u = own.outer(h)
            k = Mul(u, x)
        }
    >
    z = If (c) <
        then_branch = a () => (double[2] r) { r = own.inner(x) },
        else_branch = b () => (double[2] r) { q = own.outer(y)  r = Add(q, x) }
    >
}
<domain: "own", opset_import: ["" : 18]> inner (x) => (y) { a = Tanh(x)  y = Mul(a, x) }
<domain: "own", opset_import: ["" : 18, "own" : 1]> outer (x) => (y) { a = own.inner(x)  y = Sin(a) }"""


@pytest.mark.parametrize("condition", [True, False])
def test_functions_of_the_model_called_in_bodies(condition: bool) -> None:
    x = np.array([0.3, -0.4])
    check(_CALLING, ["x"], domains='"" : 18, "own" : 1', n=np.array(2), c=np.array(condition), x=x)
