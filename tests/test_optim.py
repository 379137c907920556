"""Optimizers and schedules, run on onnxruntime, against Optax, PyTorch, the eager reference and closed formulas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Any

import numpy as np
import onnxruntime
import pytest
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import eager, optim
from staticgrad.train.step import TrainStep, train_step

RANDOM = np.random.default_rng(0)
X, Y, W, B = (RANDOM.standard_normal(shape) for shape in ((6, 3), (6, 2), (3, 2), (2,)))
STEPS = 20


def model(x: Any, y: Any, w: Any, b: Any) -> Any:
    """A loss of plain arithmetic, which every library can differentiate; neither convex nor flat where it starts."""
    z = x @ w + b
    difference = z / (1 + z * z) - y
    return (difference * difference).sum() + 0.1 * (w * w).sum()


def declared(optimizer: optim.GradientTransformation, dtype: str = "float64", **options: Any) -> TrainStep:
    x, y = sg.input("x", ("N", 3), dtype), sg.input("y", ("N", 2), dtype)
    w, b = sg.parameter("w", W.astype(dtype)), sg.parameter("b", B.astype(dtype))
    return train_step(model(x, y, w, b), optimizer, **options)


def run(step: TrainStep, count: int = STEPS, **feeds: Any) -> list[dict[str, Any]]:
    """All states after each of `count` steps; a feed that is a list has one element for each step."""
    session = onnxruntime.InferenceSession(to_model(step.graph).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    state: Mapping[str, Any] = step.state
    history = []
    for t in range(count):
        batch = {name: np.asarray(feed[t] if isinstance(feed, list) else feed) for name, feed in feeds.items()}
        results = dict(zip(names, session.run(names, {**batch, **state}), strict=True))
        state = {name: results[f"{name}.next"] for name in state}
        history.append(dict(state))
    return history


def trained(optimizer: optim.GradientTransformation) -> list[dict[str, Any]]:
    return run(declared(optimizer), x=X, y=Y)


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        for name, expected in other.items():
            np.testing.assert_allclose(mine[name], expected, rtol=1e-10, atol=1e-13)


# One line makes the same optimizer of either library, since names, arguments and meanings are Optax's.
OF_EITHER_LIBRARY: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda o: o.sgd(0.05),
    "momentum": lambda o: o.sgd(0.05, 0.9),
    "nesterov": lambda o: o.sgd(0.05, momentum=0.9, nesterov=True),
    "sgd, schedule": lambda o: o.sgd(o.linear_schedule(0.1, 0.01, 15), 0.5),
    "adam": lambda o: o.adam(0.05),
    "adam, all": lambda o: o.adam(o.cosine_decay_schedule(0.1, 12), 0.8, 0.95, 1e-3, 1e-2),
    "adam, no memory": lambda o: o.adam(0.05, b1=0.0, b2=0.0, eps=1e-2),
    "adamw": lambda o: o.adamw(0.05),
    "adamw, all": lambda o: o.adamw(
        o.exponential_decay(0.1, 5, 0.5), weight_decay=o.linear_schedule(0.1, 0.5, 9), mask={"w": True, "b": False}
    ),
    "rmsprop": lambda o: o.rmsprop(0.02),
    "rmsprop, outside": lambda o: o.rmsprop(0.02, decay=0.8, eps=1e-3, initial_scale=0.5, eps_in_sqrt=False),
    "rmsprop, centered": lambda o: o.rmsprop(0.02, eps=1e-4, centered=True, momentum=0.5, nesterov=True),
    "rmsprop, corrected": lambda o: o.rmsprop(0.02, centered=True, eps=1e-2, bias_correction=True),
    "rmsprop, schedule": lambda o: o.rmsprop(o.piecewise_constant_schedule(0.1, {3: 0.5, 7: 0.1}), momentum=0.9),
    "adagrad": lambda o: o.adagrad(0.1),
    "adagrad, all": lambda o: o.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0),
    "l2": lambda o: o.chain(o.add_decayed_weights(0.3, mask={"w": False, "b": True}), o.sgd(0.05, 0.9)),
    "clip": lambda o: o.chain(o.clip(0.3), o.sgd(0.1)),
    "clipped norm": lambda o: o.chain(o.clip_by_global_norm(0.7), o.adam(0.05)),
    "norm that is small": lambda o: o.chain(o.clip_by_global_norm(1e4), o.sgd(0.05)),
    "nested": lambda o: o.chain(
        o.identity(), o.chain(o.trace(0.5), o.trace(0.3, nesterov=True)), o.chain(o.scale(-0.02))
    ),
    "two schedules": lambda o: o.chain(
        o.scale_by_schedule(o.warmup_cosine_decay_schedule(0.1, 1.0, 4, 15, 0.2)),
        o.scale_by_learning_rate(o.join_schedules([o.constant_schedule(0.1), o.linear_schedule(0.1, 0, 9)], [6])),
    ),
    "pieces": lambda o: o.chain(
        o.scale_by_adam(), o.scale_by_rms(eps=1e-2), o.scale_by_rss(), o.scale_by_learning_rate(0.1, flip_sign=True)
    ),
}


@pytest.mark.parametrize("name", OF_EITHER_LIBRARY)
def test_optax(name: str) -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    make = OF_EITHER_LIBRARY[name]
    with jax.enable_x64(True):
        optimizer = make(optax)
        params = {"w": jax.numpy.asarray(W), "b": jax.numpy.asarray(B)}
        # Quotients of Optax's 32-bit counters would be float32.
        state = jax.tree.map(lambda a: a.astype("int64") if a.dtype == "int32" else a, optimizer.init(params))
        gradient = jax.jit(jax.grad(lambda p: model(X, Y, **p)))
        expected = []
        for _ in range(STEPS):
            updates, state = optimizer.update(gradient(params), state, params)
            params = optax.apply_updates(params, updates)
            expected.append({key: np.asarray(value) for key, value in params.items()})
    assert_same(trained(make(optim)), expected)


# PyTorch's and the eager optimizers have the same names and arguments; their eps stands outside of roots.
PYTORCH: list[tuple[optim.GradientTransformation, str, dict[str, Any]]] = [
    (optim.sgd(0.05), "SGD", {"lr": 0.05}),
    (optim.sgd(0.05, 0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
    (optim.sgd(0.05, 0.9, True), "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (
        optim.chain(optim.add_decayed_weights(0.2), optim.sgd(0.05, 0.9)),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.2},
    ),
    (optim.adam(0.05), "Adam", {"lr": 0.05}),
    (optim.adam(0.05, 0.5, 0.9, 1e-3), "Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3}),
    (optim.adamw(0.05, weight_decay=0.3), "AdamW", {"lr": 0.05, "weight_decay": 0.3}),
    (optim.rmsprop(0.02, decay=0.99, eps_in_sqrt=False), "RMSprop", {"lr": 0.02}),
    (
        optim.rmsprop(0.02, eps=1e-3, eps_in_sqrt=False, centered=True, momentum=0.9),
        "RMSprop",
        {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "centered": True, "momentum": 0.9},
    ),
    (optim.adagrad(0.1, eps=0.0), "Adagrad", {"lr": 0.1, "eps": 0.0, "initial_accumulator_value": 0.1}),
]


@pytest.mark.parametrize("witness", ["eager", "torch"])
@pytest.mark.parametrize("case", PYTORCH, ids=lambda case: f"{case[1]}-{'-'.join(case[2])}")
def test_pytorch_and_eager(witness: str, case: tuple[optim.GradientTransformation, str, dict[str, Any]]) -> None:
    library: Any = eager if witness == "eager" else pytest.importorskip("torch")
    ours, name, arguments = case
    x, y = library.tensor(X), library.tensor(Y)
    w, b = library.tensor(W, requires_grad=True), library.tensor(B, requires_grad=True)
    optimizer = getattr(library.optim, name)([w, b], **arguments)
    expected = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(x, y, w, b).backward()
        optimizer.step()
        expected.append({"w": w.detach().numpy().copy(), "b": b.detach().numpy().copy()})
    assert_same(trained(ours), expected)


COUNTS = np.arange(30)
SCHEDULES: dict[str, tuple[Callable[[Any], Any], Callable[[int], float]]] = {
    "constant": (lambda o: o.constant_schedule(0.3), lambda t: 0.3),
    "linear": (lambda o: o.linear_schedule(1.0, 0.1, 12, 5), lambda t: 1 - 0.9 * min(max(t - 5, 0), 12) / 12),
    "linear of no length": (lambda o: o.linear_schedule(1.0, 0.1, 0), lambda t: 1.0),
    "polynomial": (
        lambda o: o.polynomial_schedule(2.0, 0.5, 3, 20, 4),
        lambda t: 0.5 + 1.5 * (1 - min(max(t - 4, 0), 20) / 20) ** 3,
    ),
    "cosine": (
        lambda o: o.cosine_decay_schedule(2.0, 20, 0.1, 1.5),
        lambda t: 2 * (0.9 * (0.5 * (1 + cos(pi * min(t, 20) / 20))) ** 1.5 + 0.1),
    ),
    "exponential": (
        lambda o: o.exponential_decay(2.0, 10, 0.5, 3, end_value=0.7),
        lambda t: max(2 * 0.5 ** (max(t - 3, 0) / 10), 0.7),
    ),
    "staircase": (
        lambda o: o.exponential_decay(1.0, 4, 1.3, staircase=True, end_value=4.0),
        lambda t: min(1.3 ** (t // 4), 4.0),
    ),
    "piecewise": (
        lambda o: o.piecewise_constant_schedule(2.0, {20: 0.5, 10: 0.1}),
        lambda t: 2.0 * (0.1 if t >= 10 else 1) * (0.5 if t >= 20 else 1),
    ),
    "piecewise of one": (lambda o: o.piecewise_constant_schedule(2.0), lambda t: 2.0),
    "warm-up": (lambda o: o.warmup_constant_schedule(0.1, 1.0, 9), lambda t: 0.1 + 0.9 * min(t, 9) / 9),
    "warm-up, cosine": (
        lambda o: o.warmup_cosine_decay_schedule(0.0, 1.0, 5, 25, 0.2),
        lambda t: t / 5 if t < 5 else 0.6 + 0.4 * cos(pi * min(t - 5, 20) / 20),
    ),
    "joined": (
        lambda o: o.join_schedules(
            [o.constant_schedule(1.0), lambda t: 0.5 / (1 + t * t), o.linear_schedule(3, 4, 5)], [7, 18]
        ),
        lambda t: 1.0 if t < 7 else 0.5 / (1 + (t - 7) ** 2) if t < 18 else 3 + min(t - 18, 5) / 5,
    ),
}


def rates_in_graph(schedule: Any) -> list[float]:
    """What the schedule scales a gradient of one by, step by step."""
    w = sg.parameter("w", np.zeros((), np.float64))
    sums = [state["w"] for state in run(train_step(w * 1.0, optim.scale_by_schedule(schedule)), len(COUNTS))]
    return [float(rate) for rate in np.diff([0.0, *sums])]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    make, formula = SCHEDULES[name]
    expected = [formula(t) for t in range(30)]
    schedule = make(optim)
    # The plain function in "joined" divides integers, whose quotient is float32 in the graph.
    np.testing.assert_allclose(rates_in_graph(schedule), expected, rtol=1e-6 if name == "joined" else 1e-11, atol=1e-14)
    np.testing.assert_allclose(schedule(COUNTS), expected, rtol=1e-12, atol=1e-15)
    assert schedule(COUNTS).shape == COUNTS.shape
    assert isinstance(schedule(3), np.floating) and schedule(3) == schedule(COUNTS)[3]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_of_optax(name: str) -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    make, _ = SCHEDULES[name]
    with jax.enable_x64(True):
        expected = [float(make(optax)(t)) for t in range(30)]
    np.testing.assert_allclose(make(optim)(COUNTS), expected, rtol=1e-12, atol=1e-15)


def test_a_schedule_of_ones_own() -> None:
    assert rates_in_graph(lambda count: sg.where(count < 3, 1.0, 0.5))[:5] == [1, 1, 1, 0.5, 0.5]
    assert rates_in_graph(lambda count: 2)[:2] == [2, 2]


def test_the_learning_rate_as_an_input() -> None:
    step = declared(optim.adam(sg.input("lr", (), "float32")))
    rates = [np.float32(0.25 / (1 + t)) for t in range(STEPS)]
    table = optim.piecewise_constant_schedule(0.25, {t: t / (1 + t) for t in range(1, STEPS)})
    assert_same(
        [{"b": s["b"]} for s in run(step, x=X, y=Y, lr=[np.float32(0.25)] * STEPS)],
        [{"b": s["b"]} for s in trained(optim.adam(0.25))],
    )
    for mine, other in zip(run(step, x=X, y=Y, lr=rates), trained(optim.adam(table)), strict=True):
        np.testing.assert_allclose(mine["w"], other["w"], rtol=1e-5)


def test_the_learning_rate_as_a_state() -> None:
    rate = sg.state("rate", np.float64(0.5))
    step = declared(optim.sgd(rate))
    assert list(step.state) == ["rate", "w", "b"]  # in order of declaration
    assert_same(run(step, x=X, y=Y), trained(optim.sgd(0.5)))
    halved = declared(optim.sgd(rate), updates={rate: rate * 0.5})
    assert [float(s["rate"]) for s in run(halved, 3, x=X, y=Y)] == [0.25, 0.125, 0.0625]


def states(optimizer: optim.GradientTransformation, **options: Any) -> list[str]:
    """The names of an optimizer's states; those of the parameters come before them."""
    names = list(declared(optimizer, **options).state)
    assert names[:2] == ["w", "b"]
    return names[2:]


