"""Whether saved state belongs to a model."""

from __future__ import annotations

from collections.abc import Mapping

from staticgrad.errors import DTypeError
from staticgrad.graph import Array
from staticgrad.types import TensorType, as_dtype


def differences(arrays: Mapping[str, Array], types: Mapping[str, TensorType]) -> list[str]:
    """What keeps `arrays` from being the state of `types`: names that lack or are too many, other types and shapes."""
    found = []
    for name, type in types.items():
        if name not in arrays:
            found.append(f"{name!r} ({type}) is missing")
            continue
        array = arrays[name]
        try:
            came = TensorType(as_dtype(array.dtype), array.shape)
        except DTypeError:
            found.append(f"{name!r} is {array.dtype}, {type} is expected")
            continue
        if came != type:
            found.append(f"{name!r} is {came}, {type} is expected")
    found += [f"{name!r} is not part of this model" for name in arrays if name not in types]
    return found
