"""Bad input: an error of one line with the cause first and the user's line, and nothing half written."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export import X, Y, small_step

import staticgrad as sg
from staticgrad.runtime.device import cuda_missing


@contextmanager
def refused(error: type[Exception], *parts: str) -> Iterator[None]:
    """The block raises exactly this error, in one line that names this file and every part."""
    with pytest.raises(sg.StaticgradError) as caught:
        yield
    assert type(caught.value) is error
    text = str(caught.value)
    assert "\n" not in text
    assert "test_bad_input.py:" in text, text
    for part in parts:
        assert part in text, text


def here() -> str:
    """This file and the line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return f"test_bad_input.py:{frame.f_back.f_lineno}"


def weights(*shape: int) -> Any:
    return sg.parameter("w", np.ones(shape, np.float32))


def test_shapes_that_clash_at_declaration() -> None:
    x, w = sg.input("x", ("N", 4)), weights(5, 2)
    line = here()
    with refused(sg.ShapeError, "4 and 5 do not agree", "MatMul(x: f32[N,4], w: f32[5,2])", line[:-1]):
        x @ w


def test_two_names_of_dimensions_that_must_agree() -> None:
    with refused(sg.ShapeError, "N and M do not agree", "x: f32[N]", "y: f32[M]"):
        sg.input("x", ("N",)) + sg.input("y", ("M",))


def test_element_types_that_clash_at_declaration() -> None:
    x = sg.input("x", (2, 2))
    with refused(sg.DTypeError, "float32 and float64 do not agree", "cast", "MatMul"):
        x @ sg.input("d", (2, 2), "float64")
    with refused(sg.DTypeError, "bool is expected"):
        sg.ops.logical_and(x, x)
    with refused(sg.DTypeError, "no element type 'float31'"):
        sg.input("z", (2,), "float31")


def test_a_reshape_that_does_not_fit() -> None:
    with refused(sg.ShapeError, "6 elements do not fit the shape [4]", "Reshape"):
        sg.input("x", (2, 3)).reshape(4)


def test_an_axis_out_of_range() -> None:
    with refused(sg.ShapeError, "axis 2 is out of range", "rank 2"):
        sg.input("x", (2, 3)).sum(2)


def test_a_loss_that_is_no_number_shows_its_shape() -> None:
    x, w = sg.input("x", ("N", 4)), weights(4)
    with refused(sg.GradientError, "its shape is ['N']", ".sum()"):
        sg.grad(x @ w, w)
    with refused(sg.GradientError, "its shape is ['N']", ".sum()"):
        sg.train_step(x @ w, sg.optim.sgd(0.1))


def test_a_parameter_that_the_loss_does_not_reach_is_named() -> None:
    w, other = weights(3), sg.parameter("other", np.ones(2, np.float32))
    with refused(sg.GradientError, "does not depend on other", "unused='zero'"):
        sg.grad(w.sum(), [w, other])


def test_an_integer_in_wrt() -> None:
    w = weights(3)
    count = sg.state("count", 3)
    with refused(sg.DTypeError, "'count' is i64[]", "only floating values have derivatives"):
        sg.grad(w.sum() * count, [count])
    with refused(sg.DTypeError, "parameter 'n' holds int64", "requires_grad=False"):
        sg.parameter("n", np.arange(3))


def test_a_parameter_of_another_model_in_params() -> None:
    w, stranger = weights(3), sg.parameter("stranger", np.ones(2, np.float32))
    with refused(sg.GradientError, "does not depend on 'stranger'", "leave it out of params"):
        sg.train_step(w.sum(), sg.optim.sgd(0.1), params=[w, stranger])
    with refused(sg.DeclarationError, "params must be made by sg.parameter"):
        sg.train_step(w.sum(), sg.optim.sgd(0.1), params=[w * 2])


def test_a_state_of_another_graph() -> None:
    x, s = sg.input("x", ()), sg.state("s", 1.0)
    with refused(sg.DeclarationError, "depends on state 's'", "not among its inputs"):
        sg.Graph("g", {"x": x}, {"y": x * s})
    with refused(sg.DeclarationError, "is no state"):
        sg.function(x, updates={x: x + 1})
    with refused(sg.DTypeError, "the next value of 's' is i64[]", "cast"):
        sg.function(x, updates={s: sg.constant(1)})
    with refused(sg.ShapeError, "the next value of 's'", "shapes must agree"):
        sg.function(x, updates={s: sg.constant([1.0])})