def test_names_of_states() -> None:
    assert states(optim.sgd(0.1)) == []
    assert states(optim.chain()) == states(optim.chain(optim.clip_by_global_norm(1), optim.scale(0.1))) == []
    assert states(optim.sgd(0.1, 0.9)) == ["w.trace", "b.trace"]
    assert states(optim.adam(0.1)) == ["step", "w.mu", "b.mu", "w.nu", "b.nu"]
    assert states(optim.rmsprop(0.1)) == ["w.nu", "b.nu"]
    assert states(optim.rmsprop(0.1, centered=True)) == ["w.mu", "b.mu", "w.nu", "b.nu"]
    assert states(optim.adagrad(0.1)) == ["w.sum", "b.sum"]
    assert states(optim.sgd(optim.linear_schedule(0, 1, 9))) == ["step"]


def test_names_are_given_once() -> None:
    twice = optim.chain(optim.trace(0.5), optim.trace(0.5))
    assert states(twice) == ["w.trace", "b.trace", "w.trace2", "b.trace2"]
    assert states(optim.adam(sg.input("step", (), "float64")))[:2] == ["step2", "w.mu"]
    other = sg.constant(np.float64(1))
    assert states(twice, metrics={"w.trace": other}, predictions={"b.trace2": other}) == [
        *("w.trace2", "b.trace", "w.trace3", "b.trace3")
    ]


