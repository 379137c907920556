"""The table of operators says what is so: its facts are current, its page is, and nothing is left out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import onnx
import onnxruntime
import pytest

import staticgrad  # noqa: F401 - fills the registry
from staticgrad.methods import OPERATORS
from staticgrad.operator_table import known_facts, markdown, rows
from staticgrad.operator_table.providers import CUDA
from staticgrad.operator_table.rows import BODY, FUNCTION, KINDS, NOTHING, OWN_RULE, REFUSED, SUCCESSOR, ZERO

ROOT = Path(__file__).resolve().parent.parent
DIFFERENTIATED = (OWN_RULE, BODY, FUNCTION, SUCCESSOR)
AGAIN = "write it again with `python docs/operators.py --node-modules FOLDER`"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operators", ROOT / "docs" / "operators.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "operators.md").read_text() == markdown(), AGAIN


def test_the_facts_are_current(program: ModuleType) -> None:
    if onnx.__version__ != known_facts()["onnx"]:
        pytest.skip("the samples of another onnx")
    found = json.loads(json.dumps(program.facts()))
    assert found == known_facts()["operators"], AGAIN


@pytest.mark.parametrize("name", ["Abs", "Attention", "Conv", "DequantizeLinear", "If", "LSTM", "SwiGLU"])
def test_the_kernels_are_current(program: ModuleType, name: str) -> None:
    if onnxruntime.__version__ != known_facts()["onnxruntime"]:
        pytest.skip("the kernels of another onnxruntime")
    found = program.on_cpu(program.gradients()[name])
    assert [*found] == known_facts()["cpu"][name], AGAIN


def test_every_operator_of_onnx_has_a_row() -> None:
    table = {(row.domain, row.name): row for row in rows()}
    assert set(table) == {(s.domain, s.name) for s in onnx.defs.get_all_schemas_with_history()}
    for name, entry in OPERATORS.items():
        row = table["", name]
        assert row.derivative != REFUSED, name
        assert (row.derivative == OWN_RULE) == (entry.rule is not None) or row.derivative == NOTHING
        assert entry.differentiable or row.derivative in (ZERO, NOTHING)


def test_rows_are_complete() -> None:
    for row in rows():
        assert row.derivative in KINDS
        if row.derivative == REFUSED:
            assert all(row.refused), row
        if row.derivative in DIFFERENTIATED:
            assert row.by, row
            for answer in (row.cpu, row.cuda, row.web, row.webgpu):
                assert answer in ("yes", "no") or (answer is not None and answer.startswith("but ")), row


def test_refusals_say_in_their_docstrings_what_they_refuse() -> None:
    for name, entry in OPERATORS.items():
        assert entry.refusal is None or entry.refusal.__doc__, f"{name}: its function with @refuses has no docstring"


def test_lists_of_kernels_name_operators_of_onnx() -> None:
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain}
    assert known >= CUDA
    assert {name for name in known_facts()["webgpu"] if name not in known} <= {
        "MemcpyFromHost",
        "MemcpyToHost",
        "SimplifiedLayerNormalization",
    }


def test_what_kernels_are_missing() -> None:
    table = {row.name: row for row in rows() if not row.domain}
    assert table["ReduceProd"].cuda == "but CumProd"
    assert table["Acosh"].cuda == "but Acosh"
    # An operator that ONNX makes of others has kernels where these have.
    assert table["MeanVarianceNormalization"].cuda == "yes"
    assert table["LinearAttention"].derivative == FUNCTION
    assert table["Scatter"].opsets == "9 to 10"
    assert table["Conv"].by == ("X", "W", "B")