def test_a_name_declared_twice() -> None:
    x, y = sg.input("x", ()), sg.input("x", ())
    with refused(sg.DeclarationError, "'x' is declared twice"):
        sg.function(x + y)
    w = weights()
    with refused(sg.DeclarationError, "'w' is declared twice"):
        sg.train_step((w * sg.parameter("w", 1.0)), sg.optim.sgd(0.1))
    with refused(sg.DeclarationError, "'x' is taken"):
        sg.train_step(w * x, sg.optim.sgd(0.1), metrics={"x": w * 2})


@pytest.mark.parametrize("name", ["loss", "w.next"])
def test_a_reserved_name(name: str) -> None:
    with refused(sg.DeclarationError, f"{name!r} is reserved"):
        sg.input(name, ())
    w = weights()
    with refused(sg.DeclarationError, f"{name!r}", "reserved"):
        sg.train_step(w * 1.0, sg.optim.sgd(0.1), metrics={name: w * 2})


@pytest.mark.parametrize("name", ["", "1x", "a b", None, 3])
def test_a_name_that_is_none(name: Any) -> None:
    with refused(sg.DeclarationError, "is not allowed"):
        sg.input(name, ())


FEEDS: list[tuple[str, Callable[..., Any], tuple[str, ...]]] = [
    ("missing", lambda f: f(x=X), ("no array for input 'y'",)),
    ("extra", lambda f: f(x=X, y=Y, z=1), ("no input named 'z'", "the inputs are x, y")),
    ("misnamed", lambda f: f(x=X, yy=Y), ("no array for input 'y'", "did you mean 'y'?")),
    ("double for float", lambda f: f(x=X.astype("float64"), y=Y), ("float64", ".astype('float32')")),
    ("int32 for int64", lambda f: f(x=X, y=Y.astype("int32")), ("int32", ".astype('int64')")),
    ("rank", lambda f: f(x=X[0], y=Y), ("of rank 2", "rank 1")),
    ("size", lambda f: f(x=X[:, :4], y=Y), ("dimension 1 is 4, not 5",)),
    ("named size", lambda f: f(x=X, y=Y[:3]), ("dimension N is 12 in input 'x' and 3 in input 'y'",)),
    ("text", lambda f: f(x="abc", y=Y), ("'abc' came",)),
    ("ragged", lambda f: f(x=[[1.0], [1.0, 2.0]], y=Y), ("is no array",)),
    ("none", lambda f: f(x=None, y=Y), ("None came",)),
    ("too large", lambda f: f(x=X, y=[2**70] * 12), ("does not fit",)),
    ("too large for a float", lambda f: f(x=[[1e300] * 5], y=[0]), ("does not fit into float32",)),
    ("a list of arrays", lambda f: f([X, Y]), ("a batch is a dict of arrays by input name",)),
    ("floats for ints", lambda f: f(x=X, y=[0.5] * 12), ("does not fit",)),
    ("symbolic", lambda f: f(x=sg.input("q", (12, 5)), y=Y), ("needs numbers",)),
]


@pytest.mark.parametrize(("call", "parts"), [row[1:] for row in FEEDS], ids=[row[0] for row in FEEDS])
def test_feeds_that_do_not_fit(call: Callable[..., Any], parts: tuple[str, ...]) -> None:
    trainer = sg.Trainer(small_step(), device="cpu")
    before = trainer.state()
    error = sg.SymbolicValueError if "needs numbers" in parts else sg.FeedError
    with refused(error, *parts):
        call(trainer.step)
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, before[name])
    trainer.step(x=X, y=Y)


def test_a_function_called_wrongly() -> None:
    f = sg.function(sg.input("x", ()) + 1)
    with refused(sg.FeedError, "2 arrays came for 1 inputs (x)"):
        f(1.0, 2.0)
    with refused(sg.FeedError, "'x' came by position and by name"):
        f(1.0, x=2.0)


def test_data_for_fit_that_does_not_fit() -> None:
    trainer = sg.Trainer(small_step(), device="cpu")
    with refused(sg.FeedError, "different numbers of samples", "'x': 12", "'y': 3"):
        trainer.fit({"x": X, "y": Y[:3]}, batch_size=2)
    with refused(sg.FeedError, "used up after one epoch"):
        trainer.fit(iter([{"x": X, "y": Y}]), epochs=2)
    with refused(sg.FeedError, "data is a dict of arrays, or batches of those, 5 came"):
        trainer.fit(5)  # type: ignore[arg-type]
    with refused(sg.FeedError, "no batch"):
        trainer.fit([])
    for wrong in (0, 1.5, True):
        with refused(sg.FeedError, "batch_size must be 1 or more"):
            trainer.fit({"x": X, "y": Y}, batch_size=wrong)  # type: ignore[arg-type]
    with refused(sg.FeedError, "epochs must be 1 or more"):
        trainer.fit({"x": X, "y": Y}, epochs=0)
    with refused(sg.FeedError, "a batch is a dict"):
        trainer.fit([(X, Y)])  # type: ignore[list-item]
    with refused(sg.FeedError, "a batch is a dict"):
        trainer.predict(X)  # type: ignore[arg-type]
    with refused(sg.CheckpointError, "state is a dict of arrays"):
        trainer.set_state(None)  # type: ignore[arg-type]


