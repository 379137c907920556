"""Say what to compute: inputs, parameters, other state and literals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Protocol

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Array, Leaf, Value, topological
from staticgrad.ops.registry import Literal, element_type, literal
from staticgrad.origin import source_line
from staticgrad.types import DType, TensorType, as_dtype, declared_shape

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./:-]*")


class Initializer(Protocol):
    """Something that makes the initial value of a parameter from its name, whenever it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""

    @property
    def dtype(self) -> DType:
        """The element type of the value."""

    def array(self, name: str) -> Array:
        """The initial value; the same name gives the same numbers."""


def input(name: str, shape: object, dtype: object = "float32") -> Value:
    """A placeholder that is fed at every call.

    A dimension of `shape` is an int, a name such as "N" (equal wherever the name stands) or None (unknown).
    """
    try:
        type = TensorType(as_dtype(dtype), declared_shape(shape))
    except (ShapeError, DTypeError) as error:
        raise error.__class__(f"{error}; in input {name!r} ({source_line()})") from None
    return Leaf("input", _name(name), type).outputs[0]


def parameter(name: str, value: Initializer | Literal, requires_grad: bool = True) -> Value:
    """State that optimizers update, with an initial value: numbers, or an initializer from `sg.init`.

    Python floats and lists of them are float32; arrays keep their element type.
    """
    return _state("parameter", name, value, requires_grad)


def state(name: str, value: Initializer | Literal) -> Value:
    """State that no optimizer touches, such as running statistics or a counter, with an initial value."""
    return _state("state", name, value, False)


def constant(array: Value | Literal) -> Value:
    """A literal; Python floats are float32 and ints int64, arrays keep their element type."""
    if isinstance(array, Value):
        return array
    return literal(array)


_declared: ContextVar[Mapping[str, Value] | None] = ContextVar("declared", default=None)


@contextmanager
def declared_before(values: Mapping[str, Value]) -> Iterator[None]:
    """Inside, declaring a parameter or a state by a name of these gives that one again: a function can be run twice."""
    token = _declared.set(values)
    try:
        yield
    finally:
        _declared.reset(token)


def _state(kind: str, name: str, value: Initializer | Literal, requires_grad: bool) -> Value:
    name = _name(name)
    known = (_declared.get() or {}).get(name)
    if known is not None and isinstance(known.node, Leaf) and known.node.kind == kind:
        return known
    if isinstance(value, Value):
        raise DeclarationError(f"{kind} {name!r} needs numbers to start from, not a symbolic value ({source_line()})")
    initial: Array | Callable[[], Array]
    if not isinstance(value, np.ndarray) and callable(make := getattr(value, "array", None)):
        # Made when it is asked for: a large table would stand in memory for as long as its declaration.
        initial, dtype, shape = partial(make, name), as_dtype(value.dtype), value.shape  # type: ignore[union-attr]
    else:
        array = value if isinstance(value, np.ndarray) else literal(value).node.attributes["value"]  # type: ignore[arg-type]
        dtype, shape = element_type(array.dtype), array.shape
        initial = np.array(array, order="C")
        initial.flags.writeable = False
    if requires_grad and not dtype.is_float:
        raise DTypeError(
            f"parameter {name!r} holds {dtype}, which has no gradient; give floats, or requires_grad=False, or use "
            f"sg.state ({source_line()})"
        )
    leaf = Leaf(kind, name, TensorType(dtype, shape), initial, requires_grad)  # type: ignore[arg-type]
    return leaf.outputs[0]


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeclarationError(
            f"name {name!r} is not allowed; letters, digits and _ . / : - are, a letter or _ first ({source_line()})"
        )
    if name == "loss" or name.endswith(".next"):
        raise DeclarationError(f"name {name!r} is reserved for the training step's outputs ({source_line()})")
    return name


def leaves(values: Iterable[Value]) -> list[Leaf]:
    """The inputs, parameters and states among the nodes of `values`, in order of declaration; names must differ."""
    found = sorted((v.node for v in values if isinstance(v.node, Leaf)), key=lambda leaf: leaf.order)
    names: dict[str, Leaf] = {}
    for leaf in dict.fromkeys(found):
        other = names.setdefault(leaf.name, leaf)
        if other is not leaf:
            raise DeclarationError(
                f"the name {leaf.name!r} is declared twice, as {other.kind} at {other.source} and as {leaf.kind} at "
                f"{leaf.source}; give one another name"
            )
    return list(names.values())


def leaves_behind(values: Iterable[Value], derivative: bool = False) -> list[Leaf]:
    """The leaves that `values` depend on, see `leaves`; with `derivative` also by a replaced derivative only."""
    return leaves(v for node in topological(values, derivative=derivative) for v in node.outputs)


def check_update(state: object, value: object) -> None:
    """Whether `value` can be the next value of `state`: a declared state, and a Value of its type."""
    if not (isinstance(state, Value) and isinstance(state.node, Leaf) and state.node.kind != "input"):
        raise DeclarationError(f"updates map states to their next values, {shown(state)} is no state ({source_line()})")
    if not isinstance(value, Value):
        raise DeclarationError(
            f"the next value of {state.name!r} must be a Value, {shown(value)} came ({source_line()})"
        )
    if value.type.dtype is not state.type.dtype:
        raise DTypeError(
            f"the next value of {state.name!r} is {value.type}, the state {state.type}; cast it ({source_line()})"
        )
    if value.type.shape != state.type.shape:
        raise ShapeError(
            f"the next value of {state.name!r} is {value.type}, the state {state.type}; shapes must agree "
            f"({source_line()})"
        )
