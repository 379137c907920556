"""Padding and changes of resolution: dynamic sizes, long axes, numbers that are not finite, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation import Array, Evaluator, run, torch_pulled
from function_rows.row import draw

import staticgrad as sg

F = sg.nn.functional


def of_torch(f: Any, a: Array) -> list[Array]:
    torch = pytest.importorskip("torch")
    return torch_pulled(lambda x: f(torch.nn.functional, x), a)


def named(shape: tuple[int | str, ...], f: Any, *arrays: Array) -> tuple[sg.Value, Array, Array]:
    """The symbolic result of an input with names, its number and the gradient of the sum of squares."""
    x = sg.input("x", shape, "float64")
    y = f(F, x)
    value, gradient = Evaluator([x], [y, sg.grad(y.pow(2).sum(), x)])({"x": arrays[0]})
    return y, value, gradient


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f.interpolate(x, (5, 7), mode="bilinear"),
        lambda f, x: f.interpolate(x, (2, 7), mode="bicubic", antialias=True),
        lambda f, x: f.interpolate(x, (2, 9)),
        lambda f, x: f.interpolate(x[:, :, None], (3, 5, 2), mode="trilinear"),
        lambda f, x: f.interpolate(x, (2, 3), mode="area"),
        lambda f, x: f.pad(x, (1, 2, 0, 1), mode="reflect"),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("shape", [("N", 2, 3, 4), ("N", "C", 3, 4), (None, None, 3, 4)], ids=str)
def test_batch_and_channels_may_be_named(shape: Any, call: Any) -> None:
    a = draw(3, 2, 3, 4)
    y, value, gradient = named(shape, call, a)
    assert y.shape[:2] == shape[:2] or None in shape
    assert all(isinstance(d, int) for d in y.shape[2:])
    expected, wanted = of_torch(call, a)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_whole_factors_of_named_sizes(mode: str) -> None:
    a = draw(2, 3, 4, 5)
    y, value, gradient = named(("N", "C", "H", "W"), lambda f, x: f.interpolate(x, scale_factor=(2, 3), mode=mode), a)
    assert y.shape == ("N", "C", "H*2", "W*3")
    expected, wanted = of_torch(lambda f, x: f.interpolate(x, scale_factor=(2, 3), mode=mode), a)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-12)


def test_pixels_of_named_sizes() -> None:
    x = sg.input("x", ("N", 8, "H", "W"))
    assert F.pixel_shuffle(x, 2).shape == ("N", 2, "H*2", "W*2")
    assert F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).shape == ("N", 8, "H", "W")
    y = F.pixel_unshuffle(sg.input("z", ("N", 1, "H", "W")), 2)
    assert y.shape[:2] == ("N", 4)
    f = Evaluator([x], [F.pixel_shuffle(x, 2)])
    assert f({"x": np.ones((0, 8, 2, 3), np.float32)})[0].shape == (0, 2, 4, 6)


@pytest.mark.parametrize(
    ("mode", "keywords"),
    [
        ("nearest", {}),
        ("nearest-exact", {}),
        ("area", {}),
        ("bilinear", {}),
        ("bilinear", {"align_corners": True}),
        ("bilinear", {"antialias": True}),
        ("bicubic", {}),
        ("bicubic", {"antialias": True}),
        ("lanczos", {"antialias": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(7, 195), (150, 31), (70, 129), (1, 390), (140, 130)], ids=str)
def test_long_axes(mode: str, keywords: dict[str, Any], size: tuple[int, int]) -> None:
    a = draw(1, 2, 70, 130)

    def call(f: Any, x: Any) -> Any:
        return f.interpolate(x, size, mode=mode, **keywords)

    _, value, gradient = named(("N", 2, 70, 130), call, a)
    expected, wanted = of_torch(call, a)
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_size_takes_the_elements_that_torch_takes(mode: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for n in (1, 2, 3, 7, 10, 49, 61):
        a = np.arange(n, dtype=dtype).reshape(1, 1, n)
        sizes = [1, 2, 3, 5, 11, 19, 41, 49, 83, 97, 98, 147]
        x = sg.input("x", (1, 1, n), dtype)
        found = Evaluator([x], [F.interpolate(x, m, mode=mode) for m in sizes])({"x": a})
        for m, y in zip(sizes, found, strict=True):
            np.testing.assert_array_equal(y, torch.nn.functional.interpolate(torch.tensor(a), m, mode=mode).numpy())
        factors = [0.3, 0.5, 1.3, 1.7, 3, 7, 11, 41, 49]
        factors = [f for f in factors if int(n * f)]
        found = Evaluator([x], [F.interpolate(x, None, f, mode) for f in factors])({"x": a})
        for f, y in zip(factors, found, strict=True):
            expected = torch.nn.functional.interpolate(torch.tensor(a), scale_factor=f, mode=mode).numpy()
            np.testing.assert_array_equal(y, expected)


def test_elements_that_are_taken_as_they_are_do_not_spread_infinity() -> None:
    a = np.array([[[1.0, np.inf, 2.0, np.nan]]])
    (y,), _ = run(lambda x: F.interpolate(x, 7), a)
    np.testing.assert_array_equal(y, a[:, :, np.arange(7) * 4 // 7])
    (y,), _ = run(lambda x: F.pad(x, (1, 1), "reflect"), a)
    np.testing.assert_array_equal(y, [[[np.inf, 1.0, np.inf, 2.0, np.nan, 2.0]]])


def test_integers_are_taken_and_half_precision_is_kept() -> None:
    (y,), _ = run(lambda x: F.interpolate(x, 3), np.array([[[1, 2]]]))
    assert y.tolist() == [[[1, 1, 2]]] and y.dtype == np.int64
    x = sg.input("x", (1, 1, 4, 4), "float16")
    for mode in ("nearest", "bilinear", "area", "bicubic"):
        assert str(F.interpolate(x, 6, mode=mode).dtype) == "float16"


X = sg.input("x", ("N", 2, 3, 4))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: F.interpolate(X), "either size or scale_factor"),
        (lambda: F.interpolate(X, 2, 2), "either size or scale_factor"),
        (lambda: F.interpolate(X, 2, mode="linear"), "rank 3"),
        (lambda: F.interpolate(X, 2, mode="sharp"), "takes mode"),
        (lambda: F.interpolate(X, (2, 3, 4)), "list of 2"),
        (lambda: F.interpolate(X, 0), "positive"),
        (lambda: F.interpolate(X, scale_factor=0.1), "something on both sides"),
        (lambda: F.interpolate(X, 2, align_corners=True), "no meaning"),
        (lambda: F.interpolate(X, 2, antialias=True), "antialias"),
        (lambda: F.interpolate(X, 2, mode="bilinear", recompute_scale_factor=True), "recompute"),
        (lambda: F.interpolate(sg.input("y", ("N", 2, "H", 4)), 2), "know the sizes"),
        (lambda: F.interpolate(sg.input("y", ("N", 2, "H", 4)), scale_factor=1.5), "know the sizes"),
        (lambda: F.interpolate(sg.input("y", (1, 2, 3, 4), "int32"), 2, mode="bilinear"), "floating"),
        (lambda: F.pixel_shuffle(X, 2), "multiple of 4"),
        (lambda: F.pixel_unshuffle(X, 2), "multiple of 2"),
        (lambda: F.pixel_unshuffle(X, 0), "positive int"),
        (lambda: F.pad(X, (1,)), "two numbers"),
        (lambda: F.pad(X, (1.5, 2)), "list of ints"),
        (lambda: F.pad(X, (4, 0), "reflect"), "cannot be mirrored"),
        (lambda: F.pad(X, (5, 0), "circular"), "more than once"),
        (lambda: F.pad(X, (2, -3), "circular"), "goes around the 1 elements"),
        (lambda: F.pad(X, (-5, 1)), "cut off more than the 4 elements"),
        (lambda: F.pad(X, (0, -4), "replicate"), "cut off more than the 4 elements"),
        (lambda: F.pad(X, (1, 0), "edge"), "takes mode"),
        (lambda: F.pad(X, (1, 0), "reflect", 2.0), "constant only"),
        (lambda: F.pad(X, (-3, -2)), "cut off more"),
    ],
    ids=range(26),
)
def test_what_is_wrong_is_said_in_one_line(wrong: Any, words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        wrong()
    assert "\n" not in str(caught.value) and "test_resampling.py" in str(caught.value)
