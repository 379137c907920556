"""Which of several equal formulations is fastest on a target, by shape; `benchmarks/formulations.py` measures them.

Convolutions with kernels as large as images are the cotangents of weights, the transposed ones those of images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value, constant_of
from staticgrad.ops.registry import constant
from staticgrad.ops.windows import Windows, spatial, windows_of
from staticgrad.rewrite import Equation
from staticgrad.types import Dim, DType, TensorType, count_elements, unknown

FORMULATIONS: dict[str, dict[str, list[Equation]]] = {"cpu": {}, "cuda": {}}
"""For each target the equations between formulations, by operator. Only what was measured there is chosen."""

_FEW_CHANNELS = 16
"""Below that a product of matrices is slower than the runtime's own loops."""
_MOST_PRODUCTS = 25
_LARGE_IMAGE = 64
"""Elements of an image from which a product for each of them costs less than putting all into one."""


def formulation(target: str, *operators: str) -> Callable[[Equation], Equation]:
    """Decorator: an equation for nodes of these operators that makes them faster on a target."""

    def register(rule: Equation) -> Equation:
        for name in operators:
            FORMULATIONS[target].setdefault(name, []).append(rule)
        return rule

    return register


def _windows(node: Node) -> Windows | None:
    """The windows of a convolution whose kernel and padding are numbers."""
    x, w = node.inputs[:2]
    given = node.attributes
    if x is None or w is None or x.type.dtype is not DType.float32 or given["auto_pad"] not in ("NOTSET", "VALID"):
        return None
    if not all(isinstance(d, int) and d > 0 for d in spatial(w)):
        return None
    return windows_of(spatial(x), spatial(w), given["auto_pad"], given["dilations"], given["pads"], given["strides"])


def _channels(*dims: object) -> bool:
    return all(isinstance(d, int) and d >= _FEW_CHANNELS for d in dims)


@formulation("cpu", "Conv")
def _large_kernel(node: Node) -> Value | None:
    """conv(x, w) = for each element of the result one product of the flat w and what it sees of x, where w is large"""
    x, w, b = (*node.inputs, None)[:3]
    y = node.outputs[0]
    windows = _windows(node)
    if windows is None or x is None or w is None or b is not None or node.attributes["group"] != 1:
        return None
    counts = [d for d in spatial(y) if isinstance(d, int)]
    rows, features = x.type.shape[0], w.type.shape[0]
    if (
        not _channels(rows, features)
        or len(counts) < len(spatial(y))
        or not 0 < math.prod(counts) <= min(_MOST_PRODUCTS, math.prod(int(d) for d in windows.kernel))
    ):
        return None
    bare = _without_filling(x), _without_filling(w)
    if bare[0] is not x and bare[1] is not w:
        x, w = bare
    padding = (*(windows.begin or ()), *(windows.end or ()))
    if math.prod(counts) == 1 and not any(padding) and _turned(x):
        # What is passed over need not be turned.
        (images,) = x.node.inputs
        assert images is not None
        x = ops.transpose(_seen(images, (0,) * len(counts), windows), perm=x.node.attributes["perm"])
        windows = windows._replace(dilations=(1,) * len(counts))
        by_image = _by_image(x, w, y, windows)
        if by_image is not None:
            return by_image
    if any(padding):
        rank = len(counts)
        amounts = np.array([0, 0, *padding[:rank], 0, 0, *padding[rank:]], np.int64)
        x = ops.pad(x, constant(amounts))
    flat = _flat(w)
    products = [
        ops.gemm(flat, _flat(_seen(x, position, windows)), transB=True)
        for position in itertools.product(*map(range, counts))
    ]
    rank = len(counts)
    if len(products) == 1:
        return ops.transpose(_arranged(products[0], (features, rows, *counts)), perm=(1, 0, *range(2, 2 + rank)))
    stacked = _arranged(ops.concat(*products, axis=0), (*counts, features, rows))
    return ops.transpose(stacked, perm=(rank + 1, rank, *range(rank)))


def _turned(x: Value) -> bool:
    """Whether images and channels change places in `x`, and nothing else."""
    order = x.node.attributes["perm"] if x.node.op.name == "Transpose" else ()
    return bool(order == (1, 0, *range(2, len(x.type.shape))))


def _by_image(x: Value, w: Value, y: Value, windows: Windows) -> Value | None:
    """The sum over large images of a product for each, where a kernel meets all of x and both were transposed."""
    size = math.prod(int(d) for d in windows.kernel)
    if size < _LARGE_IMAGE or not _turned(x) or not _turned(w):
        return None
    images, cotangents = x.node.inputs[0], w.node.inputs[0]
    if images is None or cotangents is None:
        return None
    left, right = (
        _arranged(v, (-1 if not isinstance(v.type.shape[0], int) else v.type.shape[0], v.type.shape[1], size))
        for v in (images, cotangents)
    )
    products = ops.matmul(right, ops.transpose(left, perm=(0, 2, 1)))
    rows, features, *ones = y.type.shape
    whole = _arranged(ops.reduce_sum(products, constant(np.array([0])), keepdims=False), (features, rows, *ones))
    return ops.transpose(whole, perm=(1, 0, *range(2, 2 + len(ones))))


