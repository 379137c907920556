"""An onnxruntime session for a model, with the options that matter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnxruntime

from staticgrad.errors import DeclarationError, DeviceError
from staticgrad.graph import source_line
from staticgrad.runtime.device import Device, kernel_error, providers_of

_LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True)
class SessionSettings:
    """How onnxruntime runs a model.

    `threads`: of one operator, None for one a core. `optimization`: "none", "basic", "extended" or "all".
    `provider_options`: of the CPU or CUDA provider, by onnxruntime's names. `profile`: a path prefix to which
    onnxruntime writes its profile when the session ends, or None.
    """

    threads: int | None = None
    optimization: str = "all"
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    profile: str | os.PathLike[str] | None = None

    def options(self) -> Any:
        """These settings as onnxruntime's SessionOptions."""
        if self.optimization not in _LEVELS:
            raise DeclarationError(
                f"optimization={self.optimization!r} is not one of {', '.join(map(repr, _LEVELS))} ({source_line()})"
            )
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise DeclarationError(f"threads must be a positive int or None, {self.threads!r} came ({source_line()})")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = _LEVELS[self.optimization]
        options.log_severity_level = 3
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if self.profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = os.fspath(self.profile)
        return options


def make_session(model: onnx.ModelProto, device: Device, settings: SessionSettings) -> Any:
    """The session; DeviceError where the device cannot run one of the operators, named with the line it comes from."""
    data: bytes = model.SerializeToString()
    try:
        session = onnxruntime.InferenceSession(
            data, settings.options(), providers=providers_of(device, dict(settings.provider_options))
        )
    except DeclarationError:
        raise
    except Exception as error:
        raise kernel_error(error, model, device) or DeviceError(
            f"onnxruntime refuses the model: {str(error).strip().splitlines()[0]} ({source_line()})"
        ) from error
    if device.kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(f"onnxruntime left CUDA although the device answers ({source_line()})")
    return session
