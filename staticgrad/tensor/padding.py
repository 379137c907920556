"""PyTorch's padding; it is also found in `staticgrad.nn.functional`."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.registry import constant, literal
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@function
def pad(input: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """`input` with elements before and behind: of the last dimension `pad[0]` and `pad[1]`, of the one before it ...

    They are `value` (0), or by mode "reflect" the mirrored ones, "replicate" the outermost, "circular" those of the
    other end. Negative numbers cut off.
    """
    if mode not in _MODES:
        raise DeclarationError(f"pad takes mode {', '.join(_MODES)}, {shown(mode)} came ({source_line()})")
    amounts = _pairs(input, pad)
    left = {
        a: (d, d + min(b, 0) + min(e, 0)) for a, (b, e) in amounts.items() if isinstance(d := input.type.shape[a], int)
    }
    for axis, (size, rest) in left.items():
        repeated = mode in ("reflect", "replicate") and size > 0 and rest + max(*amounts[axis], 0) < 1
        if rest < 0 or repeated:
            raise ShapeError(
                f"pads {amounts[axis]} cut off more than the {size} elements of dimension {axis} of {input.type} allow "
                f"({source_line()})"
            )
    if mode == "constant":
        # A number that fits no element type of integers is refused by the literal.
        filling = None if not value else literal(value, input.type.dtype)
        return _padded(input, amounts, mode, filling)
    if value:
        raise DeclarationError(f"pad takes a value in mode constant only, {shown(value)} came ({source_line()})")
    if mode == "circular":
        for axis, (begin, end) in amounts.items():
            rest = left[axis][1] if axis in left else max(begin, end)
            if max(begin, end) > rest:
                raise ShapeError(
                    f"circular padding by {max(begin, end)} goes around the {rest} elements of dimension {axis} of "
                    f"{input.type} more than once ({source_line()})"
                )
        return _padded(input, amounts, _MODES[mode])
    # What is cut off on one side may be what the other side repeats, so that comes last.
    grown = {axis: (max(begin, 0), max(end, 0)) for axis, (begin, end) in amounts.items()}
    cut = {axis: (min(begin, 0), min(end, 0)) for axis, (begin, end) in amounts.items()}
    return _padded(_padded(input, grown, _MODES[mode]), cut, "constant")


def _pairs(x: Value, pad: Sequence[int]) -> dict[int, tuple[int, int]]:
    """For each dimension that is padded the elements before and behind."""
    try:
        numbers = [operator.index(n) for n in pad]
    except TypeError:
        raise DeclarationError(f"pad takes a list of ints, {shown(pad)} came ({source_line()})") from None
    if any(abs(n) >= 2**31 for n in numbers) or any(isinstance(n, bool) for n in pad):
        raise DeclarationError(f"pad takes ints below {2**31}, {shown(pad)} came ({source_line()})")
    rank = len(x.type.shape)
    if len(numbers) % 2 or len(numbers) > 2 * rank:
        raise ShapeError(
            f"pad takes two numbers for each dimension from the last on, {len(numbers)} came for {x.type} "
            f"({source_line()})"
        )
    return {rank - 1 - i: (numbers[2 * i], numbers[2 * i + 1]) for i in reversed(range(len(numbers) // 2))}


def _padded(x: Value, amounts: dict[int, tuple[int, int]], mode: str, filling: Value | None = None) -> Value:
    chosen = {axis: pair for axis, pair in amounts.items() if pair != (0, 0)}
    if not chosen:
        return x
    if any(dim == 0 for axis, dim in enumerate(x.type.shape) if axis not in chosen):
        # There is nothing to repeat, and runtimes stumble over it.
        mode, filling = "constant", None
    numbers = [[pair[side] for pair in chosen.values()] for side in (0, 1)]
    pads = constant(np.array(numbers, np.int64).ravel())
    return ops.pad(x, pads, filling, constant(np.array(list(chosen), np.int64)), mode=mode)
