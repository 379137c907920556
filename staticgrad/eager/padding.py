"""Padding at the ends of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array
from staticgrad.eager.errors import EagerError
from staticgrad.eager.index import getitem
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _source(mode: str, size: int, begin: int, end: int) -> Array:
    """For every position of the padded dimension the one that it shows."""
    place = np.arange(-begin, size + end)
    if mode == "reflect":
        mirrored: Array = (size - 1) - np.abs((size - 1) - np.abs(place))
        return mirrored
    if mode == "replicate":
        return np.clip(place, 0, size - 1)
    # What goes around is what is left of the dimension.
    first, last = max(-begin, 0), size + min(end, 0)
    return (place - first) % max(last - first, 1) + first


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added before and behind the last dimensions, the last one first; negative numbers cut off.

    The new ones are `value` (0) in mode "constant", the mirrored ones in "reflect", the outermost in "replicate", those
    of the other end in "circular"; the gradient goes to the element that was shown.
    """
    numbers = [int(n) for n in pad]
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise EagerError(f"pad with mode {mode!r}: expected 'constant', 'reflect', 'replicate' or 'circular'")
    if value and mode != "constant":
        raise EagerError(f"pad with value {value} in mode {mode!r}: expected a value in mode 'constant' only")
    if len(numbers) % 2 or len(numbers) > 2 * input.ndim:
        raise EagerError(
            f"pad with {len(numbers)} numbers: expected two for each of at most {input.ndim} dimensions, the last first"
        )
    pairs = [(0, 0)] * (input.ndim - len(numbers) // 2)
    pairs += [(numbers[i], numbers[i + 1]) for i in reversed(range(0, len(numbers), 2))]
    for n, (begin, end) in zip(input.shape, pairs, strict=True):
        most, least = max(begin, end), {"reflect": 1, "circular": 0}.get(mode)
        if n + begin + end < 0:
            raise EagerError(f"pad by {begin} and {end} of a dimension of {n}: expected that something is left")
        if most > 0 and mode != "constant" and (not n or (least is not None and most > n - least)):
            raise EagerError(f"pad by {most} in mode {mode!r}: expected less, the dimension has {n} elements")
    shape = input.shape
    if mode == "constant":
        inside = tuple(slice(max(b, 0), b + n + min(e, 0)) for n, (b, e) in zip(shape, pairs, strict=True))
        taken = tuple(slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(shape, pairs, strict=True))
        y = np.full([n + b + e for n, (b, e) in zip(shape, pairs, strict=True)], value or 0, input.array.dtype)
        y[inside] = input.array[taken]

        def cut(g: Array) -> Array:
            z = np.zeros(shape, g.dtype)
            z[taken] = g[inside]
            return z

        return result(y, (input, cut))
    where = np.ix_(*(_source(mode, n, b, e) for n, (b, e) in zip(shape, pairs, strict=True)))
    return getitem(input, where)
