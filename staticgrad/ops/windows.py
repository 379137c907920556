"""Where the windows of convolutions and pools lie: one geometry for type rules and gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from staticgrad.errors import DeclarationError, ShapeError, UnsupportedOperatorError, shown
from staticgrad.graph import Value
from staticgrad.ops.registry import require
from staticgrad.origin import source_line
from staticgrad.types import Dim, add_dims, constant_term, divide_dims, multiply_dims, unknown

AUTOMATIC = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


class Windows(NamedTuple):
    """For each spatial axis the size of the kernel, its steps and what is filled up before and behind.

    Element k of window o lies at `stride * o + dilation * k - begin` of the input. `begin` and `end` are None where
    only the run knows them.
    """

    kernel: tuple[Dim, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...] | None
    end: tuple[int, ...] | None

    def reach(self, axis: int) -> Dim:
        """How many elements lie between the first and the last of a window, both counted."""
        return add_dims(multiply_dims(self.dilations[axis], add_dims(self.kernel[axis], -1)), 1)

    def padding(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """`begin` and `end`; ShapeError where only the run knows them."""
        if self.begin is None or self.end is None:
            raise ShapeError(
                f"the gradient of {name} with auto_pad='SAME_...' needs spatial sizes that are known; give pads, or "
                f"declare the sizes as numbers ({source_line()})"
            )
        return self.begin, self.end

    def covered(self, axis: int, count: Dim) -> Dim:
        """How many elements lie between the first of the first window and the last of the last, both counted."""
        return add_dims(multiply_dims(self.strides[axis], add_dims(count, -1)), self.reach(axis))


def windows_of(
    size: Sequence[Dim],
    kernel: Sequence[Dim],
    auto_pad: str,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Windows:
    """The windows over an input of spatial sizes `size`, with ONNX's attributes checked."""
    rank = len(size)
    require(rank > 0, "at least one spatial axis behind batch and channels is expected")
    require(len(kernel) == rank, f"the kernel has {len(kernel)} spatial axes, the input {rank}")
    steps = numbers("strides", strides, rank, 1)
    apart = numbers("dilations", dilations, rank, 1)
    for k in kernel:
        require(not isinstance(k, int) or k > 0, f"the kernel has a size of {k}")
    if auto_pad not in AUTOMATIC:
        raise DeclarationError(f"auto_pad={shown(auto_pad)} is not one of {', '.join(AUTOMATIC)}")
    unpadded = Windows(tuple(kernel), steps, apart, (0,) * rank, (0,) * rank)
    if auto_pad in ("NOTSET", "VALID"):
        given = numbers("pads", pads, 2 * rank, 0)
        require(auto_pad == "NOTSET" or not any(given), "pads and auto_pad='VALID' contradict each other")
        return unpadded._replace(begin=given[:rank], end=given[rank:])
    require(pads is None or not any(pads), f"pads and auto_pad={auto_pad!r} contradict each other")
    return unpadded


def bare(windows: Windows) -> Windows:
    """The windows over what is filled up already."""
    none = (0,) * len(windows.strides)
    return windows._replace(begin=none, end=none)


