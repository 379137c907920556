"""Every example runs, prints what it should, and the tutorial's versions agree step by step."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT, run_python

EXAMPLES = ROOT / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def assert_same_losses(losses: list[float], others: list[float]) -> None:
    """Relative 1e-4 while the loss is above 1, absolute 1e-3 below."""
    assert len(losses) == len(others) == 500
    for a, b in zip(losses, others, strict=True):
        assert abs(a - b) <= (1e-4 * abs(a) if a > 1 else 1e-3), (a, b)


def test_the_tutorial_three_ways(example: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    losses = example("two_layer_net").main()
    printed = capsys.readouterr().out
    assert "Gemm(" in printed and "w1.next" in printed
    assert [line.split()[0] for line in printed.splitlines() if re.match(r"\d+ [\d.e-]+$", line)] == [
        *("99", "199", "299", "399", "499"),
    ]
    assert len(onnx.load("two_layer_net.onnx").graph.node) <= 16
    assert losses[0] > 1e7 and losses[-1] < 1e-3
    eager = example("two_layer_net_eager")
    assert_same_losses(losses, eager.main())
    assert_same_losses(losses, eager.with_optimizer())
    assert_same_losses(losses, example("two_layer_net_onnxruntime").main())


def test_the_tutorial_against_pytorch(example: Callable[[str], Any]) -> None:
    torch = pytest.importorskip("torch")
    module = example("two_layer_net")
    arrays = module.data()
    x, y = torch.tensor(arrays["x"]), torch.tensor(arrays["y"])
    w1, w2 = (torch.tensor(arrays[n], requires_grad=True) for n in ("w1", "w2"))
    losses = []
    for _ in range(500):
        loss = (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum()
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            w1 -= module.learning_rate * w1.grad
            w2 -= module.learning_rate * w2.grad
            w1.grad.zero_()
            w2.grad.zero_()
    assert_same_losses(losses, module.main())


def test_the_exported_tutorial_in_an_environment_without_staticgrad(
    example: Callable[[str], Any], bare_python: Callable[..., str], tmp_path: Path
) -> None:
    losses = example("two_layer_net").main()
    printed = bare_python((EXAMPLES / "two_layer_net_onnxruntime.py").read_text(), cwd=tmp_path)
    shown = dict(line.split() for line in printed.splitlines() if re.match(r"\d+ ", line))
    for t in (99, 199, 299, 399, 499):
        assert float(shown[str(t)]) == pytest.approx(losses[t], rel=1e-4, abs=1e-3)


def test_digits(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "digits_mlp.py", cwd=tmp_path)
    accuracy = re.search(r"Accuracy on the test images: ([\d.]+)%", printed)
    assert accuracy is not None and float(accuracy[1]) >= 97
    assert f"digits_mlp.onnx, in onnxruntime alone: accuracy {accuracy[1]}%" in printed
    first, last = map(float, re.search(r"take the loss from ([\d.]+) to ([\d.]+)", printed).groups())  # type: ignore[union-attr]
    assert last < first
    for name in ("digits_loss.png", "digits_mistakes.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "digits_bundle" / "manifest.json").is_file()


def test_data_is_the_same_everywhere(example: Callable[[str], Any]) -> None:
    arrays = example("two_layer_net").data()
    random = np.random.default_rng(2680)
    for name, shape in (("x", (64, 1000)), ("y", (64, 10)), ("w1", (1000, 100)), ("w2", (100, 10))):
        np.testing.assert_array_equal(arrays[name], random.standard_normal(shape).astype("float32"))


def figure_of(pattern: str, printed: str) -> float:
    """The number that an example printed where the pattern has its group."""
    found = re.search(pattern, printed)
    assert found is not None, printed
    return float(found[1])


def test_forces(example: Callable[[str], Any], bare_python: Callable[..., str], tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "forces.py", cwd=tmp_path)
    for atoms in ("13 atoms, as in training", "10 atoms, never in training", "7 atoms, never in training"):
        assert figure_of(rf"{atoms}: relative error of the forces on new clusters ([\d.]+)%", printed) < 8
    drift = r"the total energy keeps within ([\d.e-]+) of the mean kinetic energy"
    assert figure_of(drift, printed) < 1e-3
    assert (tmp_path / "forces.png").read_bytes().startswith(b"\x89PNG")
    outputs = {output.name: output.type.tensor_type.shape.dim for output in onnx.load("forces.onnx").graph.output}
    shapes = {name: [d.dim_param or d.dim_value for d in dimensions] for name, dimensions in outputs.items()}
    assert shapes == {"energy": ["clusters"], "forces": ["clusters", "atoms", 3]}

    # The simulation needs nothing but numpy and onnxruntime, and the file takes another number of atoms.
    module = example("forces")
    script = f"""
