"""Which device runs a graph, and numbers to and from it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
import warnings
from functools import lru_cache
from importlib import metadata
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np
import onnxruntime
from onnx import helper

from staticgrad.errors import DeviceError
from staticgrad.graph import Array
from staticgrad.origin import source_line
from staticgrad.types import DType


class Device(NamedTuple):
    """Where a session runs: "cpu" or "cuda", and which of several."""

    kind: str
    number: int

    @property
    def target(self) -> Literal["cpu", "cuda"]:
        """For which kind graphs are made faster."""
        return "cuda" if self.kind == "cuda" else "cpu"

    def __str__(self) -> str:
        return self.kind if self.number == 0 else f"{self.kind}:{self.number}"


CPU = Device("cpu", 0)


def resolve_device(device: str) -> Device:
    """The device of a name: "cpu", "cuda", "cuda:1", or "auto" for CUDA where onnxruntime offers it and it answers.

    DeviceError says what is missing where "cuda" is asked for and cannot be had; nothing falls back in silence.
    """
    if device == "auto":
        return Device("cuda", 0) if cuda_missing(0) is None else CPU
    kind, _, index = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise DeviceError(f"no device {device!r}; 'auto', 'cpu', 'cuda' or 'cuda:1' is expected ({source_line()})")
    found = Device(kind, int(index or 0))
    if found.kind == "cuda":
        reason = cuda_missing(found.number)
        if reason is not None:
            raise DeviceError(f"device {device!r} is not available: {reason} ({source_line()})")
    return found


@lru_cache(maxsize=8)
def cuda_missing(index: int) -> str | None:
    """Why CUDA cannot be used, or None where the device answers."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return (
            "this onnxruntime has no CUDA provider; install onnxruntime-gpu (pip install 'staticgrad[cuda]'), and "
            "uninstall the package onnxruntime, which would take its place"
        )
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "this machine has no NVIDIA driver"
    if hasattr(onnxruntime, "preload_dlls"):
        _quietly_preload()
    options = onnxruntime.SessionOptions()
    # A missing library or device is no error to onnxruntime, only a line in its log; the answer below says it.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            _copy_model(DType.float32), options, providers=[("CUDAExecutionProvider", {"device_id": str(index)})]
        )
    except Exception as error:
        return _first_line(error)
    if "CUDAExecutionProvider" not in session.get_providers():
        return (
            "no CUDA device answers, or the CUDA and cuDNN libraries are not found (pip install 'staticgrad[cuda]' "
            "brings them)"
        )
    return None


def _quietly_preload() -> None:
    # It prints one line for every library that is not there.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        onnxruntime.preload_dlls()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@lru_cache(maxsize=1)
def warn_of_two_packages() -> None:
    """Warn, once, where both packages of onnxruntime are installed: the one installed last hides the other."""
    installed = []
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            installed.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    if len(installed) == 2:
        warnings.warn(
            f"{' and '.join(installed)} are both installed and share one folder, so the one installed last is used; "
            "to keep CUDA, uninstall both, then install onnxruntime-gpu",
            RuntimeWarning,
            stacklevel=2,
        )


def providers_of(device: Device, options: dict[str, Any] | None = None) -> list[Any]:
    """The execution providers of a session on `device`; the CPU provider stands behind CUDA for shape arithmetic."""
    if device.kind == "cpu":
        return [("CPUExecutionProvider", dict(options or {}))]
    cuda = {"device_id": str(device.number), **(options or {})}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def _copy_model(dtype: DType) -> bytes:
    info = [helper.make_tensor_value_info(name, dtype.onnx, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "copy", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@lru_cache(maxsize=4)
def _copy_session(device: Device) -> Any:
    return onnxruntime.InferenceSession(_copy_model(DType.bfloat16), providers=providers_of(device))


def _copied(value: Any, device: Device, to: Device) -> Any:
    """A bfloat16 tensor on another device: numpy does not know the type, so onnxruntime has to copy it."""
    session = _copy_session(device if device.kind == "cuda" else to)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_output("y", to.kind, to.number)
    session.run_with_iobinding(binding)
    return binding.get_outputs()[0]


def bfloat16_value(array: Array) -> Any:
    """An OrtValue that refers to the memory of a bfloat16 array: its bits, with the type beside them."""
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), DType.bfloat16.onnx)


def to_device(array: Array, device: Device) -> Any:
    """An OrtValue on `device` with a copy of the array."""
    if array.dtype == ml_dtypes.bfloat16:
        # That value refers to the array's memory, so one that stays on the CPU is made by a copy too.
        return _copied(bfloat16_value(np.array(array, order="C")), CPU, device)
    value = _room(device, array.dtype, array.shape)
    if array.size and device.kind == "cpu":
        # An array that repeats one number is never there as a whole but here.
        value.numpy()[...] = array
    elif array.size:
        value.update_inplace(np.ascontiguousarray(array))
    return value


def _room(device: Device, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, device.kind, device.number)


def to_numpy(value: Any) -> Array:
    """An array with a copy of what an OrtValue holds."""
    if value.element_type() != DType.bfloat16.onnx:
        return np.array(value.numpy())
    if value.device_name() != "cpu":
        value = _copied(value, Device(value.device_name(), 0), CPU)
    shape = value.shape()
    count = int(np.prod(shape))
    numbers = (ctypes.c_uint16 * count).from_address(value.data_ptr()) if count else ()
    bits: Array = np.array(numbers, np.uint16)
    found: Array = bits.view(ml_dtypes.bfloat16).reshape(shape)
    return found


def empty_on(device: Device, dtype: DType, shape: tuple[int, ...]) -> Any:
    """An OrtValue on `device` with room for a tensor."""
    if dtype is DType.bfloat16:
        return to_device(np.zeros(shape, dtype.numpy), device)
    return _room(device, dtype.numpy, shape)


def bind_feed(binding: Any, name: str, array: Any) -> None:
    """Bind an array, or a tensor on a device, without a copy."""
    if isinstance(array, np.ndarray):
        binding.bind_cpu_input(name, array)
    else:
        binding.bind_ortvalue_input(name, array)
