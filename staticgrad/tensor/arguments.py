"""What the annotations of a function say of its arguments, and which argument is not that."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from staticgrad.errors import shown
from staticgrad.graph import Value


def _is_whole(x: Any) -> bool:
    try:
        return not isinstance(x, np.ndarray) and -(2**63) <= operator.index(x) < 2**63
    except TypeError:
        return False


def _is_number(x: Any) -> bool:
    # What else a function takes in the place of a number, such as a Value, it looks at itself.
    return isinstance(x, (Real, Value)) or getattr(x, "shape", None) == ()


def _are_whole(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and all(_is_whole(n) for n in x)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "float": (_is_number, "a number"),
    "int": (_is_whole, "an int"),
    "bool": (lambda x: isinstance(x, (bool, np.bool_)), "a bool"),
    "str": (lambda x: isinstance(x, str), "a string"),
    "Sequence[int]": (_are_whole, "a list of ints"),
    "Value": (lambda x: isinstance(x, Value), "a tensor"),
    "None": (lambda x: x is None, "None"),
}
"""What an annotation says of an argument."""

_MEANT = {"Dims": "int | Sequence[int] | None", "Operand": "Value | float", "Sizes": "int | Sequence[int]"}


def kinds_of(parameter: inspect.Parameter) -> tuple[str, ...]:
    """The kinds of arguments that a parameter takes; none where its annotation does not tell."""
    annotation = str(parameter.annotation)
    kinds = [k for part in annotation.split(" | ") for k in _MEANT.get(part, part).split(" | ")]
    if parameter.name in ("size", "sizes", "shape", "dims", "repeats") and kinds == ["Any"]:
        kinds = ["int", "Sequence[int]"]
    return tuple(kinds) if all(k in _KINDS for k in kinds) else ()


def is_option(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a flag, a number or a string with a default, which is looked at before every call.

    One that takes None only is refused by the function itself, which says what to pass in its place.
    """
    kinds = {*kinds_of(parameter)} - {"None"}
    return parameter.default is not parameter.empty and bool(kinds) and kinds <= {"bool", "str", "float"}


def misfit(key: str, given: Any, kinds: tuple[str, ...]) -> str | None:
    """What is wrong with an argument that is of none of the kinds."""
    if not kinds or any(_KINDS[k][0](given) for k in kinds):
        return None
    return f"takes {' or '.join(_KINDS[k][1] for k in kinds)} for {key}, {shown(given)} came"


def first_misfit(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What is wrong with the first argument that is not what its annotation says."""
    signature = inspect.signature(function)
    for key, given in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[key]
        for x in given if parameter.kind is parameter.VAR_POSITIONAL else (given,):
            wrong = misfit(key, x, kinds_of(parameter))
            if wrong is not None:
                return wrong
    return None
