"""Python's operators, brackets, and what PyTorch has as attributes of a tensor."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from staticgrad.methods.registries import FUNCTIONS, OPERATORS

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.methods.registries import Operand


class Operators:
    """Python's operators, brackets, and what PyTorch has as attributes of a tensor."""

    __slots__ = ()

    def __add__(self, other: Operand) -> Value:
        return OPERATORS["Add"](self, other)

    def __radd__(self, other: Operand) -> Value:
        return OPERATORS["Add"](other, self)

    def __sub__(self, other: Operand) -> Value:
        return OPERATORS["Sub"](self, other)

    def __rsub__(self, other: Operand) -> Value:
        return OPERATORS["Sub"](other, self)

    def __mul__(self, other: Operand) -> Value:
        return OPERATORS["Mul"](self, other)

    def __rmul__(self, other: Operand) -> Value:
        return OPERATORS["Mul"](other, self)

    def __truediv__(self, other: Operand) -> Value:
        return FUNCTIONS["div"](self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return FUNCTIONS["div"](other, self)

    def __floordiv__(self, other: Operand) -> Value:
        return FUNCTIONS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return FUNCTIONS["floor_divide"](other, self)

    def __mod__(self, other: Operand) -> Value:
        return FUNCTIONS["remainder"](self, other)

    def __rmod__(self, other: Operand) -> Value:
        return FUNCTIONS["remainder"](other, self)

    def __pow__(self, exponent: Operand) -> Value:
        return FUNCTIONS["pow"](self, exponent)

    def __rpow__(self, base: Operand) -> Value:
        return FUNCTIONS["pow"](base, self)

    def __matmul__(self, other: Value) -> Value:
        return FUNCTIONS["matmul"](self, other)

    def __rmatmul__(self, other: Value) -> Value:
        return FUNCTIONS["matmul"](other, self)

    def __neg__(self) -> Value:
        return OPERATORS["Neg"](self)

    def __pos__(self) -> Value:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Value:
        return OPERATORS["Abs"](self)

    def __eq__(self, other: Operand) -> Value:  # type: ignore[override]
        return NotImplemented if other is None else FUNCTIONS["eq"](self, other)

    def __ne__(self, other: Operand) -> Value:  # type: ignore[override]
        return NotImplemented if other is None else FUNCTIONS["ne"](self, other)

    def __lt__(self, other: Operand) -> Value:
        return FUNCTIONS["lt"](self, other)

    def __le__(self, other: Operand) -> Value:
        return FUNCTIONS["le"](self, other)

    def __gt__(self, other: Operand) -> Value:
        return FUNCTIONS["gt"](self, other)

    def __ge__(self, other: Operand) -> Value:
        return FUNCTIONS["ge"](self, other)

    def __and__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_and"](self, other)

    def __or__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_or"](self, other)

    def __xor__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_xor"](self, other)

    def __invert__(self) -> Value:
        return FUNCTIONS["logical_not"](self)

    def __getitem__(self, index: Any) -> Value:
        return FUNCTIONS["getitem"](self, index)

    @property
    def T(self) -> Value:
        """The transpose of a matrix."""
        return FUNCTIONS["t"](self)

    @property
    def mT(self) -> Value:
        """The transpose of the last two dimensions."""
        return FUNCTIONS["transpose"](self, -2, -1)

    def dim(self) -> builtins.int:
        """The number of dimensions."""
        return self.ndim  # type: ignore[attr-defined]

    def size(self, dim: builtins.int | None = None) -> Any:
        """The dimensions, or one of them: ints, names or None."""
        return self.shape if dim is None else self.shape[dim]  # type: ignore[attr-defined]
