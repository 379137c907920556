"""The README's JavaScript trains the exported file with onnxruntime-web, in Node, to the losses of the Trainer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_readme import BLOCKS

import staticgrad as sg

MODULES = os.environ.get("STATICGRAD_NODE_MODULES", "")
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not Path(MODULES, "onnxruntime-web").is_dir(),
    reason="needs Node, and a folder of node modules with onnxruntime-web in STATICGRAD_NODE_MODULES",
)

SHAPES = {"x": (64, 1000), "y": (64, 10), "w1": (1000, 100), "w2": (100, 10)}
LOAD = """
import fs from "node:fs";
const bytes = (name) => Uint8Array.from(fs.readFileSync(name)).buffer;
const load = (name, dims) => new ort.Tensor("float32", new Float32Array(bytes(name)), dims);
"""


def test_the_readmes_javascript_trains_to_the_same_losses(tmp_path: Path) -> None:
    random = np.random.default_rng(2680)
    arrays = {name: random.standard_normal(shape).astype("float32") for name, shape in SHAPES.items()}
    x, y = sg.input("x", ("N", 1000)), sg.input("y", ("N", 10))
    w1, w2 = sg.parameter("w1", arrays["w1"]), sg.parameter("w2", arrays["w2"])
    step = sg.train_step((x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum(), sg.optim.sgd(1e-6))
    step.export(tmp_path / "two_layer_net.onnx")
    trainer = sg.Trainer(step, device="cpu")
    losses = [float(trainer.step(x=arrays["x"], y=arrays["y"])) for _ in range(500)]

    (snippet,) = (code for language, code in BLOCKS if language == "javascript")
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(array.tobytes())
    tensors = "".join(f'const {name} = load("{name}", {list(shape)});\n' for name, shape in SHAPES.items())
    (tmp_path / "train.mjs").write_text(LOAD + tensors + snippet)
    (tmp_path / "node_modules").symlink_to(MODULES)
    done = subprocess.run(["node", "train.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shown = dict(re.findall(r"^(\d+) ([\d.e-]+)$", done.stdout, re.M))
    assert list(shown) == ["99", "199", "299", "399", "499"]
    for t, loss in shown.items():
        assert float(loss) == pytest.approx(losses[int(t)], rel=2e-4, abs=1e-3)
