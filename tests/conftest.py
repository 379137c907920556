"""What several test modules need: a Python whose environment lacks staticgrad."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BARE = ("numpy", "onnxruntime", "flatbuffers", "google", "packaging", "protobuf")
"""What is linked into the bare environment: numpy, onnxruntime and what that needs."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how PyTorch's own samples came out, where they were run."""
    samples = sys.modules.get("test_torch_samples")
    if samples is not None and samples.outcomes:
        terminalreporter.write_line(f"PyTorch's {samples.summary()}")


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run a script in an environment with numpy and onnxruntime and without staticgrad; gives what it printed."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    here = Path(sysconfig.get_path("purelib"))
    for found in here.iterdir():
        if found.name.split("-")[0].split(".")[0] in BARE:
            (there / found.name).symlink_to(found)
    python = folder / "bin" / "python"
    lacks = subprocess.run([python, "-c", "import staticgrad"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'staticgrad'" in lacks.stderr

    def run(script: str, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [python, "-c", script, *arguments], cwd=cwd or folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def run_python(script: str | Path, *arguments: str, cwd: Path) -> str:
    """Run a script file or text in this environment, in a folder of its own; gives what it printed."""
    given = [str(script)] if isinstance(script, Path) else ["-c", script]
    done = subprocess.run(
        [sys.executable, "-W", "error", *given, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
