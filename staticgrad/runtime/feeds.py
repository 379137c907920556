"""Checking what is fed against what was declared."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from staticgrad.errors import FeedError, SymbolicValueError
from staticgrad.graph import Array, Value, source_line
from staticgrad.types import DType, TensorType, as_dtype, is_unknown

_CPU = 1  # of DLPack's device types


class Feeds:
    """The declared inputs of a graph; turns what users pass into arrays (or tensors on a device) of those types."""

    def __init__(self, inputs: Mapping[str, Value]) -> None:
        self.types: dict[str, TensorType] = {name: value.type for name, value in inputs.items()}
        self.sources = {name: value.source for name, value in inputs.items()}
        self._named = {
            d for type in self.types.values() for d in type.shape if isinstance(d, str) and not is_unknown(d)
        }
        self._plain = [(name, type.dtype.numpy, type.dtype is DType.bfloat16) for name, type in self.types.items()]
        self._fitting: set[tuple[tuple[int, ...], ...]] = set()

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays by name, each of the declared type and contiguous; FeedError names what does not fit."""
        # The usual case: numpy arrays of the right type, in shapes that fitted before.
        if len(given) == len(self._plain):
            shapes = []
            for name, dtype, special in self._plain:
                array = given.get(name)
                if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.c_contiguous or special:
                    break
                shapes.append(array.shape)
            else:
                if tuple(shapes) in self._fitting:
                    return given  # type: ignore[return-value]
        return self._check_all(given)

    def _check_all(self, given: Mapping[str, Any]) -> dict[str, Any]:
        unknown = [name for name in given if name not in self.types]
        missing = [name for name in self.types if name not in given]
        if unknown or missing:
            raise FeedError(self._misnamed(unknown, missing))
        arrays = {name: self._converted(name, given[name]) for name in self.types}
        sizes: dict[str, tuple[int, str]] = {}
        for name, array in arrays.items():
            self._check_shape(name, _shape(array), sizes)
        if len(self._fitting) < 1024:
            self._fitting.add(tuple(_shape(array) for array in arrays.values()))
        return arrays

    def positional(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by position (in order of the inputs) and by name, as one dict."""
        names = list(self.types)
        if len(values) > len(names):
            raise FeedError(
                f"{len(values)} arrays came for {len(names)} inputs ({', '.join(names) or 'none'}) ({source_line()})"
            )
        given = dict(zip(names, values, strict=False))
        for name, value in named.items():
            if name in given:
                raise FeedError(f"input {name!r} came by position and by name ({source_line()})")
            given[name] = value
        return given

    def _misnamed(self, unknown: list[str], missing: list[str]) -> str:
        parts = []
        if missing:
            declared = ", ".join(f"{n!r}: {self.types[n]} (declared at {self.sources[n]})" for n in missing)
            parts.append(f"no array for input {declared}")
        if unknown:
            guesses = []
            for name in unknown:
                close = difflib.get_close_matches(str(name), list(self.types), 1)
                guesses.append(f"{name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
            parts.append(f"no input named {', '.join(guesses)}; the inputs are {', '.join(self.types) or 'none'}")
        return f"{'; '.join(parts)} ({source_line()})"

    def _converted(self, name: str, given: Any) -> Any:
        expected = self.types[name]
        if isinstance(given, Value):
            raise SymbolicValueError(f"input {name!r} needs numbers, a symbolic value came ({source_line()})")
        if isinstance(given, onnxruntime.OrtValue):
            array: Any = given
        elif isinstance(given, (np.ndarray, np.generic)):
            array = np.asarray(given)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        elif hasattr(given, "__dlpack__"):
            array = self._from_dlpack(name, given)
        else:
            return self._from_python(name, given, expected)
        dtype = _dtype(array)
        if dtype is not expected.dtype:
            came = dtype if dtype is not None else getattr(array, "dtype", "another type")
            raise FeedError(
                f"input {name!r} is {expected}, an array of {came} came; cast it with .astype({str(expected.dtype)!r}) "
                f"({source_line()})"
            )
        if isinstance(array, np.ndarray):
            if not array.flags.c_contiguous:
                array = np.ascontiguousarray(array)
            if dtype is DType.bfloat16:
                # numpy has no such type of its own; onnxruntime takes its bits with the type beside them.
                return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), dtype.onnx)
        return array

    def _from_python(self, name: str, given: Any, expected: TensorType) -> Array:
        """Numbers and lists are weak: they take the declared type where it can hold their kind."""
        try:
            array = np.asarray(given)
        except Exception as error:
            raise FeedError(
                f"input {name!r} is {expected}, {given!r:.60} came, which is no array ({source_line()})"
            ) from error
        order = "bif"
        kind = "f" if expected.dtype.is_float else "i" if expected.dtype.is_integer else "b"
        if array.dtype.kind not in order or order.index(array.dtype.kind) > order.index(kind):
            raise FeedError(f"input {name!r} is {expected}, {given!r:.60} came, which does not fit ({source_line()})")
        array = np.ascontiguousarray(array.astype(expected.dtype.numpy)).reshape(array.shape)
        if expected.dtype is DType.bfloat16:
            return self._converted(name, array)  # type: ignore[no-any-return]
        return array

    def _from_dlpack(self, name: str, given: Any) -> Any:
        """A tensor of another library, without a copy."""
        try:
            if (
                given.__dlpack_device__()[0] == _CPU
                and str(getattr(given, "dtype", "")).rpartition(".")[2] != "bfloat16"
            ):
                return np.from_dlpack(given)
            return onnxruntime.OrtValue.from_dlpack(given)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FeedError(
                f"input {name!r} cannot take this {type(given).__name__}: {reason} ({source_line()})"
            ) from error

    def _check_shape(self, name: str, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
        expected = self.types[name]
        if len(shape) != len(expected.shape):
            raise FeedError(
                f"input {name!r} is {expected} of rank {len(expected.shape)}, an array of shape {list(shape)} and rank "
                f"{len(shape)} came ({source_line()})"
            )
        for axis, (size, dim) in enumerate(zip(shape, expected.shape, strict=True)):
            if isinstance(dim, int) and size != dim:
                raise FeedError(
                    f"input {name!r} is {expected}, an array of shape {list(shape)} came: dimension {axis} is {size}, "
                    f"not {dim} ({source_line()})"
                )
            if dim in self._named:
                known, other = sizes.setdefault(str(dim), (size, name))
                if known != size:
                    raise FeedError(
                        f"dimension {dim} is {known} in input {other!r} and {size} in input {name!r}; they must agree "
                        f"({source_line()})"
                    )


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(array.shape() if isinstance(array, onnxruntime.OrtValue) else array.shape)


def _dtype(array: Any) -> DType | None:
    if isinstance(array, onnxruntime.OrtValue):
        return next((d for d in DType if d.onnx == array.element_type()), None)
    try:
        return as_dtype(array.dtype)
    except TypeError:
        return None


def bind_feed(binding: Any, name: str, array: Any) -> None:
    """Bind an array, or a tensor on a device, without a copy."""
    if isinstance(array, np.ndarray):
        binding.bind_cpu_input(name, array)
    else:
        binding.bind_ortvalue_input(name, array)
