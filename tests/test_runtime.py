"""Functions and trainers on onnxruntime: calls, feeds, state, checkpoints, devices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export import RANDOM, X, Y, small_step

import staticgrad as sg


def trainer_of(optimizer: Any = None, **options: Any) -> sg.Trainer:
    return sg.Trainer(small_step(optimizer), device="cpu", **options)


def test_a_function_takes_arrays_by_position_and_by_name() -> None:
    a, b = sg.input("a", (2,)), sg.input("b", (2,))
    f = sg.function(b - a)
    one, two = np.array([1, 1], np.float32), np.array([3, 4], np.float32)
    assert f(one, two).tolist() == [2, 3]
    assert f(b=two, a=one).tolist() == [2, 3]
    assert sg.function([b - a], inputs=[b, a])(one, two)[0].tolist() == [-2, -3]


def test_one_value_gives_one_array_and_a_list_a_tuple() -> None:
    x = sg.input("x", (2,))
    given = np.zeros(2, np.float32)
    assert isinstance(sg.function(x + 1)(given), np.ndarray)
    assert isinstance(sg.function([x + 1])(given), tuple)


def test_inputs_that_nothing_uses_are_accepted_and_an_output_may_be_an_input() -> None:
    x, y = sg.input("x", (2,)), sg.input("y", ())
    f = sg.function([x, x + 1], inputs=[y, x])
    same, more = f(np.float32(0), np.ones(2, np.float32))
    assert (same.tolist(), more.tolist()) == ([1, 1], [2, 2])


def test_updates_carry_state_from_call_to_call() -> None:
    x = sg.input("x", ())
    total = sg.state("total", 0.0)
    f = sg.function(total + x, updates={total: total + x})
    assert [float(f(v)) for v in (1.0, 2.0, 3.0)] == [1, 3, 6]
    assert total.name == "total"


def test_a_parameter_may_be_fed() -> None:
    w = sg.parameter("w", 2.0)
    assert float(sg.function(w * w, inputs=[w])(3.0)) == 9


def test_python_numbers_and_lists_take_the_declared_type() -> None:
    x = sg.input("x", ("N",), "float64")
    y = sg.function(x * 2)([1, 2.5])
    assert (y.dtype, y.tolist()) == (np.float64, [2, 5])


def test_arrays_that_are_not_contiguous() -> None:
    x = sg.input("x", (3, 2))
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(sg.function(x + 0 * x)(array), array)
    np.testing.assert_array_equal(sg.function(x * 1.5)(array.astype(">f4")), array * 1.5)


def test_the_loss_and_metrics_of_a_step() -> None:
    trainer = trainer_of()
    first = trainer.step(x=X, y=Y)
    later = [trainer.step({"x": X, "y": Y}) for _ in range(30)]
    assert float(later[-1]) < float(first)
    assert first.loss == float(first) == float(first["loss"])
    assert 0 <= float(first["accuracy"]) <= 1
    assert list(first.keys()) == ["loss", "accuracy"]
    with pytest.raises(KeyError, match="accuracy"):
        first["precision"]


def test_a_result_read_after_later_steps_still_holds_its_own_value() -> None:
    fresh = [float(r) for r in (trainer_of().step(x=X, y=Y),)]
    trainer = trainer_of()
    results = [trainer.step(x=X, y=Y) for _ in range(5)]
    assert float(results[0]) == fresh[0]
    assert len({float(r) for r in results}) == 5


def test_other_batch_sizes_in_between() -> None:
    trainer = trainer_of()
    for size in (1, 7, 12, 3, 12):
        assert np.isfinite(float(trainer.step(x=X[:size], y=Y[:size])))


def test_names_that_are_no_identifiers() -> None:
    x = sg.input("batch/x", ("N", 2))
    w = sg.parameter("w", np.ones(2, np.float32))
    trainer = sg.Trainer(sg.train_step((x @ w).mean(), sg.optim.sgd(0.1)), device="cpu")
    assert float(trainer.step({"batch/x": np.ones((3, 2), np.float32)})) == 2


def test_an_input_called_feeds_or_self() -> None:
    feeds, other = sg.input("feeds", ()), sg.input("self", ())
    w = sg.parameter("w", 1.0)
    trainer = sg.Trainer(sg.train_step(w * feeds * other, sg.optim.sgd(0.1)), device="cpu")
    assert float(trainer.step({"feeds": 2.0, "self": 3.0})) == 6


def test_metrics_of_a_size_that_only_the_run_knows() -> None:
    x = sg.input("x", ("N", 2))
    w = sg.parameter("w", np.ones(2, np.float32))
    scores = x @ w
    trainer = sg.Trainer(sg.train_step(scores.mean(), sg.optim.sgd(0.1), metrics={"scores": scores}), device="cpu")
    results = [trainer.step(x=np.full((n, 2), n, np.float32)) for n in (1, 4)]
    assert results[0]["scores"].shape == (1,)
    assert results[1]["scores"].shape == (4,)
    assert results[0]["scores"].tolist() == [2]


def test_state_that_the_step_does_not_change_stays() -> None:
    x = sg.input("x", (3,))
    w = sg.parameter("w", np.ones(3, np.float32))
    frozen = sg.parameter("frozen", np.full(3, 2, np.float32), requires_grad=False)
    trainer = sg.Trainer(sg.train_step((w * frozen * x).sum(), sg.optim.sgd(0.1)), device="cpu")
    for _ in range(3):
        trainer.step(x=np.ones(3, np.float32))
    assert trainer.state()["frozen"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(trainer.state()["w"], 1 - 3 * 0.2, rtol=1e-6)


def test_fit_evaluate_predict() -> None:
    trainer = trainer_of(sg.optim.adam(5e-2))
    data = {"x": X, "y": Y}
    seen: list[int] = []
    history = trainer.fit(data, epochs=40, batch_size=5, callback=lambda epoch, means: seen.append(epoch))
    assert seen == list(range(40))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    whole = trainer.evaluate(data)
    assert trainer.evaluate(data, batch_size=5) == pytest.approx(whole, rel=1e-5)
    assert trainer.evaluate([{"x": X[:4], "y": Y[:4]}, {"x": X[4:], "y": Y[4:]}]) == pytest.approx(whole, rel=1e-5)
    probabilities = trainer.predict(x=X)["probabilities"]
    np.testing.assert_allclose(trainer.predict({"x": X}, batch_size=5)["probabilities"], probabilities, rtol=1e-5)
    assert (probabilities.argmax(-1) == Y).mean() == pytest.approx(whole["accuracy"])


def test_the_same_seed_gives_the_same_training() -> None:
    runs = [trainer_of().fit({"x": X, "y": Y}, epochs=3, batch_size=4, seed=seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_a_second_fit_goes_on_with_other_batches() -> None:
    trainer, whole = trainer_of(sg.optim.sgd(1e-2)), trainer_of(sg.optim.sgd(1e-2))
    data = {"x": X, "y": Y}
    parts = trainer.fit(data, batch_size=4) + trainer.fit(data, batch_size=4)
    assert parts == whole.fit(data, epochs=2, batch_size=4)


def test_fit_takes_lists_and_what_goes_with_every_batch() -> None:
    x, rate = sg.input("x", ("N", 2)), sg.input("rate", ())
    mixing = sg.input("mixing", (2, 2))
    w = sg.parameter("w", np.ones(2, np.float32))
    trainer = sg.Trainer(sg.train_step((x @ mixing @ w).mean(), sg.optim.sgd(rate)), device="cpu")
    data = {"mixing": [[1.0, 0.0], [0.0, 1.0]], "x": np.ones((5, 2)).tolist(), "rate": 0.5}
    assert trainer.fit(data, batch_size=2)[0]["loss"] < 2
    # Whatever the order of the names, every sample counts once.
    xs = np.arange(10, dtype=np.float32).reshape(5, 2)
    batches = [{"mixing": np.eye(2, dtype=np.float32), "x": part} for part in (xs[:1], xs[1:])]
    assert trainer.evaluate(batches) == pytest.approx(trainer.evaluate({**data, "x": xs}), rel=1e-6)


def test_several_threads_may_share_a_trainer_and_a_function() -> None:
    count = sg.state("count", 0)
    f = sg.function(count + 1, updates={count: count + 1})
    trainer = trainer_of()
    bad: list[Any] = []

    def work(size: int) -> None:
        for _ in range(200):
            f()
            hits = float(trainer.step(x=X[:size], y=Y[:size])["accuracy"]) * size
            if abs(hits - round(hits)) > 1e-3:
                bad.append(hits)

    threads = [threading.Thread(target=work, args=(size,)) for size in (1, 4, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(f()) == 601
    assert int(trainer.state()["step"]) == 600
    assert not bad


def test_resuming_gives_bit_identical_losses(tmp_path: Path) -> None:
    step = small_step(sg.optim.adam(sg.optim.cosine_decay_schedule(1e-2, 30)))
    trainer = sg.Trainer(step, device="cpu")
    for _ in range(5):
        trainer.step(x=X, y=Y)
    trainer.save(tmp_path / "saved.safetensors")
    expected = [float(trainer.step(x=X, y=Y)) for _ in range(5)]
    other = sg.Trainer(small_step(sg.optim.adam(sg.optim.cosine_decay_schedule(1e-2, 30))), device="cpu")
    other.load(tmp_path / "saved.safetensors")
    assert [float(other.step(x=X, y=Y)) for _ in range(5)] == expected


def test_state_is_a_copy_and_can_be_set() -> None:
    trainer = trainer_of()
    before = trainer.state()
    loss = float(trainer.step(x=X, y=Y))
    trainer.step(x=X, y=Y)
    trainer.set_state(before)
    assert float(trainer.step(x=X, y=Y)) == loss
    before["v"][:] = 0
    assert trainer.state()["v"].any()


def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "saved.safetensors"
    trainer = trainer_of()
    trainer.save(path)
    old = path.read_bytes()
    script = textwrap.dedent(
        """
        import sys, time, pathlib
        import staticgrad.exporters as exporters, numpy as np
        write = pathlib.Path.write_bytes
        def slowly(self, data):
            write(self, data[: len(data) // 2])
            print("half", flush=True)
            time.sleep(60)
        pathlib.Path.write_bytes = slowly
        exporters.write_tensors(sys.argv[1], {"a": np.zeros(1000)}, {})
        """
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "half"
        os.kill(process.pid, signal.SIGKILL)
    assert path.read_bytes() == old
    trainer.load(path)


def test_check_finite_names_the_first_value_and_keeps_the_state() -> None:
    x = sg.input("x", ("N", 2))
    w = sg.parameter("w", np.ones(2, np.float32))
    scores = sg.log(x @ w)
    line = scores.source.line
    step = sg.train_step(scores.mean(), sg.optim.sgd(0.1))
    trainer = sg.Trainer(step, device="cpu", check_finite=True)
    good = np.ones((3, 2), np.float32)
    trainer.step(x=good)
    before = trainer.state()["w"]
    with pytest.raises(sg.NotFiniteError, match=rf"Log.*test_runtime.py:{line}\) is not finite") as caught:
        trainer.step(x=-good)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(trainer.state()["w"], before)
    assert np.isfinite(float(trainer.step(x=good)))
    with pytest.raises(sg.NotFiniteError, match="the input 'x'"):
        trainer.step(x=good * np.nan)


def test_check_finite_lets_masked_infinities_pass() -> None:
    x = sg.input("x", (2,))
    w = sg.parameter("w", np.ones(2, np.float32))
    loss = (w * sg.where(x > 0, sg.stop_gradient(x).log(), 0.0)).sum()
    trainer = sg.Trainer(sg.train_step(loss, sg.optim.sgd(0.1)), device="cpu", check_finite=True)
    assert np.isfinite(float(trainer.step(x=np.array([0, 1], np.float32))))


def test_check_finite_with_names_of_its_own_and_halves() -> None:
    w = sg.parameter("finite", sg.init.ones((2,), dtype="float16"))
    step = sg.train_step(w.sum(), sg.optim.sgd(0.1), metrics={"finite_": w.float().sum()})
    trainer = sg.Trainer(step, device="cpu", check_finite=True)
    assert float(trainer.step()["finite_"]) == 2


def test_check_finite_computes_the_same_losses() -> None:
    plain, checked = trainer_of(), trainer_of(check_finite=True)
    for _ in range(3):
        assert float(plain.step(x=X, y=Y)) == pytest.approx(float(checked.step(x=X, y=Y)), rel=1e-6)


def test_session_settings_reach_onnxruntime(tmp_path: Path) -> None:
    trainer = trainer_of(threads=1, optimization="none", profile=tmp_path / "profile")
    trainer.step(x=X, y=Y)
    assert trainer.session.get_session_options().intra_op_num_threads == 1
    assert Path(trainer.session.end_profiling()).parent == tmp_path


def test_nothing_is_shared_between_trainers_of_one_step() -> None:
    step = small_step()
    first, second = sg.Trainer(step, device="cpu"), sg.Trainer(step, device="cpu")
    for _ in range(3):
        first.step(x=X, y=Y)
    np.testing.assert_array_equal(second.state()["v"], step.state["v"])


def test_dlpack_tensors_are_taken_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    x = sg.input("x", (4,))
    f = sg.function(x * 2)
    assert f(torch.arange(4.0)).tolist() == [0, 2, 4, 6]
    tensor = torch.arange(4.0)
    checked = f._feeds.check({"x": tensor})["x"]
    assert checked.__array_interface__["data"][0] == tensor.data_ptr()
    flags = sg.input("flags", (2,), "bool")
    assert sg.function(~flags)(torch.tensor([True, False])).tolist() == [False, True]
    halves = sg.input("halves", (2,), "bfloat16")
    assert sg.function(halves.float())(torch.tensor([1.5, 2.0], dtype=torch.bfloat16)).tolist() == [1.5, 2]


def test_bfloat16_arrays_go_in_and_out() -> None:
    import ml_dtypes

    x = sg.input("x", (2,), "bfloat16")
    given = np.array([1.5, -2], ml_dtypes.bfloat16)
    back = sg.function([x, x.float()])(given)
    assert (back[0].dtype, back[0].tolist(), back[1].tolist()) == (given.dtype, [1.5, -2], [1.5, -2])


def test_auto_is_the_cpu_where_there_is_no_cuda() -> None:
    from staticgrad.runtime.device import cuda_missing

    trainer = sg.Trainer(small_step())
    assert trainer.device == ("cpu" if cuda_missing(0) else "cuda")


def test_two_packages_of_onnxruntime_are_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from staticgrad.runtime import device

    device.warn_of_two_packages.cache_clear()
    monkeypatch.setattr(device.metadata, "version", lambda name: "1.0")
    with pytest.warns(RuntimeWarning, match="both installed"):
        device.warn_of_two_packages()
    device.warn_of_two_packages()
    device.warn_of_two_packages.cache_clear()


def test_random_batches_give_the_gradient_of_the_eager_reference() -> None:
    eager = sg.eager
    step = small_step(sg.optim.sgd(0.1))
    trainer = sg.Trainer(step, device="cpu")
    tensors = {n: eager.tensor(a, requires_grad=True) for n, a in step.state.items()}
    for _ in range(5):
        x, y = RANDOM.standard_normal((9, 5)).astype("float32"), RANDOM.integers(0, 3, 9)
        hidden = eager.tanh(eager.tensor(x) @ tensors["layer1/weight"] + tensors["layer1/bias"])
        loss = eager.nn.functional.cross_entropy(hidden @ tensors["v"], eager.tensor(y))
        optimizer = eager.optim.SGD(list(tensors.values()), lr=0.1)
        loss.backward()
        assert float(trainer.step(x=x, y=y)) == pytest.approx(loss.item(), rel=1e-5)
        optimizer.step()
        optimizer.zero_grad()
    for name, array in trainer.state().items():
        np.testing.assert_allclose(array, tensors[name].numpy(), rtol=1e-4, atol=1e-6)
