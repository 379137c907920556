"""Functions whose result is a truth value, and the bitwise ones; none has a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.cast import Operand, promote
from staticgrad.eager.dtypes import boolean, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _compare(f: Any, input: Operand, other: Operand) -> Tensor:
    a, b = promote(input, other)
    return result(f(a.array, b.array), (a, None), (b, None), dtype=boolean)


@quiet
def eq(input: Operand, other: Operand) -> Tensor:
    """Where a = b; nan equals nothing."""
    return _compare(np.equal, input, other)


@quiet
def ne(input: Operand, other: Operand) -> Tensor:
    """Where a differs from b; nan differs from everything."""
    return _compare(np.not_equal, input, other)


@quiet
def lt(input: Operand, other: Operand) -> Tensor:
    """Where a < b."""
    return _compare(np.less, input, other)


@quiet
def le(input: Operand, other: Operand) -> Tensor:
    """Where a <= b."""
    return _compare(np.less_equal, input, other)


@quiet
def gt(input: Operand, other: Operand) -> Tensor:
    """Where a > b."""
    return _compare(np.greater, input, other)


@quiet
def ge(input: Operand, other: Operand) -> Tensor:
    """Where a >= b."""
    return _compare(np.greater_equal, input, other)


@quiet
def logical_and(input: Operand, other: Operand) -> Tensor:
    """Where both are not zero."""
    a, b = promote(input, other)
    return result(a.array.astype(bool) & b.array.astype(bool), (a, None), (b, None), dtype=boolean)


@quiet
def logical_or(input: Operand, other: Operand) -> Tensor:
    """Where at least one is not zero."""
    a, b = promote(input, other)
    return result(a.array.astype(bool) | b.array.astype(bool), (a, None), (b, None), dtype=boolean)


@quiet
def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Where exactly one is not zero."""
    a, b = promote(input, other)
    return result(a.array.astype(bool) ^ b.array.astype(bool), (a, None), (b, None), dtype=boolean)


def logical_not(input: Tensor) -> Tensor:
    """Where the value is zero."""
    return result(~input.array.astype(bool), (input, None), dtype=boolean)


def isnan(input: Tensor) -> Tensor:
    """Where the value is not a number."""
    return result(np.isnan(input.wide), (input, None), dtype=boolean)


def isinf(input: Tensor) -> Tensor:
    """Where the value is infinite, of either sign."""
    return result(np.isinf(input.wide), (input, None), dtype=boolean)


def isfinite(input: Tensor) -> Tensor:
    """Where the value is neither infinite nor nan."""
    return result(np.isfinite(input.wide), (input, None), dtype=boolean)


def _bitwise(name: str, f: Any, *operands: Operand) -> Tensor:
    tensors = promote(*operands)
    if is_float(tensors[0].dtype):
        raise EagerError(f"{name} of {tensors[0].dtype} is not defined: expected bool or integers")
    return result(f(*(x.array for x in tensors)), *((x, None) for x in tensors))


def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """The bits set in both; on bool the logical and."""
    return _bitwise("bitwise_and", np.bitwise_and, input, other)


def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """The bits set in at least one; on bool the logical or."""
    return _bitwise("bitwise_or", np.bitwise_or, input, other)


def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """The bits set in exactly one; on bool the logical exclusive or."""
    return _bitwise("bitwise_xor", np.bitwise_xor, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """Every bit flipped, y = -x - 1; on bool the logical not."""
    return _bitwise("bitwise_not", np.invert, input)
