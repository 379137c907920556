"""A model from a path, from bytes or as a ModelProto, before anything in it is understood."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import onnx
from google.protobuf.message import DecodeError

from staticgrad.errors import ModelError, UnsupportedOperatorError, shown
from staticgrad.graph import Array
from staticgrad.onnx_reader.signatures import domain_of
from staticgrad.onnx_reader.tensors import array_of
from staticgrad.origin import source_line

OLDEST_IR = 3
OLDEST_OPSET = 7
"""The oldest opset that is read whole; of older ones what means the same."""
_LARGEST = 2**31 - 1
_LONGEST_NAME = 100


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
            raise ModelError(f"{shown(os.fspath(path))} {what}; give the path of an .onnx file ({source_line()})")
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
        cause = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"cannot read {shown(os.fspath(model))}: {cause} ({source_line()})") from error
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


@contextmanager
def understood(name: str) -> Iterator[None]:
    """What no memory and no number can hold inside, and text that is none, is an error of the model called `name`."""
    try:
        yield
    except UnicodeError as error:
        raise ModelError(f"{name} has text that is not UTF-8: {error} ({source_line()})") from error
    except RecursionError as error:
        raise ModelError(f"{name} is nested too deep ({source_line()})") from error
    except (OverflowError, MemoryError) as error:
        cause = " ".join(str(error).split()) or "out of memory"
        raise ModelError(f"{name} has sizes that are too large: {cause} ({source_line()})") from error


def _checked(source: Source) -> Source:
    """The source, if its versions are ones that can be read."""
    proto, name = source.proto, source.name
    texts = [proto.doc_string, proto.graph.name, *(o.domain for o in proto.opset_import)]
    texts += [text for entry in proto.metadata_props for text in (entry.key, entry.value)]
    # Protobuf gives what is not UTF-8 as bytes.
    wrong = next((text for text in texts if type(text) is not str), None)
    if wrong is not None:
        raise ModelError(f"the model has text that is not UTF-8, {shown(wrong)} ({source_line()})")
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        source = source._replace(name=(name := shown(name)))
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{name} is no ONNX model: it has no graph or no IR version ({source_line()})")
    if not OLDEST_IR <= proto.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"{name} has IR version {proto.ir_version}; {OLDEST_IR} to {onnx.IR_VERSION} can be read ({source_line()})"
        )
    imports: dict[str, int] = {}
    for opset in proto.opset_import:
        domain = domain_of(opset.domain)
        if imports.setdefault(domain, opset.version) != opset.version:
            raise ModelError(
                f"{name} names two versions of the domain {shown(domain)}, {imports[domain]} and {opset.version} "
                f"({source_line()})"
            )
        if not 0 < opset.version < 2**31:
            raise ModelError(f"{name} names version {opset.version} of the domain {shown(domain)} ({source_line()})")
        if not domain:
            newest = onnx.defs.onnx_opset_version()
            if opset.version > newest:
                raise UnsupportedOperatorError(
                    f"{name} has opset {opset.version}, the installed onnx knows {newest}; install a newer onnx "
                    f"({source_line()})"
                )
    return source
