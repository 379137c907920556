"""Operators that resample, transform, sample and sum: long axes, computed arguments, PyTorch, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from evaluation import Array, Evaluator
from function_rows.row import draw

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import ShapeError, UnsupportedOperatorError
from staticgrad.graph import Value

COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")


def pulled(build: Callable[..., Value], *arrays: Array, shapes: Any = None) -> tuple[Array, Array, list[Array]]:
    """The value of a function of arrays, a cotangent and what the vjp makes of it."""
    leaves = [
        sg.input(f"x{i}", a.shape if shapes is None else shapes[i], str(a.dtype))
        for i, a in enumerate(map(np.asarray, arrays))
    ]
    feeds = {f"x{i}": np.asarray(a) for i, a in enumerate(arrays)}
    y = build(*leaves)
    (value,) = Evaluator(leaves, [y])(feeds)
    cotangent = np.random.default_rng(value.size).uniform(0.5, 1.5, value.shape).astype(value.dtype)
    g = sg.input("g", y.shape, str(y.dtype))
    found = sg.vjp(y, [x for x in leaves if x.dtype.is_float], g)
    gradients = Evaluator([*leaves, g], list(found), rewritten=True)({**feeds, "g": cotangent})
    return value, cotangent, gradients


def of_torch(f: Callable[..., Any], cotangent: Array, *arrays: Array) -> list[Array]:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = f(*tensors)
    y.backward(torch.tensor(cotangent))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def assert_like_torch(build: Callable[..., Value], f: Callable[..., Any], *arrays: Array, rtol: float = 1e-4) -> None:
    value, cotangent, gradients = pulled(build, *arrays)
    for found, expected in zip([value, *gradients], of_torch(f, cotangent, *arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


# - Resize -


def single(*shape: int, seed: int = 0) -> Array:
    return draw(*shape, seed=seed).astype(np.float32)


def numbers(*values: float) -> Value:
    return ops.constant(np.array(values, np.float32))


def assert_adjoint(build: Callable[..., Value], x: Array, *others: Array, shapes: Any = None) -> None:
    """A linear map and its vjp: <g, f(x)> is <vjp(g), x>."""
    value, cotangent, gradients = pulled(build, x, *others, shapes=shapes)
    assert gradients[0].shape == x.shape
    left = (value.astype(np.float64) * cotangent).sum()
    right = (gradients[0].astype(np.float64) * x).sum()
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(
    "how",
    [{"mode": "nearest", "nearest_mode": n} for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")]
    + [{"mode": m, "antialias": a} for m in ("linear", "cubic") for a in (False, True)],
    ids=str,
)
def test_a_long_axis_goes_back_in_blocks(coordinates: str, how: dict[str, Any]) -> None:
    for size, scale in ((150, 0.37), (70, 1.6), (41, 3.3), (100, 1.004)):
        assert_adjoint(
            lambda x, s=scale: ops.resize(x, None, numbers(s, 1.5), coordinate_transformation_mode=coordinates, **how),
            single(size, 2),
        )


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("shape", [("H", "W"), (None, None)], ids=str)
def test_scales_sizes_and_regions_that_the_run_computes(mode: str, shape: Any) -> None:
    x = single(5, 4)
    for percent in ((150, 60), (100, 100), (110, 120)):
        # Whole numbers, for the scales are no part of the derivative.
        assert_adjoint(
            lambda x, p: ops.resize(x, None, ops.cast(p, to="float32") / 100, mode=mode),
            x,
            np.array(percent),
            shapes=(shape, (2,)),
        )
    sizes = np.array([3, 6])
    assert_adjoint(lambda x, n: ops.resize(x, None, None, n, mode=mode), x, sizes, shapes=(shape, (2,)))
    region = numbers(0.1, -0.2, 0.7, 1.1)
    crop = "tf_crop_and_resize"
    assert_adjoint(
        lambda x, n: ops.resize(x, region, None, n, mode=mode, coordinate_transformation_mode=crop),
        x,
        sizes,
        shapes=(shape, (2,)),
    )


@pytest.mark.parametrize("how", [{"mode": "bilinear"}, {"mode": "bicubic"}, {"mode": "nearest"}], ids=str)
@pytest.mark.parametrize("sizes", [(3, 9), (8, 4), (5, 6)], ids=str)
def test_resize_is_pytorchs_interpolate(how: dict[str, str], sizes: tuple[int, int]) -> None:
    x = single(2, 2, 4, 6)
    mode = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}[how["mode"]]
    place = "asymmetric" if mode == "nearest" else "pytorch_half_pixel"
    wanted = ops.constant(np.array([2, 2, *sizes]))

    def interpolated(x: Any) -> Any:
        return pytest.importorskip("torch").nn.functional.interpolate(x, sizes, **how)

    assert_like_torch(
        lambda x: ops.resize(
            x, None, None, wanted, mode=mode, coordinate_transformation_mode=place, nearest_mode="floor"
        ),
        interpolated,
        x,
    )


def test_resize_without_result_has_a_gradient_of_zeros() -> None:
    x = single(1, 3)
    *_, (gradient,) = pulled(lambda x: ops.resize(x, None, numbers(0.5, 1.5), mode="linear"), x)
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_a_size_on_which_onnxruntime_and_onnx_do_not_agree_is_that_of_the_run(mode: str) -> None:
    x = single(10, 2)
    value, *_ = pulled(lambda x: ops.resize(x, None, numbers(0.7, 1), mode=mode), x, shapes=((10, 2),))
    assert value.shape == (7, 2)
    assert_adjoint(lambda x: ops.resize(x, None, numbers(0.7, 2), mode=mode), x)


def test_lists_without_elements_count_as_left_out() -> None:
    none = ops.constant(np.zeros(0, np.float32))
    assert ops.resize(sg.input("x", (2, 4)), none, numbers(1, 2)).shape == (2, 8)
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "cubic"}
    region, sizes = numbers(0, 0.1, 1, 0.9), ops.constant(np.array([2, 5]))
    assert_adjoint(lambda x: ops.resize(x, region, none, sizes, **crop), single(2, 4))
    assert ops.resize(sg.input("x", (2, "N")), none, none, ops.constant(np.array([3, 5]))).shape == (3, 5)
    with pytest.raises(ShapeError, match="either scales or sizes"):
        ops.resize(sg.input("x", (2, 4)), None, numbers(1, 2), ops.constant(np.array([3, 5])))


def refusal(build: Callable[..., Value], *shapes: Any) -> str:
    leaves = [sg.input(f"x{i}", s) for i, s in enumerate(shapes)]
    y = build(*leaves)
    with pytest.raises(UnsupportedOperatorError) as caught:
        sg.vjp(y, leaves[0], sg.input("g", y.shape))
    return str(caught.value)


def test_what_has_no_derivative_says_what_to_do() -> None:
    sizes = ops.constant(np.array([3, 5]))
    kept = refusal(lambda x: ops.resize(x, None, None, sizes, keep_aspect_ratio_policy="not_larger"), ("N", 4))
    assert "declare them as numbers" in kept
    region = numbers(0, 0.1, 0.1, 0, 1, 0.8, 0.8, 1)
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "cubic"}
    assert "name them in axes" in refusal(lambda x: ops.resize(x, region, numbers(1, 2, 2, 1), **crop), (1, 3, 3, 2))
    length = ops.constant(np.array(8))
    assert "dft_length // 2 + 1" in refusal(lambda x: ops.dft(x, length, inverse=True, onesided=True), (2, 4, 2))
    assert "declare it as a number" in refusal(ops.det, ("B", "N", "N"))


# - GridSample -


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_points_on_elements_and_at_the_limits_have_pytorchs_derivative(mode: str, padding: str, corners: bool) -> None:
    torch = pytest.importorskip("torch")
    x = draw(1, 2, 3, 4)
    # PyTorch rounds differently where it mirrors a point halfway.
    steps = [-1.6 if mode == "nearest" else -1.5, -1.0, -0.5, 0.0, 0.25, 1.0, 1.25]
    grid = np.array([list(itertools.product(steps, steps))])[:, None]
    names = {"linear": "bilinear", "cubic": "bicubic"}
    assert_like_torch(
        lambda x, grid: ops.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=corners),
        lambda x, grid: torch.nn.functional.grid_sample(x, grid, names.get(mode, mode), padding, corners),
        x,
        grid,
        rtol=1e-9,
    )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_the_nearest_element_is_the_one_that_the_kernel_takes_also_halfway(padding: str, corners: bool) -> None:
    halves = np.arange(-12, 16) / 2
    axes = [halves / (n - 1) * 2 - 1 if corners else (halves * 2 + 1) / n - 1 for n in (5, 4)]
    grid = ops.constant(np.array([list(itertools.product(*axes))], np.float32)[:, None])
    for g in np.eye(20, dtype=np.float32):
        x = g.reshape(1, 1, 4, 5)
        assert_adjoint(
            lambda x: ops.grid_sample(x, grid, mode="nearest", padding_mode=padding, align_corners=corners), x
        )


# - DFT and STFT -


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [False, True])
def test_transforms_too_long_for_a_matrix(parts: int, inverse: bool) -> None:
    torch = pytest.importorskip("torch")
    x = draw(2, 1100, parts)

    def transformed(x: Any) -> Any:
        z = torch.view_as_complex(x) if parts == 2 else x[..., 0]
        return torch.view_as_real((torch.fft.ifft if inverse else torch.fft.fft)(z, 1200, dim=1).resolve_conj())

    length = ops.constant(np.array(1200))
    assert_like_torch(lambda x: ops.dft(x, length, inverse=inverse), transformed, x, rtol=1e-6)


@pytest.mark.parametrize("length", [1100, 1101])
def test_one_sided_transforms_too_long_for_a_matrix(length: int) -> None:
    torch = pytest.importorskip("torch")
    x, z, n = draw(1, length, 1), draw(1, length // 2 + 1, 2), ops.constant(np.array(length))

    def back(z: Any) -> Any:
        return torch.fft.irfft(torch.view_as_complex(z), length, dim=1)[..., None]

    def forth(x: Any) -> Any:
        return torch.view_as_real(torch.fft.rfft(x[..., 0], dim=1))

    assert_like_torch(lambda x: ops.dft(x, onesided=True), forth, x, rtol=1e-9)
    assert_like_torch(lambda z: ops.dft(z, n, inverse=True, onesided=True), back, z, rtol=1e-6)


@pytest.mark.parametrize("how", [{}, {"onesided": True}, {"inverse": True}], ids=str)
@pytest.mark.parametrize("length", [3, 5, 8])
@pytest.mark.parametrize("shape", [(2, 5, 1), (None, None, 1), ("N", "M", "P")], ids=str)
def test_a_length_that_the_run_computes(how: dict[str, bool], length: int, shape: Any) -> None:
    parts = 1 if how.get("onesided") or shape[2] == 1 else 2
    x, n = draw(2, 5, parts), np.array(length)
    _, cotangent, (gradient,) = pulled(lambda x, n: ops.dft(x, n, **how), x, n, shapes=(shape, ()))
    value, *_ = pulled(lambda x: ops.dft(x, ops.constant(n), **how), x)
    np.testing.assert_allclose((value * cotangent).sum(), (gradient * x).sum(), rtol=1e-6)


def test_frames_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    signal, window = draw(2, 40, 1), draw(16, seed=1)

    def framed(signal: Any, window: Any) -> Any:
        z = torch.stft(signal[..., 0], 16, 5, window=window, center=False, onesided=True, return_complex=True)
        return torch.view_as_real(z.transpose(1, 2).contiguous())

    step = ops.constant(np.array(5))
    assert_like_torch(lambda s, w: ops.stft(s, step, w), framed, signal, window, rtol=1e-9)


# - Det -


@pytest.mark.parametrize("rank", [0, 3, 4, 5])
def test_a_determinant_has_the_derivative_of_its_cofactors_also_without_an_inverse(rank: int) -> None:
    x = (draw(6, rank) @ draw(rank, 6, seed=1)).astype(np.float32) if rank else np.zeros((6, 6), np.float32)
    _, cotangent, (gradient,) = pulled(ops.det, x)
    wide = x.astype(np.float64)
    expected = np.zeros((6, 6))
    for i, j in np.ndindex(6, 6):
        minor = np.delete(np.delete(wide, i, 0), j, 1)
        expected[i, j] = cotangent * (-1) ** (i + j) * np.linalg.det(minor)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


def test_a_determinant_of_nothing_has_a_derivative_of_nothing() -> None:
    x = sg.input("x", (2, 0, 0))
    assert sg.vjp(ops.det(x), x, np.ones(2, np.float32)).type == x.type


# - Einsum -

SIZES = {"a": 2, "b": 3, "c": 4, "d": 2}


@pytest.mark.parametrize("seed", range(40))
def test_random_equations_have_pytorchs_derivative(seed: int) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list(SIZES), random.integers(0, 5))) for _ in range(random.integers(1, 4))]
    found = sorted({letter for text in texts for letter in text})
    result = "".join(random.permutation(found)[: random.integers(0, len(found) + 1)]) if found else ""
    equation = f"{' , '.join(texts)} -> {result}"
    arrays = [draw(*(SIZES[letter] for letter in text), seed=i) for i, text in enumerate(texts)]
    assert_like_torch(
        lambda *xs: ops.einsum(*xs, equation=equation),
        lambda *xs: torch.einsum(equation, *xs),
        *arrays,
        rtol=1e-11,
    )


def test_letters_do_not_broadcast_and_an_ellipsis_is_not_summed() -> None:
    with pytest.raises(ShapeError, match="i has the sizes 1 and 3"):
        ops.einsum(sg.input("x", (1, 2)), sg.input("y", (3, 2)), equation="ij,ij->j")
    with pytest.raises(ShapeError, match=r"'\.\.\.' is missing"):
        ops.einsum(sg.input("x", (3, 2)), equation="...i->i")
    assert ops.einsum(sg.input("x", ("N", 2)), sg.input("y", (2, "M")), equation="ij,jk->ki").shape == ("M", "N")
