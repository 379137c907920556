"""What is trained: sizes, batches and optimizers of the workloads. Needs numpy only, so that every peer can read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Batch = dict[str, Any]
"""Arrays by the names of a model's inputs."""


@dataclass(frozen=True)
class Workload:
    """A model, its batches and its optimizer.

    `optimizer` is "sgd", "momentum" (0.9), "adam", "adamw" (with `weight_decay`) or "adagrad" (sums of squares begin at
    0.1, eps 1e-7); betas of Adam are 0.9 and 0.999, eps 1e-8. `in_one_call` is how many steps a call may take.
    """

    name: str
    title: str
    model: str
    optimizer: str
    rate: float
    sizes: dict[str, int]
    make: Callable[[np.random.Generator, dict[str, int]], Batch] = field(repr=False)
    batches: int = 1
    weight_decay: float = 0.0
    in_one_call: int = 1

    def data(self) -> list[Batch]:
        """The batches, the same in every process."""
        random = np.random.default_rng(0)
        return [self.make(random, self.sizes) for _ in range(self.batches)]


def _normal(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape, np.float32)


def _regression(random: np.random.Generator, s: dict[str, int]) -> Batch:
    return {"x": _normal(random, s["batch"], s["inputs"]), "y": _normal(random, s["batch"], s["outputs"])}


def _vectors(random: np.random.Generator, s: dict[str, int]) -> Batch:
    return {"x": _normal(random, s["batch"], s["inputs"]), "y": random.integers(0, s["classes"], s["batch"])}


def _images(random: np.random.Generator, s: dict[str, int]) -> Batch:
    x = _normal(random, s["batch"], s["channels"], s["size"], s["size"])
    return {"x": x, "y": random.integers(0, s["classes"], s["batch"])}


def _text(random: np.random.Generator, s: dict[str, int]) -> Batch:
    tokens = random.integers(0, s["vocabulary"], (s["batch"], s["length"] + 1))
    return {"x": np.ascontiguousarray(tokens[:, :-1]), "y": np.ascontiguousarray(tokens[:, 1:])}


def _sequences(random: np.random.Generator, s: dict[str, int]) -> Batch:
    x = _normal(random, s["length"], s["batch"], s["inputs"])
    return {"x": x, "y": random.integers(0, s["classes"], s["batch"])}


def _ids(random: np.random.Generator, s: dict[str, int]) -> Batch:
    return {"x": random.integers(0, s["rows"], s["batch"]), "y": random.integers(0, s["classes"], s["batch"])}


def _masks(random: np.random.Generator, s: dict[str, int]) -> Batch:
    x = _normal(random, s["batch"], 3, s["size"], s["size"])
    return {"x": x, "y": (x.sum(1, keepdims=True) > 0).astype(np.float32)}


_TUTORIAL = {"batch": 64, "inputs": 1000, "hidden": 100, "outputs": 10}
_EMBEDDING = {"rows": 1_000_000, "width": 64, "batch": 1024, "classes": 10}

WORKLOADS = {
    w.name: w
    for w in (
        Workload("tutorial", "two-layer net, SGD", "tutorial", "sgd", 1e-6, _TUTORIAL, _regression),
        Workload(
            "tutorial-500",
            "the same, 500 steps in one call",
            "tutorial",
            "sgd",
            1e-6,
            _TUTORIAL,
            _regression,
            in_one_call=500,
        ),
        Workload(
            "mlp",
            "MLP 784-512-512-10, Adam",
            "mlp",
            "adam",
            1e-3,
            {"batch": 128, "inputs": 784, "hidden": 512, "classes": 10},
            _vectors,
        ),
        Workload(
            "lenet",
            "LeNet-5, 28x28, momentum",
            "lenet",
            "momentum",
            0.01,
            {"batch": 64, "channels": 1, "size": 28, "classes": 10},
            _images,
        ),
        Workload(
            "resnet",
            "ResNet-18, 32x32, momentum",
            "resnet",
            "momentum",
            0.01,
            {"batch": 32, "channels": 3, "size": 32, "classes": 10},
            _images,
        ),
        Workload(
            "mobilenet",
            "MobileNetV2, 32x32, momentum",
            "mobilenet",
            "momentum",
            3e-4,
            {"batch": 32, "channels": 3, "size": 32, "classes": 10},
            _images,
        ),
        Workload(
            "gpt",
            "GPT 4x256, 8x128 tokens, AdamW",
            "gpt",
            "adamw",
            3e-4,
            {"batch": 8, "length": 128, "vocabulary": 256, "layers": 4, "width": 256, "heads": 8},
            _text,
            weight_decay=0.01,
        ),
        Workload(
            "lstm",
            "LSTM 2x128, length 64, Adam",
            "lstm",
            "adam",
            1e-3,
            {"batch": 32, "length": 64, "inputs": 64, "hidden": 128, "layers": 2, "classes": 10},
            _sequences,
        ),
        Workload("embedding-sgd", "embedding 1,000,000x64, SGD", "embedding", "sgd", 0.1, _EMBEDDING, _ids, batches=4),
        Workload(
            "embedding-adagrad",
            "embedding 1,000,000x64, Adagrad",
            "embedding",
            "adagrad",
            0.01,
            _EMBEDDING,
            _ids,
            batches=4,
        ),
        Workload("unet", "U-Net, 64x64, Adam", "unet", "adam", 1e-3, {"batch": 8, "size": 64, "width": 32}, _masks),
    )
}

MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""The stages of MobileNetV2 for images of 32x32: widening, channels, blocks, stride of the first block."""

RESNET = ((64, 1), (128, 2), (256, 2), (512, 2))
"""The stages of ResNet-18, two blocks each: channels, stride of the first block."""
