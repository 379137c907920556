"""Sampling at points: dynamic sizes, limits and mirrors, second derivatives, refusals."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import SETTINGS, Array, Evaluator, run, torch_pulled
from function_rows.row import draw
from function_rows.sampling import DEEP, FLAT, IMAGE, VOLUME

import staticgrad as sg
from staticgrad import eager

F = sg.nn.functional
MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def of_torch(x: Array, grid: Array, **keywords: Any) -> list[Array]:
    torch = pytest.importorskip("torch")
    return torch_pulled(lambda a, b: torch.nn.functional.grid_sample(a, b, **keywords), x, grid)


def pulled(x: Array, grid: Array, shapes: tuple[Any, Any], **keywords: Any) -> tuple[sg.Value, list[Array]]:
    leaves = [sg.input(n, s, str(v.dtype)) for n, s, v in zip(("x", "grid"), shapes, (x, grid), strict=True)]
    y = F.grid_sample(*leaves, **keywords)
    gradients = sg.grad(y.pow(2).sum(), leaves, unused="zero")
    return y, Evaluator(leaves, [y, *gradients])({"x": x, "grid": grid})


SHAPES: list[tuple[Any, Any]] = [
    (("N", "C", "H", "W"), ("N", "h", "w", 2)),
    (("N", 2, 3, 4), ("N", 2, 3, 2)),
    ((None, None, None, None), (None, None, None, 2)),
    ((2, 2, "H", 4), (2, "h", 3, 2)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize(("mode", "padding"), list(itertools.product(MODES, PADDINGS)))
def test_sizes_may_be_named_or_unknown(shapes: Any, mode: str, padding: str) -> None:
    for corners in (False, True):
        keywords = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        y, found = pulled(IMAGE, FLAT, shapes, **keywords)
        if None not in shapes[0]:
            assert y.shape == (*shapes[0][:2], *shapes[1][1:3])
        for a, b in zip(found, of_torch(IMAGE, FLAT, **keywords), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_depths_of_named_sizes() -> None:
    for padding, corners in itertools.product(PADDINGS, (False, True)):
        keywords = {"padding_mode": padding, "align_corners": corners}
        _, found = pulled(VOLUME, DEEP, (("N", "C", "D", "H", "W"), ("N", "d", "h", "w", 3)), **keywords)
        for a, b in zip(found, of_torch(VOLUME, DEEP, **keywords), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("mode", "padding"), list(itertools.product(MODES, PADDINGS)))
@pytest.mark.parametrize("corners", [False, True])
def test_points_on_elements_edges_and_mirrors_are_treated_as_torch_does(mode: str, padding: str, corners: bool) -> None:
    # All numbers are exact, so that both sides stand on the same side of every corner.
    line = np.arange(-20, 21) / 4.0
    grid = np.stack(np.meshgrid(line, [-1.0, -0.75, 0.0, 0.5, 1.0]), -1)[None]
    x = draw(1, 2, 4, 4) if not corners else draw(1, 2, 5, 5)
    keywords = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    wanted = of_torch(x, grid, **keywords)
    _, found = pulled(x, grid, (x.shape, grid.shape), **keywords)
    a, b = (eager.tensor(v, requires_grad=True) for v in (x, grid))
    y = eager.nn.functional.grid_sample(a, b, **keywords)
    y.pow(2).sum().backward()
    for ours in (found, [y.detach().numpy(), a.grad.numpy(), b.grad.numpy()]):
        for u, v in zip(ours, wanted, strict=True):
            np.testing.assert_allclose(u, v, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_second_derivatives_are_those_of_central_differences(mode: str, padding: str) -> None:
    x, grid = sg.input("x", IMAGE.shape, "float64"), sg.input("grid", FLAT.shape, "float64")
    y = F.grid_sample(x, grid, mode, padding, False)
    first = sg.grad((y * y).sum(), [x, grid])
    weights = [draw(*IMAGE.shape, seed=8), draw(*FLAT.shape, seed=9)]
    scalar = sum((g * w).sum() for g, w in zip(first, weights, strict=True))
    feeds = {"x": IMAGE, "grid": FLAT}
    second = Evaluator([x, grid], list(sg.grad(scalar, [x, grid])), rewritten=True)(feeds)
    value = Evaluator([x, grid], [scalar])
    for name, found in zip(feeds, second, strict=True):
        numeric = np.zeros(found.shape)
        for i in np.ndindex(found.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = feeds[name].copy()
                moved[i] += h
                sides.append(float(value({**feeds, name: moved})[0]))
            numeric[i] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-6)


def test_what_is_not_read_does_not_matter_and_wild_points_do_not_stop_a_run() -> None:
    x = np.ones((1, 1, 3, 3))
    x[0, 0, 2, 2] = math.inf
    grid = np.array([[[[-1.0, -1.0], [-5.0, 9.0], [1e30, 0.0], [-0.7, 1e12]]]])
    (y,), (gx, gg) = run(lambda x, g: F.grid_sample(x, g, align_corners=False), x, grid)
    np.testing.assert_allclose(y, [[[[0.25, 0, 0, 0]]]])
    assert np.isfinite(gx).all() and np.isfinite(gg).all()
    for padding, mode in itertools.product(PADDINGS, MODES):
        for point in (math.nan, math.inf, -math.inf, 1e30):
            wild = np.full((1, 1, 1, 2), point)
            for dtype in ("float32", "float64"):
                ones = np.ones((1, 1, 3, 3))
                run(lambda x, g, p=padding, m=mode: F.grid_sample(x, g, m, p), ones, wild, dtype=dtype)


def test_nearest_has_no_derivative_by_the_grid() -> None:
    _, (_, g) = run(lambda x, g: F.grid_sample(x, g, "nearest"), IMAGE, FLAT)
    assert not g.any()


def test_affine_grids() -> None:
    torch = pytest.importorskip("torch")
    theta = draw(2, 2, 3)
    x = sg.input("theta", ("N", 2, 3), "float64")
    for size, corners in [((2, 1, 1, 3), False), ((2, 1, 1, 3), True), ((2, 5, 4, 4), True), ((2, 5, 4, 4), False)]:
        y = F.affine_grid(x, size, corners)
        assert y.shape == ("N", *size[2:], 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = torch.nn.functional.affine_grid(torch.tensor(theta), size, corners).numpy()
        np.testing.assert_allclose(Evaluator([x], [y])({"theta": theta})[0], expected, rtol=1e-12, atol=1e-13)
        found = eager.nn.functional.affine_grid(eager.tensor(theta), size, corners).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


X, GRID = sg.input("x", ("N", 2, 3, 4)), sg.input("grid", ("N", 5, 5, 2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: F.grid_sample(X, GRID, "cubic"), "takes mode"),
        (lambda: F.grid_sample(X, GRID, padding_mode="reflect"), "padding_mode"),
        (lambda: F.grid_sample(X, sg.input("g", ("N", 5, 2))), "takes .N, C, H, W."),
        (lambda: F.grid_sample(X, sg.input("g", ("N", 5, 5, 3))), "takes .N, C, H, W."),
        (lambda: F.grid_sample(X, sg.input("g", ("M", 5, 5, 2))), "as many grids"),
        (lambda: F.grid_sample(X, sg.input("g", ("N", 5, 5, 2), "float64")), "one floating type"),
        (lambda: F.grid_sample(sg.input("y", (1, 2, 0, 4)), sg.input("g", (1, 5, 5, 2))), "nothing to sample"),
        (lambda: F.affine_grid(sg.input("t", (1, 2, 3)), (1, 2, 3)), "4 or 5"),
        (lambda: F.affine_grid(sg.input("t", (1, 2, 3)), (1, 2, 3, 4, 5)), "takes floating matrices"),
        (lambda: F.affine_grid(sg.input("t", (1, 2, 3)), (2, 2, 3, 4)), "takes 2 matrices"),
    ],
    ids=range(10),
)
def test_what_is_wrong_is_said_in_one_line(wrong: Any, words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        wrong()
    assert "\n" not in str(caught.value) and "test_sampling.py" in str(caught.value)


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("theta_type", ["t,2,3", "t,2,k", "0,2,3", "t,r,k"])
@pytest.mark.parametrize("length", ["4", "s"])
def test_grids_of_a_size_that_only_the_run_knows(length: str, theta_type: str, batch: int) -> None:
    if "t" not in theta_type and batch:
        pytest.skip("the model names another batch")
    text = (
        f'<ir_version: 10, opset_import: ["" : 20]> g (float[{theta_type}] theta, int64[{length}] size) => (float[] y) '
        "{ y = AffineGrid (theta, size) }"
    )
    if length == "s" and theta_type == "t,r,k":
        with pytest.raises(sg.UnsupportedOperatorError, match=r"a size \(N, C, h, w\)"):
            sg.gradient_model(onnx.parser.parse_model(text))
        return
    found = sg.gradient_model(onnx.parser.parse_model(text))
    session = onnxruntime.InferenceSession(found.SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
    theta, g = draw(batch, 2, 3).astype(np.float32), draw(batch, 3, 4, 2).astype(np.float32)
    feeds = {"theta": theta, "size": np.array([batch, 1, 3, 4]), "cotangent.y": g}
    y, to_theta = session.run(None, feeds)
    assert to_theta.shape == theta.shape
    # The grid is linear in its matrices.
    np.testing.assert_allclose((to_theta * theta).sum(), (g * y).sum(), rtol=1e-4, atol=1e-5)
