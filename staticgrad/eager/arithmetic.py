"""Functions of two or three operands that broadcast against each other: arithmetic, extrema, choice.

Operands of different types are brought to PyTorch's common type first; numbers and numpy arrays are operands too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.cast import Operand, floating, promote
from staticgrad.eager.dtypes import Array, boolean, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _no_bool(name: str, *operands: Tensor) -> None:
    if any(x.dtype == boolean for x in operands):
        raise EagerError(f"{name} of bool is not defined: use the logical operators (~, ^, logical_not, logical_xor)")


def _no_zero(name: str, b: Tensor) -> None:
    if not is_float(b.dtype) and not np.all(b.array):
        raise EagerError(f"{name} by zero: integers have no infinity")


def abs(input: Tensor) -> Tensor:
    """The absolute value; y' = sign x, 0 at 0."""
    x = input.wide
    return result(np.abs(x), (input, lambda g: g * np.sign(x)))


def neg(input: Tensor) -> Tensor:
    """y = -x; y' = -1."""
    _no_bool("neg", input)
    return result(-input.wide, (input, lambda g: -g))


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; y' = 0."""
    x = input.wide
    return result(x.copy() if input.dtype == boolean else np.sign(x), (input, np.zeros_like))


@quiet
def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """y = a + alpha b."""
    a, b = promote(input, other)
    if a.dtype == boolean:
        return result(a.array | b.array, (a, None), (b, None))
    return result(a.wide + (b.wide if alpha == 1 else b.wide * alpha), (a, lambda g: g), (b, lambda g: g * alpha))


@quiet
def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """y = a - alpha b."""
    a, b = promote(input, other)
    _no_bool("sub", a)
    return result(a.wide - (b.wide if alpha == 1 else b.wide * alpha), (a, lambda g: g), (b, lambda g: -g * alpha))


@quiet
def mul(input: Operand, other: Operand) -> Tensor:
    """y = a b; the gradients are b and a."""
    ta, tb = promote(input, other)
    a, b = ta.wide, tb.wide
    return result(a * b, (ta, lambda g: g * b), (tb, lambda g: g * a))


@quiet
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """y = a / b (integers give float32); the gradients are 1/b and -a/b^2.

    `rounding_mode` "floor" or "trunc" rounds the quotient, keeps integers integers, and has gradient 0.
    """
    if rounding_mode == "floor":
        return floor_divide(input, other)
    ta, tb = promote(input, other)
    if rounding_mode is None:
        ta, tb = floating(ta), floating(tb)
        a, b = ta.wide, tb.wide
        return result(a / b, (ta, lambda g: g / b), (tb, lambda g: -g * (a / b) / b))
    if rounding_mode != "trunc":
        raise EagerError(f"rounding_mode {rounding_mode!r}: expected None, 'floor' or 'trunc'")
    _no_zero("div", tb)
    a, b = ta.wide, tb.wide
    y = np.trunc(a / b) if is_float(ta.dtype) else (a - np.fmod(a, b)) // b
    return result(y, (ta, np.zeros_like), (tb, np.zeros_like))


@quiet
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """y = floor(a / b), of the common type; the gradient is 0. An integer divided by 0 is an error."""
    a, b = promote(input, other)
    _no_zero("floor_divide", b)
    return result(np.floor_divide(a.wide, b.wide), (a, np.zeros_like), (b, np.zeros_like))


@quiet
def remainder(input: Operand, other: Operand) -> Tensor:
    """y = a - b floor(a / b), with the sign of b (Python's %); the gradients are 1 and -floor(a / b)."""
    ta, tb = promote(input, other)
    _no_zero("remainder", tb)
    a, b = ta.wide, tb.wide
    return result(np.remainder(a, b), (ta, lambda g: g), (tb, lambda g: -g * np.floor_divide(a, b)))


@quiet
def fmod(input: Operand, other: Operand) -> Tensor:
    """y = a - b trunc(a / b), with the sign of a (C's fmod); the gradients are 1 and -trunc(a / b)."""
    ta, tb = promote(input, other)
    _no_zero("fmod", tb)
    a, b = ta.wide, tb.wide
    return result(np.fmod(a, b), (ta, lambda g: g), (tb, lambda g: -g * np.trunc(a / b)))


@quiet
def pow(input: Operand, exponent: Operand) -> Tensor:
    """y = a^b; the gradients are b a^(b-1), which is 0 for b = 0, and y ln a, which is 0 for a = 0 and b >= 0.

    nan for a negative base with a fraction in the exponent; an integer to a negative integer power is an error.
    """
    ta, tb = promote(input, exponent)
    if not is_float(ta.dtype) and np.any(tb.array < 0):
        raise EagerError("pow of an integer with a negative integer exponent is no integer: use a float")
    a, b = ta.wide, tb.wide
    y = np.power(a, b)

    def to_base(g: Array) -> Array:
        return np.where(b == 0, 0, g * b * np.power(a, b - 1))

    def to_exponent(g: Array) -> Array:
        return np.where((a == 0) & (b >= 0), 0, g * y * np.log(a))

    return result(y, (ta, to_base), (tb, to_exponent))


def _extreme(a: Tensor, b: Tensor, y: Array, beats: Array, tie: Array) -> Tensor:
    """Elementwise extremum: the gradient goes to the winner, half to each in a tie."""
    loses = ~(beats | tie)
    to_a = np.where(tie, 0.5, np.where(loses, 0.0, 1.0)).astype(y.dtype)
    to_b = np.where(tie, 0.5, np.where(beats, 0.0, 1.0)).astype(y.dtype)
    return result(y, (a, lambda g: g * to_a), (b, lambda g: g * to_b))


