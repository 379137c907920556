"""Every function of the eager tensors against central differences; kinks, stability, types, and what the tape saves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from function_rows import ROWS
from function_rows.elementary import CLASSES, X
from function_rows.row import Row, draw

from staticgrad import eager
from staticgrad.eager import functions

F = eager.nn.functional


WITHOUT_GRADIENT = {
    *"eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf isfinite".split(),
    *"bitwise_and bitwise_or bitwise_xor bitwise_not argmax argmin argsort all any one_hot detach".split(),
    *"zeros_like ones_like full_like".split(),
    *"float half bfloat16 int long bool type".split(),  # casts to types other than float64: test_casts
}


def identify(row: Row) -> str:
    return f"{row.name}-{','.join(f'{k}={v}' for k, v in row.kwargs.items())}"


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def arrays(row: Row) -> list[np.ndarray]:
    """All arrays among the arguments, those in lists, too."""
    flat: list[Any] = []
    for x in row.args:
        flat += x if isinstance(x, list) else [x]
    return [x for x in flat if isinstance(x, np.ndarray)]


def call(row: Row, dtype: str = "float64", values: list[np.ndarray] | None = None) -> tuple[list[Any], list[Any]]:
    """The results as a list, and the tensors made of the arrays (`values` in their place, if given)."""
    pool = list(values if values is not None else arrays(row))
    made: list[Any] = []

    def convert(x: Any) -> Any:
        if isinstance(x, list) and x and isinstance(x[0], np.ndarray):
            return [convert(y) for y in x]
        if not isinstance(x, np.ndarray):
            return x
        value = pool.pop(0)
        made.append(eager.tensor(value, dtype=dtype if is_float(x) else None, requires_grad=is_float(x)))
        return made[-1]

    y = getattr(functions, row.name)(*[convert(x) for x in row.args], **row.kwargs)
    return (list(y) if isinstance(y, tuple) else [y]), made


def cotangent(y: Any, i: int) -> np.ndarray:
    return np.random.default_rng(100 + i).uniform(0.5, 1.5, y.shape)


def pulled(row: Row, dtype: str = "float64") -> tuple[list[Any], list[Any]]:
    """Results and tensors after a backward from all results together."""
    ys, xs = call(row, dtype)
    total = eager.zeros((), dtype=dtype)
    for i, y in enumerate(ys):
        if y.requires_grad:
            total = total + (y * eager.tensor(cotangent(y, i), dtype=str(y.dtype))).sum()
    if total.requires_grad:
        total.backward()
    return ys, xs


def objective(row: Row, values: list[np.ndarray]) -> float:
    with eager.no_grad():
        ys, _ = call(row, values=values)
    return sum(float((cotangent(y, i) * y.numpy()).sum()) for i, y in enumerate(ys) if str(y.dtype) == "float64")


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_gradient_is_that_of_central_differences(row: Row) -> None:
    _, xs = pulled(row)
    values = arrays(row)
    step = 1e-5
    for k, x in enumerate(xs):
        if not x.requires_grad:
            continue
        if x.grad is None:
            assert row.name in {"expand_as", "view_as", "reshape_as", "norm"}, "no gradient"
        else:
            assert x.grad.shape == x.shape and x.grad.dtype == x.dtype
        numeric = np.zeros(values[k].shape)
        for i in np.ndindex(values[k].shape):
            sides = []
            for h in (step, -step):
                moved = [v.copy() for v in values]
                moved[k][i] += h
                sides.append(objective(row, moved))
            numeric[i] = (sides[0] - sides[1]) / (2 * step)
        found = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
        np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=2e-8)


def test_every_function_has_a_row() -> None:
    assert set(functions.__all__) - WITHOUT_GRADIENT == {row.name for row in ROWS}


def test_every_function_has_a_docstring_and_its_places() -> None:
    for name in functions.__all__:
        f = getattr(functions, name)
        assert f.__doc__, name
        method = "unfold" if name == "unfold_dimension" else name
        places = [getattr(eager, name, None), getattr(F, name, None), getattr(eager.Tensor, method, None)]
        assert f in places or (name == "where" and hasattr(eager.Tensor, "where")), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_types_are_kept(row: Row, dtype: str) -> None:
    exact, exact_xs = pulled(row)
    ys, xs = pulled(row, dtype)
    for y, z in zip(ys, exact, strict=True):
        asked = row.name in {"to", "double"} or "dtype" in row.kwargs
        assert str(y.dtype) == (dtype if str(z.dtype) == "float64" and not asked else str(z.dtype))
        assert y.shape == z.shape
    for x, z in zip(xs, exact_xs, strict=True):
        if x.grad is not None:
            assert x.grad.dtype == x.dtype and x.grad.shape == x.shape
            if dtype == "float32" and z.grad is not None:
                np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_overwriting_what_is_saved_is_an_error_and_never_a_wrong_gradient(row: Row) -> None:
    _, reference = pulled(row)
    count = len(call(row)[1]) + len(call(row)[0])
    for k in range(count):
        ys, xs = call(row)
        total: Any = 0.0
        for i, y in enumerate(ys):
            if y.requires_grad:
                # the product copies y first, so that only the function itself is at stake
                total = total + (y.clone() * eager.tensor(cotangent(y, i))).sum()
        if isinstance(total, float):
            return
        victim = [*xs, *ys][k]
        if not victim.array.flags.writeable:
            continue
        with eager.no_grad():
            victim.copy_(eager.tensor(victim.numpy() * 3 + 1, dtype=str(victim.dtype)))
        try:
            total.backward()
        except eager.EagerError as error:
            assert "modified in place" in str(error)
            continue
        for x, r in zip(xs, reference, strict=True):
            if r.grad is not None:
                np.testing.assert_allclose(x.grad.numpy(), r.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_formulas_do_not_write_to_the_gradient_that_comes_in(row: Row) -> None:
    ys, _ = call(row)
    for i, y in enumerate(ys):
        if y.requires_grad:
            g = cotangent(y, i)
            g.flags.writeable = False
            y.backward(g, retain_graph=True)


EXTREMES = np.array([0.0, -0.0, 1.0, -1.0, 1000.0, -1000.0, 1e300, -1e300, np.inf, -np.inf, np.nan])


OF_ONE_VECTOR = {r.name for r in ROWS if len(r.args) == 1} - {"t", "tril", "trace", "glu", "swiglu"}


@pytest.mark.parametrize("name", sorted(OF_ONE_VECTOR))
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_extreme_values_do_not_warn(name: str, dtype: str) -> None:
    x = eager.tensor(EXTREMES, dtype=dtype, requires_grad=True)
    kwargs = next(r.kwargs for r in ROWS if r.name == name and len(r.args) == 1)
    y = getattr(functions, name)(
        x,
        **{k: v for k, v in kwargs.items() if k != "dim"}
        | ({"dim": 0} if "dim" in kwargs or name == "normalize" else {}),
    )
    y = y[0] if isinstance(y, tuple) else y
    y.sum().backward()


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "maximum", "minimum"]
)
def test_extreme_pairs_do_not_warn(name: str) -> None:
    x = eager.tensor(EXTREMES, requires_grad=True)
    z = eager.tensor(EXTREMES[:, None], requires_grad=True)
    getattr(functions, name)(x, z).sum().backward()


# - kinks -


def slope(f: Any, *points: float, **kwargs: Any) -> list[float]:
    x = eager.tensor(points, dtype="float64", requires_grad=True)
    f(x, **kwargs).sum().backward()
    assert x.grad is not None
    return x.grad.tolist()


def test_kinks() -> None:
    assert slope(F.relu, 0.0) == [0.0]
    assert slope(eager.abs, 0.0) == [0.0]
    assert slope(eager.clamp, -1.0, 2.0, -1.5, min=-1.0, max=2.0) == [1.0, 1.0, 0.0]
    assert slope(F.relu6, 0.0, 6.0) == [0.0, 0.0]
    assert slope(F.hardtanh, -1.0, 1.0) == [0.0, 0.0]
    assert slope(F.hardsigmoid, -3.0, 3.0) == [0.0, 0.0]
    assert slope(F.hardswish, -3.0, 3.0) == [0.0, 1.0]
    assert slope(F.leaky_relu, 0.0, negative_slope=0.1) == [0.1]
    assert slope(F.elu, 0.0, alpha=2.0) == [2.0]
    assert slope(F.softshrink, 0.5, -0.5) == [0.0, 0.0]
    assert slope(F.hardshrink, 0.5, -0.5) == [0.0, 0.0]


def test_ties() -> None:
    assert slope(eager.amax, 1.0, 3.0, 3.0) == [0.0, 0.5, 0.5]
    assert slope(eager.amin, 1.0, 3.0, 1.0, dim=0) == [0.5, 0.0, 0.5]
    assert slope(eager.max, 1.0, 3.0, 3.0) == [0.0, 0.5, 0.5]
    assert slope(lambda x: eager.max(x, 0).values, 1.0, 3.0, 3.0) == [0.0, 1.0, 0.0]
    assert slope(lambda x: eager.min(x, dim=0).values, 3.0, 1.0, 1.0) == [0.0, 1.0, 0.0]
    for f in (eager.maximum, eager.minimum):
        a, b = (eager.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        f(a, b).sum().backward()
        assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]
    assert slope(lambda x: eager.norm(x, p=math.inf), 2.0, -2.0, 1.0) == [0.5, -0.5, 0.0]


def test_norm_and_std_of_zeros_have_gradient_zero() -> None:
    for p in (2, 1, 3, 1.5, math.inf):
        assert slope(lambda x, p=p: eager.norm(x, p=p), 0.0, 0.0) == [0.0, 0.0]
    assert slope(eager.std, 2.0, 2.0) == [0.0, 0.0]


def test_pow_at_zero() -> None:
    assert slope(lambda x: x**0, 0.0) == [0.0]
    assert slope(lambda x: x**2, 0.0) == [0.0]
    assert slope(lambda x: eager.pow(0.0, x), 2.0) == [0.0]


def test_padding_idx_gets_no_gradient() -> None:
    w = eager.ones(3, 2, requires_grad=True)
    F.embedding(eager.tensor([0, 1, 1, 2]), w, padding_idx=1).sum().backward()
    assert w.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


# - stability -


def test_large_numbers() -> None:
    big = eager.tensor([1000.0, -1000.0, 0.0], requires_grad=True)
    assert eager.sigmoid(big).tolist() == [1.0, 0.0, 0.5]
    assert eager.softmax(big, 0).tolist() == [1.0, 0.0, 0.0]
    assert eager.log_softmax(big, 0).tolist() == [0.0, -2000.0, -1000.0]
    assert eager.logsumexp(big, 0).item() == 1000.0
    assert F.softplus(big).tolist()[:2] == [1000.0, 0.0]
    assert F.logsigmoid(big).tolist()[:2] == [0.0, -1000.0]
    assert F.cross_entropy(big[None], eager.tensor([1])).item() == 2000.0
    assert eager.norm(eager.tensor([3e30, 4e30])).item() == pytest.approx(5e30)
    assert eager.norm(eager.tensor([3e-30, 4e-30])).item() == pytest.approx(5e-30)


def test_logits_of_1000_are_exact() -> None:
    x = eager.tensor([1000.0, 1000.0, -1000.0, -1000.0], requires_grad=True)
    t = eager.tensor([1.0, 0.0, 1.0, 0.0])
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert loss.tolist() == [0.0, 1000.0, 1000.0, 0.0]
    loss.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, -1.0, 0.0]
    small = F.binary_cross_entropy_with_logits(eager.tensor([-30.0]), eager.tensor([0.0]))
    assert small.item() == pytest.approx(math.exp(-30), rel=1e-6)


def test_tails_and_small_arguments() -> None:
    x = eager.tensor([-10.0, 1e-20], dtype="float64")
    assert F.gelu(x).tolist() == pytest.approx([-5 * math.erfc(10 / math.sqrt(2)), 5e-21], rel=1e-13)
    assert eager.expm1(x).tolist()[1] == 1e-20 and eager.log1p(x).tolist()[1] == 1e-20
    assert eager.erf(x).tolist() == pytest.approx([-1.0, 2e-20 / math.sqrt(math.pi)], rel=1e-15)
    assert eager.sigmoid(eager.tensor([-700.0], dtype="float64")).item() == pytest.approx(math.exp(-700), rel=1e-12)


def test_infinite_logits() -> None:
    x = eager.tensor([-math.inf, 0.0, 0.0], requires_grad=True)
    assert eager.softmax(x, 0).tolist() == [0.0, 0.5, 0.5]
    y = eager.logsumexp(x, 0)
    y.backward()
    assert x.grad.tolist() == pytest.approx([0.0, 0.5, 0.5])
    assert eager.logsumexp(eager.full((2,), -math.inf), 0).item() == -math.inf


# - indexing -


@pytest.mark.parametrize(
    "index",
    [
        1,
        (1, 2),
        (slice(None), 1),
        (slice(None, None, 2), ..., 0),
        (None, 0, slice(1, 3)),
        [2, 0, 2],
        (slice(None), [1, 1, 3]),
        ([0, 1], [2, 3]),
        np.array([[0, 1], [1, 1]]),
        np.array([True, False, True]),
        (slice(None), np.array([True, False, True, True])),
        (..., [1, 1]),
    ],
    ids=str,
)
def test_indexing(index: Any) -> None:
    values = draw(3, 4, 2)
    x = eager.tensor(values, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), values[index])
    g = np.random.default_rng(0).normal(size=y.shape)
    (y * eager.tensor(g)).sum().backward()
    expected = np.zeros_like(values)
    np.add.at(expected, index, g)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)
    # and assignment: a copy of x with something else there
    base, v = eager.tensor(values, requires_grad=True), eager.tensor(g, requires_grad=True)
    z = base.clone()
    z[index] = v
    written = values.copy()
    written[index] = g
    np.testing.assert_array_equal(z.numpy(), written)
    weights = np.random.default_rng(1).normal(size=z.shape)
    (z * eager.tensor(weights)).sum().backward()
    untouched = np.ones_like(values)
    untouched[index] = 0
    np.testing.assert_allclose(base.grad.numpy(), weights * untouched)
    assert v.grad.numpy().sum() == pytest.approx((weights * (1 - untouched)).sum())


def test_an_integer_beside_an_array_selects_first() -> None:
    x = eager.tensor(draw(2, 3, 4))
    assert x[0, :, [1, 2]].shape == (3, 2)  # numpy alone would say (2, 3)
    assert x[eager.tensor(0), :, eager.tensor([1, 2, 3])].shape == (3, 3)


def test_casts() -> None:
    x = eager.tensor([1.75, -1.75, 0.0], requires_grad=True)
    assert x.int().tolist() == x.long().tolist() == [1, -1, 0]
    assert x.bool().tolist() == [True, True, False]
    for y in (x.double(), x.half(), x.bfloat16(), x.to("float64"), x.to(eager.zeros(1, dtype="float16"))):
        x.grad = None
        (y * 2).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0, 2.0] and str(x.grad.dtype) == "float32"
    assert x.float() is x and x.type("float32") is x and x.type() == "float32"
    assert str(x.int().dtype) == "int32" and not x.int().requires_grad


def test_functions_without_gradient() -> None:
    a, b = eager.tensor([1.0, 2.0, math.nan]), eager.tensor([2.0, 2.0, math.inf])
    assert (a == b).tolist() == [False, True, False] and (a != b).tolist() == [True, False, True]
    assert (a < b).tolist() == [True, False, False] and (a >= 2).tolist() == [False, True, False]
    assert a.isnan().tolist() == [False, False, True] and b.isinf().tolist() == [False, False, True]
    assert eager.isfinite(b).tolist() == [True, True, False]
    p, q = eager.tensor([True, True, False]), eager.tensor([True, False, False])
    assert (p & q).tolist() == [True, False, False] and (p | q).tolist() == [True, True, False]
    assert (p ^ q).tolist() == [False, True, False] and (~p).tolist() == [False, False, True]
    assert eager.logical_xor(p, q).tolist() == [False, True, False] and p.logical_not().tolist() == [False, False, True]
    assert (eager.tensor([6, 5]) & 3).tolist() == [2, 1] and (~eager.tensor([0, 5])).tolist() == [-1, -6]
    assert p.all().item() is False and p.any().item() is True
    x = eager.tensor([[1.0, 5.0, 5.0], [7.0, 2.0, 7.0]])
    assert (
        x.argmax().item() == 3
        and x.argmax(1).tolist() == [1, 0]
        and x.argmin(dim=0, keepdim=True).tolist() == [[0, 1, 0]]
    )
    values, indices = x.max(1)
    assert values.tolist() == [5.0, 7.0] and indices.tolist() == [1, 0] and str(indices.dtype) == "int64"
    assert F.one_hot(eager.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert F.one_hot(eager.tensor([1]), num_classes=4).tolist() == [[0, 1, 0, 0]]
    assert eager.round(eager.tensor([0.5, 1.5, 2.5, -0.5])).tolist() == [0.0, 2.0, 2.0, -0.0]
    assert eager.full_like(x, 3).tolist() == [[3.0] * 3] * 2 and eager.zeros_like(indices).tolist() == [0, 0]


def test_weights_of_losses() -> None:
    x, w = eager.tensor(X, requires_grad=True), np.array([0.5, 2.0, 1.0, 0.25])
    logp = X - np.log(np.exp(X).sum(1, keepdims=True))
    picked = -logp[np.arange(3), CLASSES]
    loss = F.cross_entropy(x, eager.tensor(CLASSES), weight=eager.tensor(w))
    assert loss.item() == pytest.approx((picked * w[CLASSES]).sum() / w[CLASSES].sum())
    ignored = F.cross_entropy(x, eager.tensor(CLASSES), ignore_index=0)
    assert ignored.item() == pytest.approx(picked[[0, 2]].mean())
    assert math.isnan(F.nll_loss(x, eager.tensor([-100] * 3)).item())
    t = draw(3, 4, low=0, high=1)
    got = F.binary_cross_entropy_with_logits(x, eager.tensor(t), weight=eager.tensor(w), pos_weight=eager.tensor(w + 1))
    s = 1 / (1 + np.exp(-X))
    assert got.item() == pytest.approx((-w * ((w + 1) * t * np.log(s) + (1 - t) * np.log(1 - s))).mean())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: x.reshape(5, -1), "does not fit"),
        (lambda x: x.mm(x), "last size"),
        (lambda x: x.sum(2), "out of range"),
        (lambda x: x.softmax(5), "out of range"),
        (lambda x: eager.cat([x, x[:, :2]], 0), "same sizes"),
        (lambda x: x.gather(0, eager.tensor([[7]])), "out of range"),
        (lambda x: F.embedding(eager.tensor([-1]), x), "out of range"),
        (lambda x: F.cross_entropy(x, eager.tensor([0, 1, 4])), "out of range"),
        (lambda x: x[5], "does not fit"),
        (lambda x: eager.tensor([1, 2]) ** -1, "negative integer"),
        (lambda x: eager.tensor([1, 2]) // 0, "by zero"),
        (lambda x: eager.tensor([1, 2]).mean(), "floating"),
        (lambda x: x & x, "bool or integers"),
        (lambda x: x.matmul(x.double().T), "one type"),
        (lambda x: x.clamp(), "bounds"),
        (lambda x: F.mse_loss(x, x, reduction="avg"), "reduction"),
        (lambda x: eager.zeros(2, dtype="complex64"), "not supported"),
        (lambda x: x + eager.ones(5), "add of shapes that do not fit"),
        (lambda x: F.mse_loss(x, eager.ones(5)), "do not fit"),
        (lambda x: x.sum().chunk(2), "0-dim"),
        (lambda x: x.sum().split(1), "0-dim"),
        (lambda x: x.sum().unflatten(0, (1, 1)), "0-dim"),
        (lambda x: x[:, :0].norm(-math.inf), "no elements"),
        (lambda x: eager.eye(-1), "0 or more"),
        (lambda x: x.masked_select(eager.ones(5) > 0), "do not broadcast"),
        (lambda x: eager.einsum("ii->", x), "alike that differ"),
        (lambda x: eager.functions.index_put(x, (eager.tensor([0]),), eager.ones(5), True), "expected \\[1, 4\\]"),
        (lambda x: eager.arange(5, 0), "steps that lead there"),
        (lambda x: x.index_fill(0, eager.tensor([3]), 1.0), "out of range: expected -3 to 2"),
        (lambda x: F.mse_loss(x, x, weight=eager.ones(4)), "with a weight of \\[4\\]: expected equal"),
        (lambda x: F.group_norm(x, 2, eager.ones(3)), "group_norm of shape \\[3, 4\\] with a parameter of \\[3\\]"),
    ],
)
def test_errors_say_what_is_wrong(wrong: Any, words: str) -> None:
    with pytest.raises(eager.EagerError, match=words) as caught:
        wrong(eager.ones(3, 4))
    assert "\n" not in str(caught.value)
