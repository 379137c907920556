"""Patches of images: dynamic sizes, larger images, numbers that are not finite, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation import Array, Evaluator, run, torch_pulled
from function_rows.row import draw

import staticgrad as sg

F = sg.nn.functional
OPTIONS: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "dilation": (2, 3), "padding": (0, 2)},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": (2, 4), "stride": (2, 4)},
    {"kernel_size": 2, "stride": (3, 4), "padding": 1},
    {"kernel_size": 9, "padding": 4},
]


def of_torch(f: Any, a: Array) -> list[Array]:
    torch = pytest.importorskip("torch")
    return torch_pulled(lambda x: f(torch.nn.functional, x), a)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("names", [(2, 3), ("N", 3), ("N", "C"), (None, None)], ids=str)
def test_unfold_and_fold_of_named_batches_and_channels(options: dict[str, Any], names: tuple[Any, Any]) -> None:
    a = draw(2, 3, 9, 12)
    x = sg.input("x", (*names, 9, 12), "float64")

    def back_and_forth(f: Any, x: Any) -> Any:
        return f.fold(f.unfold(x, **options).pow(2), (9, 12), **options)

    for call in (lambda f, x: f.unfold(x, **options), back_and_forth):
        y = call(F, x)
        assert all(isinstance(d, int) for d in y.shape[2:])
        assert y.shape[0] == names[0]
        found = Evaluator([x], [y, sg.grad(y.pow(2).sum(), x)], rewritten=True)({"x": a})
        for u, v in zip(found, of_torch(call, a), strict=True):
            np.testing.assert_allclose(u, v, rtol=1e-10, atol=1e-11)
    assert F.fold(F.unfold(x, **options), (9, 12), **options).shape[:2] == x.shape[:2] or None in names


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_infinity_stays_where_it_is(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a = draw(1, 1, 9, 12)
    a[0, 0, 4, 5] = np.inf
    a[0, 0, 0, 0] = np.nan
    (y, z), _ = run(lambda x: (F.unfold(x, **options), F.fold(F.unfold(x, **options), (9, 12), **options)), a)
    expected = torch.nn.functional.unfold(torch.tensor(a), **options)
    np.testing.assert_array_equal(y, expected.numpy())
    np.testing.assert_allclose(z, torch.nn.functional.fold(expected, (9, 12), **options).numpy(), rtol=1e-12)


def test_second_derivative() -> None:
    for options in OPTIONS[1:3]:
        x = sg.input("x", (1, 1, 9, 12), "float64")
        y = F.unfold(x, **options)
        first = sg.grad((y * y * y).sum(), x)
        v = draw(1, 1, 9, 12, seed=4)
        (found,) = Evaluator([x], [sg.grad((first * v).sum(), x)])({"x": draw(1, 1, 9, 12)})
        # Every element counts as often as there are patches that hold it.
        (count,) = Evaluator([x], [F.fold(F.unfold(x * 0 + 1, **options), (9, 12), **options)])({"x": v})
        np.testing.assert_allclose(found, 6 * draw(1, 1, 9, 12) * v * count, rtol=1e-12)


def test_a_batch_of_nothing() -> None:
    x = sg.input("x", ("N", 3, 9, 12))
    for options in OPTIONS:
        y = F.fold(F.unfold(x, **options), (9, 12), **options)
        value, g = Evaluator([x], [y, sg.grad(y.sum(), x)])({"x": np.ones((0, 3, 9, 12), np.float32)})
        assert value.shape == g.shape == (0, 3, 9, 12)


X = sg.input("x", ("N", 2, 3, 4))
COLUMNS = sg.input("columns", ("N", 8, 6))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: F.unfold(X, 5), "no patch"),
        (lambda: F.unfold(X, 0), "kernel_size"),
        (lambda: F.unfold(X, 2, stride=0), "stride"),
        (lambda: F.unfold(X, (1, 2, 3)), "or two"),
        (lambda: F.unfold(X, 2, padding=-1), "padding"),
        (lambda: F.unfold(sg.input("y", (2, 3)), 2), "with or without N"),
        (lambda: F.unfold(sg.input("y", (1, 2, "H", 3)), 2), "last two sizes"),
        (lambda: F.fold(COLUMNS, (3, 5), 2), "8 patches"),
        (lambda: F.fold(COLUMNS, (3, 4), (1, 3)), "patches|multiple of 3"),
        (lambda: F.fold(sg.input("c", (1, 7, 6)), (3, 4), 2), "multiple of 4"),
        (lambda: F.fold(X, (3, 4), 2), "with or without N"),
    ],
    ids=range(11),
)
def test_what_is_wrong_is_said_in_one_line(wrong: Any, words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        wrong()
    assert "\n" not in str(caught.value) and "test_patches.py" in str(caught.value)
