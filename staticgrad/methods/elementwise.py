"""Methods that work on each element by itself."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from staticgrad.methods.registries import FUNCTIONS

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.methods.registries import Operand


class Elementwise:
    """Methods that work on each element by itself."""

    __slots__ = ()

    def abs(self) -> Value:
        """`|x|`; the derivative at 0 is 0."""
        return FUNCTIONS["abs"](self)

    def neg(self) -> Value:
        """`-x`."""
        return FUNCTIONS["neg"](self)

    def sign(self) -> Value:
        """-1, 0 or 1."""
        return FUNCTIONS["sign"](self)

    def exp(self) -> Value:
        """`e ** x`."""
        return FUNCTIONS["exp"](self)

    def exp2(self) -> Value:
        """`2 ** x`."""
        return FUNCTIONS["exp2"](self)

    def expm1(self) -> Value:
        """`exp(x) - 1`, exact near 0: `tanh(x / 2) * (exp(x) + 1)`."""
        return FUNCTIONS["expm1"](self)

    def log(self) -> Value:
        """The natural logarithm."""
        return FUNCTIONS["log"](self)

    def log2(self) -> Value:
        """The logarithm to base 2."""
        return FUNCTIONS["log2"](self)

    def log10(self) -> Value:
        """The logarithm to base 10."""
        return FUNCTIONS["log10"](self)

    def log1p(self) -> Value:
        """`log(1 + x)`, exact near 0 (Kahan's correction by the rounding error of 1 + x)."""
        return FUNCTIONS["log1p"](self)

    def sqrt(self) -> Value:
        """The square root."""
        return FUNCTIONS["sqrt"](self)

    def rsqrt(self) -> Value:
        """`1 / sqrt(x)`."""
        return FUNCTIONS["rsqrt"](self)

    def reciprocal(self) -> Value:
        """`1 / x`."""
        return FUNCTIONS["reciprocal"](self)

    def square(self) -> Value:
        """`x * x`."""
        return FUNCTIONS["square"](self)

    def sin(self) -> Value:
        """The sine of `x` in radians."""
        return FUNCTIONS["sin"](self)

    def cos(self) -> Value:
        """The cosine of `x` in radians."""
        return FUNCTIONS["cos"](self)

    def tan(self) -> Value:
        """The tangent of `x` in radians."""
        return FUNCTIONS["tan"](self)

    def asin(self) -> Value:
        """The inverse sine, in radians."""
        return FUNCTIONS["asin"](self)

    def acos(self) -> Value:
        """The inverse cosine, in radians."""
        return FUNCTIONS["acos"](self)

    def atan(self) -> Value:
        """The inverse tangent, in radians."""
        return FUNCTIONS["atan"](self)

    def sinh(self) -> Value:
        """The hyperbolic sine."""
        return FUNCTIONS["sinh"](self)

    def cosh(self) -> Value:
        """The hyperbolic cosine."""
        return FUNCTIONS["cosh"](self)

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        return FUNCTIONS["tanh"](self)

    def asinh(self) -> Value:
        """The inverse hyperbolic sine."""
        return FUNCTIONS["asinh"](self)

    def acosh(self) -> Value:
        """The inverse hyperbolic cosine."""
        return FUNCTIONS["acosh"](self)

    def atanh(self) -> Value:
        """The inverse hyperbolic tangent."""
        return FUNCTIONS["atanh"](self)

    def erf(self) -> Value:
        """The error function."""
        return FUNCTIONS["erf"](self)

    def floor(self) -> Value:
        """The largest whole number not above `x`; the derivative is 0."""
        return FUNCTIONS["floor"](self)

    def ceil(self) -> Value:
        """The smallest whole number not below `x`; the derivative is 0."""
        return FUNCTIONS["ceil"](self)

    def round(self, decimals: builtins.int = 0) -> Value:
        """The nearest multiple of `10 ** -decimals`, halves to even; the derivative is 0."""
        return FUNCTIONS["round"](self, decimals)

    def add(self, other: Operand, alpha: builtins.float = 1) -> Value:
        """`x + alpha * other`."""
        return FUNCTIONS["add"](self, other, alpha)

    def sub(self, other: Operand, alpha: builtins.float = 1) -> Value:
        """`x - alpha * other`."""
        return FUNCTIONS["sub"](self, other, alpha)

    def mul(self, other: Operand) -> Value:
        """`x * other`."""
        return FUNCTIONS["mul"](self, other)

    def div(self, other: Operand, rounding_mode: str | None = None) -> Value:
        """`x / other`; the quotient of integers is floating."""
        return FUNCTIONS["div"](self, other, rounding_mode)

    def floor_divide(self, other: Operand) -> Value:
        """`x / other` rounded down; the derivative is 0."""
        return FUNCTIONS["floor_divide"](self, other)

    def remainder(self, other: Operand) -> Value:
        """`x - other * floor(x / other)`, with the sign of `other`."""
        return FUNCTIONS["remainder"](self, other)

    def fmod(self, other: Operand) -> Value:
        """The remainder of `x / other` with the sign of `x`."""
        return FUNCTIONS["fmod"](self, other)

    def pow(self, exponent: Operand) -> Value:
        """`x ** exponent`."""
        return FUNCTIONS["pow"](self, exponent)

    def maximum(self, other: Operand) -> Value:
        """The larger of two elements; ties share the derivative evenly."""
        return FUNCTIONS["maximum"](self, other)

    def minimum(self, other: Operand) -> Value:
        """The smaller of two elements; ties share the derivative evenly."""
        return FUNCTIONS["minimum"](self, other)

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Value:
        """`x` within [min, max], numbers or tensors; the derivative passes at the bounds; where min > max, `max`."""
        return FUNCTIONS["clamp"](self, min, max)

    def masked_fill(self, mask: Value, value: Operand) -> Value:
        """`x` with `value`, a number or a tensor of rank 0, where `mask` holds; the element type stays that of `x`."""
        return FUNCTIONS["masked_fill"](self, mask, value)

    def lerp(self, end: Value, weight: Operand) -> Value:
        """`x + weight * (end - x)`."""
        return FUNCTIONS["lerp"](self, end, weight)

    def relu(self) -> Value:
        """`max(x, 0)`; the derivative at 0 is 0."""
        return FUNCTIONS["relu"](self)

    def sigmoid(self) -> Value:
        """`1 / (1 + exp(-x))`."""
        return FUNCTIONS["sigmoid"](self)

    def hardshrink(self, lambd: builtins.float = 0.5) -> Value:
        """`x`, and 0 where it is within `lambd` of 0."""
        return FUNCTIONS["hardshrink"](self, lambd)

    def trunc(self) -> Value:
        """`x` without its fraction, rounded towards zero; the derivative is 0."""
        return FUNCTIONS["trunc"](self)

    def clone(self) -> Value:
        """The same value; the derivative passes."""
        return FUNCTIONS["clone"](self)

    def contiguous(self) -> Value:
        """The same value: how it lies in memory is the runtime's business."""
        return FUNCTIONS["contiguous"](self)

    def frac(self) -> Value:
        """The fraction of `x`, `x - trunc(x)`, with its sign; the derivative is 1."""
        return FUNCTIONS["frac"](self)

    def positive(self) -> Value:
        """`x` as it is; bools are refused."""
        return FUNCTIONS["positive"](self)

    def sgn(self) -> Value:
        """-1, 0 or 1, as `sign`."""
        return FUNCTIONS["sgn"](self)

    def sinc(self) -> Value:
        """`sin(pi x) / (pi x)`, and 1 at 0."""
        return FUNCTIONS["sinc"](self)

    def logit(self, eps: builtins.float | None = None) -> Value:
        """`log(x / (1 - x))`, of `x` limited to [eps, 1 - eps] where eps is given."""
        return FUNCTIONS["logit"](self, eps)

    def nan_to_num(
        self,
        nan: builtins.float | None = 0.0,
        posinf: builtins.float | None = None,
        neginf: builtins.float | None = None,
    ) -> Value:
        """`x` with numbers for NaN and the infinities: the largest and smallest of the type where none is given."""
        return FUNCTIONS["nan_to_num"](self, nan, posinf, neginf)

    def true_divide(self, other: Operand) -> Value:
        """`x / other`, as `div`."""
        return FUNCTIONS["true_divide"](self, other)

    def fmax(self, other: Operand) -> Value:
        """The larger of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
        return FUNCTIONS["fmax"](self, other)

    def fmin(self, other: Operand) -> Value:
        """The smaller of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
        return FUNCTIONS["fmin"](self, other)

    def clamp_min(self, min: Operand) -> Value:
        """`x` limited to `min` or more."""
        return FUNCTIONS["clamp_min"](self, min)

    def clamp_max(self, max: Operand) -> Value:
        """`x` limited to `max` or less."""
        return FUNCTIONS["clamp_max"](self, max)

    def addcmul(self, tensor1: Value, tensor2: Value, value: builtins.float = 1) -> Value:
        """`x + value * tensor1 * tensor2`."""
        return FUNCTIONS["addcmul"](self, tensor1, tensor2, value)

    def addcdiv(self, tensor1: Value, tensor2: Value, value: builtins.float = 1) -> Value:
        """`x + value * tensor1 / tensor2`."""
        return FUNCTIONS["addcdiv"](self, tensor1, tensor2, value)

    def atan2(self, other: Value) -> Value:
        """The angle of the point (other, x), in (-pi, pi]; the derivative at the origin is 0."""
        return FUNCTIONS["atan2"](self, other)

    def hypot(self, other: Value) -> Value:
        """`sqrt(x * x + other * other)`, without overflow; at the origin there is no derivative, it is NaN."""
        return FUNCTIONS["hypot"](self, other)

    def logaddexp(self, other: Value) -> Value:
        """`log(exp(x) + exp(other))`, without overflow."""
        return FUNCTIONS["logaddexp"](self, other)

    def logaddexp2(self, other: Value) -> Value:
        """`log2(2 ** x + 2 ** other)`, without overflow."""
        return FUNCTIONS["logaddexp2"](self, other)

    def xlogy(self, other: Operand) -> Value:
        """`x * log(other)`, and 0 where `x` is 0 and `other` is not NaN."""
        return FUNCTIONS["xlogy"](self, other)

    def prelu(self, weight: Value) -> Value:
        """`x` where positive, else `weight * x`; one weight, or one for every channel, which is dimension 1."""
        return FUNCTIONS["prelu"](self, weight)

    def detach(self) -> Value:
        """The same value, through which no derivative flows."""
        return FUNCTIONS["detach"](self)

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Value:
        """`x` limited to [min, max]; see `clamp`."""
        return FUNCTIONS["clamp"](self, min, max)

    def where(self, condition: Value, other: Operand) -> Value:
        """This value where the condition holds, else the other."""
        return FUNCTIONS["where"](condition, self, other)
