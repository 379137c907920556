"""Writing files so that nothing half written ever stands under their names."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from staticgrad.errors import ExportError, shown
from staticgrad.origin import source_line

EXTERNAL_FROM = 2**31 - 2**24
"""Models of this many bytes or more keep their tensors in a file beside them: a protobuf holds less than 2 GiB."""


def target_of(path: str | os.PathLike[str]) -> Path:
    """The path that is meant: the file itself where a link points to it."""
    try:
        target = Path(os.path.realpath(os.fsdecode(path)))
        exists = target.exists()
    except (TypeError, ValueError, OSError) as error:
        raise ExportError(f"{shown(path)} is no path to write to: {error} ({source_line()})") from error
    if exists and not target.is_file() and not target.is_dir():
        raise ExportError(f"{str(target)!r} is a device or a pipe; give the name of a file ({source_line()})")
    return target


@contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to `path` at the end, or removed where an error came."""
    target = target_of(path)
    folder = target.parent
    if not folder.is_dir():
        raise ExportError(
            f"the folder {str(folder)!r} does not exist; make it first, then write {target.name!r} ({source_line()})"
        )
    if target.is_dir():
        raise ExportError(f"{str(target)!r} is a folder; give the name of a file in it ({source_line()})")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
        os.close(handle)
    except OSError as error:
        raise ExportError(f"cannot write into {str(folder)!r}: {error.strerror} ({source_line()})") from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        _flush(folder)
    except OSError as error:
        raise ExportError(f"cannot write {str(target)!r}: {error.strerror or error} ({source_line()})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Make what was written survive a power cut; folders can be flushed on POSIX only."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one step: it is there whole, or as it was before."""
    with atomically(path) as temporary:
        temporary.write_bytes(data)


def write_model(model: onnx.ModelProto, path: str | os.PathLike[str], external_from: int = EXTERNAL_FROM) -> None:
    """Write a model; one with tensors of `external_from` bytes or more keeps them in `<name>.data` beside it."""
    tensors = model.graph.initializer
    if sum(len(tensor.raw_data) for tensor in tensors) < external_from:
        write_bytes(path, model.SerializeToString(deterministic=True))
        return
    target = target_of(path)
    beside = target.with_name(target.name + ".data")
    # Protobuf can neither copy nor write so large a model, so its tensors lend their bytes and get them back.
    lent: list[bytes] = []
    try:
        with atomically(beside) as data, atomically(target) as temporary:
            with open(data, "wb") as stream:
                for tensor in tensors:
                    lent.append(tensor.raw_data)
                    tensor.ClearField("raw_data")
                    # Readers map the file into memory, page by page.
                    stream.write(b"\0" * (-stream.tell() % 4096))
                    entries = {"location": beside.name, "offset": stream.tell(), "length": len(lent[-1])}
                    tensor.data_location = onnx.TensorProto.EXTERNAL
                    for key, value in entries.items():
                        tensor.external_data.add(key=key, value=str(value))
                    stream.write(lent[-1])
            temporary.write_bytes(model.SerializeToString(deterministic=True))
    finally:
        for tensor, raw in zip(tensors, lent, strict=False):
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = raw


def write_folder(path: str | os.PathLike[str], fill: Callable[[Path], None], stale: Iterable[str] = ()) -> None:
    """Fill a folder: a new one appears whole, in an existing one each file is replaced in one step.

    Files named in `stale` that are not written go.
    """
    target = target_of(path)
    if target.exists() and not target.is_dir():
        raise ExportError(f"{str(target)!r} is a file; give the name of a folder ({source_line()})")
    if not target.parent.is_dir():
        raise ExportError(f"the folder {str(target.parent)!r} does not exist; make it first ({source_line()})")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target if target.is_dir() else target.parent))
    except OSError as error:
        raise ExportError(f"cannot write into {str(target)!r}: {error.strerror} ({source_line()})") from error
    try:
        fill(temporary)
        if target.is_dir():
            written = sorted(temporary.iterdir())
            for file in written:
                os.replace(file, target / file.name)
            for name in set(stale) - {file.name for file in written}:
                (target / name).unlink(missing_ok=True)
        else:
            os.chmod(temporary, 0o777 & ~_umask())
            os.rename(temporary, target)
    except OSError as error:
        # What failed is a file in the temporary folder, whose name says nothing to the user.
        reason = error.__cause__ if isinstance(error, ExportError) and isinstance(error.__cause__, OSError) else error
        text = reason.strerror or reason
        raise ExportError(f"cannot write {str(target)!r}: {text} ({source_line()})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
