"""Models that the onnx package brings, read and written again: they compute what they did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backend
import numpy as np
import onnx
import onnx.backend.test
import pytest
from backend_exceptions import NOT_READ, RUN_NOWHERE
from test_backend_nodes import is_in

import staticgrad as sg

PARTS = 10
DATA = Path(onnx.backend.test.__file__).parent / "data"
FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")
RANDOM = ("test_bernoulli*", "test_training_dropout*")


def equal(found: Any, expected: Any, rtol: float, atol: float) -> bool:
    """Whether a result, be it a tensor, a sequence or nothing, is as expected."""
    if isinstance(expected, list):
        together = isinstance(found, list) and len(found) == len(expected)
        return together and all(equal(a, b, rtol, atol) for a, b in zip(found, expected, strict=True))
    if found is None or expected is None:
        return found is expected
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return False
    if found.dtype == np.uint8 and expected.dtype.kind == "V":
        # onnxruntime gives small floats as their bits.
        found = found.view(expected.dtype)
    if expected.dtype.kind in "OUS":
        return found.astype(str).tolist() == expected.astype(str).tolist()
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    return np.allclose(found.astype(wide), expected.astype(wide), rtol, atol, equal_nan=True)


def compared(name: str, model: onnx.ModelProto, feeds: dict[str, Any], expected: list[Any] | None) -> str:
    """What is wrong with a model that was read and written; nothing if all is well."""
    try:
        written = backend.rewritten(model)
    except sg.StaticgradError as error:
        return "" if is_in(name, NOT_READ) else f"{name} is not read: {error}"
    if is_in(name, NOT_READ):
        return f"{name} is read, though it is on the list of those that are not"
    onnx.checker.check_model(written, full_check=True)
    held = {t.name for t in model.graph.initializer if model.ir_version < 4}
    if [v.name for v in written.graph.input] != [v.name for v in model.graph.input if v.name not in held]:
        return f"{name} has other inputs"
    if is_in(name, RANDOM) or is_in(name, RUN_NOWHERE):
        return ""
    runs = backend.Runner(written)(feeds)
    if expected is not None and all(equal(a, b, 1e-3, 1e-5) for a, b in zip(runs, expected, strict=True)):
        return ""
    # Kernels differ from what is expected here and there; both models run on the same ones.
    before = backend.Runner(model, original=True)(feeds)
    return "" if all(equal(a, b, 1e-5, 1e-6) for a, b in zip(runs, before, strict=True)) else f"{name} gives others"


@pytest.mark.parametrize("part", range(PARTS))
def test_node_tests_compute_what_they_did(part: int) -> None:
    wrong = []
    for case in backend.cases()[part::PARTS]:
        given, expected = case.data_sets[0]
        feeds = {i.name: backend.plain(x) for i, x in zip(case.model.graph.input, given, strict=False)}
        wrong.append(compared(case.name, case.model, feeds, [backend.plain(y) for y in expected]))
    assert not any(wrong), "\n".join(filter(None, wrong))


def stored(folder: Path, kind: str) -> Iterator[Any]:
    for path in sorted(folder.glob(f"{kind}_*.pb"), key=lambda p: int(p.stem.rpartition("_")[2])):
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        yield onnx.numpy_helper.to_array(tensor)


@pytest.mark.parametrize("folder", FOLDERS)
def test_stored_models_compute_what_they_did(folder: str) -> None:
    wrong = []
    for path in sorted((DATA / folder).glob("*/model.onnx")):
        model = onnx.load(path)
        held = {t.name for t in model.graph.initializer if model.ir_version < 4}
        names = [i.name for i in model.graph.input if i.name not in held]
        sets = sorted(path.parent.glob("test_data_set_*"))
        if not sets or any(
            i.type.WhichOneof("value") != "tensor_type" for i in (*model.graph.input, *model.graph.output)
        ):
            wrong.append("" if sg.from_onnx(model) else path.parent.name)
            continue
        feeds = dict(zip(names, stored(sets[0], "input"), strict=False))
        wrong.append(compared(path.parent.name, model, feeds, list(stored(sets[0], "output"))))
    assert len(wrong) > 5
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize("path", sorted((DATA / "light").glob("*.onnx")), ids=lambda path: path.stem)
def test_light_models_compute_what_they_did(path: Path) -> None:
    model = onnx.load(path)
    held = {t.name for t in model.graph.initializer}
    generator = np.random.default_rng(0)
    feeds = {
        i.name: generator.random([d.dim_value for d in i.type.tensor_type.shape.dim], np.float32)
        for i in model.graph.input
        if i.name not in held
    }
    assert not compared(path.stem, model, feeds, None)
