"""Changes of resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Array, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import cast
from staticgrad.ops.creation import eye_like
from staticgrad.ops.kinds import dims_of, is_half, normal_axis, require_table, reshape_like, with_derivative, zeros_like
from staticgrad.ops.layout import Part, laid_out
from staticgrad.ops.linear import matmul
from staticgrad.ops.pooling import average_pool
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, expand, reshape, shape, transpose, unsqueeze
from staticgrad.ops.slicing import slice_
from staticgrad.types import Dim, DType, TensorType, is_static, multiply_dims, unknown

_MODES = ("nearest", "linear", "cubic")
_POLICIES = ("stretch", "not_larger", "not_smaller")
_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)

_WHOLE = 64
"""The longest axis that is worth one whole matrix; what is longer goes in blocks."""

_BLOCK = 32
"""The longer side of the blocks: longer ones multiply more zeros, shorter ones copy more often."""

_MOST_REPEATED = 2**26
"""The most elements from which the weights of sizes with a kept ratio are read."""


def _given(value: Value | None) -> Value | None:
    """An optional list; one without elements counts as left out, as older models have it."""
    return None if value is None or value.type.shape == (0,) else value


def _chosen(rank: int, axes: Sequence[int] | None) -> tuple[int, ...]:
    """The axes that roi, scales and sizes name."""
    return tuple(range(rank)) if axes is None else tuple(normal_axis(a, rank) for a in axes)


def _scaled(dim: Dim, scale: np.float32) -> Dim:
    if isinstance(dim, int):
        # onnxruntime multiplies in float32, ONNX's inference in float64: where they differ only the run knows.
        size = math.floor(np.float32(dim) * scale)
        return size if size == math.floor(dim * float(scale)) else unknown()
    return multiply_dims(dim, int(scale)) if scale == int(scale) else unknown()


class _Ratio(NamedTuple):
    """One scale for all axes: that of a size of `source` that becomes `target`."""

    target: int
    source: int

    @property
    def scale(self) -> np.float32:
        return np.float32(self.target) / np.float32(self.source)

    def of(self, size: int) -> int:
        return math.floor(float(self.scale * np.float32(size)) + 0.5)


def _kept_ratio(dims: Sequence[Dim], wanted: Sequence[Dim], policy: str) -> _Ratio | None:
    """The ratio that the policy chooses of sizes and wanted sizes; None where they are not known."""
    if not is_static((*dims, *wanted)) or 0 in dims:
        return None
    ratios = [_Ratio(int(w), int(d)) for w, d in zip(wanted, dims, strict=True)]
    choose = min if policy == "not_larger" else max
    return choose(ratios, key=lambda r: float(r.scale))


def _resized(x, roi=None, scales=None, sizes=None, *, axes, keep_aspect_ratio_policy, **attributes):
    for name, known in (("mode", _MODES), ("coordinate_transformation_mode", _COORDINATES)):
        if attributes[name] not in known:
            raise DeclarationError(f"{name}={shown(attributes[name])} is not one of {', '.join(known)}")
    if keep_aspect_ratio_policy not in _POLICIES:
        came = shown(keep_aspect_ratio_policy)
        raise DeclarationError(f"keep_aspect_ratio_policy={came} is not one of {', '.join(_POLICIES)}")
    roi, scales, sizes = _given(roi), _given(scales), _given(sizes)
    dims = list(x.type.shape)
    chosen = _chosen(len(dims), axes)
    require(len(set(chosen)) == len(chosen), f"axes {list(chosen)} name one axis twice")
    require((scales is None) != (sizes is None), "either scales or sizes must be given")
    require(
        attributes["coordinate_transformation_mode"] != "tf_crop_and_resize" or roi is not None,
        "tf_crop_and_resize needs roi",
    )
    for value, count in ((scales, len(chosen)), (sizes, len(chosen)), (roi, 2 * len(chosen))):
        fits = value is None or (len(value.type.shape) == 1 and value.type.shape[0] in (count, _unknown_size(value)))
        require(fits, f"a list of {count} numbers is expected")
    if scales is not None:
        numbers = constant_of(scales)
        for i, a in enumerate(chosen):
            require(numbers is None or numbers[i] > 0, "scales are positive")
            dims[a] = unknown() if numbers is None else _scaled(dims[a], numbers[i])
        return TensorType(x.type.dtype, tuple(dims))
    wanted = dims_of(sizes.content) or tuple(unknown() for _ in chosen)
    if keep_aspect_ratio_policy == "stretch":
        for a, w in zip(chosen, wanted, strict=True):
            dims[a] = w
        return TensorType(x.type.dtype, tuple(dims))
    ratio = _kept_ratio([dims[a] for a in chosen], wanted, keep_aspect_ratio_policy)
    for a in chosen:
        dims[a] = unknown() if ratio is None else ratio.of(int(dims[a]))
    return TensorType(x.type.dtype, tuple(dims))


def _unknown_size(value: Value) -> Dim | None:
    """The length of a list where it is not a number."""
    size = value.type.shape[0]
    return None if isinstance(size, int) else size


@onnx_op("Resize", type=_resized)
def resize(
    x: Input,
    roi: Input | None = None,
    scales: Input | None = None,
    sizes: Input | None = None,
    *,
    antialias: bool = False,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Value:
    """`x` at another resolution: along each axis the weighted sums `sum_j w_ij x_j` of ONNX.

    The derivative has the weights that the runtime's own kernel takes, for it asks that kernel for them. None by `roi`.
    """


@resize.refuses
def _(x, roi, scales, sizes, *, axes, keep_aspect_ratio_policy, mode, antialias, **attributes):
    """Kept aspect ratios of sizes that are not known; tf_crop_and_resize, cubic or antialiased, of leading axes."""
    rank = len(x.type.shape)
    chosen = _chosen(rank, axes)
    roi, scales, sizes = _given(roi), _given(scales), _given(sizes)
    if sizes is not None and keep_aspect_ratio_policy != "stretch":
        dims = [x.type.shape[a] for a in chosen]
        ratio = _kept_ratio(dims, dims_of(sizes.content) or [unknown() for _ in chosen], keep_aspect_ratio_policy)
        if ratio is None:
            return (
                f"keep_aspect_ratio_policy={keep_aspect_ratio_policy!r} needs all sizes when declaring; declare them "
                "as numbers"
            )
        shrunk = ratio.source // math.gcd(ratio.target, ratio.source)
        if max(int(d) for d in dims) ** 2 * shrunk > _MOST_REPEATED:
            return (
                f"keep_aspect_ratio_policy={keep_aspect_ratio_policy!r} of {x.type} takes too many weights; give scales"
            )
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize" and (mode == "cubic" or antialias):
        # There onnxruntime takes the roi of the last two axes, whichever are resized.
        given = None if scales is None else constant_of(scales)
        for i, a in enumerate(chosen):
            still = (given is not None and given[i] == 1) or _stays(x, sizes, a, i)
            if a < rank - 2 and not (still and _covers(roi, i, len(chosen))):
                return (
                    "tf_crop_and_resize with mode 'cubic' or antialias must be known to leave all but the last two "
                    "axes; transpose first, and name them in axes"
                )
    return None


def _stays(x: Value, sizes: Value | None, axis: int, position: int) -> bool:
    wanted = dims_of(sizes.content) if sizes is not None else None
    return wanted is not None and wanted[position] == x.type.shape[axis]


def _covers(roi: Value | None, position: int, count: int) -> bool:
    """Whether the roi is known to be all of an axis."""
    numbers = constant_of(roi)
    return numbers is not None and numbers[position] == 0 and numbers[position + count] == 1


@resize.vjp
def _(g, y, x, roi, scales, sizes, *, axes, keep_aspect_ratio_policy, extrapolation_value, **attributes):
    roi, scales, sizes = _given(roi), _given(scales), _given(sizes)
    if 0 in y.type.shape:
        # onnxruntime's sums of nothing are not zero.
        return zeros_like(x), None, None, None
    chosen = _chosen(len(x.type.shape), axes)
    cropped = attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    factors = constant_of(scales)
    repeats = None if factors is None else _repeats(factors, **attributes)
    if repeats is not None:
        return _repeats_summed(g, x, dict(zip(chosen, repeats, strict=True))), None, None, None
    half = is_half(x.type.dtype)
    work = cast(g, to=DType.float32) if half else g
    ratio = None
    if sizes is not None and keep_aspect_ratio_policy != "stretch":
        wanted = dims_of(sizes.content) or ()
        ratio = _kept_ratio([x.type.shape[a] for a in chosen], wanted, keep_aspect_ratio_policy)
    for i, a in enumerate(chosen):
        scaled = factors is not None and factors[i] == 1
        if not cropped and (scaled or (ratio is None and _stays(x, sizes, a, i)) or (ratio and ratio.scale == 1)):
            continue
        target = None if sizes is None else slice_(sizes, [i], [i + 1])
        ends = None
        if cropped:
            ends = [slice_(roi, [k], [k + 1]) for k in (i, i + len(chosen))]
        scale = None if scales is None else slice_(scales, [i], [i + 1])
        if ratio is not None:
            attributes["keep_aspect_ratio_policy"] = keep_aspect_ratio_policy
        weights = _weights(work, x, y, a, ends, scale, target, ratio, attributes)
        step = float(ratio.scale) if ratio is not None else None if factors is None else float(factors[i])
        work = _summed(work, weights, a, None if cropped else _reach(x, y, a, step, **attributes))
    work = reshape_like(work, x)
    return (cast(work, to=x.type.dtype) if half else work), None, None, None


def _repeats(
    factors: Array, *, mode: str, coordinate_transformation_mode: str, nearest_mode: str, **_: object
) -> list[int] | None:
    """How often every element stands in a row along each axis, where that is all."""
    if mode != "nearest" or any(f != int(f) or f > 1024 for f in factors):
        return None
    counts = [int(f) for f in factors]
    centered = coordinate_transformation_mode in ("half_pixel", "pytorch_half_pixel") and "round" in nearest_mode
    floored = coordinate_transformation_mode == "asymmetric" and (
        nearest_mode == "floor" or (nearest_mode == "round_prefer_floor" and max(counts) <= 2)
    )
    return counts if centered or floored else None


def _repeats_summed(g: Value, x: Value, counts: dict[int, int]) -> Value:
    """The sums over what every element of `x` was repeated to."""
    rank = len(x.type.shape)
    repeated = {axis: count for axis, count in counts.items() if count > 1}
    if not repeated:
        return g
    if rank in (4, 5) and min(repeated) > 1:
        # Several times as fast as a sum over axes that stand apart.
        kernel = tuple(repeated.get(axis, 1) for axis in range(2, rank))
        return reshape_like(average_pool(g, kernel_shape=kernel, strides=kernel) * float(math.prod(kernel)), x)
    parts: list[int | Part] = []
    summed = []
    for axis in range(rank):
        parts.append(Part(axis, over=repeated.get(axis, 1)))
        if axis in repeated:
            summed.append(len(parts))
            parts.append(repeated[axis])
    return reshape_like(reduce_sum(laid_out(g, parts), summed, keepdims=False), x)


def _weights(g, x, y, axis, ends, scale, target, ratio, attributes):
    """The weights of an axis, `[size, target]`: what becomes of unit vectors.

    They stand along the third of four axes, as far as all kernels go. The last one only makes the shape another one,
    for onnxruntime copies where that does not change, whatever the scale.
    """
    size = shape(x, start=axis, end=axis + 1)
    dtype = g.type.dtype
    zeros = OPERATORS["ConstantOfShape"](concat(size, size, axis=0), value=np.zeros(1, dtype.numpy))
    unit = unsqueeze(eye_like(zeros), [1, 3])
    given = {**resize.attributes, **attributes}
    outer = 2
    if ratio is not None:
        # The last axis has the ratio that is kept, and the same weights in each of its places.
        outer = 0
        given |= {"axes": (2, 3)}
        common = math.gcd(ratio.target, ratio.source)
        unit = expand(unit, [1, 1, 1, ratio.source // common])
        extent = [None, concat(target, constant(np.array([ratio.target // common])), axis=0)]
    elif scale is not None:
        ones = constant(np.ones(2, np.float32))
        extent = [concat(ones, scale, cast(_changed(x, y), to=DType.float32), axis=0), None]
    else:
        extent = [None, concat(size, constant(np.ones(1, np.int64)), target, _changed(x, y), axis=0)]
    region = None
    if ends is not None:
        number = ends[0].type.dtype.numpy
        sides = [
            part
            for side, end in enumerate(ends)
            for part in (constant(np.full(outer, side, number)), end, constant(np.full(1, side, number)))
        ]
        region = concat(*sides, axis=0)
    resized = resize.apply((unit, region, *extent), given).outputs[0]
    return reshape(slice_(resized, [0], [1], [3]), concat(size, [-1], axis=0))


def _changed(x: Value, y: Value) -> Value:
    """[2] where the shapes of two values differ, else [1]."""
    if x.type.shape == y.type.shape:
        return constant(np.ones(1, np.int64))
    if any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(x.type.shape, y.type.shape, strict=True)
    ):
        return constant(np.full(1, 2, np.int64))
    differ = OPERATORS["Not"](OPERATORS["Equal"](shape(x), shape(y)))
    result: Value = OPERATORS["ReduceMax"](cast(differ, to=DType.int64)) + 1
    return reshape(result, [1])


def _reach(
    x: Value,
    y: Value,
    axis: int,
    scale: float | None,
    *,
    mode: str,
    coordinate_transformation_mode: str,
    antialias: bool,
    **_: object,
) -> Array | None:
    """Where the weights of a long axis may differ from zero, `[size, target]`, with some room; None for other axes."""
    size, target = x.type.shape[axis], y.type.shape[axis]
    if not isinstance(size, int) or not isinstance(target, int) or max(size, target) <= _WHOLE:
        return None
    require_table(size, target)
    ratio = target / size if scale is None else scale
    places = np.arange(target)
    points = (places + 0.5) / ratio - 0.5
    if coordinate_transformation_mode == "align_corners":
        points = places * ((size - 1) / max(target - 1, 1))
    elif coordinate_transformation_mode == "asymmetric":
        points = places / ratio
    elif coordinate_transformation_mode == "half_pixel_symmetric":
        points += size / 2 * (1 - target / (ratio * size))
    apart = max(1, 1 / ratio)
    room = (2 if mode == "cubic" else 1) * (apart if antialias else 1) + apart + 1
    # What lies outside is read at the edges.
    first = np.clip(np.floor(points - room), 0, size - 1)
    last = np.clip(np.ceil(points + room), 0, size - 1)
    rows = np.arange(size)[:, None]
    result: Array = (rows >= first) & (rows <= last)
    return result


def _summed(g: Value, weights: Value, axis: int, reach: Array | None) -> Value:
    """`sum_i weights_ji g_i` along an axis; of a long one in blocks of j, without most of the zeros."""
    if reach is None:
        return _product(g, weights, axis)
    size, target = reach.shape
    height = max(_BLOCK * size // max(size, target), 1)
    parts = []
    for top in range(0, size, height):
        used = np.flatnonzero(reach[top : top + height].any(0))
        start, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        block = slice_(weights, [top, start], [min(top + height, size), end])
        parts.append(_product(slice_(g, [start], [end], [axis]), block, axis))
    return with_derivative(
        concat(*parts, axis=axis),
        [g],
        lambda h, y, g: _summed(h, transpose(weights, perm=(1, 0)), axis, reach.T),
    )


def _product(g: Value, weights: Value, axis: int) -> Value:
    rank = len(g.type.shape)
    if axis == rank - 2:
        return matmul(weights, g)
    columns = transpose(weights, perm=(1, 0))
    if axis == rank - 1:
        return matmul(g, columns)
    order = (*(i for i in range(rank) if i != axis), axis)
    back = tuple(int(i) for i in np.argsort(order))
    return transpose(matmul(transpose(g, perm=order), columns), perm=back)