def with_same_padding(windows: Windows, totals: Sequence[Dim], upper: bool) -> Windows:
    """The windows with these elements in all filled up on each axis, the odd one behind (or before)."""
    known = [max(t, 0) for t in totals if isinstance(t, int)]
    if len(known) < len(totals):
        return windows._replace(begin=None, end=None)
    small, large = tuple(t // 2 for t in known), tuple(t - t // 2 for t in known)
    return windows._replace(begin=small if upper else large, end=large if upper else small)


def pooled(
    size: Sequence[Dim],
    kernel: Sequence[Dim],
    auto_pad: str,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    ceil_mode: int = 0,
) -> tuple[Windows, tuple[Dim, ...]]:
    """The windows over an input, and how many there are along each axis."""
    windows = windows_of(size, kernel, auto_pad, dilations, pads, strides)
    if auto_pad.startswith("SAME"):
        counts = tuple(floor_divided(add_dims(n, s - 1), s) for n, s in zip(size, windows.strides, strict=True))
        totals = [add_dims(windows.covered(i, c), multiply_dims(-1, n)) for i, (c, n) in _numbered(counts, size)]
        return with_same_padding(windows, totals, auto_pad == "SAME_UPPER"), counts
    return windows, tuple(_count(windows, i, n, bool(ceil_mode)) for i, n in enumerate(size))


def in_numbers(attributes: Mapping[str, Any], windows: Windows) -> Mapping[str, Any]:
    """Attributes with the padding of auto_pad="SAME_..." in numbers where there are dilations.

    onnxruntime has no such convolution, and forgets the dilations in such pools.
    """
    if not attributes["auto_pad"].startswith("SAME") or set(windows.dilations) == {1}:
        return attributes
    if windows.begin is None or windows.end is None:
        raise UnsupportedOperatorError(
            f"auto_pad={attributes['auto_pad']!r} with dilations, strides and unknown sizes is not supported, "
            "onnxruntime has no kernel; give pads, or declare the sizes as numbers"
        )
    return {**attributes, "auto_pad": "NOTSET", "pads": (*windows.begin, *windows.end)}


def _numbered(left: Sequence[Dim], right: Sequence[Dim]) -> Any:
    return enumerate(zip(left, right, strict=True))


def _count(windows: Windows, axis: int, size: Dim, ceil_mode: bool) -> Dim:
    """How many windows fit; with `ceil_mode` also one that ends beyond the padding but does not begin there."""
    begin, end = windows.padding("")
    step = windows.strides[axis]
    room = add_dims(size, begin[axis], end[axis], multiply_dims(-1, windows.reach(axis)))
    if isinstance(room, int):
        require(
            room >= 0 or (ceil_mode and room > -step),
            f"a window of {windows.reach(axis)} is larger than the {add_dims(size, begin[axis], end[axis])} of axis "
            f"{axis + 2} with its padding",
        )
    if not ceil_mode or step == 1:
        return add_dims(floor_divided(room, step), 1)
    if not isinstance(room, int) or not isinstance(size, int):
        # Whether the last window begins in the padding depends on the size.
        return unknown()
    count = -(-room // step) + 1
    return count - 1 if (count - 1) * step >= size + begin[axis] else count


def floor_divided(dim: Dim, divisor: int) -> Dim:
    """`dim // divisor`: exact also for names where only a number is left over."""
    if isinstance(dim, int):
        return dim // divisor
    quotient = divide_dims(add_dims(dim, -(constant_term(dim) % divisor)), divisor)
    return unknown() if quotient is None else quotient


def why_vague(auto_pad: str, windows: Windows, size: Sequence[Dim], counts: Sequence[Dim]) -> str | None:
    """Why nobody knows where the windows of auto_pad="SAME_..." lie: ONNX's formula fills up less than nothing.

    Kernels of onnxruntime cut off in different places then, or fail.
    """
    if not auto_pad.startswith("SAME"):
        return None
    for axis, (n, count) in enumerate(zip(size, counts, strict=True)):
        if windows.strides[axis] == 1:
            continue
        least = add_dims(windows.covered(axis, count), multiply_dims(-1, n))
        if not isinstance(least, int):
            least = add_dims(windows.reach(axis), -windows.strides[axis])
        if not isinstance(least, int) or least < 0:
            return f"auto_pad={auto_pad!r} with strides that may pass over elements between windows; give pads"
    return None


def numbers(name: str, given: Sequence[int] | None, count: int, least: int) -> tuple[int, ...]:
    """An attribute of `count` ints of `least` or more, which is also what is missing."""
    if given is None:
        return (least,) * count
    require(
        isinstance(given, Sequence) and len(given) == count and all(isinstance(n, int) and n >= least for n in given),
        f"{name} must be {count} ints of {least} or more, {shown(given)} came",
    )
    return tuple(given)


def differ(a: Dim, b: Dim) -> bool:
    """Whether two sizes are known to be different; inputs that belong together may have names of their own."""
    return isinstance(a, int) and isinstance(b, int) and a != b


def spatial(x: Value) -> tuple[Dim, ...]:
    """The sizes behind batch and channels."""
    return x.type.shape[2:]