def test_one_counter_serves_all() -> None:
    rate = optim.cosine_decay_schedule(0.1, 50)
    step = declared(
        optim.chain(optim.scale_by_schedule(rate), optim.adam(rate), optim.scale_by_rms(bias_correction=True))
    )
    assert [name for name in step.state if name.startswith("step")] == ["step"]
    assert step.state["step"].dtype == np.int64 and step.state["step"].shape == ()
    assert [int(state["step"]) for state in run(step, 3, x=X, y=Y)] == [1, 2, 3]
    # Numbers are computed once, whatever the number of parameters.
    assert Counter(node.op.name for node in step.graph.operators)["Cos"] == 1


def test_moments_are_those_of_the_papers() -> None:
    w = sg.parameter("w", np.zeros(2))
    after = run(train_step((w * sg.constant(np.array([1.0, -3.0]))).sum(), optim.adam(0.1)), 2)[-1]
    np.testing.assert_allclose(after["w.mu"], [0.19, -0.57], rtol=1e-12)
    np.testing.assert_allclose(after["w.nu"], [0.001999, 0.017991], rtol=1e-12)


def test_bias_correction_keeps_the_digits_of_float32() -> None:
    w = sg.parameter("w", np.zeros(1, np.float32))
    history = run(train_step(w.sum(), optim.adam(1.0)), 5)
    # A constant gradient of 1 makes every step one learning rate.
    np.testing.assert_allclose(np.diff([0, *(s["w"][0] for s in history)]), -1, rtol=2e-6)


