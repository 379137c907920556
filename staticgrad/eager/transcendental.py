"""Functions of two operands: angles, lengths, logarithms of sums and products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.cast import Operand, floating, promote
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.elementwise import sigmoid_array
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _pair(input: Operand, other: Operand) -> tuple[Tensor, Tensor]:
    a, b = (floating(x) for x in promote(input, other))
    return a, b


@quiet
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (b, a); the gradients are b / r^2 and -a / r^2, both 0 at the origin."""
    ta, tb = _pair(input, other)
    a, b = ta.wide, tb.wide

    def over_square(x: Array) -> Array:
        r = np.hypot(a, b)
        return np.where(r == 0, 0, x / r / r)

    return result(np.arctan2(a, b), (ta, lambda g: g * over_square(b)), (tb, lambda g: -g * over_square(a)))


@quiet
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """y = sqrt(a^2 + b^2); the gradients are a / y and b / y, nan at the origin."""
    ta, tb = _pair(input, other)
    a, b = ta.wide, tb.wide
    y = np.hypot(a, b)
    return result(y, (ta, lambda g: g * (a / y)), (tb, lambda g: g * (b / y)))


@quiet
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """y = ln(e^a + e^b); the gradients are 1/(1 + e^(b-a)) and 1/(1 + e^(a-b)), one half each for equal infinities."""
    ta, tb = _pair(input, other)
    a, b = ta.wide, tb.wide
    share, rest = _share(a, b), _share(b, a)
    return result(np.logaddexp(a, b), (ta, lambda g: g * share), (tb, lambda g: g * rest))


def _share(a: Array, b: Array) -> Array:
    """1 / (1 + e^(b - a))."""
    return np.where(a == b, np.asarray(0.5, a.dtype), sigmoid_array(a - b))


@quiet
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """y = log2(2^a + 2^b); the gradients are 1/(1 + 2^(b-a)) and the rest to 1, one half each for equal infinities."""
    ta, tb = _pair(input, other)
    a, b = ta.wide, tb.wide
    share, rest = (_share(x * math.log(2), z * math.log(2)) for x, z in ((a, b), (b, a)))
    return result(np.logaddexp2(a, b), (ta, lambda g: g * share), (tb, lambda g: g * rest))


@quiet
def xlogy(input: Operand, other: Operand) -> Tensor:
    """y = a ln b, 0 for a = 0 unless b is nan; the gradients are ln b (0 for a = 0 and b <= 0) and a / b."""
    ta, tb = _pair(input, other)
    a, b = ta.wide, tb.wide
    y = np.where((a == 0) & ~np.isnan(b), 0, a * np.log(b))
    return result(y, (ta, lambda g: np.where((a == 0) & (b <= 0), 0, g * np.log(b))), (tb, lambda g: g * (a / b)))
