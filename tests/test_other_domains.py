"""Operators of domains that are not ONNX's own: read by their function bodies, or refused with the reason."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from backend import adjoint, cases, judge

import staticgrad as sg
from staticgrad.errors import UnsupportedOperatorError


def case(name: str) -> Any:
    return next(c for c in cases() if c.name == name)


@pytest.mark.parametrize("name", ["scaled", "gqa", "score_mod", "prob_mod", "causal_mask", "soft_cap"])
def test_flexible_attention_is_its_function_body(name: str) -> None:
    given = case(f"test_flexattention_{name}")
    assert judge(given).kind == "right"
    if name in ("score_mod", "gqa"):
        assert adjoint(given).kind == "right"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("test_momentum", "step of an optimizer"), ("test_ai_onnx_ml_binarizer", "trees, classifiers")],
)
def test_what_has_no_derivative_says_why(name: str, reason: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=reason):
        sg.gradient_model(case(name).model)


def test_a_node_without_derivative_behind_a_value_without_one_is_not_refused() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "own" : 1]>
    g (float[3] x) => (float[3] y) <float[3] a> {
        a = own.Odd(x)  b = Greater(a, x)  c = Cast<to = 1>(b)  y = Mul(c, x)
    }"""
    model = onnx.parser.parse_model(text)
    found = sg.gradient_model(model)
    assert any(node.op_type == "Odd" for node in found.graph.node)
