"""The command `staticgrad`."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_export import small_step

from staticgrad.cli import main


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_step().export(tmp_path / "step.onnx")
    assert main(["show", str(tmp_path / "step.onnx")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("step.onnx: train_step, opset 16, IR version 10, ")
    assert "  x: f32[N,5]\n" in shown
    assert "  v: f32[4,3]  (then fed v.next)\n" in shown


def test_show_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    assert main(["show", str(tmp_path / "text.onnx")]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.startswith("cpu: yes\ncuda: ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "staticgrad 0.1.0\n"