import numpy as np
{inspect.getsource(module.simulate)}
positions = 1.03 * np.array({module.ICOSAHEDRON[:9].tolist()})  # a little too wide: it swings
trajectory = simulate("forces.onnx", positions, np.zeros((9, 3)), 0.002, 300)
total = trajectory["kinetic"] + trajectory["potential"]
print(abs(total - total[0]).max(), trajectory["kinetic"].max())
"""
    change, kinetic = map(float, bare_python(script, cwd=tmp_path).split())
    assert kinetic > 0.1 and change < 1e-3 * kinetic


def test_pinn(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "pinn.py", cwd=tmp_path)
    assert figure_of(r"Relative error against the exact solution: ([\d.]+)%", printed) < 0.2
    assert (tmp_path / "pinn.png").read_bytes().startswith(b"\x89PNG")


def test_newton(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "newton.py", cwd=tmp_path)
    norms = [float(line.split()[-1]) for line in printed.splitlines() if re.match(r" +\d+ .* [\d.]+e-\d+$", line)]
    assert norms[-1] < 1e-10
    # Quadratic at the end: each norm is below a constant times the square of the one before.
    for before, after in itertools.pairwise(norm for norm in norms if norm > 1e-8):
        assert after < 100 * before**2
    assert figure_of(r"after as many evaluations, \d+: ([\d.e-]+)", printed) > 1e-4
    assert (tmp_path / "newton.png").read_bytes().startswith(b"\x89PNG")


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def test_digits_cnn(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "digits_cnn.py", cwd=tmp_path)
    assert figure_of(r"in onnxruntime alone: accuracy on the test images ([\d.]+)%", printed) >= 98.5
    assert is_picture(tmp_path / "digits_cnn_filters.png") and is_picture(tmp_path / "digits_cnn_mistakes.png")
    operators = {node.op_type for node in onnx.load(tmp_path / "digits_cnn.onnx").graph.node}
    assert {"Conv", "MaxPool", "BatchNormalization"} <= operators


def test_finetune_onnx(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "finetune_onnx.py", cwd=tmp_path)
    assert figure_of(r"of 5 to 9 before: ([\d.]+)%", printed) <= 21
    after = figure_of(r"of 5 to 9 after: ([\d.]+)%", printed)
    assert after >= 96 and figure_of(r"in onnxruntime alone: accuracy ([\d.]+)%", printed) == after
    assert is_picture(tmp_path / "finetune_onnx.png")
    first, second = (onnx.load(tmp_path / f"digits_{digits}.onnx").graph for digits in ("0_to_4", "5_to_9"))
    held = [{t.name: t.raw_data for t in graph.initializer} for graph in (first, second)]
    assert held[0]["conv1/weight"] == held[1]["conv1/weight"] and held[0]["norm1/bias"] != held[1]["norm1/bias"]
    assert "head/weight" not in held[1] and [v.name for v in second.output] == [v.name for v in first.output]


def test_saliency(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "saliency.py", cwd=tmp_path)
    assert figure_of(r"Accuracy on 397 test images: ([\d.]+)%", printed) > 90
    assert abs(figure_of(r"changes the score by ([\d.]+) of what", printed) - 1) < 0.02
    assert is_picture(tmp_path / "saliency.png")


def test_char_gpt(tmp_path: Path) -> None:
    printed = run_python(EXAMPLES / "char_gpt.py", cwd=tmp_path)
    assert figure_of(r"loss on held-out text: ([\d.]+) nats a character", printed) < 1.9
    alone, here = re.findall(r"loss ([\d.]+); in the trainer: ([\d.]+)", printed)[0]
    assert float(alone) == pytest.approx(float(here), abs=1e-3)
    assert len(printed.partition("it writes:\n")[2]) > 250
    onnx.checker.check_model(tmp_path / "char_gpt_step.onnx", full_check=True)