def test_predictions_without_a_row_for_each_sample_are_not_joined() -> None:
    x = sg.input("x", ("N", 2))
    w = sg.parameter("w", np.ones(2, np.float32))
    y = x * w
    step = sg.train_step(y.sum(), sg.optim.sgd(0.1), predictions={"rows": y, "total": y.sum(0)})
    trainer = sg.Trainer(step, device="cpu")
    assert trainer.predict(x=np.ones((3, 2), np.float32))["total"].tolist() == [3, 3]
    assert trainer.predict({"x": np.ones((0, 2), np.float32)}, batch_size=2)["rows"].shape == (0, 2)
    with refused(sg.FeedError, "prediction 'total' is f32[2]", "without batch_size"):
        trainer.predict({"x": np.ones((3, 2), np.float32)}, batch_size=2)


def test_what_stops_a_run_is_named() -> None:
    trainer = sg.Trainer(small_step(), device="cpu")
    before = trainer.state()
    with refused(sg.RunError, "Elements (declared at test_export.py:", "stopped on cpu", "idx=7"):
        trainer.step(x=X, y=np.full(12, 7))
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, before[name])
    trainer.step(x=X, y=Y)


def test_sizes_of_a_run_that_make_a_cut_impossible() -> None:
    x = sg.input("x", ("N",))
    f = sg.function(x[2:] * 2)
    assert f(np.ones(2, np.float32)).shape == (0,)
    with refused(sg.FeedError, "the size N-2 would be -1 where N = 1", "Slice"):
        f(np.ones(1, np.float32))


def test_batched_products_over_nothing() -> None:
    a, b = sg.input("a", ("B", 2, "K")), sg.input("b", ("B", "K", 2))
    f = sg.function(a @ b)
    with refused(sg.FeedError, "the size K would be 0", "MatMul"):
        f(np.ones((1, 2, 0), np.float32), np.ones((1, 0, 2), np.float32))


def test_functions_declared_wrongly() -> None:
    x, w = sg.input("x", ()), sg.parameter("w", 1.0)
    with refused(sg.DeclarationError, "outputs is empty"):
        sg.function([])
    with refused(sg.DeclarationError, "outputs must be Values, None came"):
        sg.function(None)  # type: ignore[arg-type]
    with refused(sg.DeclarationError, "'w' is fed by the caller and updated too"):
        sg.function([w * x], inputs=[x, w], updates={w: w * 2})
    with refused(sg.DeclarationError, "updates is a dict"):
        sg.function(w * x, updates=[(w, w)])  # type: ignore[arg-type]
    with refused(sg.DeclarationError, "an output cannot be called 'x'"):
        sg.function({"x": x * w})


def test_a_checkpoint_of_another_model_lists_the_differences(tmp_path: Path) -> None:
    sg.Trainer(small_step(), device="cpu").save(tmp_path / "saved")
    w = sg.parameter("v", np.ones((2, 2), np.float32))
    more = sg.parameter("more", np.ones(1, np.float32))
    trainer = sg.Trainer(sg.train_step((w.sum() * more).sum(), sg.optim.sgd(0.1)), device="cpu")
    before = trainer.state()
    with refused(
        sg.CheckpointError,
        "another model",
        "'v' is f32[4,3], f32[2,2] is expected",
        "'more' (f32[1]) is missing",
        "'layer1/bias' is not part of this model",
    ):
        trainer.load(tmp_path / "saved")
    np.testing.assert_array_equal(trainer.state()["v"], before["v"])


def test_a_checkpoint_that_is_truncated_corrupt_or_missing(tmp_path: Path) -> None:
    trainer = sg.Trainer(small_step(), device="cpu")
    trainer.save(tmp_path / "saved")
    data = (tmp_path / "saved").read_bytes()
    for name, broken in {
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "header": b"\xff" * 16 + data[16:],
        "text": b"this is not a checkpoint at all, only a line of text",
    }.items():
        (tmp_path / name).write_bytes(broken)
        with refused(sg.CheckpointError, name, "no whole safetensors file"):
            trainer.load(tmp_path / name)
    with refused(sg.CheckpointError, "cannot read"):
        trainer.load(tmp_path / "nowhere")


