"""What auto_pad="SAME_..." fills up around images whose sizes only the run knows."""

from __future__ import annotations

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.arithmetic import div, max
from staticgrad.ops.registry import constant
from staticgrad.ops.shape import concat, shape
from staticgrad.ops.slicing import pad
from staticgrad.ops.windows import Windows, bare
from staticgrad.types import TensorType, unknown


def filled_up(
    x: Value, y: Value, w: Value | None, windows: Windows, auto_pad: str
) -> tuple[Value, Windows, Value | None]:
    """`x` with the padding that only the run knows, and what Pad got for it; as it came where the padding is known.

    `y` is the result of the windows, `w` has their kernel if that is not known.
    """
    if windows.begin is not None:
        return x, windows, None
    rank = len(windows.strides)
    total = max(covered_by(y, w, windows) - shape(x, start=2), 0)
    begin = in_front(total, auto_pad == "SAME_UPPER")
    amounts = concat([0, 0], begin, [0, 0], total - begin, axis=0)
    dims = (*x.type.shape[:2], *(unknown() for _ in range(rank)))
    wide = pad.apply((x, amounts, None, None), {"mode": "constant"}, (TensorType(x.type.dtype, dims),)).outputs[0]
    return wide, bare(windows), amounts


def covered_by(y: Value, w: Value | None, windows: Windows) -> Value:
    """How many elements all windows cover, along each axis: of each element of `y` one."""
    rank = len(windows.strides)
    if all(isinstance(k, int) for k in windows.kernel):
        reach = constant(np.array([windows.reach(i) for i in range(rank)], np.int64))
    else:
        assert w is not None
        reach = (shape(w, start=2) - 1) * constant(np.array(windows.dilations, np.int64)) + 1
    covered: Value = (shape(y, start=2) - 1) * constant(np.array(windows.strides, np.int64)) + reach
    return covered


def in_front(total: Value, upper: bool) -> Value:
    """What of these elements in all lies in front."""
    small: Value = div(total, 2)
    return small if upper else total - small


def without_margin(g: Value, x: Value, amounts: Value | None) -> Value:
    """A cotangent of what `filled_up` gave as one of `x`."""
    if amounts is None:
        return g
    result: Value = pad.apply((g, -amounts, None, None), {"mode": "constant"}, (x.type,)).outputs[0]
    return result
