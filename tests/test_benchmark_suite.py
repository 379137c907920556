"""The benchmark suite: its arithmetic and tables, and a worker from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.suite import registry
from benchmarks.suite.inputs import write_inputs
from benchmarks.suite.report import geometric_mean, quartiles, ratio_table, ratios, reasons, report, table
from benchmarks.suite.runner import Settings, measure, same_losses, steps_of_a_turn
from benchmarks.suite.workloads import WORKLOADS

RESULT: dict[str, Any] = {
    "date": "2020-01-01T00:00:00+0000",
    "machine": {"processor": "P", "cores": 2, "memory_gib": 1.0},
    "settings": {"threads": 2, "device": "cpu"},
    "peers": {"staticgrad": "staticgrad", "torch": "PyTorch eager", "jax": "JAX jit"},
    "workloads": {
        "a": {
            "title": "A",
            "peers": {
                "staticgrad": {"status": "measured", "rounds": [0.002, 0.001, 0.003], "peak": 2**21},
                "torch": {"status": "measured", "rounds": [0.004, 0.004, 0.004], "peak": 2**22},
                "jax": {"status": "measured", "rounds": [0.001, 0.001, 0.001], "peak": 2**20},
            },
        },
        "b": {
            "title": "B",
            "peers": {
                "staticgrad": {"status": "measured", "rounds": [0.001]},
                "torch": {"status": "measured", "rounds": [0.008]},
                "jax": {"status": "unable", "reason": "it has none"},
            },
        },
    },
}


def test_means_and_quartiles() -> None:
    mean = geometric_mean([2.0, 8.0])
    assert mean is not None and math.isclose(mean, 4.0)
    assert geometric_mean([]) is None
    assert quartiles([1.0, 2.0, 3.0]) == (1.5, 2.0, 2.5)
    assert quartiles([1.0]) == (1.0, 1.0, 1.0)


def test_ratios_are_the_time_of_a_peer_by_ours() -> None:
    assert ratios(RESULT["workloads"]["a"]["peers"]) == {"torch": 2.0, "jax": 0.5}
    assert ratios(RESULT["workloads"]["b"]["peers"]) == {"torch": 8.0}
    assert ratios({"staticgrad": {"status": "failed", "reason": "?"}}) == {}


def test_a_machine_that_slows_down_slows_both() -> None:
    records = {"staticgrad": {"status": "measured", "rounds": [1.0, 2.0, 4.0]}}
    records["torch"] = {"status": "measured", "rounds": [2.0, 2.0, 12.0]}
    assert ratios(records) == {"torch": 2.0}


def test_the_table_has_ratios_the_fastest_peer_and_geometric_means() -> None:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ratio_table(RESULT).splitlines()]
    assert lines[2] == ["a", "2.000", "1.500-2.500", "2.00", "0.50", "JAX jit", "0.50"]
    assert lines[3] == ["b", "1.000", "1.000-1.000", "8.00", "unable", "PyTorch eager", "8.00"]
    assert lines[4] == ["geometric mean", "", "", "4.00", "0.50", "", "2.00"]
    assert reasons(RESULT) == "- b, JAX jit: unable: it has none"
    assert "it has none" in report(RESULT)


def test_columns_have_one_width() -> None:
    assert table(["a", "bb"], [["x", "1"], ["long", "22"]]).splitlines() == [
        "| a    |  bb |",
        "|:-----|----:|",
        "| x    |   1 |",
        "| long |  22 |",
    ]


def test_losses_agree_within_a_thousandth() -> None:
    assert same_losses([100.0, 50.0], [100.09, 50.0])
    assert not same_losses([100.0, 50.0], [100.2, 50.0])
    assert not same_losses([1.0], [math.nan])


def test_a_turn_has_whole_calls() -> None:
    assert steps_of_a_turn(0.01, 0.7, 1) == 70
    assert steps_of_a_turn(5.0, 0.7, 1) == 1
    assert steps_of_a_turn(0.001, 0.7, 500) == 500


def test_a_missing_environment_is_reported_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATICGRAD_PEERS", str(tmp_path))
    sizes = {"batch": 4, "inputs": 8, "hidden": 4, "outputs": 2}
    settings = Settings(rounds=2, seconds=0.01, pause=0.0, sizes=sizes)
    said: list[str] = []
    records = measure(WORKLOADS["tutorial"], ["jax"], settings, said.append)
    ours = records["staticgrad"]
    assert ours["status"] == "measured" and len(ours["rounds"]) == 2 and len(ours["losses"]) == 3
    assert ours["losses"][2] < ours["losses"][0] and ours["first_step_seconds"] > 0
    assert ours["versions"]["python"]
    assert records["jax"] == {"status": "not installed", "reason": "python -m benchmarks.install_peers jax"}
    assert said == ["  staticgrad: measured", "  jax: not installed, python -m benchmarks.install_peers jax"]


def test_every_environment_has_its_packages() -> None:
    assert {peer.environment for peer in registry.PEERS.values() if peer.environment} == set(registry.PACKAGES)
    assert "torch==2.13.0" in registry.PACKAGES["torch"]


def test_inputs_of_peers_are_the_state_of_the_model_and_its_logits(tmp_path: Path) -> None:
    sizes = {"batch": 2, "channels": 1, "size": 8, "classes": 3}
    write_inputs(replace(WORKLOADS["resnet"], sizes=sizes), tmp_path)
    with np.load(tmp_path / "weights.npz") as weights:
        names = set(weights.files)
    assert {"conv1.weight", "bn1.running_mean", "stage0.0.bn1.weight", "fc.bias"} <= names
    assert not any(name.endswith((".momentum", ".mu")) or "/" in name for name in names)
    model = onnx.load(tmp_path / "forward.onnx")
    facts = json.loads((tmp_path / "forward.json").read_text())
    assert [output.name for output in model.graph.output] == [facts["output"]] == ["logits"]
    assert facts["loss"] == "cross_entropy" and facts["inputs"] == ["x"]
    assert set(facts["parameters"]) <= {tensor.name for tensor in model.graph.initializer}
    assert {name.replace("/", ".") for name in facts["parameters"]} <= names
