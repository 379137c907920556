"""Checking what is fed against what was declared."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from staticgrad.errors import DTypeError, FeedError, SymbolicValueError, shown
from staticgrad.graph import Array, Graph, Leaf, Value, with_inner
from staticgrad.origin import source_line
from staticgrad.runtime.device import bfloat16_value, to_numpy
from staticgrad.types import Dim, DType, TensorType, as_dtype, dtype_from_onnx, evaluate_dim, is_unknown, narrowed

_CPU = 1  # of DLPack's device types


class Feeds:
    """The declared inputs of a graph; turns what users pass into arrays (or tensors on a device) of those types."""

    def __init__(self, inputs: Mapping[str, Value], graph: Graph) -> None:
        self.types: dict[str, TensorType] = {name: value.type for name, value in inputs.items()}
        self.sources = {name: value.source for name, value in inputs.items()}
        self._defaults = {
            name: value.node.initial
            for name, value in inputs.items()
            if isinstance(value.node, Leaf) and value.node.kind == "input" and value.node.initial is not None
        }
        self._named = {
            d for type in self.types.values() for d in type.shape if isinstance(d, str) and not is_unknown(d)
        }
        self._plain = [(name, type.dtype.numpy, type.dtype is DType.bfloat16) for name, type in self.types.items()]
        self._fitting: set[tuple[tuple[int, ...], ...]] = set()
        self._least = _least_sizes(graph)
        dynamic = [name for name, type in self.types.items() if type.shape and isinstance(type.shape[0], str)]
        self.sampled = dynamic or [name for name, type in self.types.items() if type.shape]
        """The inputs with a sample in every row: those whose first size is dynamic, or all of rank 1 and more."""

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
        given = {**self._defaults, **given}
        unknown = [name for name in given if name not in self.types]
        missing = [name for name in self.types if name not in given]
        if unknown or missing:
            raise FeedError(self._misnamed(unknown, missing))
        arrays = {name: self._converted(name, given[name]) for name in self.types}
        sizes: dict[str, tuple[int, str]] = {}
        for name, array in arrays.items():
            self._check_shape(name, _shape(array), sizes)
        self._check_least({dim: size for dim, (size, _) in sizes.items()})
        if len(self._fitting) < 1024:
            self._fitting.add(tuple(_shape(array) for array in arrays.values()))
        return arrays

    def positional(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by position (in order of the inputs) and by name, as one dict."""
        names = list(self.types)
        if len(values) > len(names):
            raise FeedError(
                f"{len(values)} arrays came for {len(names)} inputs ({', '.join(names) or 'none'}); inputs that "
                f"nothing needs are left out unless inputs= lists them ({source_line()})"
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

    def numpy(self, name: str, given: Any) -> Array:
        """What is given for an input as a numpy array, for cutting it into batches; checked when it is fed."""
        if isinstance(given, np.ndarray) or name not in self.types:
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            converted = self._from_dlpack(name, given)
            return converted if isinstance(converted, np.ndarray) else to_numpy(converted)
        converted = self._from_python(name, given, self.types[name])
        return converted if isinstance(converted, np.ndarray) else to_numpy(converted)

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
                return bfloat16_value(array)
        return array

    def _from_python(self, name: str, given: Any, expected: TensorType) -> Array:
        """Numbers and lists are weak: they take the declared type where it can hold their kind."""
        try:
            array = np.asarray(given)
        except Exception as error:
            raise FeedError(
                f"input {name!r} is {expected}, {shown(given)} came, which is no array ({source_line()})"
            ) from error
        order = "bif"
        kind = "f" if expected.dtype.is_float else "i" if expected.dtype.is_integer else "b"
        if array.dtype.kind not in order or order.index(array.dtype.kind) > order.index(kind):
            raise FeedError(f"input {name!r} is {expected}, {shown(given)} came, which does not fit ({source_line()})")
        narrow = narrowed(array, expected.dtype)
        if narrow is None:
            raise FeedError(
                f"input {name!r} is {expected}, {shown(given)} came, which does not fit into {expected.dtype} "
                f"({source_line()})"
            )
        array = np.ascontiguousarray(narrow).reshape(array.shape)
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

    def _check_least(self, sizes: Mapping[str, int]) -> None:
        for dim, (least, reason) in self._least.items():
            size = evaluate_dim(dim, sizes)
            if size is not None and size < least:
                named = ", ".join(f"{n} = {s}" for n, s in sizes.items() if not is_unknown(n))
                where = f" where {named}" if named else ""
                what = "a size" if is_unknown(dim) else f"the size {dim}"
                raise FeedError(f"{what} would be {size}{where}: {reason} ({source_line()})")

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
            if is_unknown(dim):
                sizes[str(dim)] = (size, name)
            elif dim in self._named:
                known, other = sizes.setdefault(str(dim), (size, name))
                if known != size:
                    raise FeedError(
                        f"dimension {dim} is {known} in input {other!r} and {size} in input {name!r}; they must agree "
                        f"({source_line()})"
                    )


def _least_sizes(graph: Graph) -> dict[Dim, tuple[int, str]]:
    """The dynamic sizes in a graph that must not be too small, each with the least and the reason."""
    least: dict[Dim, tuple[int, str]] = {}
    for node in graph.nodes:
        for value in node.outputs:
            for dim in value.type.shape:
                if isinstance(dim, str) and "-" in dim:
                    least.setdefault(
                        dim, (0, f"{node.op.name} (declared at {node.source}) cuts off more than there is")
                    )
    for node in with_inner(graph.nodes):
        if node.op.name == "Scan":
            first = len(node.inputs) - node.attributes["body"].captures - node.attributes["num_scan_inputs"]
            axis = (node.attributes["scan_input_axes"] or (0,))[0]
            length = node.inputs[first].type.shape[axis]
            if isinstance(length, str):
                least[length] = (1, f"onnxruntime has no Scan over nothing (declared at {node.source})")
        if node.op.name == "MatMul":
            left, right = (v.type.shape for v in node.inputs if v is not None)
            if isinstance(left[-1], str) and (len(left) != 2 or len(right) != 2):
                # Seen on the CPU: the result is whatever was in memory.
                reason = f"onnxruntime does not compute sums over nothing in MatMul (declared at {node.source})"
                least[left[-1]] = (1, reason)
        if node.op.name == "Conv":
            channels = node.inputs[0].type.shape[1]  # type: ignore[union-attr]
            if isinstance(channels, str):
                # So are the gradients of weights summed over the batch.
                reason = f"onnxruntime does not compute sums over nothing in Conv (declared at {node.source})"
                least[channels] = (1, reason)
    return least


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(array.shape() if isinstance(array, onnxruntime.OrtValue) else array.shape)


def _dtype(array: Any) -> DType | None:
    try:
        ort = isinstance(array, onnxruntime.OrtValue)
        return dtype_from_onnx(array.element_type()) if ort else as_dtype(array.dtype)
    except DTypeError:
        return None