def test_clip_by_global_norm() -> None:
    w, b = sg.parameter("w", np.zeros(3)), sg.parameter("b", np.float32(0))
    x = sg.input("x", (3,), "float64")
    step = train_step(
        (w * x).sum() + (b * x.sum().float()).to("float64"),
        optim.chain(optim.clip_by_global_norm(2.0), optim.scale(1.0)),
    )
    same, zero, cut = run(step, 3, x=[np.array([0.6, 0, 0]), np.zeros(3), np.array([30.0, 40.0, -70.0])])
    np.testing.assert_allclose(same["w"], [0.6, 0, 0])
    np.testing.assert_allclose(same["b"], 0.6, rtol=1e-6)
    assert zero["w"].tolist() == same["w"].tolist()
    np.testing.assert_allclose(cut["w"] - same["w"], np.array([30, 40, -70]) * 2 / np.sqrt(7400))


@pytest.mark.parametrize(
    "make",
    [optim.adam, optim.rmsprop, optim.adagrad, lambda lr: optim.adagrad(lr, 0.0, 0.0), lambda lr: optim.sgd(lr, 0.9)],
)
def test_a_zero_gradient_moves_nothing(make: Callable[[float], optim.GradientTransformation]) -> None:
    w = sg.parameter("w", np.ones(2, np.float32))
    assert run(train_step((w * 0.0).sum(), make(0.5)), 3)[-1]["w"].tolist() == [1, 1]


