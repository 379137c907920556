"""What the formulations cost that `staticgrad.optimise.formulations` chooses among, by shape.

`python -m benchmarks.formulations` prints a table: for each convolution the cotangent of its weight (dw) and of its
images (dx), result and cotangents of 1x1 convolutions that are normalized by their batch (bn), the cotangent of the
input of a relu before a product, for some matrices the sum of their rows, for some images the sum of products over all
but the channels, and for some tables the size of the gradient of a few rows, in the canonical form and in the chosen
one: the least of many runs by turns in one process.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import onnxruntime
from staticgrad.exporters import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph, Leaf
from staticgrad.nn import functional as F
from staticgrad.optimise import optimise

Shape = tuple[int, int, int, int, int, int, int, int]

SHAPES: dict[str, list[Shape]] = {
    # Images, channels, size, features, kernel, stride, padding, groups.
    "residual net": [
        (32, 3, 32, 64, 3, 1, 1, 1),
        (32, 64, 32, 64, 3, 1, 1, 1),
        (32, 64, 32, 128, 3, 2, 1, 1),
        (32, 128, 16, 128, 3, 1, 1, 1),
        (32, 256, 8, 256, 3, 1, 1, 1),
        (32, 256, 8, 512, 3, 2, 1, 1),
        (32, 512, 4, 512, 3, 1, 1, 1),
        (32, 64, 32, 128, 1, 2, 0, 1),
        (32, 256, 8, 512, 1, 2, 0, 1),
    ],
    "U-Net": [
        (8, 3, 64, 32, 3, 1, 1, 1),
        (8, 32, 64, 32, 3, 1, 1, 1),
        (8, 64, 64, 32, 3, 1, 1, 1),
        (8, 128, 16, 128, 3, 1, 1, 1),
        (8, 32, 64, 1, 1, 1, 0, 1),
        (8, 32, 64, 8, 3, 1, 1, 1),
        (8, 64, 64, 64, 3, 2, 1, 1),
    ],
    "MobileNet": [
        (32, 24, 32, 144, 1, 1, 0, 1),
        (32, 64, 8, 384, 1, 1, 0, 1),
        (32, 160, 4, 960, 1, 1, 0, 1),
        (32, 144, 32, 144, 3, 1, 1, 144),
        (32, 144, 32, 144, 3, 2, 1, 144),
        (8, 32, 64, 32, 3, 1, 1, 32),
        (32, 192, 16, 192, 3, 1, 1, 192),
        (32, 192, 16, 192, 3, 2, 1, 192),
        (32, 384, 8, 384, 3, 1, 1, 384),
        (32, 960, 4, 960, 3, 1, 1, 960),
    ],
    "LeNet": [(64, 1, 28, 6, 5, 1, 2, 1), (64, 6, 14, 16, 5, 1, 0, 1)],
    "first layer": [(8, 3, 112, 64, 7, 2, 3, 1)],
}

WIDENED = [
    # Images, channels, size, features.
    (32, 16, 32, 32),
    (32, 64, 16, 64),
    (32, 24, 32, 48),
    (32, 24, 32, 144),
    (32, 64, 16, 128),
    (32, 64, 16, 256),
    (32, 64, 8, 384),
    (32, 96, 8, 576),
    (32, 128, 8, 256),
    (32, 256, 8, 1024),
    (32, 128, 4, 512),
    (32, 128, 4, 768),
]
MASKED = [(128, 512), (8192, 64), (32768, 64), (32768, 144)]
MATRICES = [(2, 262144), (32, 55296), (64, 120), (128, 512), (1024, 10), (8192, 2), (1024, 256), (1024, 1024)]
IMAGES = [(32, 128, 24), (32, 64, 32), (32, 144, 32), (8, 16, 64), (2, 64, 112)]
"""Images, channels, size."""
TABLES = [(4096, 64, 64), (65536, 64, 1024), (1 << 20, 16, 4096)]
"""Rows, columns, places."""


def masked(shape: tuple[int, int]) -> Graph:
    """The graph of the cotangent of a relu's input; the product behind it has two columns."""
    x, w, g = sg.input("x", shape), sg.input("w", (shape[1], 2)), sg.input("g", (shape[0], 2))
    return Graph("masked", {"x": x, "w": w, "g": g}, {"y": sg.vjp([sg.relu(x) @ w], [x], [g])[0]})


def widened(shape: tuple[int, int, int, int]) -> Graph:
    """The graph of a 1x1 convolution normalized by its batch, and of all its cotangents."""
    count, channels, size, features = shape
    inputs = {"x": sg.input("x", (count, channels, size, size)), "w": sg.input("w", (features, channels, 1, 1))}
    inputs |= {name: sg.input(name, (features,)) for name in ("scale", "shift")}
    x, w, scale, shift = inputs.values()
    y = F.batch_norm(ops.conv(x, w), None, None, scale, shift, training=True)
    g = sg.input("g", y.shape)
    results = dict(zip(inputs, sg.vjp([y], list(inputs.values()), [g]), strict=True))
    return Graph("bn", {**inputs, "g": g}, {"y": y, **{f"to_{name}": value for name, value in results.items()}})


