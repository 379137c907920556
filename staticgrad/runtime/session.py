"""An onnxruntime session for a model, with the options that matter."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnxruntime

from staticgrad.errors import DeclarationError, DeviceError, RunError, shown
from staticgrad.origin import source_line
from staticgrad.runtime.cache import Cache, folder_of, forget_sources
from staticgrad.runtime.device import Device, bind_feed, providers_of

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
    onnxruntime writes its profile when the session ends, or None. `cache`: a folder, made where it is not there, in
    which onnxruntime's optimised models are kept from one start to the next; None for that of the environment variable
    STATICGRAD_CACHE, "" for none at all. A model is found again only under the same onnxruntime, settings and kind of
    processor; the folder grows with every other one, and may be emptied at any time. A file that is damaged is made
    anew, and a folder that cannot be written to is warned of. On CUDA nothing is kept.
    """

    threads: int | None = None
    optimization: str = "all"
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    profile: str | os.PathLike[str] | None = None
    cache: str | os.PathLike[str] | None = None

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
        # What onnxruntime would log comes as an exception too.
        options.log_severity_level = 4
        # A plan of all memory, made at the first run, stands beside what that run took: up to twice the memory, and no
        # step was faster for it.
        options.enable_mem_pattern = False
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if self.profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = os.fspath(self.profile)
        return options

    def cache_on(self, device: Device) -> Cache | None:
        """Where optimised models for a device are kept, if anywhere."""
        if self.cache is not None and not isinstance(self.cache, (str, os.PathLike)):
            raise DeclarationError(f"cache is the path of a folder, {shown(self.cache)} came ({source_line()})")
        folder = folder_of(self.cache)
        if folder is None or device.kind != "cpu" or self.optimization == "none":
            return None
        return Cache(folder)


class Session:
    """An onnxruntime session for a model on a device, whose errors name operators and the lines they come from.

    DeviceError where the device has no kernel for one of the operators. The model is the session's own.
    """

    def __init__(self, model: onnx.ModelProto, device: Device, settings: SessionSettings) -> None:
        self.device = device
        self._nodes = {
            node.name: f"{node.op_type} (declared at {source_of(node)})" for node in model.graph.node if node.name
        }
        # Only what is fed can be bound.
        fed = {value.name for value in model.graph.input}
        for position in reversed(range(len(model.graph.initializer))):
            if model.graph.initializer[position].name in fed:
                del model.graph.initializer[position]
        cache = settings.cache_on(device)
        if cache is not None:
            forget_sources(model.graph)
        try:
            data: bytes = model.SerializeToString()
        except Exception as error:
            raise DeviceError(
                f"the parameters inside this function are 2 GiB or more, which one model cannot hold; list them in "
                f"inputs= and feed them ({source_line()})"
            ) from error
        providers = providers_of(device, dict(settings.provider_options))

        def create(data: bytes, options: Any) -> Any:
            return onnxruntime.InferenceSession(data, options, providers=providers)

        options = settings.options()
        try:
            if cache is None:
                self.onnxruntime = create(data, options)
            else:
                self.onnxruntime = cache.open(data, settings.options, providers, create)
        except Exception as error:
            raise DeviceError(f"{self._refusal(str(error))} ({source_line()})") from error
        if device.kind == "cuda" and "CUDAExecutionProvider" not in self.onnxruntime.get_providers():
            raise DeviceError(f"onnxruntime left CUDA although the device answers ({source_line()})")

    def run(self, binding: Any) -> None:
        """Run with what is bound; RunError names the operator that stopped it."""
        try:
            self.onnxruntime.run_with_iobinding(binding)
        except Exception as error:
            text = str(error)
            where = self._node_in(text)
            # Behind "Status Message:" stands what the kernel said; before it, source files of onnxruntime.
            said = " ".join(text.rpartition("Status Message:")[2].split())
            # The text holds no line of the user's: the declaration above does.
            raise RunError(f"{where or 'the model'} stopped on {self.device}: {said} ({source_line()})") from error

    def call(self, feeds: Mapping[str, Any], state: Mapping[str, Any], places: Mapping[str, Device]) -> dict[str, Any]:
        """The outputs named in `places`, each on its device, for arrays that are fed and state on the device."""
        binding = self.onnxruntime.io_binding()
        for name, array in feeds.items():
            bind_feed(binding, name, array)
        for name, value in state.items():
            binding.bind_ortvalue_input(name, value)
        for name, device in places.items():
            binding.bind_output(name, device.kind, device.number)
        self.run(binding)
        return dict(zip(places, binding.get_outputs(), strict=True))

    def _refusal(self, text: str) -> str:
        where = self._node_in(text)
        if "NOT_IMPLEMENTED" in text and where is not None:
            return (
                f"onnxruntime's {self.device.kind} provider has no kernel for {where} in the element types used there; "
                "cast its input to another type, float32 as a rule"
            )
        return f"onnxruntime refuses {where or 'the model'}: {' '.join(text.split())}"

    def _node_in(self, text: str) -> str | None:
        """The node that an error of onnxruntime speaks of."""
        for name in re.findall(r"name:? ?'([^']*)'", text, re.IGNORECASE):
            if name in self._nodes:
                return self._nodes[name]
        return None


def source_of(node: onnx.NodeProto) -> str:
    """The user's file and line that a node came from."""
    return next((p.value for p in node.metadata_props if p.key == "staticgrad.source"), "an unknown line")