def test_centered_rmsprop_of_constant_gradients_is_finite() -> None:
    slopes = np.linspace(1, 100, 50).astype(np.float32)
    w = sg.parameter("w", np.ones_like(slopes))
    history = run(train_step((w * sg.constant(slopes)).sum(), optim.rmsprop(1e-3, centered=True)), 200)
    # Without a bound the variance of some rounds to less than -eps, whose root is not a number.
    assert np.isfinite(history[-1]["w"]).all()
    assert (history[-1]["w.nu"] - history[-1]["w.mu"] ** 2 < -1e-8).any()


def test_masks() -> None:
    by_name = [states_after_decay(mask) for mask in ({"w": True, "b": False}, ["w"], {"w"}, lambda name: name == "w")]
    for other in by_name[1:]:
        assert_same(by_name[0], other)
    assert (states_after_decay(None)[-1]["b"] != by_name[0][-1]["b"]).all()
    assert_same(states_after_decay([]), trained(optim.adam(0.1)))


def states_after_decay(mask: Any) -> list[dict[str, Any]]:
    return trained(optim.adamw(0.1, weight_decay=0.5, mask=mask))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_half_precision_is_optimised_in_float32(dtype: str) -> None:
    step = declared(
        optim.chain(optim.clip_by_global_norm(5.0), optim.adamw(optim.linear_schedule(0.1, 0.0, 30))), dtype
    )
    state = {name: array.dtype.name for name, array in step.state.items()}
    wide = "float32" if dtype == "float16" else dtype
    assert (state["w"], state["w.mu"], state["w.nu"]) == (dtype, wide, wide)
    used = {v.type.dtype.value for node in step.graph.operators for v in node.outputs}
    assert used == {"int64", wide, dtype}
    after = run(step, x=X.astype(dtype), y=Y.astype(dtype))[-1]
    assert after["w"].dtype == dtype
    exact = run(
        declared(optim.chain(optim.clip_by_global_norm(5.0), optim.adamw(optim.linear_schedule(0.1, 0.0, 30)))),
        x=X,
        y=Y,
    )
    np.testing.assert_allclose(after["w"], exact[-1]["w"], atol={"float16": 2e-2, "float32": 1e-5, "float64": 0}[dtype])


def test_a_transformation_of_ones_own() -> None:
    def init(params: Mapping[str, sg.Value]) -> Any:
        return {"last": {k: sg.state(f"{k}.mu", np.zeros(p.shape)) for k, p in params.items()}, "more": (None, [])}  # type: ignore[arg-type]

    def update(updates: Mapping[str, sg.Value], state: Any, params: Mapping[str, sg.Value]) -> Any:
        return {k: u - state["last"][k] for k, u in updates.items()}, {"last": updates, "more": (None, [])}

    own = optim.GradientTransformation(init, update)
    assert states(optim.chain(own, optim.adam(0.1)))[2:] == ["step", "w.mu2", "b.mu2", "w.nu", "b.nu"]
    w = sg.parameter("w", np.zeros(1))
    step = train_step((w * sg.input("x", (1,), "float64")).sum(), optim.chain(own, optim.scale(1.0)))
    after = run(step, 3, x=[np.array([v]) for v in (1.0, 5.0, 2.0)])
    assert [float(s["w"][0]) for s in after] == [1, 5, 2]