def sum_of_rows(shape: tuple[int, int]) -> Graph:
    """The graph of a sum over the first axis."""
    x = sg.input("x", shape)
    return Graph("sum", {"x": x}, {"y": ops.reduce_sum(x, [0], keepdims=False)})


def sum_of_products(shape: tuple[int, int, int]) -> Graph:
    """The graph of the sum of the products of two images for each channel."""
    count, channels, size = shape
    x, y = (sg.input(name, (count, channels, size, size)) for name in "xy")
    return Graph("products", {"x": x, "y": y}, {"z": ops.reduce_sum(x * y, [0, 2, 3], keepdims=False)})


def size_of_rows(rows: int, columns: int, places: int) -> Graph:
    """The graph of the norm of a table's gradient by some of its rows."""
    table, x = sg.input("table", (rows, columns)), sg.input("x", (places,), "int64")
    g = sg.input("g", (places, columns))
    gradient = sg.vjp([F.embedding(x, table)], [table], [g])[0]
    return Graph("size", {"x": x, "g": g}, {"y": ops.reduce_l2(gradient, keepdims=False)})


def cotangents(shape: Shape) -> dict[str, Graph]:
    """The graphs of the cotangents of a convolution's weight and images, as they are derived."""
    count, channels, size, features, kernel, stride, padding, groups = shape
    x = sg.input("x", (count, channels, size, size))
    w = sg.input("w", (features, channels // groups, kernel, kernel))
    y = ops.conv(x, w, strides=[stride] * 2, pads=[padding] * 4, group=groups)
    g = Leaf("input", "g", y.type).outputs[0]
    to_images, to_weight = sg.vjp([y], [x, w], [g])
    return {
        "dw": Graph("dw", {"x": x, "g": g}, {"dw": to_weight}),
        "dx": Graph("dx", {"w": w, "g": g}, {"dx": to_images}),
    }


def least(graphs: list[Graph], repeats: int, threads: int) -> list[float]:
    """Milliseconds of the fastest run of each graph, run by turns."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    # The threads of one session would wait actively while the next one runs.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    random = np.random.default_rng(0)
    feeds: dict[str, Any] = {}
    for name, value in graphs[0].inputs.items():
        shape = [int(d) for d in value.shape if d is not None]
        numbers = random.standard_normal(shape) if value.dtype.is_float else random.integers(0, 4096, shape)
        feeds[name] = numbers.astype(value.dtype.numpy)
    sessions = [
        onnxruntime.InferenceSession(to_model(g).SerializeToString(), settings, providers=["CPUExecutionProvider"])
        for g in graphs
    ]
    best = [float("inf")] * len(graphs)
    for _ in range(repeats + 1):
        for i, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, feeds)
            best[i] = min(best[i], time.perf_counter() - start)
    return [1e3 * t for t in best]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as onnxruntime likes")
    given = parser.parse_args()
    print(f"{'convolution':44} {'of':4} {'canonical':>10} {'chosen':>10}")
    for title, shapes in SHAPES.items():
        for shape in shapes:
            count, channels, size, features, kernel, stride, _, groups = shape
            label = f"{title}: {count}x{channels}x{size}x{size} to {features}, {kernel}x{kernel}"
            label += f"/{stride}" * (stride > 1) + f", {groups} groups" * (groups > 1)
            for name, graph in cotangents(shape).items():
                print_row(label, name, graph, given.repeats, given.threads)
    for widths in WIDENED:
        label = "{}x{}x{}x{} to {}, normalized".format(*widths[:3], *widths[2:])
        print_row(label, "bn", widened(widths), given.repeats, given.threads)
    for matrix in MASKED:
        print_row(f"relu of {matrix[0]}x{matrix[1]}", "dx", masked(matrix), 30, given.threads)
    for rows, columns in MATRICES:
        print_row(f"sum of the rows of {rows}x{columns}", "y", sum_of_rows((rows, columns)), 100, given.threads)
    for size in IMAGES:
        label = "sum of products of {}x{}x{}x{}".format(*size, size[2])
        print_row(label, "z", sum_of_products(size), 30, given.threads)
    for rows, columns, places in TABLES:
        label = f"norm of {places} rows of {rows}x{columns}"
        print_row(label, "y", size_of_rows(rows, columns, places), 30, given.threads)


def print_row(label: str, name: str, graph: Graph, repeats: int, threads: int) -> None:
    """Print what a graph costs in its canonical form and in the chosen one."""
    canonical, chosen = optimise(graph, target="cuda"), optimise(graph)
    both = [canonical] if str(canonical) == str(chosen) else [canonical, chosen]
    times = least(both, repeats, threads)
    figures = " ".join(f"{t:10.3f}" for t in times) + (" " * 10 + "-") * (len(both) < 2)
    print(f"{label:44} {name:4} {figures}", flush=True)


if __name__ == "__main__":
    main()
