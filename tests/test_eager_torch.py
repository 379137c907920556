"""The eager tensors against PyTorch: values, gradients, ties and kinks, types, optimizers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from function_rows import ROWS
from function_rows.row import Row
from test_eager_functions import arrays, cotangent, identify, is_float, pulled

from staticgrad import eager

torch = pytest.importorskip("torch")
TF = torch.nn.functional


def torch_function(name: str) -> Any:
    special = {
        "to": lambda x, dtype: x.to(getattr(torch, dtype)),
        "softmin": TF.softmin,
        "norm": torch.norm,
        "max": torch.max,
        "min": torch.min,
        "double": torch.Tensor.double,
        # torch.batch_norm and others take other arguments.
        **{n: getattr(TF, n) for n in eager.nn.functional.__all__ if hasattr(TF, n)},
    }
    for place in (
        special.get(name),
        getattr(torch, name, None),
        getattr(TF, name, None),
        getattr(torch.Tensor, name, None),
    ):
        if place is not None:
            return place
    raise AssertionError(f"PyTorch has no {name}")


def torch_pulled(row: Row) -> tuple[list[Any], list[Any]]:
    made: list[Any] = []

    def convert(x: Any) -> Any:
        if isinstance(x, list) and x and isinstance(x[0], np.ndarray):
            return [convert(y) for y in x]
        if not isinstance(x, np.ndarray):
            return x
        made.append(torch.tensor(x, requires_grad=is_float(x)))
        return made[-1]

    kwargs = {k: getattr(torch, v) if k == "dtype" else v for k, v in row.kwargs.items()}
    y = torch_function(row.name)(*[convert(x) for x in row.args], **kwargs)
    ys = list(y) if isinstance(y, tuple | list) else [y]
    total: Any = torch.zeros((), dtype=torch.float64)
    for i, out in enumerate(ys):
        if out.requires_grad and "NotImplemented" not in str(out.grad_fn):
            total = total + (out * torch.tensor(cotangent(out, i))).sum()
    if total.requires_grad:
        total.backward()
    return ys, made


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("row", [r for r in ROWS if r.in_torch], ids=identify)
def test_value_and_gradient(row: Row) -> None:
    ys, xs = pulled(row)
    zs, ts = torch_pulled(row)
    assert len(ys) == len(zs)
    for y, z in zip(ys, zs, strict=True):
        assert y.shape == tuple(z.shape) and f"torch.{y.dtype}" == str(z.dtype)
        tolerance = 1e-7 if row.name in SINGLE else 1e-12
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=tolerance, atol=1e-13)
    assert len(xs) == len(ts) == len(arrays(row))
    for x, t in zip(xs, ts, strict=True):
        if t.grad is None:
            assert x.grad is None or not x.grad.numpy().any()
        elif x.grad is None:
            assert not t.grad.any()
        else:
            tolerance = 1e-7 if row.name in SINGLE else 1e-10
            np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=tolerance, atol=1e-12)


# - kinks and ties -

SINGLE = {"hardsigmoid", "celu"}  # here PyTorch rounds a constant to float32, also for float64
POINTS = [-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0]
KINKED = (
    "abs sign relu relu6 leaky_relu elu selu celu hardswish hardsigmoid hardtanh softshrink hardshrink floor ceil "
    "round trunc square sqrt silu gelu softsign"
).split()


def both(f: Any, *values: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
    """The gradients of the sum of f here and in PyTorch, with respect to each list of values."""
    xs = [eager.tensor(v, dtype="float64", requires_grad=True) for v in values]
    ts = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    f(eager, eager.nn.functional, *xs).sum().backward()
    f(torch, TF, *ts).sum().backward()
    return [(x.grad.numpy(), t.grad.numpy()) for x, t in zip(xs, ts, strict=True)]


@pytest.mark.parametrize("name", KINKED)
def test_slope_at_kinks(name: str) -> None:
    for mine, theirs in both(lambda m, f, x: getattr(m if hasattr(m, name) else f, name)(x), POINTS):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7 if name in SINGLE else 1e-11)


TIED = [[1.0, 3.0, 3.0, -3.0], [0.0, 0.0, 0.0, 0.0], [2.0, -2.0, 2.0, 2.0]]


@pytest.mark.parametrize(
    "f",
    [
        lambda m, f, x: m.amax(x, 1),
        lambda m, f, x: m.amin(x, (0, 1)),
        lambda m, f, x: x.max(),
        lambda m, f, x: x.min(),
        lambda m, f, x: m.clamp(x, 0, 3),
        lambda m, f, x: m.clamp(x, min=2),
        lambda m, f, x: x.norm(p=math.inf, dim=1),
        lambda m, f, x: x.norm(p=-math.inf, dim=1),
        lambda m, f, x: x.norm(dim=1),
        lambda m, f, x: x.norm(p=1, dim=1),
        lambda m, f, x: x.norm(p=3, dim=1),
        lambda m, f, x: x.norm(p=0.5, dim=1),
        lambda m, f, x: m.std(x, 1),
        lambda m, f, x: m.prod(x, 1),
        lambda m, f, x: m.prod(x),
        lambda m, f, x: m.cumprod(x, 1),
        lambda m, f, x: x**0,
        lambda m, f, x: x**2,
        lambda m, f, x: f.softplus(x, 1, 2),
    ],
    ids=range(19),
)
def test_ties_of_one_operand(f: Any) -> None:
    for mine, theirs in both(f, TIED):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "f",
    [
        lambda m, f, x, y: m.maximum(x, y),
        lambda m, f, x, y: m.minimum(x, y),
        lambda m, f, x, y: m.max(x, y),
        lambda m, f, x, y: m.clamp(x, min=y),
        lambda m, f, x, y: m.clamp(x, max=y),
        lambda m, f, x, y: m.clamp(x, y, 2 * y),
        lambda m, f, x, y: m.clamp(x, y + 1, y),
        lambda m, f, x, y: m.clamp(x, y, y),
        lambda m, f, x, y: f.l1_loss(x, y),
        lambda m, f, x, y: f.smooth_l1_loss(x, y),
        lambda m, f, x, y: f.huber_loss(x, y),
        lambda m, f, x, y: m.abs(x) ** y,
    ],
    ids=range(12),
)
def test_ties_of_two_operands(f: Any) -> None:
    for mine, theirs in both(f, [0.0, 1.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 1.0, 3.0]):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_reported_index_of_the_maximum() -> None:
    for dim, largest in itertools.product((0, 1), (True, False)):
        name = "max" if largest else "min"
        mine, theirs = both(lambda m, f, x, n=name, d=dim: getattr(x, n)(d)[0], TIED)[0]
        assert mine.sum() == theirs.sum() == len(np.max(TIED, axis=dim))
    values, indices = eager.tensor([1.0, 3.0, 3.0]).max(0)
    assert indices.item() == 1 and values.item() == 3.0


# - losses with everything -


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["classes", "image", "probabilities"])
def test_cross_entropy_with_weights(kind: str, smoothing: float, reduction: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4, 2) if kind == "image" else (6, 4))
    target = rng.integers(0, 4, (6, 2) if kind == "image" else (6,))
    target.flat[1] = 3
    t: np.ndarray = rng.dirichlet(np.ones(4), 6) if kind == "probabilities" else target
    w = rng.uniform(0.5, 2, 4)
    a, b = eager.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    kw: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
    if kind != "probabilities":
        kw["ignore_index"] = 3
    y = eager.nn.functional.cross_entropy(a, eager.tensor(t), eager.tensor(w), **kw)
    z = TF.cross_entropy(b, torch.tensor(t), torch.tensor(w), **kw)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_binary_losses_with_weights_and_large_logits() -> None:
    x = [-1000.0, 1000.0, -1000.0, 1000.0, 0.0, 3.0]
    t, w = [0.0, 1.0, 1.0, 0.0, 0.3, 0.9], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

    def f(m: Any, f: Any, a: Any, b: Any) -> Any:
        weight = m.tensor(w, dtype=a.dtype)
        return f.binary_cross_entropy_with_logits(a, b, weight=weight, pos_weight=weight + 1, reduction="none")

    (mine, theirs), (mine_t, theirs_t) = both(f, x, t)
    np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    np.testing.assert_allclose(mine_t, theirs_t, rtol=1e-12)
    # to the target PyTorch's gradient is infinite here although the loss is cut off; ours is that of the cut-off loss
    (mine, theirs), _ = both(
        lambda m, f, a, b: f.binary_cross_entropy(a, b), [0.0, 1.0, 0.5, 1e-3], [0.0, 1.0, 0.1, 1.0]
    )
    np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_embedding_padding() -> None:
    w = np.random.default_rng(0).normal(size=(4, 2))
    a, b = eager.tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    index = [[0, 1, 3], [3, 3, 2]]
    eager.nn.functional.embedding(eager.tensor(index), a, padding_idx=-1).pow(2).sum().backward()
    TF.embedding(torch.tensor(index), b, padding_idx=-1).pow(2).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy())


# - types -

TYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
OPERANDS = [(d, shape) for d in TYPES for shape in ((2,), ())] + [(n, None) for n in (True, 2, 2.5)]


def operand(module: Any, kind: Any, shape: Any) -> Any:
    if shape is None:
        return kind
    return module.ones(shape, dtype=kind if module is eager else getattr(torch, kind))


@pytest.mark.parametrize("name", ["add", "mul", "div", "eq", "where", "floor_divide"])
def test_promotion(name: str) -> None:
    for (k1, s1), (k2, s2) in itertools.product(OPERANDS, OPERANDS):
        if s1 is None and (s2 is None or name in {"add", "mul", "div", "eq", "floor_divide"}):
            continue

        def result(module: Any, k1: Any = k1, s1: Any = s1, k2: Any = k2, s2: Any = s2) -> str:
            a, b = operand(module, k1, s1), operand(module, k2, s2)
            condition = [module.tensor([True, False])] if name == "where" else []
            y = getattr(module, name)(*condition, a, b)
            return str(y.dtype).removeprefix("torch.")

        try:
            expected = result(torch)
        except (RuntimeError, TypeError):
            continue
        assert result(eager) == expected, (name, k1, s1, k2, s2)


@pytest.mark.parametrize(
    "name", ["sum", "prod", "cumsum", "exp", "sigmoid", "all", "abs", "sqrt", "relu", "argmax", "floor"]
)
def test_result_types_of_one_operand(name: str) -> None:
    for kind in TYPES:
        args = (0,) if name == "cumsum" else ()
        try:
            expected = str(getattr(torch, name)(operand(torch, kind, (2,)), *args).dtype).removeprefix("torch.")
        except RuntimeError:
            continue
        y = getattr(eager.functions, name)(operand(eager, kind, (2,)), *args)
        assert str(y.dtype) == expected, (name, kind)


def test_half_precision_values() -> None:
    x = np.random.default_rng(0).normal(size=(5, 7)).astype("float32")
    for kind in ("float16", "bfloat16"):
        a = eager.tensor(x, dtype=kind, requires_grad=True)
        b = torch.tensor(x).to(getattr(torch, kind)).requires_grad_()
        (a.softmax(1) * a.exp()).sum().backward()
        (b.softmax(1) * b.exp()).sum().backward()
        theirs = b.grad.to(torch.float32).numpy()
        np.testing.assert_allclose(a.grad.float().numpy(), theirs, rtol=0.03, atol=0.02)


# - optimizers -

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_twenty_steps(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(10, 4)), [rng.normal(size=(4, 3)), rng.normal(size=3)]

    def run(module: Any) -> list[np.ndarray]:
        data = module.tensor(x)
        params = [module.tensor(p).requires_grad_() for p in start]
        optimizer = getattr(module.optim, name)(params, **options)
        for _ in range(20):
            optimizer.zero_grad()
            ((data @ params[0]).tanh() + params[1]).pow(2).mean().backward()
            optimizer.step()
        return [p.detach().numpy() for p in params]

    for mine, theirs in zip(run(eager), run(torch), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_default_options(name: str) -> None:
    mine = getattr(eager.optim, name)([eager.ones(1, requires_grad=True)]).param_groups[0]
    theirs = getattr(torch.optim, name)([torch.ones(1, requires_grad=True)]).param_groups[0]
    for option in set(mine) - {"params"}:
        assert mine[option] == theirs[option], option


# - the tape -


def test_in_place_program() -> None:
    def program(m: Any, f: Any, x: Any, y: Any) -> Any:
        z = x * 1
        z += y
        z.mul_(y)
        out = m.zeros(3, 2, dtype=z.dtype)
        out[1] = z
        out[[0, 2], 1] = y * 2
        out[2, 0] = z[1]
        z = out.clone()
        z[1:].clone().mul_(2)
        z.div_(3)
        return z * z

    for mine, theirs in both(program, [1.0, 2.0], [3.0, 4.0]):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    "index", [(0, slice(None), [1, 2]), ([0, 1], slice(None), [1, 2]), (..., None, [0, 2]), ([[0], [1]],)]
)
def test_index_shapes(index: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(eager.tensor(x)[index].numpy(), torch.tensor(x)[index].numpy())