def test_the_step_of_gradient_descent() -> None:
    x, y = sg.input("x", ("N", 3)), sg.input("y", ("N", 2))
    w1, w2 = sg.parameter("w1", np.ones((3, 4), np.float32)), sg.parameter("w2", np.ones((4, 2), np.float32))
    step = train_step((x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum(), optim.sgd(1e-6))
    lines = str(step).splitlines()
    assert lines[0] == (
        "step(x: f32[N,3], y: f32[N,2], w1: f32[3,4], w2: f32[4,2]) -> "
        "(loss: f32[], w1.next: f32[3,4], w2.next: f32[4,2])"
    )
    updates = [line.strip() for line in lines if "1e-06" in line or ".next" in line][1:]
    assert updates == [
        "w1.next: f32[3,4] = Gemm(x, i, w1, alpha=-1e-06, transA=True)",
        "w2.next: f32[4,2] = Gemm(b, g, w2, alpha=-1e-06, transA=True)",
    ]
    assert len(lines) == 1 + 12 + len(["forward", "backward", "update"])


def passes(optimizer: optim.GradientTransformation) -> int:
    """The operators over a whole parameter, whose gradient is an input."""
    w = sg.parameter("w", np.zeros(5, np.float32))
    step = train_step((w * sg.input("x", (5,))).sum(), optimizer)
    forward = 1
    return sum(node.outputs[0].type.shape == (5,) for node in step.graph.operators) - forward


def test_passes_over_a_parameter() -> None:
    rate = optim.cosine_decay_schedule(0.1, 50)
    assert passes(optim.sgd(0.1)) == passes(optim.sgd(rate)) == 2
    assert passes(optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(rate))) == 2
    assert passes(optim.sgd(rate, 0.9)) == 4
    assert passes(optim.adam(rate)) == passes(optim.adam(0.1)) == 12
    assert passes(optim.adamw(rate)) == 13
    assert passes(optim.rmsprop(0.1)) == 9
    assert passes(optim.adagrad(0.1)) == 7


def test_passes_over_a_parameter_of_a_product() -> None:
    w = sg.parameter("w", np.zeros((5, 4), np.float32))

    def count(batch: int | str, optimizer: optim.GradientTransformation) -> int:
        graph = train_step((sg.input("x", (batch, 5)) @ w).square().sum(), optimizer).graph
        return sum(node.outputs[0].type.shape == (5, 4) for node in graph.operators)

    for batch in (8, "N"):
        assert count(batch, optim.sgd(0.1)) == 1
        assert count(batch, optim.adam(0.1)) == 12  # the product and 11 passes
    assert count(8, optim.sgd(0.1, 0.9)) == 3
    # A product over a batch of nothing would not scale the momentum.
    assert count("N", optim.sgd(0.1, 0.9)) == 4


def test_momentum_fades_over_a_batch_of_nothing() -> None:
    w = sg.parameter("w", np.zeros((5, 4), np.float32))
    step = train_step((sg.input("x", ("N", 5)) @ w).sum(), optim.sgd(0.1, 0.5))
    trainer = sg.Trainer(step, device="cpu")
    for size, trace in ((4, 4), (0, 2), (0, 1), (2, 2.5)):
        trainer.step(x=np.ones((size, 5), np.float32))
        assert (trainer.state()["w.trace"] == trace).all()


