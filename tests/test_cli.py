"""The command `staticgrad`."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from test_export import small_step
from test_readme import BLOCKS

from staticgrad.cli import main
from staticgrad.cli.arguments import parser
from staticgrad.methods import OPERATORS
from staticgrad.operator_table import markdown

Captured = pytest.CaptureFixture[str]


def model(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    """x of (N, 4) and w of (4, 3) into outputs."""
    random = np.random.default_rng(0)
    w = onnx.numpy_helper.from_array(random.standard_normal((4, 3)).astype("float32"), "w")
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])
    formal = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "small", [x], formal, [w])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="hand")


@pytest.fixture
def net(tmp_path: Path) -> str:
    path = tmp_path / "net.onnx"
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "/fc/MatMul"),
        helper.make_node("Tanh", ["a"], ["y"], "/act/Tanh"),
    ]
    onnx.save(model(*nodes), path)
    return str(path)


@pytest.fixture
def blocked(tmp_path: Path) -> str:
    path = tmp_path / "blocked.onnx"
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("Strange", ["y"], ["a"], "first", domain="my"),
        helper.make_node("Odd", ["a"], ["z"], "second", domain="my"),
    ]
    onnx.save(model(*nodes, outputs=("y", "z")), path)
    return str(path)


def answer(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def asked(capsys: Captured, *arguments: str) -> Any:
    status, out, _ = answer(capsys, *arguments, "--json")
    assert status == 0
    return json.loads(out)


# - show and devices -


def test_show(tmp_path: Path, capsys: Captured) -> None:
    small_step().export(tmp_path / "step.onnx")
    assert main(["show", str(tmp_path / "step.onnx")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("step.onnx: train_step, opset 16, IR version 10, ")
    assert "  x: f32[N,5]\n" in shown
    assert "  v: f32[4,3]  (then fed v.next)\n" in shown
    found = asked(capsys, "show", str(tmp_path / "step.onnx"))
    assert found["kind"] == "train_step" and found["state"]["v"] == "v.next"
    assert {"name": "x", "type": "f32[N,5]"} in found["inputs"]


def test_show_what_is_no_model(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    assert main(["show", str(tmp_path / "text.onnx")]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_devices(capsys: Captured) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.startswith("cpu: yes\ncuda: ")
    assert asked(capsys, "devices")["cpu"] is True


def test_version(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "staticgrad 0.1.0\n"


# - grad and train-step -


def test_grad(net: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "g.onnx"
    assert answer(capsys, "grad", net, "-o", str(out), "--of", "y", "--wrt", "w", "x", "--prefix", "d") == (0, "", "")
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()][:2] == ["x", "d.cotangent.y"]
    assert [o.name for o in session.get_outputs()] == ["y", "d.w", "d.x"]
    x, g = np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
    y, dw, _ = session.run(None, {"x": x, "d.cotangent.y": g})
    np.testing.assert_allclose(dw, x.T @ (1 - y * y), rtol=1e-5)


def test_grad_that_fails_writes_nothing(net: str, blocked: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "g.onnx"
    status, _, error = answer(capsys, "grad", blocked, "-o", str(out), "--of", "z")
    assert status == 1 and error.count("\n") == 1
    assert "first" in error and "second" in error and "Traceback" not in error
    status, _, error = answer(capsys, "grad", net, "-o", str(out), "--wrt", "v")
    assert (status, error) == (2, "staticgrad: wrt names 'v', which net.onnx does not have; it has x, w\n")
    status, _, error = answer(capsys, "grad", str(tmp_path / "none.onnx"), "-o", str(out))
    assert status == 1 and "does not exist" in error and "Path(" not in error
    status, _, error = answer(capsys, "grad", net, "-o", str(tmp_path / "no" / "g.onnx"))
    assert status == 1 and "does not exist" in error
    assert not out.exists()


def test_train_step(net: str, tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "step"
    arguments = ["train-step", net, "--loss", "mse", "--optimizer", "adamw", "--lr", "1e-2", "--weight-decay", "0.1"]
    assert answer(capsys, *arguments, "--params", "fc.*", "w*", "-o", str(folder))[0] == 2
    assert not folder.exists()
    assert answer(capsys, *arguments, "--params", "w*", "--target", "t", "-o", str(folder)) == (0, "", "")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "w" in json.dumps(manifest) and (folder / "predict.onnx").exists()
    session = onnxruntime.InferenceSession(folder / "train_step.onnx", providers=["CPUExecutionProvider"])
    assert {"x", "t", "w", "w.mu", "w.nu"} <= {i.name for i in session.get_inputs()}


def test_train_step_that_fails_writes_nothing(net: str, tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "step"
    common = ["train-step", net, "--lr", "0.1", "-o", str(folder)]
    status, _, error = answer(capsys, *common, "--loss", "hinge", "--optimizer", "sgd")
    assert status == 2 and "neither an output (y) nor one of" in error
    status, _, error = answer(capsys, *common, "--loss", "mse", "--optimizer", "adam", "--momentum", "0.9")
    assert (status, error) == (2, "staticgrad: --momentum is of sgd and rmsprop, not adam\n")
    status, _, error = answer(capsys, *common, "--loss", "y", "--optimizer", "sgd")
    assert status == 1 and "no single number that can be a loss" in error
    assert not folder.exists()


# - check -


def test_check(net: str, capsys: Captured) -> None:
    status, out, _ = answer(capsys, "check", net)
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == "net.onnx: derivatives along random directions; differences in float64"
    assert lines[1].split() == ["name", "type", "gradient", "difference", "error", "verdict"]
    assert [line.split()[0] for line in lines[2:]] == ["x", "w"] and all(line.endswith("right") for line in lines[2:])
    found = asked(capsys, "check", net, "--wrt", "w", "--size", "N=5")
    assert found["right"] is True and [c["name"] for c in found["checks"]] == ["w"]


def test_check_finds_what_is_wrong(net: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = OPERATORS["Tanh"]
    monkeypatch.setattr(entry, "rule", lambda g, y, x: g * (1 - y))
    status, out, _ = answer(capsys, "check", net)
    assert status == 1
    assert [line.split()[-1] for line in out.splitlines()[2:]] == ["wrong", "wrong"]


def test_check_with_feeds(net: str, tmp_path: Path, capsys: Captured) -> None:
    np.savez(tmp_path / "good.npz", x=np.ones((2, 4), np.float32))
    np.savez(tmp_path / "bad.npz", x=np.ones((2, 4)))
    (tmp_path / "text.npz").write_text("no arrays")
    assert answer(capsys, "check", net, "--feeds", str(tmp_path / "good.npz"))[0] == 0
    for name in ("bad.npz", "text.npz", "none.npz"):
        status, _, error = answer(capsys, "check", net, "--feeds", str(tmp_path / name))
        assert status == 1 and error.count("\n") == 1, name


def test_check_of_what_has_no_derivative(blocked: str, capsys: Captured) -> None:
    status, out, error = answer(capsys, "check", blocked)
    assert (status, out) == (1, "") and "Strange" in error


# - inspect -


def test_inspect(net: str, capsys: Captured) -> None:
    status, out, _ = answer(capsys, "inspect", net)
    assert status == 0
    assert out.splitlines()[0] == "net.onnx: opset ai.onnx 20, my 1, IR version 10, made by hand, 2 nodes"
    assert "  x  f32[N,4]\n" in out and "differentiable by x, 1 parameter" in out
    assert "parameters: 1 of 12 elements, 48 B\n  w  f32[4,3]  48 B  read by MatMul /fc/MatMul\n" in out


def test_inspect_names_all_that_blocks(blocked: str, capsys: Captured) -> None:
    found = asked(capsys, "inspect", blocked)
    assert [(o["node"], o["operator"], o["blocks"]) for o in found["obstacles"]] == [
        ("first", "my::Strange", ["z"]),
        ("second", "my::Odd", ["z"]),
    ]
    assert found["outputs"][0]["by"] == ["x", "w"]
    out = answer(capsys, "inspect", blocked)[1]
    assert "blocked, see below" in out and "  second  my::Odd      blocks z: nothing is known" in out


# - ops -


def test_ops(capsys: Captured) -> None:
    _, out, _ = answer(capsys, "ops")
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["operator", "opsets", "derivative", "by", "CPU"]
    assert len(lines) > 200 and lines[1].startswith("Abs ")
    _, out, _ = answer(capsys, "ops", "conv", "ai.onnx.ml.Scaler")
    assert out.startswith("Conv\n  opsets      7+\n  derivative  own rule")
    assert "\n\nai.onnx.ml.Scaler\n" in out and "  refused     nothing is known" in out
    assert answer(capsys, "ops", "--markdown")[1] == markdown()


def test_ops_by_what_they_have(capsys: Captured) -> None:
    table = asked(capsys, "ops")
    zero = asked(capsys, "ops", "--derivative", "zero")
    assert {row["name"] for row in zero} == {row["name"] for row in table if row["derivative"] == "zero"} >= {"Floor"}
    assert all(row["refused"] for row in asked(capsys, "ops", "--refused"))
    lacking = {row["name"]: row["cuda"] for row in asked(capsys, "ops", "--lacking", "cuda")}
    assert lacking["CumProd"] == "but CumProd" and "Conv" not in lacking


def test_ops_that_onnx_does_not_have(capsys: Captured) -> None:
    status, out, error = answer(capsys, "ops", "Cov")
    assert (status, out) == (2, "") and "is Conv or" in error


# - the command itself -


@pytest.mark.parametrize("name", ["grad", "train-step", "check", "inspect", "ops", "show", "devices"])
def test_help_has_an_example(name: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"example:\n  staticgrad {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["grad", "net.onnx"], ["check", "net.onnx", "--size", "N"], ["ops", "--derivative", "x"]]
)
def test_a_wrong_call(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2 and "usage: staticgrad" in capsys.readouterr().err


def test_the_readme_calls_it_right() -> None:
    lines = [line for _, code in BLOCKS for line in code.splitlines() if line.startswith("staticgrad ")]
    assert len(lines) == 7
    for line in lines:
        parser().parse_args(shlex.split(line, comments=True)[1:])


def test_a_reader_that_has_seen_enough() -> None:
    code = "import sys; from staticgrad.cli import main; sys.exit(main(['ops', '--markdown']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 0
