"""PyTorch's functions of two operands that are no arithmetic: angles, lengths, logarithms of sums."""

from __future__ import annotations

import math

from staticgrad import ops
from staticgrad.graph import Value
from staticgrad.ops.kinds import with_derivative
from staticgrad.ops.registry import promote
from staticgrad.tensor.arithmetic import operands
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.elementwise import Operand, floating, log1p


def _pair(x: Operand, other: Operand) -> tuple[Value, Value]:
    a, b = promote([floating(v) for v in promote(operands(x, other))])
    return a, b


@function
def atan2(x: Value, other: Value) -> Value:
    """The angle of the point (other, x), in (-pi, pi]; the derivative at the origin is 0."""
    y, x = _pair(x, other)
    height, width = ops.abs(y), ops.abs(x)
    larger = ops.max(height, width)
    # 0/0 and inf/inf have directions too.
    ratio = ops.div(ops.min(height, width), ops.where(ops.equal(larger, 0), 1, larger))
    ratio = ops.where(ops.logical_and(ops.isinf(height), ops.isinf(width)), 1, ratio)
    angle = ops.atan(ratio)
    angle = ops.where(ops.greater(height, width), math.pi / 2 - angle, angle)
    angle = ops.where(_is_negative(x), math.pi - angle, angle)
    angle = ops.where(_is_negative(y), ops.neg(angle), angle)

    def rule(g: Value, _: Value, y: Value, x: Value) -> tuple[Value, Value]:
        length = hypot(x, y)
        origin = ops.equal(length, 0)
        length = ops.where(origin, 1, length)
        return g * (x / length / length), ops.neg(g * (y / length / length))

    return with_derivative(angle, [y, x], rule)


def _is_negative(x: Value) -> Value:
    """Whether the sign is minus, of -0.0 too."""
    return ops.less(ops.where(ops.equal(x, 0), ops.reciprocal(x), x), 0)


@function
def hypot(x: Value, other: Value) -> Value:
    """`sqrt(x * x + other * other)`, without overflow; at the origin there is no derivative, it is NaN."""
    a, b = _pair(x, other)
    one, two = ops.abs(a), ops.abs(b)
    larger = ops.max(one, two)
    ratio = ops.div(ops.min(one, two), ops.where(ops.equal(larger, 0), 1, larger))
    length = ops.mul(larger, ops.sqrt(1 + ratio * ratio))
    endless = ops.logical_or(ops.isinf(one), ops.isinf(two))
    length = ops.where(endless, math.inf, length)
    return with_derivative(length, [a, b], lambda g, y, a, b: (g * (a / y), g * (b / y)))


@function
def logaddexp(x: Value, other: Value) -> Value:
    """`log(exp(x) + exp(other))`, without overflow."""
    a, b = _pair(x, other)
    gap = _gap(a, b)
    y = ops.max(a, b) + log1p(ops.exp(ops.neg(ops.abs(gap))))

    def rule(g: Value, y: Value, a: Value, b: Value) -> tuple[Value, Value]:
        return g * ops.sigmoid(_gap(a, b)), g * ops.sigmoid(_gap(b, a))

    return with_derivative(y, [a, b], rule)


def _gap(a: Value, b: Value) -> Value:
    """`a - b`, and 0 between equal infinities."""
    same = ops.logical_and(ops.equal(a, b), ops.isinf(a))
    return ops.where(same, 0, a) - ops.where(same, 0, b)


@function
def logaddexp2(x: Value, other: Value) -> Value:
    """`log2(2 ** x + 2 ** other)`, without overflow."""
    a, b = _pair(x, other)
    return ops.div(logaddexp(a * math.log(2), b * math.log(2)), math.log(2))


@function
def xlogy(x: Operand, other: Operand) -> Value:
    """`x * log(other)`, and 0 where `x` is 0 and `other` is not NaN."""
    a, b = _pair(x, other)
    nothing = ops.equal(a, 0)
    # The logarithm of what does not count would bring its infinite derivative along.
    unread = ops.logical_and(nothing, ops.less_or_equal(b, 0))
    y = ops.where(ops.logical_and(nothing, ops.logical_not(ops.isnan(b))), 0, a * ops.log(ops.where(unread, 1, b)))

    def rule(g: Value, _: Value, a: Value, b: Value) -> tuple[Value, Value]:
        unread = ops.logical_and(ops.equal(a, 0), ops.less_or_equal(b, 0))
        return g * ops.log(ops.where(unread, 1, b)), g * (a / b)

    return with_derivative(y, [a, b], rule)