VECTOR, INTEGER = sg.input("v", (3,)), sg.input("i", (), "int64")
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: optim.sgd(-0.1), sg.DeclarationError, "learning_rate must be 0 or more, -0.1 came"),
    (lambda: optim.adam(float("nan")), sg.DeclarationError, "learning_rate must be finite, nan came"),
    (lambda: optim.sgd("fast"), sg.DeclarationError, "learning_rate must be a number, 'fast' came"),  # type: ignore[arg-type]
    (lambda: optim.sgd(VECTOR), sg.ShapeError, "learning_rate must be one number, it is f32[3]"),
    (lambda: optim.sgd(INTEGER), sg.DTypeError, "learning_rate must be floating, it is i64[]"),
    (lambda: optim.sgd(0.1, "much"), sg.DeclarationError, "momentum must be a number, 'much' came"),  # type: ignore[arg-type]
    (lambda: optim.sgd(0.1, True), sg.DeclarationError, "momentum must be a number, True came"),
    (lambda: optim.adam(0.1, b1=1.0), sg.DeclarationError, "b1 must be 0 or more and below 1, 1.0 came"),
    (lambda: optim.adam(0.1, b2=-0.1), sg.DeclarationError, "b2 must be 0 or more and below 1, -0.1 came"),
    (lambda: optim.adam(0.1, eps=-1), sg.DeclarationError, "eps must be 0 or more, -1 came"),
    (lambda: optim.adamw(0.1, weight_decay=-1), sg.DeclarationError, "weight_decay must be 0 or more, -1 came"),
    (lambda: optim.clip_by_global_norm(0), sg.DeclarationError, "max_norm must be positive, 0 came"),
    (lambda: optim.chain(0.1), sg.DeclarationError, "chain takes GradientTransformations, 0.1 came"),  # type: ignore[arg-type]
    (lambda: optim.scale_by_schedule(0.1), sg.DeclarationError, "a schedule is a function of the step, 0.1 came"),  # type: ignore[arg-type]
    (lambda: optim.cosine_decay_schedule(1.0, 0), sg.DeclarationError, "decay_steps must be positive, 0 came"),
    (lambda: optim.linear_schedule(1.0, 0.0, 2.5), sg.DeclarationError, "transition_steps must be a whole number"),  # type: ignore[arg-type]
    (lambda: optim.join_schedules([abs], [3]), sg.DeclarationError, "1 schedules need 0 boundaries"),
    (lambda: optim.piecewise_constant_schedule(1.0, {3: -1}), sg.DeclarationError, "a scale must be 0 or more"),
    (lambda: optim.warmup_cosine_decay_schedule(0, 1, 9, 9), sg.DeclarationError, "more than warmup_steps"),
    (lambda: declared(optim.sgd(lambda count: count)), sg.DTypeError, "must be floating, it is i64[]"),
    (lambda: declared(optim.sgd(lambda count: VECTOR)), sg.ShapeError, "must be one number, it is f32[3]"),
    (lambda: declared(optim.sgd(lambda count: None)), sg.DeclarationError, "result of a schedule must be a number"),
    (lambda: declared(optim.adamw(0.1, mask=["v"])), sg.DeclarationError, "mask names 'v'"),
    (lambda: declared(optim.adamw(0.1, mask="w")), sg.DeclarationError, "mask must be a function"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    text = str(caught.value)
    assert message in text and "\n" not in text and "(test_optim.py:" in text


def own(update: Callable[..., Any], init: Callable[..., Any] = lambda params: None) -> optim.GradientTransformation:
    return optim.GradientTransformation(init, update)


def test_transformations_that_break_the_contract() -> None:
    counted = sg.state("n", 0)
    for optimizer, message in (
        (own(lambda u, s, p: (u, 1)), "the structure of its state"),
        (own(lambda u, s, p: ({"w": u["w"]}, s)), "one update for each of w, b; it gave w"),
        (own(lambda u, s, p: ({**u, "b": u["w"]}, s)), "the update of 'b' must be f64[2], f64[3,2] came"),
        (own(lambda u, s, p: (u, s + 0.5), lambda p: counted), "the next value of 'n' is f32[], the state i64[]"),
        (optim.chain(*2 * [own(lambda u, s, p: (u, s + 1), lambda p: counted)]), "gives 'n' two next values"),
    ):
        with pytest.raises(sg.StaticgradError) as caught:
            declared(optimizer)
        assert message in str(caught.value) and "test_optim.py:" in str(caught.value)


def test_init_and_update_by_hand() -> None:
    w = sg.parameter("w", np.ones(2))
    optimizer = optim.adam(optim.linear_schedule(0.1, 0.0, 9))
    state = optimizer.init({"w": w})
    assert state[0].steps is state[1]
    updates, following = optimizer.update({"w": w * 1.0}, state, {"w": w})
    assert updates["w"].type == w.type
    assert following[0].mu["w"].type == state[0].mu["w"].type
