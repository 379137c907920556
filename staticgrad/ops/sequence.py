"""Sequences and optionals: operators that make, change and read them, and the zeros and sums of their cotangents.

The cotangent of a sequence is a sequence of as many tensors of the same shapes, that of an optional an optional.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError
from staticgrad.graph import Graph, Leaf, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import add
from staticgrad.ops.control_flow import if_operator, merged
from staticgrad.ops.kinds import dims_of, normal_axis, zeros_like
from staticgrad.ops.onnx_types import (
    empty_sequence,
    inner_type,
    is_empty,
    is_optional,
    is_sequence,
    optional_of,
    sequence_of,
)
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import reshape, shape
from staticgrad.types import Dim, DType, OpaqueType, TensorType, unknown

INT64 = np.int64


def _tensor(x: Value) -> TensorType:
    """The type of a value that is a tensor."""
    if isinstance(x.type, OpaqueType) and not x.type.rankless:
        raise DTypeError(f"a tensor is expected, {x.type} came")
    return x.type


def _element(xs: Value) -> TensorType:
    """The type of what a sequence holds."""
    if not is_sequence(xs.type):
        raise DTypeError(f"a sequence is expected, {xs.type} came")
    return inner_type(xs.type)


def _check_position(position: Value | None) -> None:
    require(
        position is None or (position.type.shape in ((), (1,)) and not isinstance(position.type, OpaqueType)),
        "the position must be one integer",
    )


def _counted(position: Value | None, length: Value, default: Value) -> Value:
    """A position counted from the front, of a sequence of this length."""
    if position is None:
        return default
    array = constant_of(position)
    if array is not None and int(array.ravel()[0]) >= 0:
        return constant(np.array(int(array.ravel()[0]), INT64))
    number = position if position.type.shape == () else reshape(position, constant(np.zeros(0, INT64)))
    number = OPERATORS["Cast"](number, to=DType.int64)
    result: Value = OPERATORS["Where"](OPERATORS["Less"](number, 0), number + length, number)
    return result


# - sequences -


@onnx_op("SequenceConstruct", type=lambda *xs: sequence_of(reduce(merged, map(_tensor, xs))), opaque=True)
def sequence_construct(*xs: Input) -> Value:
    """The sequence of the tensors `xs`, whose shapes may differ."""


@sequence_construct.vjp
def _(g, y, *xs):
    return tuple(_at(g, constant(np.array(i, INT64)), x.type) for i, x in enumerate(xs))


@onnx_op("SequenceEmpty", type=lambda *, dtype: empty_sequence(dtype or DType.float32), differentiable=False)
def sequence_empty(*, dtype: DType | None = None) -> Value:
    """The sequence without elements, of tensors of an element type (float32)."""


@onnx_op(
    "SequenceLength", type=lambda xs: (_element(xs), TensorType(DType.int64, ()))[1], differentiable=False, opaque=True
)
def sequence_length(xs: Value) -> Value:
    """The number of elements of a sequence."""


def _read(xs, position):
    _check_position(position)
    return _element(xs)


@onnx_op("SequenceAt", type=_read, opaque=True)
def sequence_at(xs: Value, position: Input) -> Value:
    """The element at `position`, from the back where that is negative."""


@sequence_at.vjp
def _(g, y, xs, position):
    place = _counted(position, sequence_length(xs), position)
    rest = sequence_erase.apply((zeros_of(xs), place), types=(xs.type,)).outputs[0]
    return _inserted(rest, g, place, xs.type), None


def _at(xs, position, type):
    """The element at a position, whose type is known better than that of all elements."""
    return sequence_at.apply((xs, position), types=(type,)).outputs[0]


def _inserted(xs, x, position, type):
    return sequence_insert.apply((xs, x, position), types=(type,)).outputs[0]


def _grown(xs, x, position=None):
    _check_position(position)
    # An empty sequence knows nothing of its elements.
    element = _element(xs)
    if element.dtype is not x.type.dtype:
        raise DTypeError(f"{x.type} came for a sequence of {element}; the element types must agree, cast it first")
    return sequence_of(_tensor(x) if is_empty(xs.type) else merged(element, _tensor(x)))


@onnx_op("SequenceInsert", type=_grown, opaque=True)
def sequence_insert(xs: Value, x: Input, position: Input | None = None) -> Value:
    """The sequence with `x` in front of the element at `position` (behind all without it)."""


@sequence_insert.vjp
def _(g, y, xs, x, position):
    length = sequence_length(xs)
    place = _counted(position, length, length)
    return sequence_erase.apply((g, place), types=(xs.type,)).outputs[0], _at(g, place, x.type), None


def _shrunk(xs, position=None):
    _check_position(position)
    return sequence_of(_element(xs))


@onnx_op("SequenceErase", type=_shrunk, opaque=True)
def sequence_erase(xs: Value, position: Input | None = None) -> Value:
    """The sequence without the element at `position` (without the last one)."""


@sequence_erase.vjp
def _(g, y, xs, position):
    length = sequence_length(xs)
    place = _counted(position, length, length - 1)
    return _inserted(g, zeros_of(sequence_at(xs, place)), place, xs.type), None


# - sequences and tensors -


def _cut(x, split=None, *, axis, keepdims):
    type = _tensor(x)
    if isinstance(type, OpaqueType):
        return sequence_of(type)
    axis = normal_axis(axis, len(type.shape))
    rest = type.shape[:axis], type.shape[axis + 1 :]
    if split is None:
        return sequence_of(TensorType(type.dtype, (*rest[0], *((1,) if keepdims else ()), *rest[1])))
    require(len(split.type.shape) < 2, "the sizes of the parts must be one integer or a list")
    sizes, length = dims_of(split.content) or (), type.shape[axis]
    each: Dim = unknown()
    if split.type.shape:
        each = sizes[0] if len(set(sizes)) == 1 else each
    elif sizes and isinstance(sizes[0], int):
        require(sizes[0] > 0, f"parts of {sizes[0]} elements make no sequence")
        each = sizes[0] if isinstance(length, int) and length % sizes[0] == 0 else each
    return sequence_of(TensorType(type.dtype, (*rest[0], each, *rest[1])))


@onnx_op("SplitToSequence", type=_cut, opaque=True)
def split_to_sequence(x: Input, split: Input | None = None, *, axis: int = 0, keepdims: bool = True) -> Value:
    """`x` cut along `axis` into parts of the sizes `split`, all of one size where it is a number.

    Without `split` into parts of size 1, whose axis is gone with keepdims=False.
    """


@split_to_sequence.respells
def _(x, split=None, *, axis, keepdims):
    # ONNX has keepdims count only without `split`; onnxruntime does not where that is a number.
    return {"axis": axis, "keepdims": keepdims or split is not None}


@split_to_sequence.vjp
def _(g, y, x, split, *, axis, keepdims):
    if not isinstance(x.type, OpaqueType) and x.type.shape[axis] == 0:
        # Runtimes do not put nothing together.
        return zeros_like(x), None
    attributes = {"axis": axis, "new_axis": split is None and not keepdims}
    return concat_from_sequence.apply((g,), attributes, (x.type,)).outputs[0], None


def _joined(xs, *, axis, new_axis):
    type = _element(xs)
    if isinstance(type, OpaqueType):
        return type
    axis = normal_axis(axis, len(type.shape) + new_axis)
    return TensorType(type.dtype, (*type.shape[:axis], unknown(), *type.shape[axis + (not new_axis) :]))


@onnx_op("ConcatFromSequence", type=_joined, opaque=True)
def concat_from_sequence(xs: Value, *, axis: int, new_axis: bool = False) -> Value:
    """The elements of a sequence one behind the other along `axis`, which is a new one with `new_axis`."""


@concat_from_sequence.vjp
def _(g, y, xs, *, axis, new_axis):
    sizes = None
    if not new_axis:
        sizes = concat_from_sequence(_mapped(lambda x: _size_along(x, axis), xs), axis=0)
    attributes = {"axis": axis, "keepdims": not new_axis}
    return split_to_sequence.apply((g, sizes), attributes, (xs.type,)).outputs[0]


def _size_along(x, axis):
    attributes = {"start": axis, "end": axis + 1 or None}
    return shape.apply((x,), attributes, (TensorType(DType.int64, (1,)),)).outputs[0]


def _mapped_types(*inputs, body):
    elements = len(body.inputs) - body.captures
    if len(inputs) != len(body.inputs) or elements < 1 or not is_sequence(inputs[0].type):
        raise DeclarationError(f"SequenceMap has {len(inputs)} inputs, its body takes {len(body.inputs)}")
    for given, formal in zip(inputs[:elements], body.inputs.values(), strict=False):
        found = inner_type(given.type) if is_sequence(given.type) else given.type
        if found.dtype is not formal.type.dtype:
            raise DTypeError(f"the body takes {formal.type}, {found} came")
    return tuple(sequence_of(_tensor(y)) for y in body.outputs.values())


@onnx_op("SequenceMap", type=_mapped_types, opaque=True)
def sequence_map_operator(*inputs: Value, body: Graph) -> tuple[Value, ...]:
    """`body` of the elements of sequences in turn, and of tensors; what it gives comes as sequences.

    The first input is a sequence; the last ones, as many as `body.captures`, are what the body uses from outside.
    """


def _mapped(function, *sequences):
    """The sequence of what `function` gives for elements of sequences."""
    formals = [Leaf("input", f"in{i}", inner_type(xs.type)).outputs[0] for i, xs in enumerate(sequences)]
    body = Graph("each", {v.name: v for v in formals}, {"out": function(*formals)})
    return sequence_map_operator.apply(sequences, {"body": body}).outputs[0]


# - optionals -


def _optional_type(x=None, *, type=None):
    require((x is None) != (type is None), "an optional has either a value or a type")
    return optional_of(type if x is None else x.type)


@onnx_op("Optional", type=_optional_type, opaque=True)
def optional(x: Input | None = None, *, type: TensorType | None = None) -> Value:
    """The optional that holds `x`, a tensor or a sequence, or one of a type that holds nothing."""


@optional.vjp
def _(g, y, x, *, type):
    return None if x is None else optional_get_element.apply((g,), types=(x.type,)).outputs[0]


@onnx_op("OptionalGetElement", type=lambda x: inner_type(x.type) if is_optional(x.type) else x.type, opaque=True)
def optional_get_element(x: Input) -> Value:
    """What an optional holds; a tensor or a sequence as it is."""


@optional_get_element.vjp
def _(g, y, x):
    return optional.apply((g,), types=(x.type,)).outputs[0] if is_optional(x.type) else g


@onnx_op("OptionalHasElement", type=lambda x=None: TensorType(DType.bool, ()), differentiable=False, opaque=True)
def optional_has_element(x: Input | None = None) -> Value:
    """Whether an optional holds anything; tensors and sequences always do."""


# - cotangents -


def zeros_of(x: Value) -> Value:
    """The zero cotangent of `x`."""
    if not isinstance(x.type, OpaqueType) or x.type.rankless:
        return zeros_like(x)
    if is_sequence(x.type):
        return _mapped_like(x, zeros_of, x)
    return _in_optional(zeros_of, x)


def added(a: Value, b: Value) -> Value:
    """The sum of two cotangents of one value."""
    for value in (a, b):
        if isinstance(value.type, OpaqueType):
            if value.type.rankless:
                return add.apply((a, b), types=(value.type,)).outputs[0]
            return _mapped_like(a, added, a, b) if is_sequence(a.type) else _in_optional(added, a, b)
    return add(a, b)


def _mapped_like(x: Value, function: Any, *sequences: Value) -> Value:
    result = _mapped(function, *sequences)
    return sequence_map_operator.apply(result.node.inputs, result.node.attributes, (x.type,)).outputs[0]


def _in_optional(function: Any, *optionals: Value) -> Value:
    """The optional of what `function` gives for what optionals hold, nothing where they hold nothing."""
    first = optionals[0]
    formals = [Leaf("input", f"in{i}", x.type).outputs[0] for i, x in enumerate(optionals)]
    inputs = {v.name or "": v for v in formals}
    held = optional(function(*[optional_get_element(v) for v in formals]))
    then_branch = Graph("held", inputs, {"out": held}, captures=len(formals))
    else_branch = Graph("nothing", inputs, {"out": OPERATORS["Identity"](formals[0])}, captures=len(formals))
    attributes = {"then_branch": then_branch, "else_branch": else_branch}
    return if_operator.apply((optional_has_element(first), *optionals), attributes, (first.type,)).outputs[0]
