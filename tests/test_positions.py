"""Reading, writing and ordering by position where rows of tables do not reach: ties, doubled positions, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from evaluation import Evaluator, run, torch_pulled
from function_rows.row import draw

import staticgrad as sg
from staticgrad.errors import StaticgradError
from staticgrad.graph import Leaf, Value
from staticgrad.methods import FUNCTIONS

torch = pytest.importorskip("torch")
F, TF = sg.nn.functional, torch.nn.functional

OLD = np.array([3.0, 0.0, 5.0, 3.0, 0.0])
NEW = np.array([3.0, 3.0, 0.0, 0.0, 7.0, 7.0])
PLACES = np.array([0, 0, 1, 2, 4, 4])


def of_ours(f: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    y = f(*leaves)
    gradients = sg.grad((y * y).sum(), [x for x in leaves if x.type.dtype.is_float])
    return Evaluator(leaves, [y, *gradients], rewritten=True)({f"x{i}": a for i, a in enumerate(arrays)})


def of_eager(f: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    tensors = [sg.eager.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    y = f(*tensors)
    (y * y).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors if t.requires_grad)]


def assert_same(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> None:
    expected = torch_pulled(theirs, *arrays)
    for found in (of_ours(ours, *arrays), of_eager(ours, *arrays)):
        for y, z in zip(found, expected, strict=True):
            assert y.shape == z.shape
            np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_ties_and_zeros_of_scatter_reduce(reduce: str) -> None:
    assert_same(
        lambda x, i, s: sg.scatter_reduce(x, 0, i, s, reduce),
        lambda x, i, s: torch.scatter_reduce(x, 0, i, s, reduce),
        OLD,
        PLACES,
        NEW,
    )


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_what_stood_there_has_no_part_without_include_self(reduce: str) -> None:
    expected = torch_pulled(
        lambda x, i, s: torch.scatter_reduce(x, 0, i, s, reduce, include_self=False), OLD, PLACES, NEW
    )
    if reduce in ("amax", "amin"):
        # PyTorch counts what stood there where it is equal by chance; then the shares do not add up to one.
        expected[2][:2] = 3.0
    for of in (of_ours, of_eager):
        found = of(lambda x, i, s: sg.scatter_reduce(x, 0, i, s, reduce, include_self=False), OLD, PLACES, NEW)
        for y, z in zip(found, expected, strict=True):
            np.testing.assert_allclose(y, z, rtol=1e-12)


def test_integers_are_reduced_as_in_torch() -> None:
    x, i, s = np.array([7, -7, 1]), np.array([0, 1, 1, 0]), np.array([2, 2, -9, 3])
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for include_self in (True, False):
            call = {"reduce": reduce, "include_self": include_self}
            expected = torch.scatter_reduce(torch.tensor(x), 0, torch.tensor(i), torch.tensor(s), **call).tolist()
            assert run(lambda x, i, s, c=call: sg.scatter_reduce(x, 0, i, s, **c), x, i, s)[0][0].tolist() == expected
            tensors = [sg.eager.tensor(v) for v in (x, i, s)]
            assert sg.scatter_reduce(tensors[0], 0, tensors[1], tensors[2], **call).tolist() == expected


@pytest.mark.parametrize("name", ["scatter", "index_copy", "index_put"])
def test_only_what_stays_gets_a_gradient(name: str) -> None:
    calls: dict[str, Callable[..., Any]] = {
        "scatter": lambda x, i, s: sg.scatter(x, 0, i, s),
        "index_copy": lambda x, i, s: sg.index_copy(x, 0, i, s),
        "index_put": lambda x, i, s: sg.index_put(x, (i,), s),
    }
    i, last = np.array([2, 0, 2]), np.array([0.0, 1.0, 1.0])
    x, s = draw(4), draw(3, seed=1)
    for of in (of_ours, of_eager):
        y, gx, gs = of(calls[name], x, i, s)
        assert y.tolist() == [s[1], x[1], s[2], x[3]]
        np.testing.assert_allclose(gx, [0, 2 * x[1], 0, 2 * x[3]])
        np.testing.assert_allclose(gs, 2 * s * last)


def test_rank_0() -> None:
    x, zero = np.array(1.5), np.zeros((), np.int64)
    cases: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
        (lambda x, i: x.gather(0, i), lambda x, i: x.gather(0, i)),
        (lambda x, i: x.index_select(0, i), lambda x, i: x.index_select(0, i)),
        (lambda x, i: x.take(i), lambda x, i: x.take(i)),
        (lambda x, i: x.scatter_add(0, i, x * 2), lambda x, i: x.scatter_add(0, i, x * 2)),
        (lambda x, i: x.scatter(0, i, x * 2), lambda x, i: x.scatter(0, i, x * 2)),
        (lambda x, i: x.scatter_reduce(0, i, x * 2, "prod"), lambda x, i: x.scatter_reduce(0, i, x * 2, "prod")),
        (lambda x, i: x.index_add(0, i, x * 2), lambda x, i: x.index_add(0, i, x * 2)),
        (lambda x, i: x.index_copy(0, i, x * 2), lambda x, i: x.index_copy(0, i, x * 2)),
        (lambda x, i: x * x.index_fill(0, i, 3.0), lambda x, i: x * x.index_fill(0, i, 3.0)),
        (lambda x, i: x.masked_select(i == 0), lambda x, i: x.masked_select(i == 0)),
        (lambda x, i: x * x.masked_scatter(i == 0, x), lambda x, i: x * x.masked_scatter(i == 0, x)),
        (lambda x, i: x.topk(1).values, lambda x, i: x.topk(1).values),
        (lambda x, i: x.sort().values, lambda x, i: x.sort().values),
        (lambda x, i: x.kthvalue(1).values, lambda x, i: x.kthvalue(1).values),
        (lambda x, i: x.roll(1), lambda x, i: x.roll(1)),
        (lambda x, i: x.tile((2,)), lambda x, i: x.tile((2,))),
        (lambda x, i: x.repeat_interleave(3), lambda x, i: x.repeat_interleave(3)),
        (lambda x, i: x.unfold(0, 1, 1), lambda x, i: x.unfold(0, 1, 1)),
        (lambda x, i: x.flip(0), lambda x, i: x.flip(0)),
    ]
    for ours, theirs in cases:
        assert_same(ours, theirs, x, zero)


def test_nothing_to_read_or_write() -> None:
    x, i, s = draw(3, 2), np.zeros((0, 2), np.int64), np.zeros((0, 2))
    vector, rows = np.zeros(0, np.int64), np.zeros((0, 2))
    cases: list[Callable[..., Any]] = [
        lambda x, i, s: x.scatter_add(0, i, s) + s.sum(),
        lambda x, i, s: x.scatter_reduce(0, i, s, "amax", include_self=False) + s.sum(),
        lambda x, i, s: x.gather(0, i) + s + x.sum(),
    ]
    for f in cases:
        assert_same(f, f, x, i, s)
    more: list[Callable[..., Any]] = [
        lambda x, i, s: x.index_add(0, i, s) + s.sum(),
        lambda x, i, s: x.index_copy(0, i, s) + s.sum(),
        lambda x, i, s: x.index_select(0, i) + s + x.sum(),
        lambda x, i, s: x[i] + s + x.sum(),
        lambda x, i, s: x[:0].diagonal().sum() + x + s.sum(),
    ]
    for f in more:
        assert_same(f, f, x, vector, rows)


def test_options_of_embeddings() -> None:
    table, numbers = draw(5, 2), np.array([[0, 1, 3], [3, 3, 2]])
    line, offsets = np.array([4, 0, 4, 1, 1, 3]), np.array([0, 2, 2, 5])
    for options in ({"padding_idx": 3}, {"padding_idx": -2}, {"scale_grad_by_freq": True}, {"sparse": False}):
        assert_same(
            lambda w, i, o=options: F.embedding(i, w, **o),
            lambda w, i, o=options: TF.embedding(i, w, **o),
            table,
            numbers,
        )
    for mode in ("sum", "mean"):
        # PyTorch divides by the frequencies of other rows here.
        frequency = np.bincount(line, minlength=5)[:, None]
        plain, scaled = (
            lambda w, i, p, m=mode, s=s: F.embedding_bag(i, w, p, mode=m, scale_grad_by_freq=s) for s in (False, True)
        )
        for of in (of_ours, of_eager):
            wanted = of(plain, table, line, offsets)[1] / np.maximum(frequency, 1)
            np.testing.assert_allclose(of(scaled, table, line, offsets)[1], wanted)
    tied = np.array([[1.0, 2.0], [1.0, 3.0], [0.0, 3.0]])
    assert_same(
        lambda w, i: F.embedding_bag(i, w, mode="max"),
        lambda w, i: TF.embedding_bag(i, w, mode="max"),
        tied,
        np.array([[0, 1, 2], [2, 1, 1]]),
    )


def test_positions_in_order() -> None:
    x = np.array([[3.0, 1.0, 2.0, 1.0], [0.0, 0.0, -1.0, 5.0]])
    for kwargs in ({"stable": True}, {"dim": 0, "stable": True}, {"descending": True, "stable": True}):
        expected = torch.argsort(torch.tensor(x), **kwargs).tolist()
        assert run(lambda x, k=kwargs: sg.argsort(x, **k), x)[0][0].tolist() == expected
        assert sg.eager.argsort(sg.eager.tensor(x), **kwargs).tolist() == expected
        assert run(lambda x, k=kwargs: x.sort(**k).indices, x)[0][0].tolist() == expected
    assert run(lambda x: (x > 0).sort(0).values, x)[0][0].dtype == bool


def test_leading_dimensions_of_positions_may_be_dynamic() -> None:
    cube, places = draw(2, 3, 4), np.array([[[1], [0], [1]], [[3], [0], [2]]])
    for lead in ((2, 3), ("N", "M"), (None, None)):
        x, i = sg.input("x", (*lead, 4), "float64"), sg.input("i", (*lead, 1), "int64")
        y = sg.ops.gather_nd(x, i, batch_dims=2)
        assert y.shape == lead
        g = sg.grad((y * y).sum(), x)
        value, found = Evaluator([x, i], [y, g])({"x": cube, "i": places})
        np.testing.assert_array_equal(value, np.take_along_axis(cube, places, 2)[..., 0])
        expected = np.zeros_like(cube)
        np.put_along_axis(expected, places, 2 * np.take_along_axis(cube, places, 2), 2)
        np.testing.assert_allclose(found, expected)


def test_two_zeros_for_one_position_have_a_second_derivative() -> None:
    x, s = sg.input("x", (1,), "float64"), sg.input("s", (3,), "float64")
    y = sg.scatter_reduce(x, 0, np.array([0, 0, 0]), s, "prod")
    second = sg.hessian(y.sum(), s)
    (found,) = Evaluator([x, s], [second])({"x": np.array([2.0]), "s": np.array([0.0, 3.0, 0.0])})
    np.testing.assert_allclose(found, [[0, 0, 6], [0, 0, 0], [6, 0, 0]])


def test_a_position_may_be_a_value() -> None:
    x, i = sg.input("x", ("N", 4), "float64"), sg.input("i", (), "int64")
    cases = {"narrow": x.narrow(1, i, 2), "select": x.select(0, i), "repeat": x.repeat_interleave(i, 1)}
    array = draw(3, 4)
    wanted = {"narrow": array[:, 1:3], "select": array[1], "repeat": array}
    gradients = [sg.grad((y * y).sum(), x) for y in cases.values()]
    found = Evaluator([x, i], [*cases.values(), *gradients])({"x": array, "i": np.array(1)})
    for y, g, z in zip(found[:3], found[3:], wanted.values(), strict=True):
        np.testing.assert_array_equal(y, z)
        np.testing.assert_allclose((g * array).sum(), 2 * (z * z).sum())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, i: sg.topk(x, 5), "k is 5"),
        (lambda x, i: sg.topk(x, 1.5), "is an int"),
        (lambda x, i: sg.kthvalue(x, 0), "k is 0"),
        (lambda x, i: x.scatter(0, i), "either src or value"),
        (lambda x, i: x.scatter(0, i, 1.0, reduce="max"), "reduce='max'"),
        (lambda x, i: x.scatter_reduce(0, i, x, "max"), "reduce='max'"),
        (lambda x, i: x.scatter_add(0, i, x[:0]), "names more"),
        (lambda x, i: x.index_add(0, i, x), "vector"),
        (lambda x, i: x.index_put((None, i), x), "tuple of tensors"),
        (lambda x, i: x.index_put((i, i), x), "does not fit where it is to be written"),
        (lambda x, i: x.index_put((i,), x.unsqueeze(0)), "does not fit where it is to be written"),
        (lambda x, i: x.masked_select(i), "mask is bool"),
        (lambda x, i: x.masked_scatter(i, x), "mask is bool"),
        (lambda x, i: x.diagonal(dim1=1), "two dimensions"),
        (lambda x, i: x.unfold(0, 4, 1), "does not fit"),
        (lambda x, i: x.narrow(0, 2, 2), "within dimension"),
        (lambda x, i: x.select(0, 7), "out of range"),
        (lambda x, i: x.roll((1, 2), 0), "as many dims"),
        (lambda x, i: x.repeat_interleave([1, 2], 0), "repeats"),
        (lambda x, i: x.repeat_interleave(2, 0, output_size=7), "output_size"),
        (lambda x, i: x.flip(0, 0), "twice"),
        (lambda x, i: F.embedding(i, x, max_norm=1.0), "max_norm"),
        (lambda x, i: F.embedding_bag(i[0], x), "offsets"),
        (lambda x, i: F.embedding_bag(i, x, mode="min"), "mode='min'"),
        (lambda x, i: F.one_hot(i), "number of classes"),
        (lambda x, i: sg.ops.scatter_nd(x, i, x, reduction="mean"), "reduction='mean'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call: Callable[..., Any], words: str) -> None:
    with pytest.raises(StaticgradError, match=words) as caught:
        call(sg.input("x", (3, 4)), sg.input("i", (2, 4), "int64"))
    assert "\n" not in str(caught.value) and "test_positions.py" in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept(dtype: str) -> None:
    x, i = sg.input("x", (3, 4), dtype), sg.input("i", (2, 4), "int64")
    results: list[Value] = [
        *x.topk(2)[:1],
        x.scatter_reduce(0, i, x[:2], "mean", include_self=False),
        x.index_add(0, i[0, :2], x[:2], alpha=0.5),
        x[x > 0],
        F.embedding_bag(i, sg.input("w", (9, 2), dtype), scale_grad_by_freq=True),
        x.diag_embed(),
        x.index_fill(0, i[0], 2.0),
        FUNCTIONS["unfold_dimension"](x, 1, 2, 1),
    ]
    for y in results:
        assert y.dtype == dtype
    seeds = [Leaf("input", f"g{k}", y.type).outputs[0] for k, y in enumerate(results)]
    assert sg.vjp(results, x, seeds).dtype == dtype


def test_float16_runs_on_the_cpu() -> None:
    x, i = sg.input("x", (3, 4), "float16"), sg.input("i", (2, 4), "int64")
    array, places = draw(3, 4).astype("float16"), np.array([[0, 2, 1, 0], [0, 0, 1, 0]])
    total = (x.scatter_reduce(0, i, x[:2], "prod") + x[i[0, :3]] + F.embedding_bag(i, x).sum()).sum()
    g = sg.function(sg.grad(total, x), [x, i])(x=array, i=places)
    t = torch.tensor(array.astype("float64"), requires_grad=True)
    j = torch.tensor(places)
    (t.scatter_reduce(0, j, t[:2], "prod") + t[j[0, :3]] + TF.embedding_bag(j, t).sum()).sum().backward()
    np.testing.assert_allclose(g.astype("float64"), t.grad.numpy(), rtol=5e-3, atol=5e-3)
