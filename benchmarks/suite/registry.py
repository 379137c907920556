"""Who takes part: the module of each peer's program, its environment, and the packages of that environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

OURS = "staticgrad"


@dataclass(frozen=True)
class Peer:
    """A library in one way of using it.

    `module.build(workload, ...)` gives its program; `libraries` are imported before any clock starts. Peers of one
    `environment` share the virtual environment of that name.
    """

    name: str
    title: str
    module: str
    libraries: tuple[str, ...]
    environment: str | None = None
    arguments: dict[str, bool] = field(default_factory=dict)


_PYTORCH = "benchmarks.suite.peers.pytorch"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(OURS, "staticgrad", "benchmarks.suite.peers.staticgrad_program", ("staticgrad", "onnxruntime")),
        Peer("torch", "PyTorch eager", _PYTORCH, ("torch",), "torch"),
        Peer("torch-compile", "torch.compile", _PYTORCH, ("torch",), "torch", {"compiled": True}),
        Peer("jax", "JAX jit", "benchmarks.suite.peers.jax_programs", ("jax",), "jax"),
        Peer(
            "ort-training",
            "ONNX Runtime Training",
            "benchmarks.suite.peers.ort_training",
            ("onnx", "onnxruntime.training.artifacts", "onnxruntime.training.api"),
            "ort_training",
        ),
        Peer(
            "onnxsim",
            "onnxsim training loop",
            "benchmarks.suite.peers.onnxsim_loop",
            ("onnx", "onnxruntime", "onnxsim"),
            "onnxsim",
        ),
    )
}

PACKAGES = {
    "torch": ("torch==2.13.0", "numpy"),
    "jax": ("jax", "jaxlib"),
    # Its package imports torch when it is imported, but does not depend on it.
    "ort_training": ("onnxruntime-training-cpu==1.19.2", "onnx==1.16.*", "numpy<2", "torch==2.13.0"),
    "onnxsim": ("onnxsim", "onnxruntime"),
}
"""What is installed into each environment."""


def environments() -> Path:
    """The folder of the environments: that of the variable STATICGRAD_PEERS, or one in the user's cache."""
    return Path(os.environ.get("STATICGRAD_PEERS") or Path.home() / ".cache" / "staticgrad-benchmarks")


def interpreter_in(folder: Path) -> Path:
    """The Python of a virtual environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def interpreter_of(peer: Peer) -> Path | None:
    """The Python that runs a peer; None where its environment is missing."""
    if peer.environment is None:
        return Path(sys.executable)
    python = interpreter_in(environments() / peer.environment)
    return python if python.exists() else None
