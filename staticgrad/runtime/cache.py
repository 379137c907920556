"""What onnxruntime's optimiser made of a model, kept in a folder, so that the next start finds it there."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

VARIABLE = "STATICGRAD_CACHE"
"""The environment variable that names the folder where no argument does."""

_FORM = b"staticgrad 1"
_DIGEST = hashlib.sha256().digest_size
_PROCESSOR = {"vendor_id", "cpu family", "model", "model name", "flags"} | {
    *("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part")
}
Open = Callable[[bytes, Any], Any]


def folder_of(given: str | os.PathLike[str] | None) -> Path | None:
    """The folder that is meant, or None for no cache: what was given, else what the environment says; "" is none."""
    path = os.environ.get(VARIABLE, "") if given is None else os.fspath(given)
    return Path(path).expanduser() if path else None


def forget_sources(graph: onnx.GraphProto) -> None:
    """Take out the lines that nodes come from, which move whenever a program is edited, and tell a run nothing."""
    for node in graph.node:
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                forget_sources(attribute.g)


class Cache:
    """A folder of optimised models, each under the hash of all that it depends on.

    A file is the hash of its name and content, then the content: what was cut short, damaged or put under another name
    counts as not there. Writers write beside the file and put the whole in its place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, data: bytes, options: Callable[[], Any], providers: list[Any], create: Open) -> Any:
        """What `create` makes of a model and options: from the optimised model where it is there, else it is kept."""
        key = key_of(data, options().graph_optimization_level, providers)
        found = self._read(key)
        if found is not None:
            ready = options()
            ready.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            try:
                return create(found, ready)
            except Exception:
                # Whatever it is, the model itself is at hand.
                pass
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # In the folder itself, for only within a file system is a file put into its place whole.
            with tempfile.TemporaryDirectory(prefix="writing-", dir=self.folder, ignore_cleanup_errors=True) as beside:
                return self._make(key, Path(beside), data, options, create)
        except OSError as error:
            self._warn(str(error))
        return create(data, options())

    def _make(self, key: str, beside: Path, data: bytes, options: Callable[[], Any], create: Open) -> Any:
        written = beside / "optimised.onnx"
        writing = options()
        writing.optimized_model_filepath = str(written)
        try:
            session = create(data, writing)
        except Exception as error:
            # The fault of the model, which shows once more, or of the writing.
            session = create(data, options())
            self._warn(" ".join(str(error).split()))
            return session
        try:
            content = written.read_bytes()
            (beside / key).write_bytes(_digest(key, content) + content)
            os.replace(beside / key, self._path(key))
        except OSError as error:
            # Where a file that is open cannot be replaced, another process may have been faster.
            if self._read(key) is None:
                self._warn(str(error))
        return session

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.optimised"

    def _read(self, key: str) -> bytes | None:
        """The content of a file that is there and whole."""
        try:
            found = self._path(key).read_bytes()
        except OSError:
            return None
        content = found[_DIGEST:]
        return content if found[:_DIGEST] == _digest(key, content) else None

    def _warn(self, reason: str) -> None:
        warnings.warn(
            f"nothing is kept in the cache {str(self.folder)!r}, so that the next start takes as long: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )


def key_of(data: bytes, level: Any, providers: list[Any]) -> str:
    """The hash of a model and of all that decides what onnxruntime makes of it."""
    named = [(p, {}) if isinstance(p, str) else p for p in providers]
    listed = [(name, sorted((str(k), str(v)) for k, v in given.items())) for name, given in named]
    found = hashlib.sha256()
    for part in (_FORM, repr((str(level), listed)).encode(), surroundings(), data):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _digest(key: str, content: bytes) -> bytes:
    found = hashlib.sha256(key.encode())
    found.update(content)
    return found.digest()


@lru_cache(maxsize=1)
def surroundings() -> bytes:
    """onnxruntime's version and build, and the processor, for which it lays out what convolutions read."""
    build = onnxruntime.get_build_info() if hasattr(onnxruntime, "get_build_info") else ""
    known = [onnxruntime.__version__, build, platform.system(), platform.machine(), *_processor()]
    return "\n".join(known).encode()


def _processor() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return [platform.processor()]
    # The cores of one processor may differ in kind.
    return sorted({line for line in lines if line.partition(":")[0].strip() in _PROCESSOR})