@quiet
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of both; in a tie each gets half of the gradient. nan wins."""
    a, b = promote(input, other)
    x, z = a.wide, b.wide
    return _extreme(a, b, np.maximum(x, z), (x > z) | np.isnan(x), x == z)


@quiet
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of both; in a tie each gets half of the gradient. nan wins."""
    a, b = promote(input, other)
    x, z = a.wide, b.wide
    return _extreme(a, b, np.minimum(x, z), (x < z) | np.isnan(x), x == z)


@quiet
def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """y = min(max(x, lower), upper); the gradient passes where lower <= x <= upper, the bounds included.

    A bound that is a tensor gets the gradient where it is the result and x is strictly beyond it; where lower is not
    below upper the lower one gets none, and where it is above, all goes to upper.
    """
    if min is None and max is None:
        raise EagerError("clamp without bounds: expected min or max")
    given = [x for x in (min, max) if x is not None]
    tx, *bounds = promote(input, *given)
    x = tx.wide
    tlow = bounds[0] if min is not None else None
    thigh = bounds[-1] if max is not None else None
    low = tlow.wide if tlow is not None else None
    high = thigh.wide if thigh is not None else None
    y, inside = x, np.ones_like(x, dtype=bool)
    edges = []
    if tlow is not None and low is not None:
        y = np.maximum(y, low)
        inside = inside & (x >= low)
        below = (x < low) & (low < high) if high is not None else x < low
        edges.append((tlow, lambda g: np.where(below, g, 0)))
    if thigh is not None and high is not None:
        y = np.minimum(y, high)
        inside = inside & (x <= high)
        above = (x > high) | (high < low) if low is not None else x > high
        edges.append((thigh, lambda g: np.where(above, g, 0)))
    return result(y, (tx, lambda g: np.where(inside, g, 0)), *edges)


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """`input` where the condition holds, else `other`; each gets the gradient of the elements taken from it."""
    if condition.dtype != boolean:
        raise EagerError(f"where with a condition of {condition.dtype}: expected bool")
    _, a, b = promote(condition, input, other)
    c = condition.array
    return result(
        np.where(c, a.array, b.array),
        (a, lambda g: np.where(c, g, 0)),
        (b, lambda g: np.where(c, 0, g)),
        (condition, None),
    )


@quiet
def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """The point between two others, y = x + weight (end - x)."""
    tx, te, tw = promote(input, end, weight)
    x, e, w = tx.wide, te.wide, tw.wide
    y = np.where(np.abs(w) < 0.5, x + w * (e - x), e - (e - x) * (1 - w))  # exact at both ends
    return result(y, (tx, lambda g: g * (1 - w)), (te, lambda g: g * w), (tw, lambda g: g * (e - x)))


def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """`value` (a number or a 0-dim tensor) where the mask holds, else x; the type stays that of x."""
    if mask.dtype != boolean:
        raise EagerError(f"masked_fill with a mask of {mask.dtype}: expected bool")
    _, v = promote(input, value, dtype=input.dtype)
    if v.ndim:
        raise EagerError(f"masked_fill with a value of shape {v.shape}: expected a number or a 0-dim tensor")
    m = mask.array
    return result(
        np.where(m, v.array, input.array),
        (input, lambda g: np.where(m, 0, g)),
        (v, lambda g: np.where(m, g, 0)),
        (mask, None),
    )


def rsub(input: Operand, other: Operand, alpha: float = 1) -> Tensor:
    """y = b - alpha a: `sub` with its operands exchanged."""
    return sub(other, input, alpha=alpha)


def true_divide(input: Operand, other: Operand) -> Tensor:
    """y = a / b: `div` without rounding."""
    return div(input, other)


def _either(input: Operand, other: Operand, beats: Any) -> Tensor:
    a, b = promote(input, other)
    x, z = a.wide, b.wide
    first = beats(x, z) | np.isnan(z)
    return result(np.where(first, x, z), (a, lambda g: np.where(first, g, 0)), (b, lambda g: np.where(first, 0, g)))


@quiet
def fmax(input: Operand, other: Operand) -> Tensor:
    """The larger of both, or the one that is not nan; of equals the first gets the gradient."""
    return _either(input, other, np.greater_equal)


@quiet
def fmin(input: Operand, other: Operand) -> Tensor:
    """The smaller of both, or the one that is not nan; of equals the first gets the gradient."""
    return _either(input, other, np.less_equal)


def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """`clamp` from below."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """`clamp` from above."""
    return clamp(input, max=max)


@quiet
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """y = x + value a b."""
    tx, ta, tb = promote(input, tensor1, tensor2)
    a, b = ta.wide, tb.wide
    return result(
        tx.wide + value * a * b, (tx, lambda g: g), (ta, lambda g: g * value * b), (tb, lambda g: g * value * a)
    )


@quiet
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """y = x + value a / b; integers give float32."""
    tx, ta, tb = (floating(x) for x in promote(input, tensor1, tensor2))
    a, b = ta.wide, tb.wide
    return result(
        tx.wide + value * (a / b),
        (tx, lambda g: g),
        (ta, lambda g: g * value / b),
        (tb, lambda g: -g * value * a / (b * b)),
    )
