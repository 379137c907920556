"""Methods that compare elements, ask for truth, and change the element type."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from staticgrad.methods.registries import FUNCTIONS

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.methods.registries import Operand


class Comparisons:
    """Methods that compare elements, ask for truth, and change the element type."""

    __slots__ = ()

    def eq(self, other: Operand) -> Value:
        """`x == other`."""
        return FUNCTIONS["eq"](self, other)

    def ne(self, other: Operand) -> Value:
        """`x != other`."""
        return FUNCTIONS["ne"](self, other)

    def lt(self, other: Operand) -> Value:
        """`x < other`."""
        return FUNCTIONS["lt"](self, other)

    def le(self, other: Operand) -> Value:
        """`x <= other`."""
        return FUNCTIONS["le"](self, other)

    def gt(self, other: Operand) -> Value:
        """`x > other`."""
        return FUNCTIONS["gt"](self, other)

    def ge(self, other: Operand) -> Value:
        """`x >= other`."""
        return FUNCTIONS["ge"](self, other)

    def logical_and(self, other: Value | builtins.bool) -> Value:
        """Whether both are not zero."""
        return FUNCTIONS["logical_and"](self, other)

    def logical_or(self, other: Value | builtins.bool) -> Value:
        """Whether one or both are not zero."""
        return FUNCTIONS["logical_or"](self, other)

    def logical_xor(self, other: Value | builtins.bool) -> Value:
        """Whether exactly one is not zero."""
        return FUNCTIONS["logical_xor"](self, other)

    def logical_not(self) -> Value:
        """Whether `x` is zero."""
        return FUNCTIONS["logical_not"](self)

    def isnan(self) -> Value:
        """Whether an element is NaN."""
        return FUNCTIONS["isnan"](self)

    def isinf(self) -> Value:
        """Whether an element is infinite."""
        return FUNCTIONS["isinf"](self)

    def isfinite(self) -> Value:
        """Whether an element is neither infinite nor NaN."""
        return FUNCTIONS["isfinite"](self)

    def to(self, dtype: object) -> Value:
        """`x` cast to an element type, given by name as in `x.to("float16")`."""
        return FUNCTIONS["to"](self, dtype)

    def float(self) -> Value:
        """`x` as float32."""
        return FUNCTIONS["float"](self)

    def double(self) -> Value:
        """`x` as float64."""
        return FUNCTIONS["double"](self)

    def half(self) -> Value:
        """`x` as float16."""
        return FUNCTIONS["half"](self)

    def bfloat16(self) -> Value:
        """`x` as bfloat16."""
        return FUNCTIONS["bfloat16"](self)

    def int(self) -> Value:
        """`x` as int32, rounded towards zero."""
        return FUNCTIONS["int"](self)

    def long(self) -> Value:
        """`x` as int64, rounded towards zero."""
        return FUNCTIONS["long"](self)

    def bool(self) -> Value:
        """Whether `x` is not zero."""
        return FUNCTIONS["bool"](self)
