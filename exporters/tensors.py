"""Named arrays as safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from staticgrad.errors import CheckpointError
from staticgrad.graph import Array
from staticgrad.origin import source_line
from staticgrad.types import DType

from .files import write_bytes

_CODES = {
    "F16": DType.float16,
    "BF16": DType.bfloat16,
    "F32": DType.float32,
    "F64": DType.float64,
    "BOOL": DType.bool,
} | {f"{d.short.upper()}": d for d in DType if d.is_integer}


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays in one step: the file is there whole, or as it was before."""
    # safetensors takes what is laid out row by row only.
    whole = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    write_bytes(path, safetensors.numpy.save(whole, dict(metadata)))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a file; CheckpointError where it is missing, truncated or no safetensors file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {os.fspath(path)!r}: {error.strerror} ({source_line()})") from error
    try:
        # The library's own numpy reader does not know bfloat16.
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        arrays = {
            name: np.frombuffer(tensor["data"], _CODES[tensor["dtype"]].numpy).reshape(tensor["shape"])
            for name, tensor in found
        }
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{os.fspath(path)!r} is no whole safetensors file ({str(error) or type(error).__name__}); it is "
            f"truncated, damaged or of another kind ({source_line()})"
        ) from error
    return arrays, metadata