@pytest.mark.skipif(cuda_missing(0) is None, reason="a CUDA device answers here")
def test_cuda_without_cuda() -> None:
    with refused(sg.DeviceError, "device 'cuda' is not available"):
        sg.Trainer(small_step(), device="cuda")


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", ""])
def test_a_device_that_is_none(device: str) -> None:
    with refused(sg.DeviceError, "no device", "'auto'"):
        sg.function(sg.input("x", ()) + 1, device=device)


def test_an_operator_without_a_kernel_is_named() -> None:
    line = here()
    x = sg.input("x", (2,), "float64")
    with refused(sg.DeviceError, "no kernel for Erf", line.split(":")[0]):
        sg.function(sg.erf(x), device="cpu")


def unwritable(tmp_path: Path) -> Path:
    """A folder in which nobody, the superuser included, can make a file."""
    if os.geteuid() == 0:
        return Path("/proc")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    return folder


WRITERS: dict[str, Callable[[Path], Any]] = {
    "step": lambda path: small_step().export(path),
    "bundle": lambda path: small_step().export_bundle(path),
    "training info": lambda path: small_step().export_training_info(path),
    "inference": lambda path: sg.Trainer(small_step(), device="cpu").export_inference(path),
    "checkpoint": lambda path: sg.Trainer(small_step(), device="cpu").save(path),
    "function": lambda path: sg.function(sg.input("x", ()) + 1).export(path),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_writing_where_nothing_can_be_written(write: Callable[[Path], Any], tmp_path: Path) -> None:
    with refused(sg.ExportError, "does not exist"):
        write(tmp_path / "nowhere" / "file")
    folder = unwritable(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with refused(sg.ExportError, "cannot write"):
        write(folder / "file")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", [None, 3.5, "a\0b", "n" * 300])
def test_what_is_no_path(path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for write in WRITERS.values():
        with refused(sg.ExportError):
            write(path)
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_not_replaced() -> None:
    with refused(sg.ExportError, "device or a pipe"):
        small_step().export("/dev/null")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "there" / "step.onnx")
    small_step().export(tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "there" / "step.onnx").is_file()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_full_disk_leaves_no_partial_file(
    write: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        whole(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with refused(sg.ExportError, "No space left on device"):
        write(tmp_path / "file")
    assert list(tmp_path.rglob("*")) == []


def test_a_value_is_no_number() -> None:
    x = sg.input("x", (3,))
    for use in (bool, iter, list, np.asarray, float, int, len):
        with refused(sg.SymbolicValueError, "f32[3]"):
            use(x)  # type: ignore[operator]
    with refused(sg.SymbolicValueError, "bool[3]"):
        if x > 0:
            pass
    with refused(sg.SymbolicValueError):
        np.ones(3) in x  # noqa: B015


def test_numpy_arrays_beside_values_stay_symbolic() -> None:
    x = sg.input("x", (3,))
    assert isinstance(np.ones(3, np.float32) * x, sg.Value)
    assert isinstance(x - np.ones(3, np.float32), sg.Value)


def test_what_is_no_optimizer_metric_or_step() -> None:
    w = weights()
    with refused(sg.DeclarationError, "the optimizer must come from sg.optim"):
        sg.train_step(w * 1.0, 0.1)  # type: ignore[arg-type]
    with refused(sg.DeclarationError, "metric 'm' must be a Value"):
        sg.train_step(w * 1.0, sg.optim.sgd(0.1), metrics={"m": 3})  # type: ignore[dict-item]
    with refused(sg.DeclarationError, "a Trainer needs what sg.train_step gives"):
        sg.Trainer(w)  # type: ignore[arg-type]
    with refused(sg.DeclarationError, "no predictions"):
        sg.Trainer(sg.train_step(w * 1.0, sg.optim.sgd(0.1)), device="cpu").predict()
    with refused(sg.GradientError, "no parameter with requires_grad=True"):
        sg.train_step(sg.input("x", ()) * 1.0, sg.optim.sgd(0.1))


def test_layers_and_initializers_of_the_wrong_size() -> None:
    with refused(sg.DeclarationError, "in_features must be a positive int"):
        sg.nn.Linear(0, 3)
    with refused(sg.ShapeError, "rank 2 or more"):
        sg.init.xavier_uniform((3,))
    with refused(sg.DeclarationError, "nonlinearity='swish'"):
        sg.init.kaiming_normal((3, 3), nonlinearity="swish")
    with refused(sg.ShapeError, "a tuple of ints"):
        sg.init.zeros((3.5,))
    first, second = sg.nn.Linear(2, 2), sg.nn.Linear(2, 2)
    with refused(sg.DeclarationError, "'linear/weight' is declared twice"):
        sg.function(second(first(sg.input("x", ("N", 2)))))
