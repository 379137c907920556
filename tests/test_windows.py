"""Windows, blocks and regions: as PyTorch has them, where onnxruntime has no kernel, and with sizes of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx.reference
import pytest
from drawing import draw
from evaluation import PYTHON_OPERATORS, Array, Evaluator, run, torch_pulled
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph, Value

TIES = np.array([[[[1.0, 3, 3], [3, 0, 1]], [[2.0, 2, 2], [2, 2, 2]]]])


def pulled(build: Callable[..., Any], *arrays: Array, dtype: str = "float32") -> list[Array]:
    """The value of a function, and the gradients of the sum of its squares."""

    def squares(*xs: Value) -> Any:
        y = build(*xs)
        y = y[0] if isinstance(y, tuple) else y
        return (y * y).sum()

    value = run(build, *arrays, dtype=dtype)[0][0]
    return [value, *run(squares, *arrays, dtype=dtype)[1]]


def assert_all_near(found: list[Array], expected: list[Array], tolerance: float = 2e-4) -> None:
    for y, z in zip(found, expected, strict=True):
        np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance)


def like_torch(build: Callable[..., Any], theirs: Callable[..., Any], *arrays: Array, dtype: str = "float32") -> None:
    assert_all_near(pulled(build, *arrays, dtype=dtype), torch_pulled(theirs, *arrays))


# - as PyTorch has them -


def test_the_first_of_equal_maxima_of_a_whole_image_gets_the_derivative() -> None:
    torch = pytest.importorskip("torch")
    like_torch(ops.global_max_pool, lambda x: torch.nn.functional.adaptive_max_pool2d(x, 1), TIES)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_norms_and_means_of_whole_images(p: int) -> None:
    pytest.importorskip("torch")
    x = draw(2, 3, 2, 4, avoid=(0.0,))
    like_torch(lambda x: ops.global_lp_pool(x, p=p), lambda x: x.abs().pow(p).sum((2, 3), keepdim=True).pow(1 / p), x)
    like_torch(ops.global_average_pool, lambda x: x.mean((2, 3), keepdim=True), x)


def test_the_norm_of_nothing_has_the_derivative_0() -> None:
    for p in (1, 2, 3):
        assert_all_near(
            run(lambda x, p=p: ops.global_lp_pool(x, p=p), np.zeros((1, 2, 3)), dtype="float32")[1],
            [np.zeros((1, 2, 3))],
        )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response(size: int) -> None:
    torch = pytest.importorskip("torch")
    x = draw(2, 4, 2, 3)
    like_torch(
        lambda x: ops.lrn(x, size=size, alpha=0.5, beta=0.75, bias=1.5),
        lambda x: torch.nn.functional.local_response_norm(x, size, 0.5, 0.75, 1.5),
        x,
    )


def test_blocks_of_pixels() -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x = draw(2, 12, 2, 3)
    like_torch(lambda x: ops.depth_to_space(x, blocksize=2, mode="CRD"), lambda x: F.pixel_shuffle(x, 2), x)
    like_torch(
        lambda x: ops.col2im(x, [4, 5], [2, 3], dilations=[2, 1], pads=[1, 0, 1, 0], strides=[2, 1]),
        lambda x: F.fold(x, (4, 5), (2, 3), dilation=(2, 1), padding=(1, 0), stride=(2, 1)),
        draw(2, 12, 6),
    )


def test_maxima_put_back() -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x = draw(2, 2, 4, 5)

    def theirs(x: Any) -> Any:
        y, where = F.max_pool2d(x, 2, 2, return_indices=True)
        return F.max_unpool2d(y, where, 2, 2, output_size=(4, 5))

    def ours(x: Value) -> Value:
        y, where = ops.max_pool(x, kernel_shape=[2, 2], strides=[2, 2])
        return ops.max_unpool(y, where, [2, 2, 4, 5], kernel_shape=[2, 2], strides=[2, 2])

    like_torch(ours, theirs, x)


@pytest.mark.parametrize("order", [0, 1])
def test_the_first_of_equal_maxima_gets_the_derivative_in_both_orders(order: int) -> None:
    torch = pytest.importorskip("torch")

    def ours(x: Value) -> Any:
        return ops.max_pool(x, kernel_shape=[2, 3], storage_order=order)[0]

    like_torch(ours, lambda x: torch.nn.functional.max_pool2d(x, (2, 3), 1), TIES)


@pytest.mark.parametrize("attributes", [{"pads": [1, 2]}, {"strides": [2], "pads": [1, 1], "count_include_pad": True}])
def test_means_over_padding(attributes: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x = draw(1, 2, 6)

    def theirs(x: Any) -> Any:
        if "strides" in attributes:
            return F.avg_pool1d(x, 3, 2, 1)
        sums, counts = (F.avg_pool1d(F.pad(v, (1, 2)), 3, 1) for v in (x, torch.ones_like(x)))
        return sums / counts

    like_torch(lambda x: ops.average_pool(x, kernel_shape=[3], **attributes), theirs, x)


# - where onnxruntime has no kernel -


def by_reference(build: Callable[..., Value], *arrays: Array) -> None:
    """The vjp against central differences of onnx.reference."""
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    feeds = {f"x{i}": a for i, a in enumerate(arrays)}
    y = build(*leaves)

    def runner(*outputs: Value) -> Callable[[Mapping[str, Array]], list[Array]]:
        graph = Graph("g", {str(x.name): x for x in leaves}, {f"o{i}": v for i, v in enumerate(outputs)})
        evaluator = onnx.reference.ReferenceEvaluator(to_model(graph, {}), new_ops=PYTHON_OPERATORS)
        return lambda feeds: [np.asarray(v) for v in evaluator.run(None, dict(feeds))]

    forward = runner(y)
    (value,) = forward(feeds)
    assert value.shape == y.type.shape
    g = draw(*value.shape, seed=9)
    found = runner(*sg.vjp([y], leaves, [g]))(feeds)
    for name, number in zip(feeds, found, strict=True):
        assert number.shape == feeds[name].shape
        direction = draw(*number.shape, seed=11)
        sides = [forward({**feeds, name: feeds[name] + h * direction})[0] for h in (1e-6, -1e-6)]
        numeric = ((sides[0] - sides[1]) * g).sum() / 2e-6
        np.testing.assert_allclose((number * direction).sum(), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 5), (1, 4, 3), (2, 3, 2, 1), (1, 4, 1, 2, 1)])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_local_response_of_every_rank_and_size(shape: tuple[int, ...], size: int) -> None:
    by_reference(lambda x: ops.lrn(x, size=size, alpha=0.75, beta=0.5, bias=1.25), draw(*shape))


@pytest.mark.parametrize("image", [(5,), (3, 2, 4)])
def test_deformable_convolutions_in_other_than_two_dimensions(image: tuple[int, ...]) -> None:
    n = len(image)
    kernel = (2, 1, 2)[:n]
    counts = tuple(i - k + 1 for i, k in zip(image, kernel, strict=True))
    elements = int(np.prod(kernel))
    offset = draw(1, 2 * elements * n, *counts, low=-1.4, high=1.4, avoid=(-1.0, 0.0, 1.0))
    x, w, mask = draw(1, 4, *image), draw(2, 2, *kernel, seed=1), draw(1, 2 * elements, *counts, seed=2)
    by_reference(
        lambda x, w, offset, b, mask: ops.deform_conv(x, w, offset, b, mask, group=2, offset_group=2),
        x, w, offset, draw(2), mask,
    )  # fmt: skip


def test_output_padding_below_the_dilation() -> None:
    by_reference(
        lambda x, w: ops.conv_transpose(x, w, dilations=[3, 1], output_padding=[2, 1], strides=[1, 2]),
        draw(1, 2, 3, 2),
        draw(2, 1, 2, 2),
    )


def test_windows_far_apart_over_same_padding() -> None:
    x = draw(1, 2, 7, avoid=(0.0,))
    for side in ("SAME_UPPER", "SAME_LOWER"):
        how: dict[str, Any] = {"kernel_shape": [2], "dilations": [5], "auto_pad": side}
        by_reference(lambda x, how=how: ops.average_pool(x, **how), x)
        by_reference(lambda x, how=how: ops.average_pool(x, count_include_pad=True, strides=[2], **how), x)
        by_reference(lambda x, how=how: ops.lp_pool(x, p=3, strides=[3], **how), x)
        by_reference(lambda x, how=how: ops.max_pool(x, **how)[0], x)


# - with sizes that the run knows -


def test_a_deformable_convolution_of_named_sizes() -> None:
    arrays = {"x": draw(2, 2, 3, 4), "offset": draw(2, 16, 2, 3, low=0.1, high=0.9), "mask": draw(2, 8, 2, 3)}
    w = draw(2, 2, 2, 2, seed=1)

    def gradients(shapes: Mapping[str, Any]) -> list[Array]:
        x, offset, mask = (sg.input(name, shape, "float64") for name, shape in shapes.items())
        y = ops.deform_conv(x, w, offset, None, mask, offset_group=2)
        return Evaluator([x, offset, mask], list(sg.grad((y * y).sum(), [x, offset, mask])), rewritten=True)(arrays)

    fixed = gradients({name: a.shape for name, a in arrays.items()})
    named = {"x": ("N", 2, "H", "W"), "offset": ("N", 16, "R", "S"), "mask": ("N", 8, "P", "Q")}
    assert_all_near(gradients(named), fixed, 1e-12)
    assert_all_near(gradients({name: (None,) * 4 for name in arrays}), fixed, 1e-12)


def test_regions_of_named_numbers_and_none_that_holds_a_point() -> None:
    x = sg.input("x", ("N", "C", "H", "W"), "float64")
    rois = sg.input("rois", ("R", 4), "float64")
    images = sg.input("images", ("R",), "int64")
    arrays = {
        "x": draw(2, 2, 3, 4),
        "rois": np.array([[1.2, 0.4, 0.1, 0.2], [2.2, 1.1, 1.1, 0.3]]),
        "images": np.array([1, 0]),
    }
    for mode in ("avg", "max"):
        y = ops.roi_align(x, rois, images, mode=mode, output_height=2, output_width=2)
        for g in Evaluator([x, rois, images], [y, *sg.grad(y.sum(), [x, rois])])(arrays):
            assert not g.any()


def test_maxima_put_back_by_positions_that_go_by_another_name() -> None:
    x = sg.input("x", ("N", 1, "L"), "float32")
    where = sg.input("where", ("M", 1, "K"), "int64")
    y = ops.max_unpool(x, where, kernel_shape=[2], strides=[2])
    g = sg.grad((y * y).sum(), x)
    assert g.type == x.type
    feeds = {"x": np.array([[[1, 1.5]]], "float32"), "where": np.array([[[1, 2]]])}
    assert Evaluator([x, where], [g])(feeds)[0].tolist() == [[[2.0, 3.0]]]


def test_strides_beyond_the_kernel_of_same_padding_have_no_derivative() -> None:
    message = "strides that may pass over elements between windows; give pads"
    how: dict[str, Any] = {"strides": [4], "auto_pad": "SAME_UPPER"}
    builds: list[Callable[[Value], Any]] = [
        lambda x: ops.average_pool(x, kernel_shape=[2], **how),
        lambda x: ops.lp_pool(x, kernel_shape=[2], **how),
        lambda x: ops.max_pool(x, kernel_shape=[2], **how)[0],
        lambda x: ops.conv(x, np.ones((1, 1, 2), "float32"), **how),
    ]
    for build in builds:
        for size in (7, "L"):
            x = sg.input("x", (1, 1, size))
            with pytest.raises(sg.UnsupportedOperatorError, match=message):
                sg.grad(build(x).sum(), x)
        # Of 6 elements none is passed over at the end.
        x = sg.input("x", (1, 1, 6))
        sg.grad(build(x).sum(), x)


def test_blocks_of_sizes_that_are_not_known_have_no_derivative() -> None:
    x = sg.input("x", (1, 4, 4))
    y = ops.col2im(x, [3, 3], sg.input("block", (2,), "int64"))
    with pytest.raises(sg.UnsupportedOperatorError, match=r"Col2Im .*block_shape is not known when declaring"):
        sg.grad(y.sum(), x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: ops.depth_to_space(x, blocksize=3), "5 channels are not a multiple of 9"),
        (lambda x: ops.depth_to_space(x, blocksize=1, mode="RCD"), "neither 'DCR' nor 'CRD'"),
        (lambda x: ops.space_to_depth(x, blocksize=2), "3 columns are not a multiple of 2"),
        (lambda x: ops.center_crop_pad(x, [2, 2], axes=(1, -3)), "name one axis twice"),
        (lambda x: ops.col2im(ops.squeeze(x, [0]), [3, 3], [2, 2]), "an image"),
        (lambda x: ops.max_unpool(x, ops.cast(x, to="int32"), kernel_shape=[1, 1]), "must be int64"),
        (lambda x: ops.roi_align(x, ops.reshape(x, [10, 3]), [0] * 10), "regions of 4 numbers"),
        (lambda x: ops.deform_conv(x, np.ones((1, 5, 1, 1), "float32"), x), "the offset is"),
        (lambda x: ops.lrn(x, size=0), "size=0 must be a positive int"),
    ],
)
def test_what_is_refused(build: Callable[[Value], Any], message: str) -> None:
    with pytest.raises(sg.StaticgradError, match=message):
        build(sg.input("x", (1, 5, 2, 3)))
