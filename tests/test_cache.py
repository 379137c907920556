"""Optimised models in a folder: found again they compute the same, and nothing in the folder can do harm."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from test_export import X, Y, small_step

import staticgrad as sg
from staticgrad.runtime import cache
from staticgrad.runtime.cache import Cache, key_of
from staticgrad.runtime.device import CPU, Device

NONE = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
Numbers = dict[str, Any]
RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.standard_normal((3, 8, 12, 12)).astype("float32")
WORDS = RANDOM.standard_normal((5, 3, 4)).astype("float32")


def perceptron() -> tuple[sg.TrainStep, Numbers]:
    return small_step(), {"x": X, "y": Y}


def convolutions() -> tuple[sg.TrainStep, Numbers]:
    x = sg.input("x", ("N", 8, 12, 12))
    net = sg.nn.Sequential(
        sg.nn.Conv2d(8, 16, 3, padding=1, name="c1"),
        sg.nn.BatchNorm2d(16, name="b1"),
        sg.relu,
        sg.nn.Conv2d(16, 4, 3, stride=2, name="c2"),
    )
    return sg.train_step(net(x).pow(2).mean(), sg.optim.adamw(1e-2)), {"x": IMAGES}


def recurrent() -> tuple[sg.TrainStep, Numbers]:
    x = sg.input("x", ("steps", "N", 4))
    y, _ = sg.nn.LSTM(4, 6, num_layers=2, name="lstm")(x)
    return sg.train_step(y.pow(2).sum(), sg.optim.sgd(1e-2, momentum=0.9)), {"x": WORDS}


def looped() -> tuple[sg.TrainStep, Numbers]:
    w = sg.parameter("w", np.full((5, 5), 0.1, np.float32))
    x = sg.input("x", ("N", 5))
    (y,), _ = sg.ops.loop(lambda i, h: (None, [sg.tanh(h @ w + h)], []), [x], 4)
    return sg.train_step(y.pow(2).mean(), sg.optim.adam(1e-2)), {"x": X}


def trained(step: sg.TrainStep, batch: Numbers, folder: Path | str) -> tuple[sg.Trainer, list[bytes]]:
    """A trainer, and the bits of all that a few of its steps gave."""
    trainer = sg.Trainer(step, device="cpu", threads=1, cache=folder)
    losses = [trainer.step(batch)["loss"] for _ in range(3)]
    return trainer, [a.tobytes() for a in (*losses, *trainer.state().values())]


def was_found(trainer: sg.Trainer) -> bool:
    return bool(trainer.session.get_session_options().graph_optimization_level == NONE)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("declare", [perceptron, convolutions, recurrent, looped])
def test_steps_are_the_same_to_the_bit(declare: Callable[[], tuple[sg.TrainStep, Numbers]], tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    _, plain = trained(*declare(), "")
    first, cold = trained(*declare(), folder)
    assert not was_found(first)
    assert only_file(folder).suffix == ".optimised"
    again, warm = trained(*declare(), folder)
    assert was_found(again)
    assert cold == plain
    assert warm == plain
    only_file(folder)


def test_every_session_of_a_trainer_is_kept(tmp_path: Path) -> None:
    def losses() -> list[Any]:
        trainer = sg.Trainer(small_step(), device="cpu", threads=1, cache=tmp_path)
        batch = {"x": X, "y": Y}
        many = [*trainer.steps(batch, 3), *trainer.steps([batch, batch])]
        return [*map(float, many), trainer.evaluate(batch), trainer.predict(x=X)["probabilities"].tolist()]

    cold = losses()
    names = sorted(tmp_path.iterdir())
    assert len(names) == 5
    assert losses() == cold
    assert sorted(tmp_path.iterdir()) == names


def test_a_function_finds_its_weights_inside(tmp_path: Path) -> None:
    def doubled(number: float) -> float:
        w = sg.parameter("w", np.float32(number))
        return float(sg.function(w * 2 + 1, device="cpu", settings=sg.SessionSettings(cache=tmp_path))())

    assert [doubled(3), doubled(3), doubled(4), doubled(4)] == [7, 7, 9, 9]
    assert len(list(tmp_path.iterdir())) == 2


def spoilt(key: str, content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    garbage = b"no model"
    return {
        "empty": b"",
        "cut in its hash": content[:7],
        "cut short": content[:-1],
        "longer": content + b"\0",
        "a bit of the hash": bytes([content[0] ^ 1]) + content[1:],
        "a bit of the model": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
        "no model, under its hash": cache._digest(key, garbage) + garbage,
    }


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    step, batch = perceptron()
    _, plain = trained(step, batch, tmp_path)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for what, content in spoilt(path.stem, whole).items():
        path.write_bytes(content)
        trainer, found = trained(step, batch, tmp_path)
        assert not was_found(trainer), what
        assert found == plain, what
        assert only_file(tmp_path).read_bytes() == whole, what


def test_the_file_of_another_model_is_not_taken(tmp_path: Path) -> None:
    trained(*perceptron(), tmp_path)
    mine = only_file(tmp_path)
    trained(*looped(), tmp_path)
    (other,) = set(tmp_path.iterdir()) - {mine}
    other.replace(mine)
    trainer, found = trained(*perceptron(), tmp_path)
    assert not was_found(trainer)
    assert found == trained(*perceptron(), "")[1]


def test_processes_that_start_at_once(tmp_path: Path) -> None:
    program = """