def _seen(x: Value, position: tuple[int, ...], windows: Windows) -> Value:
    """What the window at a position sees of the filled-up `x`."""
    starts = [i * s for i, s in zip(position, windows.strides, strict=True)]
    lengths = [(int(k) - 1) * d + 1 for k, d in zip(windows.kernel, windows.dilations, strict=True)]
    ends = [a + n for a, n in zip(starts, lengths, strict=True)]
    if starts == [0] * len(starts) and tuple(ends) == spatial(x) and set(windows.dilations) == {1}:
        return x
    axes = np.arange(2, 2 + len(starts))
    numbers = [constant(np.array(v, np.int64)) for v in (starts, ends, axes, windows.dilations)]
    return ops.slice_(x, *numbers)


def _flat(x: Value) -> Value:
    """`x` as a matrix with its first axis."""
    return _arranged(x, (x.type.shape[0], -1))


def _arranged(x: Value, dims: Sequence[Dim]) -> Value:
    """`x` in the shape `dims`, in which -1 stands for what is left."""
    size = count_elements(x.type.shape)
    known = math.prod(d for d in dims if isinstance(d, int) and d > 0)
    rest = size // known if isinstance(size, int) else unknown()
    result = TensorType(x.type.dtype, tuple(rest if d == -1 else d for d in dims))
    target = constant(np.array(dims, np.int64))
    found: Value = ops.reshape.apply((x, target), {"allowzero": 0}, (result,)).outputs[0]
    return found


def _without_filling(x: Value) -> Value:
    """`x` without the one element of zeros on an axis that may be empty: a product over nothing is 0."""
    inner = x.node.inputs[0] if x.node.op.name == "Transpose" else x
    if inner is None or inner.node.op.name != "Pad" or inner.node.attributes["mode"] != "constant":
        return x
    bare, amounts, *others = inner.node.inputs
    if bare is None or amounts is None or any(v is not None for v in others) or not _fills(amounts, bare):
        return x
    return bare if inner is x else ops.transpose(bare, perm=x.node.attributes["perm"])


def _fills(amounts: Value, x: Value) -> bool:
    """Whether `amounts` are max(1 - n, 0) behind the first axis of n elements, and nothing elsewhere."""
    parts = amounts.node.inputs
    if amounts.node.op.name != "Concat" or len(parts) != 3:
        return False
    front, missing, back = parts
    rank = len(x.type.shape)
    zeros = [constant_of(v) for v in (front, back)]
    if [None if z is None else z.tolist() for z in zeros] != [[0] * rank, [0] * (rank - 1)]:
        return False
    most = _operands(missing, "Max")
    difference = _operands(most[0], "Sub") if len(most) == 2 else []
    if len(difference) != 2 or not _equals(most[1], 0) or not _equals(difference[0], 1):
        return False
    size = difference[1]
    if size is None or size.node.op.name != "Shape":
        return False
    counted, given = size.node.inputs[0], size.node.attributes
    return counted is not None and (given["start"], given["end"]) == (0, 1) and counted.type.shape[0] == x.type.shape[0]


def _operands(value: Value | None, name: str) -> list[Value | None]:
    return list(value.node.inputs) if value is not None and value.node.op.name == name else []


def _equals(value: Value | None, number: int) -> bool:
    array = constant_of(value)
    return array is not None and array.size == 1 and int(array.flat[0]) == number


@formulation("cpu", "ConvTranspose")
def _turned_kernel(node: Node) -> Value | None:
    """conv_transpose(x, w) = conv(x, the turned w) of stride 1, with many channels or a kernel for each"""
    x, w, b = (*node.inputs, None)[:3]
    y, given = node.outputs[0], node.attributes
    windows = _windows(node)
    if windows is None or x is None or w is None or windows.begin is None or windows.end is None:
        return None
    if set(windows.strides) != {1} or given["output_shape"] is not None or any(given["output_padding"] or ()):
        return None
    features, each = w.type.shape[:2]
    if not _channels(features, y.type.shape[1]):
        return None
    if given["group"] != 1 and not (each == 1 and features == given["group"]):
        return None
    reach = [d * (int(k) - 1) for k, d in zip(windows.kernel, windows.dilations, strict=True)]
    pads = [r - p for r, p in zip((*reach, *reach), (*windows.begin, *windows.end), strict=True)]
    if min(pads) < 0:
        return None
    axes = [a for a, k in enumerate(windows.kernel, 2) if k != 1]
    if axes:
        last, before = [-1] * len(axes), [-(2**62)] * len(axes)
        w = ops.slice_(w, *(constant(np.array(v, np.int64)) for v in (last, before, axes, last)))
    if given["group"] == 1:
        w = ops.transpose(w, perm=(1, 0, *range(2, len(w.type.shape))))
    attributes = dict(ops.conv.attributes) | {
        "dilations": windows.dilations,
        "group": given["group"],
        "pads": tuple(pads),
        "strides": windows.strides,
    }
    found: Value = ops.conv.apply((x, w, b), attributes, (y.type,)).outputs[0]
    return found
