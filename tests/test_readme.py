"""Everything that the README shows is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)


def run(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_program_prints_the_graph_and_trains(tmp_path: Path) -> None:
    (program, graph) = BLOCKS[0][1], BLOCKS[1][1]
    printed = run(program, tmp_path)
    assert graph in printed
    losses = [float(line.split()[1]) for line in printed.splitlines() if re.match(r"\d+ ", line)]
    assert len(losses) == 5
    assert losses[0] > losses[-1] and losses[-1] < 1e-2
    assert (tmp_path / "two_layer_net.onnx").is_file()
    assert len(re.findall(r"^  [^#]", graph, re.M)) == 12


def test_the_model_of_layers_learns(tmp_path: Path) -> None:
    code = next(code for _, code in BLOCKS if "sg.nn.Sequential" in code)
    shown = run(code, tmp_path).splitlines()
    accuracy = re.fullmatch(r"\{'loss': [\d.]+, 'accuracy': ([\d.]+)\}", shown[0])
    assert accuracy is not None and float(accuracy[1]) > 0.9
    assert {f.name for f in tmp_path.iterdir()} == {"net.onnx", "net.safetensors"}


def test_a_file_is_differentiated_and_trained_further(tmp_path: Path) -> None:
    # The file is written by the model of layers; every program is run by itself, so that lines are as shown.
    run(next(code for _, code in BLOCKS if "sg.nn.Sequential" in code), tmp_path)
    gradients, training = (
        next(code for _, code in BLOCKS if what in code) for what in ("gradient_model(", "from_onnx(")
    )
    check = """
import onnxruntime
assert [o.name for o in by_weights.graph.output] == ["probabilities", "grad.layer1/weight", "grad.layer2/bias"]
session = onnxruntime.InferenceSession("saliency.onnx", providers=["CPUExecutionProvider"])
feeds = {"x": np.ones((4, 2), "float32"), "cotangent.probabilities": np.eye(2, dtype="float32")[[0, 0, 1, 1]]}
gradient = session.run(["grad.x"], feeds)[0]
np.testing.assert_allclose(gradient[0], -gradient[2], rtol=1e-4)
session = onnxruntime.InferenceSession("rings.onnx", providers=["CPUExecutionProvider"])
logits = session.run(["probabilities"], {"x": points[500:]})[0]
print((logits.argmax(-1) == rings[500:]).mean())
"""
    shown = run(gradients + training + check, tmp_path).splitlines()
    assert shown[0] == "<Model net.onnx: (x: f32[?N,2]) -> (probabilities: f32[?N,2]), 4 parameters>"
    accuracy = re.fullmatch(r"\{'loss': [\d.]+, 'accuracy': ([\d.]+)\}", shown[1])
    assert accuracy is not None and float(accuracy[1]) > 0.85
    assert float(shown[2]) == pytest.approx(float(accuracy[1]))


def test_the_forces_are_minus_the_gradient(tmp_path: Path) -> None:
    code = next(code for _, code in BLOCKS if "forces = " in code)
    check = """
p = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
moved = p.copy()
moved[1, 2] += 1e-2
more = field(moved)["energy"]
moved[1, 2] -= 2e-2
slope = (more - field(moved)["energy"]) / 2e-2
assert abs(slope + field(p)["forces"][1, 2]) < 1e-2 * abs(slope), (slope, field(p)["forces"])
first = float(add(p))
assert float(add(p)) == 2 * first
print("right")
"""
    assert run(code + check, tmp_path).endswith("right\n")


def test_the_error_is_shown_as_it_is(tmp_path: Path) -> None:
    position = next(i for i, (language, code) in enumerate(BLOCKS) if "sg.ShapeError as error" in code)
    assert (
        run("import staticgrad as sg\n" + BLOCKS[position][1], tmp_path).strip().replace("<string>:3", "model.py:2")
        == BLOCKS[position + 1][1].strip()
    )


def test_the_operator_that_is_added_works(tmp_path: Path) -> None:
    code = next(code for _, code in BLOCKS if "@onnx_op" in code)
    check = """
import numpy as np
import staticgrad as sg
x = sg.parameter("x", np.array([-2.0, 0.5, 3.0]))
y = softsign(x.float()).sum()
got = sg.function(sg.grad(y, x))()
want = 1 / (1 + np.abs(x.node.initial)) ** 2
np.testing.assert_allclose(got, want, rtol=1e-6)
print("right")
"""
    assert run(code + check, tmp_path) == "right\n"


def test_the_two_commands_stand_on_a_line_each() -> None:
    lines = README.splitlines()
    assert "python -m pip install -e '.[examples]' && python examples/two_layer_net.py" in lines
    assert "python -m pip install -e '.[test]' && python -m pytest" in lines


def test_the_map_of_the_house_is_true() -> None:
    house = next(code for _, code in BLOCKS if code.startswith("staticgrad/\n"))
    for name in re.findall(r"^  ?(\w+(?:/|\.py))", house, re.M):
        assert (ROOT / "staticgrad" / name).exists(), name
    for line in house.splitlines():
        if line.startswith(("exporters", "examples")):
            for name in re.findall(r"\w+/", line):
                assert (ROOT / name).is_dir(), name


def test_every_function_that_is_named_exists() -> None:
    import staticgrad as sg

    for path in set(re.findall(r"`sg\.([\w.]+)", README)):
        found = sg
        for part in path.split("."):
            found = getattr(found, part)


def test_the_explanation_is_shown_as_it_is(tmp_path: Path) -> None:
    position = next(i for i, (_, code) in enumerate(BLOCKS) if "sg.explain(" in code)

    def without_lines(table: str) -> list[list[str]]:
        return [re.sub(r"(model|<string>|\w+)(\.py)?:\d+", r"\1:", line).split() for line in table.splitlines()]

    shown = run(BLOCKS[position][1], tmp_path).replace("<string>", "model")
    assert without_lines(shown) == without_lines(BLOCKS[position + 1][1])


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"`(\w+\.py)`", README.partition("### Examples")[2].partition("## The house")[0]))
    assert listed == {path.name for path in (ROOT / "examples").glob("*.py")}
