"""Which of several equal formulations is fastest on a target, by shape; `benchmarks/formulations.py` measures them.

The other files in this folder register theirs. Transposed convolutions are mostly the cotangents of images.
"""

from __future__ import annotations

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
_SMALL_IMAGE, _WIDE_IMAGE = 16, 256
"""Elements of an image up to and from which a transposed convolution is slower than one with the turned kernel."""
_MOST_FEATURES = 128
"""Of wide images it is slower only with so many channels, if it does not make less than half of them."""


def formulation(target: str, *operators: str, first: bool = False) -> Callable[[Equation], Equation]:
    """Decorator: an equation for nodes of these operators that makes them faster on a target, tried first or last."""

    def register(rule: Equation) -> Equation:
        for name in operators:
            known = FORMULATIONS[target].setdefault(name, [])
            known.insert(0 if first else len(known), rule)
        return rule

    return register


def windows_at(node: Node) -> Windows | None:
    """The windows of a convolution whose kernel and padding are numbers."""
    x, w = node.inputs[:2]
    given = node.attributes
    if x is None or w is None or x.type.dtype is not DType.float32 or given["auto_pad"] not in ("NOTSET", "VALID"):
        return None
    if not all(isinstance(d, int) and d > 0 for d in spatial(w)):
        return None
    return windows_of(spatial(x), spatial(w), given["auto_pad"], given["dilations"], given["pads"], given["strides"])


def without_bias(node: Node, any_bias: bool = False) -> tuple[Value, Value, Windows] | None:
    """The images, the weight and the windows, as `windows_at`, of a convolution without a bias, or with any."""
    x, w, b = (*node.inputs, None)[:3]
    windows = windows_at(node)
    return None if windows is None or x is None or w is None or (b is not None and not any_bias) else (x, w, windows)


def has_many_channels(*dims: object) -> bool:
    """Whether these are numbers of channels for which products of matrices are worth it."""
    return all(isinstance(d, int) and d >= _FEW_CHANNELS for d in dims)


def padding(windows: Windows) -> tuple[int, ...]:
    """What is filled up, before each axis and then behind."""
    return (*(windows.begin or ()), *(windows.end or ()))


def filled_up(x: Value, windows: Windows, lead: int = 2) -> Value:
    """`x` with its padding, of the axes behind the first `lead`."""
    sides = padding(windows)
    if not any(sides):
        return x
    rank = len(sides) // 2
    front, back = ([0] * lead + list(side) + [0] * (2 - lead) for side in (sides[:rank], sides[rank:]))
    return ops.pad(x, constant(np.array([*front, *back], np.int64)))


def has_own_size(node: Node) -> bool:
    """Whether a transposed convolution is told the size of its result, or how much larger it is."""
    return node.attributes["output_shape"] is not None or any(node.attributes["output_padding"] or ())


def turned(x: Value) -> Value:
    """`x` with images and channels in each other's place."""
    return ops.transpose(x, perm=_order(x))


def unturned(x: Value) -> Value | None:
    """What `x` is with images and channels in each other's place."""
    order = x.node.attributes["perm"] if x.node.op.name == "Transpose" else ()
    return x.node.inputs[0] if order == _order(x) else None


def _order(x: Value) -> tuple[int, ...]:
    return (1, 0, *range(2, len(x.type.shape)))


def summed(x: Value) -> Value:
    """The sum over the first axis."""
    return ops.reduce_sum(x, constant(np.array([0])), keepdims=False)


def together(parts: Sequence[Value], axis: int = 0) -> Value:
    """Values one behind the other along an axis."""
    return parts[0] if len(parts) == 1 else ops.concat(*parts, axis=axis)


def batch_of(x: Value) -> Dim:
    """The first size as a reshape takes it."""
    return x.type.shape[0] if isinstance(x.type.shape[0], int) else -1


def arranged(x: Value, dims: Sequence[Dim]) -> Value:
    """`x` in the shape `dims`, in which -1 stands for what is left."""
    size = count_elements(x.type.shape)
    known = math.prod(d for d in dims if isinstance(d, int) and d > 0)
    rest = size // known if isinstance(size, int) else unknown()
    result = TensorType(x.type.dtype, tuple(rest if d == -1 else d for d in dims))
    target = constant(np.array(dims, np.int64))
    found: Value = ops.reshape.apply((x, target), {"allowzero": 0}, (result,)).outputs[0]
    return found


def without_filling(x: Value) -> Value:
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


def _is_turned_faster(y: Value, features: int) -> bool:
    """Whether the result `y` of a transposed convolution of so many channels comes sooner with the turned kernel."""
    sizes, channels = spatial(y), y.type.shape[1]
    if not isinstance(channels, int) or not all(isinstance(d, int) for d in sizes):
        return False
    elements = math.prod(int(d) for d in sizes)
    return elements <= _SMALL_IMAGE or (elements >= _WIDE_IMAGE and features <= min(_MOST_FEATURES, 2 * channels))


@formulation("cpu", "ConvTranspose")
def _turned_kernel(node: Node) -> Value | None:
    """conv_transpose(x, w) = conv(x, the turned w) of stride 1: of 1x1, for each channel alone, by sizes"""
    x, w, b = (*node.inputs, None)[:3]
    y, given = node.outputs[0], node.attributes
    windows = windows_at(node)
    if windows is None or x is None or w is None or windows.begin is None or windows.end is None:
        return None
    if set(windows.strides) != {1} or has_own_size(node):
        return None
    features, each = w.type.shape[:2]
    if not has_many_channels(features, y.type.shape[1]):
        return None
    if given["group"] != 1 and not (each == 1 and features == given["group"]):
        return None
    if given["group"] == 1 and set(windows.kernel) != {1} and not _is_turned_faster(y, int(features)):
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
        w = turned(w)
    attributes = dict(ops.conv.attributes) | {
        "dilations": windows.dilations,
        "group": given["group"],
        "pads": tuple(pads),
        "strides": windows.strides,
    }
    found: Value = ops.conv.apply((x, w, b), attributes, (y.type,)).outputs[0]
    return found
