"""Operators on the bits of whole numbers, which have no derivative, and values read as another type."""

from __future__ import annotations

from staticgrad.errors import DeclarationError, DTypeError, shown
from staticgrad.graph import Value
from staticgrad.ops.kinds import broadcast
from staticgrad.ops.registry import Input, onnx_op
from staticgrad.types import DType, TensorType


def _bits(*xs):
    for x in xs:
        if not x.type.dtype.is_integer:
            raise DTypeError(f"integers are expected, {x.type.dtype} came; cast with x.to('int64')")
    return broadcast(*xs)


def _shifted(x, count, *, direction):
    if direction not in ("LEFT", "RIGHT"):
        raise DeclarationError(f"direction={shown(direction)} is neither 'LEFT' nor 'RIGHT'")
    return _bits(x, count)


@onnx_op("BitShift", type=_shifted, weak=True, differentiable=False)
def bit_shift(x: Input, count: Input, *, direction: str) -> Value:
    """The bits of `x` moved by `count` places to the "LEFT" or "RIGHT"."""


@onnx_op("BitwiseAnd", type=_bits, weak=True, differentiable=False)
def bitwise_and(a: Input, b: Input) -> Value:
    """The bits that both have."""


@onnx_op("BitwiseOr", type=_bits, weak=True, differentiable=False)
def bitwise_or(a: Input, b: Input) -> Value:
    """The bits that one or both have."""


@onnx_op("BitwiseXor", type=_bits, weak=True, differentiable=False)
def bitwise_xor(a: Input, b: Input) -> Value:
    """The bits that exactly one has."""


@onnx_op("BitwiseNot", type=_bits, differentiable=False)
def bitwise_not(x: Input) -> Value:
    """The bits that `x` does not have."""


def _reread(x, *, to):
    if to.numpy.itemsize != x.type.dtype.numpy.itemsize:
        raise DTypeError(f"the bits of {x.type.dtype} are not as many as those of {to}; cast with x.to(dtype)")
    return TensorType(to, x.type.shape)


@onnx_op("BitCast", type=_reread)
def bit_cast(x: Input, *, to: DType) -> Value:
    """The bits of `x` read as another element type of the same size."""


@bit_cast.vjp
def _(g, y, x, *, to):
    return g


@bit_cast.refuses
def _(x, *, to):
    """Bits of floating numbers read as floating numbers of another type."""
    if x.type.dtype is to or not (x.type.dtype.is_float and to.is_float):
        return None
    return f"the bits of {x.type.dtype} read as {to} are no smooth function; convert with Cast"
