"""Tensors of models as arrays: in the file, beside it, sparse."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from staticgrad.errors import DTypeError, ModelError, shown
from staticgrad.graph import Array
from staticgrad.ops.onnx_types import HIGHEST_RANK
from staticgrad.types import DType, dtype_from_onnx

_LARGEST_DENSE = 2**31


def array_of(tensor: onnx.TensorProto, folder: Path | None) -> tuple[Array, DType]:
    """The numbers of a tensor and their element type; `folder` is where external data may lie."""
    what = f"tensor {shown(tensor.name)}" if tensor.name else "a tensor"
    try:
        dtype = dtype_from_onnx(tensor.data_type)
    except DTypeError as error:
        raise ModelError(f"{what} has no element type that is known: {error}") from None
    shape = tuple(tensor.dims)
    if len(shape) > HIGHEST_RANK:
        raise ModelError(f"{what} has {len(shape)} axes, at most {HIGHEST_RANK} are expected")
    if any(d < 0 for d in shape):
        raise ModelError(f"{what} has a negative size: {list(shape)}")
    if tensor.HasField("segment"):
        raise ModelError(f"{what} is stored in segments, which nobody reads")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, dtype, shape, folder, what), dtype
    try:
        if dtype is DType.string:
            found = np.array([bytes(text) for text in tensor.string_data], object).reshape(shape)
        elif dtype.rank >= 0 and tensor.HasField("raw_data"):
            # Faster than onnx's reader, and without a copy.
            found = np.frombuffer(tensor.raw_data, dtype.numpy.newbyteorder("<")).reshape(shape)
        else:
            _check_length(tensor, dtype, shape, what)
            found = numpy_helper.to_array(tensor).reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"{what} does not hold the numbers for its shape {list(shape)}: {error}") from error
    return found.astype(dtype.numpy, copy=False), dtype


def _check_length(tensor: onnx.TensorProto, dtype: DType, shape: tuple[int, ...], what: str) -> None:
    """Refuse a huge declared shape before memory is taken for it."""
    held = max(
        len(tensor.raw_data) * 8,
        *(len(getattr(tensor, f"{kind}_data")) * 8 for kind in ("float", "int32", "int64", "double", "uint64")),
    )
    if math.prod(shape) > max(held, 8):
        raise ModelError(f"{what} does not hold the numbers for its shape {list(shape)}")


def _external(tensor: onnx.TensorProto, dtype: DType, shape: tuple[int, ...], folder: Path | None, what: str) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelError(f"{what} lies in the file {location!r}; give the path of the model, not its bytes")
    path = _inside(folder, location, what)
    if dtype is DType.string:
        raise ModelError(f"{what} holds strings, which cannot lie in another file")
    count = math.prod(shape)
    length = (count * _bits(dtype) + 7) // 8
    try:
        offset = int(entries.get("offset", "0"))
        given = int(entries["length"]) if "length" in entries else length
        size = path.stat().st_size
        if offset < 0 or given != length or offset + length > size:
            raise ModelError(
                f"{what} needs {length} bytes for its shape {list(shape)}; {location!r} has {size} bytes, of which "
                f"{given} from {offset} on are meant"
            )
        with open(path, "rb") as stream:
            stream.seek(offset)
            data = np.fromfile(stream, np.uint8, length)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{what} cannot be read from {location!r}: {error}") from error
    if len(data) != length:
        raise ModelError(f"{what} needs {length} bytes, {location!r} gave {len(data)}")
    if _bits(dtype) < 8:
        packed = onnx.TensorProto(data_type=dtype.onnx, dims=shape, raw_data=data.tobytes())
        return numpy_helper.to_array(packed)
    return data.view(dtype.numpy.newbyteorder("<")).reshape(shape).astype(dtype.numpy, copy=False)


def _bits(dtype: DType) -> int:
    small = {DType.int4: 4, DType.uint4: 4, DType.float4e2m1: 4, DType.int2: 2, DType.uint2: 2}
    return small.get(dtype, dtype.numpy.itemsize * 8)


def _inside(folder: Path, location: str, what: str) -> Path:
    """The file of this name in the folder of the model, which no path and no link may leave."""
    refused = f"{what} lies in {shown(location)}, outside the folder of the model, where nothing is read"
    parts = Path(location).parts
    if not parts or os.path.isabs(location) or "\0" in location or ":" in parts[0] or ".." in parts:
        raise ModelError(refused)
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root / location))
    if not path.is_relative_to(root):
        raise ModelError(refused)
    # A name that is too long is an error of the system.
    try:
        there = path.is_file()
    except OSError:
        there = False
    if not there:
        raise ModelError(f"{what} lies in {shown(location)}, which is no file beside the model")
    return path


def dense_of(sparse: onnx.SparseTensorProto, folder: Path | None) -> tuple[Array, DType]:
    """A sparse tensor written out: zeros but for the given values."""
    values, dtype = array_of(sparse.values, folder)
    indices, _ = array_of(sparse.indices, folder)
    shape = tuple(sparse.dims)
    what = f"sparse tensor {shown(sparse.values.name)}"
    if not shape or len(shape) > HIGHEST_RANK or any(d < 0 for d in shape) or math.prod(shape) > _LARGEST_DENSE:
        raise ModelError(f"{what} has a shape that cannot be written out: {list(shape)}")
    if (
        values.ndim != 1
        or indices.dtype != np.int64
        or indices.shape not in ((values.size,), (values.size, len(shape)))
    ):
        raise ModelError(f"{what} has {list(values.shape)} values and indices {indices.dtype}{list(indices.shape)}")
    flat = indices if indices.ndim == 1 else None
    sizes = np.array(shape)
    inside = (0 <= flat) & (flat < sizes.prod()) if flat is not None else (0 <= indices) & (indices < sizes)
    if not inside.all():
        raise ModelError(f"{what} has an index outside its shape {list(shape)}")
    dense = np.zeros(shape, dtype.numpy)
    if flat is not None:
        dense.reshape(-1)[flat] = values
    else:
        dense[tuple(indices.T)] = values
    return dense, dtype
