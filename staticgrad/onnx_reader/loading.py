"""A model from a path, from bytes or as a ModelProto, before anything in it is understood."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import onnx
from google.protobuf.message import DecodeError

from staticgrad.errors import ModelError, UnsupportedOperatorError, shown
from staticgrad.graph import Array
from staticgrad.onnx_reader.tensors import array_of
from staticgrad.origin import source_line

OLDEST_IR = 3
OLDEST_OPSET = 7
_LARGEST = 2**31 - 1


class Source(NamedTuple):
    """A model, what errors call it, and the folder where its external data may lie."""

    proto: onnx.ModelProto
    name: str
    folder: Path | None

    def array(self, tensor: onnx.TensorProto) -> Array:
        """The numbers of one of its tensors."""
        return array_of(tensor, self.folder)[0]


def load(model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> Source:
    """The model of a path, of bytes, or that came; ModelError where it is none."""
    if isinstance(model, onnx.ModelProto):
        return _checked(Source(model, model.graph.name or "model", None))
    if isinstance(model, (bytes, bytearray, memoryview)):
        return _checked(Source(_parsed(bytes(model), "the bytes"), "model", None))
    try:
        path = Path(model)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
            raise ModelError(f"{os.fspath(path)!r} {what}; give the path of an .onnx file ({source_line()})")
        if path.stat().st_size > _LARGEST:
            raise ModelError(
                f"{os.fspath(path)!r} has 2 GiB or more, which no ONNX model can have; its weights belong into a file "
                f"beside it ({source_line()})"
            )
        data = path.read_bytes()
    except TypeError:
        raise ModelError(
            f"{shown(model)} is no model; a path, bytes or a ModelProto is expected ({source_line()})"
        ) from None
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {shown(os.fspath(model))}: {error} ({source_line()})") from error
    return _checked(Source(_parsed(data, path.name), path.name, path.resolve().parent))


def _parsed(data: bytes, what: str) -> onnx.ModelProto:
    try:
        proto = onnx.ModelProto()
        proto.ParseFromString(data)
        return proto
    except DecodeError as error:
        raise ModelError(
            f"{what} cannot be read as an ONNX model: truncated, damaged or of another kind ({source_line()})"
        ) from error


def _checked(source: Source) -> Source:
    """The source, if its versions are ones that can be read."""
    proto, name = source.proto, source.name
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{name} is no ONNX model: it has no graph or no IR version ({source_line()})")
    if not OLDEST_IR <= proto.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"{name} has IR version {proto.ir_version}; {OLDEST_IR} to {onnx.IR_VERSION} can be read ({source_line()})"
        )
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx"):
            newest = onnx.defs.onnx_opset_version()
            if opset.version < OLDEST_OPSET:
                raise UnsupportedOperatorError(
                    f"{name} has opset {opset.version}; {OLDEST_OPSET} and newer can be read, so convert it with "
                    f"onnx.version_converter first ({source_line()})"
                )
            if opset.version > newest:
                raise UnsupportedOperatorError(
                    f"{name} has opset {opset.version}, the installed onnx knows {newest}; install a newer onnx "
                    f"({source_line()})"
                )
    return source
