"""Powers whose exponent has another element type than the base, and remainders of floats: as models have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from backend import Runner

import staticgrad as sg

BASES = np.array([1.7, -1.3, 0.0, 0.0, -0.6, 2.0, 0.0])
EXPONENTS = np.array([3, 2, 0, 1, 0, 1, 3])


def model(text: str, opset: int = 26) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> g {text}')


def gradients(proto: onnx.ModelProto, wrt: list[str], feeds: dict[str, Any], count: int = 1) -> list[Any]:
    """The gradients of the sum of the outputs, as far as they are floating."""
    found = sg.gradient_model(proto, wrt=wrt)
    onnx.checker.check_model(found, full_check=True)
    seeds = {i.name: np.ones_like(feeds["x"]) for i in found.graph.input if i.name.startswith("cotangent.")}
    results: list[Any] = Runner(found)({**feeds, **seeds})[count:]
    return results


@pytest.mark.parametrize("exponent", ["int32", "int64", "float", "uint8", "uint32", "uint64", "int16"])
def test_power_with_an_exponent_of_another_type(exponent: str) -> None:
    proto = model(f"(double[7] x, {exponent}[7] e) => (double[7] y) {{ y = Pow(x, e) }}")
    given = EXPONENTS.astype({"float": "float32"}.get(exponent, exponent))
    (found,) = gradients(proto, ["x"], {"x": BASES, "e": given})
    np.testing.assert_allclose(found, [3 * 1.7**2, 2 * -1.3, 0, 1, 0, 1, 0])


def test_power_with_negative_whole_exponents_and_its_second_derivative() -> None:
    proto = model("(double[3] x, int64[3] e) => (double[3] y) { y = Pow(x, e) }")
    first = sg.gradient_model(proto, wrt=["x"])
    feeds = {"x": np.array([0.7, -1.3, -2.0]), "e": np.array([-2, -3, 1])}
    second = sg.gradient_model(first, of=["grad.x"], wrt=["x"], prefix="grad2")
    ones = {"cotangent.y": np.ones(3), "grad2.cotangent.grad.x": np.ones(3)}
    _, slope, curvature = Runner(second)({**feeds, **ones})
    x = feeds["x"]
    np.testing.assert_allclose(slope, [-2 * x[0] ** -3, -3 * x[1] ** -4, 1])
    np.testing.assert_allclose(curvature, [6 * x[0] ** -4, 12 * x[1] ** -5, 0])


def test_power_by_an_exponent_of_another_floating_type_keeps_that_type() -> None:
    proto = model("(double[3] x, float[3] e) => (double[3] y) { y = Pow(x, e) }")
    feeds = {"x": np.array([0.7, 1.3, 2.0]), "e": np.array([-2.5, 0.5, 1], np.float32)}
    by_base, by_exponent = gradients(proto, ["x", "e"], feeds)
    assert by_exponent.dtype == np.float32
    x, e = feeds["x"], feeds["e"].astype(np.float64)
    np.testing.assert_allclose(by_base, e * x ** (e - 1), rtol=1e-6)
    np.testing.assert_allclose(by_exponent, x**e * np.log(x), rtol=1e-6)


def test_whole_base_has_no_derivative_by_a_floating_exponent() -> None:
    proto = model("(int32[2] n, double[2] x) => (double[2] z) { y = Pow(n, x)  w = Cast<to = 11>(y)  z = Add(w, x) }")
    (found,) = gradients(proto, ["x"], {"n": np.array([3, 2], np.int32), "x": np.array([2.0, 3.0])})
    np.testing.assert_array_equal(found, [1, 1])


def test_constants_of_mixed_powers_keep_the_type_of_the_base() -> None:
    literals = "b = Constant<value = float[2] {1.5, 2}>()  e = Constant<value = int64[2] {3, 2}>()"
    proto = model(
        f"(double[2] x) => (double[2] y) {{ {literals}  p = Pow(b, e)  w = Cast<to = 11>(p)  y = Mul(w, x) }}"
    )
    (found,) = gradients(proto, ["x"], {"x": np.ones(2)})
    np.testing.assert_allclose(found, [1.5**3, 4])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_remainder_of_floats_with_the_sign_of_the_divisor(dtype: str) -> None:
    kind = {"float32": "float", "float64": "double"}[dtype]
    proto = model(f"({kind}[6] x, {kind}[6] b) => ({kind}[6] y) {{ y = Mod(x, b) }}", 28)
    x = np.array([7, 7, -7, -7, 6.5, -0.5], dtype)
    b = np.array([3, -3, 3, -3, 2, np.inf], dtype)
    found = sg.gradient_model(proto)
    y, by_x, by_b = Runner(found)({"x": x, "b": b, "cotangent.y": np.ones_like(x)})
    np.testing.assert_allclose(y, np.mod(x, b))
    np.testing.assert_array_equal(by_x, np.ones(6))
    np.testing.assert_array_equal(by_b[:5], -np.floor(x / b)[:5])