import sys
import staticgrad as sg
from test_cache import perceptron, trained
sys.stdin.readline()
print(b"".join(trained(*perceptron(), sys.argv[1])[1]).hex())
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    trainer, mine = trained(*perceptron(), tmp_path)
    assert found == [b"".join(mine).hex() + "\n"] * 2
    assert was_found(trainer)
    only_file(tmp_path)


def test_a_folder_that_cannot_be_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, batch = perceptron()
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match=r"nothing is kept in the cache .*file"):
        _, found = trained(step, batch, tmp_path / "file")
    assert found == trained(step, batch, "")[1]

    def fails(*_: object) -> None:
        raise PermissionError("read-only")

    trained(step, batch, tmp_path / "filled")
    monkeypatch.setattr("os.replace", fails)
    with pytest.warns(RuntimeWarning, match="read-only"):
        trained(step, batch, tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    # What is there already is read all the same.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert was_found(trained(step, batch, tmp_path / "filled")[0])


def test_what_onnxruntime_cannot_write_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = onnxruntime.InferenceSession

    def refusing(data: bytes, options: Any, **given: Any) -> Any:
        if options.optimized_model_filepath:
            raise RuntimeError("Protobuf\nserialization failed")
        return whole(data, options, **given)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    with pytest.warns(RuntimeWarning, match="Protobuf serialization failed"):
        trained(*perceptron(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_onnxruntime_refuses_is_refused_in_the_same_words(tmp_path: Path) -> None:
    def refusal(folder: Path | str) -> str:
        x = sg.input("x", ("N",), "bfloat16")
        with pytest.raises(sg.DeviceError) as error:
            sg.function(x.exp(), device="cpu", settings=sg.SessionSettings(cache=folder))
        return str(error.value)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(tmp_path) == refusal("")
    assert list(tmp_path.iterdir()) == []


def test_lines_are_those_of_this_program_and_no_part_of_the_name(tmp_path: Path) -> None:
    settings = sg.SessionSettings(cache=tmp_path)
    x, i = sg.input("x", (3,)), sg.input("i", ("N",), "int64")
    first = sg.ops.gather(x, i)
    second = sg.ops.gather(x, i)
    lines = []
    for y in (first, second):
        pick = sg.function(y, [x, i], device="cpu", settings=settings)
        with pytest.raises(sg.RunError, match=r"^Gather \(declared at test_cache\.py:\d+\) stopped on cpu") as error:
            pick(np.ones(3, np.float32), np.array([7]))
        lines.append(str(error.value).partition(")")[0])
    assert lines[0] != lines[1]
    only_file(tmp_path)


def test_lines_in_bodies_are_no_part_of_the_name(tmp_path: Path) -> None:
    x = sg.input("x", ("N", 5))
    for y in (
        sg.ops.loop(lambda i, h: (None, [h * 2], []), [x], 4)[0][0],
        sg.ops.loop(lambda i, h: (None, [h * 2], []), [x], 4)[0][0],
    ):
        sg.function(y, device="cpu", settings=sg.SessionSettings(cache=tmp_path))
    only_file(tmp_path)


def test_a_profile_is_written(tmp_path: Path) -> None:
    for _ in range(2):
        trainer = sg.Trainer(small_step(), device="cpu", cache=tmp_path / "cache", profile=tmp_path / "profile")
        trainer.step(x=X, y=Y)
        assert "Gemm" in Path(trainer.session.end_profiling()).read_text()
    assert was_found(trainer)


def test_what_the_name_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = "CPUExecutionProvider"
    names = {
        key_of(b"model", "all", [provider]),
        key_of(b"model", "basic", [provider]),
        key_of(b"other", "all", [provider]),
        key_of(b"model", "all", [(provider, {"a": "1"})]),
        key_of(b"model", "all", [(provider, {"a": "2"})]),
    }
    assert key_of(b"model", "all", [(provider, {})]) in names
    for name in ("onnxruntime.__version__", "staticgrad.runtime.cache._processor"):
        with monkeypatch.context() as patch:
            patch.setattr(name, "0.0.1" if name.endswith("__") else lambda: ["another"])
            cache.surroundings.cache_clear()
            names.add(key_of(b"model", "all", [provider]))
        cache.surroundings.cache_clear()
    assert len(names) == 7


def test_the_environment_says_where_if_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folder(**given: Any) -> Path | None:
        found = sg.SessionSettings(**given).cache_on(CPU)
        return None if found is None else found.folder

    monkeypatch.delenv("STATICGRAD_CACHE", raising=False)
    assert folder() is None
    assert folder(cache="~/here") == Path.home() / "here"
    monkeypatch.setenv("STATICGRAD_CACHE", str(tmp_path / "there"))
    assert folder() == tmp_path / "there"
    assert folder(cache=tmp_path) == tmp_path
    assert folder(cache="") is None
    # There is nothing to keep where nothing is optimised, and nothing was tried on CUDA.
    assert folder(optimization="none") is None
    assert sg.SessionSettings().cache_on(Device("cuda", 0)) is None
    sg.Trainer(small_step(), device="cpu")
    only_file(tmp_path / "there")
    with pytest.raises(sg.DeclarationError, match=r"cache is the path of a folder, 7 came \(test_cache\.py:"):
        sg.Trainer(small_step(), device="cpu", cache=7)  # type: ignore[arg-type]


def test_a_cache_reads_what_it_wrote(tmp_path: Path) -> None:
    kept = Cache(tmp_path)
    (tmp_path / "k.optimised").write_bytes(cache._digest("k", b"content") + b"content")
    (tmp_path / "l.optimised").write_bytes(cache._digest("k", b"content") + b"content")
    assert (kept._read("k"), kept._read("l"), kept._read("m")) == (b"content", None, None)
