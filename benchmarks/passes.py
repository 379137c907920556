"""Milliseconds of equal formulations that pass over activations, side by side on onnxruntime's CPU.

`python -m benchmarks.passes` prints a table; the first of each group is the plain form, the last the one in use. Runs
of a group take turns, and the least time counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

import staticgrad as sg
from staticgrad import ops
from staticgrad.nn import functional as F
from staticgrad.ops.normalization import to_normalized_channels

Variant = Callable[..., sg.Value | Sequence[sg.Value]]
ROUNDS = 30


def normalized_plainly(g: sg.Value, x: sg.Value, w: sg.Value) -> Sequence[sg.Value]:
    """Backward of a batch normalization as the formula has it."""
    centred = x - ops.reduce_mean(x, [0, 2, 3])
    inverse = 1 / ops.sqrt(ops.reduce_mean(centred * centred, [0, 2, 3]) + 1e-5)
    z, to_z = centred * inverse, g * ops.unsqueeze(w, [1, 2])
    along = z * ops.reduce_mean(to_z * z, [0, 2, 3])
    to_x = (to_z - ops.reduce_mean(to_z, [0, 2, 3]) - along) * inverse
    return to_x, (g * z).sum((0, 2, 3)), g.sum((0, 2, 3))


def normalized_in_three_passes(g: sg.Value, x: sg.Value, w: sg.Value) -> Sequence[sg.Value]:
    """The same from two sums, and one affine map for each channel."""
    centred = x - ops.reduce_mean(x, [0, 2, 3])
    variance = ops.reduce_mean(centred * centred, [0, 2, 3], keepdims=False)
    return to_normalized_channels(g, centred, w, 1 / ops.sqrt(variance + 1e-5))


def forward_plainly(_: sg.Value, x: sg.Value, w: sg.Value) -> sg.Value:
    """A batch normalization of elementwise operators."""
    centred = x - ops.reduce_mean(x, [0, 2, 3])
    inverse = 1 / ops.sqrt(ops.reduce_mean(centred * centred, [0, 2, 3]) + 1e-5)
    return centred * inverse * ops.unsqueeze(w, [1, 2])


def forward_by_kernel(_: sg.Value, x: sg.Value, w: sg.Value) -> sg.Value:
    """A batch normalization whose last part is the kernel of an inference."""
    y: sg.Value = F.batch_norm(x, None, None, w, training=True)
    return y


def gelu_by_tanh(g: sg.Value, x: sg.Value) -> sg.Value:
    """The derivative of gelu by the tanh in its formula."""
    c = math.sqrt(2 / math.pi)
    t = sg.tanh(c * (x + 0.044715 * (x * x * x)))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (c * (1 + 3 * 0.044715 * (x * x))))


def gelu_by_result(g: sg.Value, x: sg.Value) -> sg.Value:
    """The derivative of gelu in use."""
    y = F.gelu(x, approximate="tanh")
    found: sg.Value = sg.vjp([y], [x], [g])[0]
    return found


def pooled_by_slices(g: sg.Value, x: sg.Value) -> sg.Value:
    """The cotangent of a max pool of 2 x 2, each place in the windows a strided slice."""
    y = F.max_pool2d(x, 2)
    left, parts = g, []
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        found = ops.equal(x[:, :, i::2, j::2], y)
        parts.append(ops.where(found, left, 0).reshape(-1, 1, *g.shape[2:]))
        left = ops.where(found, 0, left)
    kernel = sg.constant(np.eye(4, dtype="float32").reshape(4, 1, 2, 2))
    return F.conv_transpose2d(sg.cat(parts, 1), kernel, stride=2).reshape(x.shape)


def pooled_by_indices(g: sg.Value, x: sg.Value) -> sg.Value:
    """The cotangent of a max pool by the indices of the maxima, which onnxruntime takes long to find."""
    _, indices = ops.max_pool(x, kernel_shape=[2, 2], strides=[2, 2])
    found: sg.Value = ops.max_unpool(g, indices, kernel_shape=[2, 2], strides=[2, 2])
    return found


def pooled_by_blocks(g: sg.Value, x: sg.Value) -> sg.Value:
    """The cotangent of a max pool of 2 x 2 in use."""
    found: sg.Value = sg.vjp([F.max_pool2d(x, 2)], [x], [g])[0]
    return found


IMAGES = [(32, 64, 32, 32), (32, 256, 8, 8), (32, 960, 4, 4)]
GROUPS: list[tuple[str, list[Variant], list[list[tuple[int, ...]]]]] = [
    ("batch norm", [forward_plainly, forward_by_kernel], [[s, s, s[1:2]] for s in IMAGES]),
    ("its gradient", [normalized_plainly, normalized_in_three_passes], [[s, s, s[1:2]] for s in IMAGES]),
    ("gelu's gradient", [gelu_by_tanh, gelu_by_result], [[(8, 128, 1024)] * 2]),
    (
        "max pool's gradient",
        [pooled_by_slices, pooled_by_indices, pooled_by_blocks],
        [[(n, c, s // 2, s // 2), (n, c, s, s)] for n, c, s in ((64, 6, 28), (64, 16, 10), (8, 64, 32))],
    ),
]


def measure(variants: Sequence[Variant], shapes: Sequence[tuple[int, ...]]) -> list[float]:
    """The least milliseconds of each variant over inputs of these shapes."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype("float32") for s in shapes]
    inputs = [sg.input(f"x{i}", s) for i, s in enumerate(shapes)]
    functions = [sg.function(variant(*inputs), inputs) for variant in variants]
    best = [math.inf] * len(variants)
    for _ in range(ROUNDS):
        for i, run in enumerate(functions):
            start = time.perf_counter()
            run(*arrays)
            best[i] = min(best[i], 1000 * (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    for name, variants, cases in GROUPS:
        for shapes in cases:
            times = measure(variants, shapes)
            columns = "  ".join(f"{v.__name__} {t:.2f}" for v, t in zip(variants, times, strict=True))
            print(f"{name:20} {shapes[1]!s:20} {columns}", flush=True)
