"""Convolutions and pools: ties, padding by name, named sizes, opsets, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import SETTINGS, Array, Evaluator
from function_rows.row import draw
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import eager
from staticgrad.graph import Graph, Leaf, Value, topological

F = sg.nn.functional

TIES = np.array([[[[1.0, 1, 3, 3], [1, 0, 3, 2], [0, 0, 2, 2]]], [[[0.0] * 4, [-1.0] * 4, [0.0] * 4]]])


def pulled(build: Any, arrays: list[Array], shapes: list[Any], dtype: str = "float32") -> list[Array]:
    """The value, and the gradients of its product with fixed numbers."""
    leaves = [sg.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    feeds = {f"x{i}": a.astype(dtype) for i, a in enumerate(arrays)}
    y = build(*leaves)
    y = y[0] if isinstance(y, tuple) else y
    g = Leaf("input", "g", y.type).outputs[0]
    pulled = list(sg.vjp([y], leaves, [g]))
    (value,) = Evaluator(leaves, [y])(feeds)
    feeds["g"] = np.random.default_rng(0).uniform(0.5, 1.5, value.shape).astype(dtype)
    return [value, *Evaluator([*leaves, g], pulled, rewritten=True)(feeds)]


def witnessed(build: Any, arrays: list[Array]) -> list[Array]:
    """The same by eager tensors."""
    xs = [eager.tensor(a, requires_grad=True) for a in arrays]
    y = build(*xs)
    y = y[0] if isinstance(y, tuple) else y
    weights = np.random.default_rng(0).uniform(0.5, 1.5, y.shape).astype("float32").astype("float64")
    (y * eager.tensor(weights)).sum().backward()
    return [y.numpy(), *(x.grad.numpy() for x in xs)]


def assert_all_near(found: list[Array], expected: list[Array]) -> None:
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(y, z, rtol=2e-4, atol=2e-5)


POOLS = [
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.max_pool2d(x, 2, 1),
    lambda x: F.max_pool2d(x, (1, 2), 2, (0, 1), ceil_mode=True),
    lambda x: F.max_pool2d(x, 2, 1, return_indices=True),
    lambda x: F.max_pool2d(x, 3, 1, 1),
    lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    lambda x: F.adaptive_max_pool2d(x, 1),
    lambda x: F.adaptive_max_pool2d(x, (2, 3)),
    lambda x: F.adaptive_max_pool2d(x, (3, 2), return_indices=True),
]


@pytest.mark.parametrize("position", range(len(POOLS)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_of_equal_maxima_gets_the_derivative(position: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    pool = POOLS[position]
    x = torch.tensor(TIES, requires_grad=True)
    theirs = type(pool)(pool.__code__, {"F": torch.nn.functional})(x)
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    weights = np.random.default_rng(0).uniform(0.5, 1.5, theirs.shape).astype(dtype).astype("float64")
    (theirs * torch.tensor(weights)).sum().backward()
    expected = [theirs.detach().numpy(), x.grad.numpy()]
    assert_all_near(pulled(pool, [TIES], [("N", *TIES.shape[1:])], dtype), expected)
    y = pool(tensor := eager.tensor(TIES, requires_grad=True))
    y = y[0] if isinstance(y, tuple) else y
    (y * eager.tensor(weights)).sum().backward()
    assert_all_near([y.numpy(), tensor.grad.numpy()], expected)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (3, 2), (4, 1), (2, 3)])
def test_same_padding_has_the_odd_one_behind(kernel: int, dilation: int) -> None:
    torch = pytest.importorskip("torch")
    x, w = draw(1, 2, 5, seed=1), draw(2, 2, kernel, seed=2)
    expected = torch.conv1d(torch.tensor(x), torch.tensor(w), padding="same", dilation=dilation).numpy()
    assert_all_near(
        [
            pulled(lambda x, w: sg.conv1d(x, w, padding="same", dilation=dilation), [x, w], [x.shape, w.shape])[0],
            eager.conv1d(eager.tensor(x), eager.tensor(w), padding="same", dilation=dilation).numpy(),
        ],
        [expected, expected],
    )


NAMED: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (lambda x, w: F.conv2d(x, w, padding=1), (2, 4, 5, 4), (6, 4, 3, 3)),
    (lambda x, w: F.conv2d(x, w, stride=(2, 3), padding=(0, 1)), (2, 4, 6, 5), (6, 4, 3, 2)),
    (lambda x, w: F.conv2d(x, w, stride=3, padding=2, groups=2), (2, 4, 6, 5), (6, 2, 2, 2)),
    (lambda x, w: F.conv2d(x, w, stride=2, dilation=2, groups=4), (2, 4, 6, 5), (4, 1, 2, 2)),
    (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1), (2, 4, 3, 2), (4, 3, 3, 3)),
    (lambda x, w: F.conv_transpose2d(x, w, stride=(3, 1), dilation=2, groups=2), (2, 4, 3, 2), (4, 3, 2, 3)),
    (lambda x, w: F.max_pool2d(x * w, 2), (2, 4, 5, 4), (1,)),
    (lambda x, w: F.max_pool2d(x * w, 3, 2, 1, ceil_mode=True), (2, 4, 6, 5), (1,)),
    (lambda x, w: F.avg_pool2d(x * w, 2), (2, 4, 5, 4), (1,)),
    (lambda x, w: F.avg_pool2d(x * w, 2, 1), (2, 4, 5, 4), (1,)),
    (lambda x, w: F.avg_pool2d(x * w, 3, 2, 1, ceil_mode=True), (2, 4, 6, 5), (1,)),
    (lambda x, w: F.avg_pool2d(x * w, 3, 2, 1, True, False), (2, 4, 6, 5), (1,)),
    (lambda x, w: F.avg_pool2d(x * w, 3, 2, 1, True, divisor_override=7), (2, 4, 6, 5), (1,)),
    (lambda x, w: F.lp_pool2d(x * w, 2, 2, 1), (2, 4, 5, 4), (1,)),
    (lambda x, w: F.adaptive_avg_pool2d(x * w, 1), (2, 4, 5, 4), (1,)),
    (lambda x, w: F.adaptive_max_pool2d(x * w, 1), (2, 4, 5, 4), (1,)),
]


@pytest.mark.parametrize("position", range(len(NAMED)))
@pytest.mark.parametrize("sizes", [("N", 4), ("N", 4, "H", "W"), (None, 4, None, None), ("N", "C", "H", "W")], ids=str)
def test_named_sizes_of_the_input(position: int, sizes: tuple[Any, ...]) -> None:
    build, shape, weight = NAMED[position]
    x, w = draw(*shape, seed=1), draw(*weight, seed=2)
    whole = (*sizes, *shape[len(sizes) :])
    if "C" in sizes and position < 6:
        with pytest.raises(sg.ShapeError, match="channels"):
            pulled(build, [x, w], [whole, weight])
        return
    assert_all_near(pulled(build, [x, w], [whole, weight]), witnessed(build, [x, w]))


def test_sizes_of_names_are_kept() -> None:
    x, w = sg.input("x", ("N", 3, "H", "W")), sg.input("w", (8, 3, 3, 3))
    assert F.conv2d(x, w).shape == ("N", 8, "H-2", "W-2")
    assert F.conv2d(x, w, padding="same").shape == ("N", 8, "H", "W")
    assert F.max_pool2d(F.conv_transpose2d(x, sg.input("v", (3, 8, 2, 2)), stride=2), 2).shape == ("N", 8, "H", "W")


def test_a_model_with_named_sizes_runs_with_all_of_them_and_refuses_nothing() -> None:
    x = sg.input("x", ("N", 1, "H", "H"))
    w = sg.parameter("w", draw(2, 1, 3, 3).astype("float32"))
    run = sg.function(sg.grad(F.max_pool2d(F.conv2d(x, w, stride=2), 2).sum(), w), [x])
    for n, h in ((1, 7), (3, 8), (2, 12)):
        assert run(np.ones((n, 1, h, h), np.float32)).shape == (2, 1, 3, 3)
    assert np.array_equal(run(np.ones((0, 1, 8, 8), np.float32)), np.zeros((2, 1, 3, 3)))
    still = sg.input("still", (0, 1, 4, 4))
    assert not sg.function(sg.grad(F.conv2d(still, w).sum(), w), [still])(np.ones((0, 1, 4, 4), np.float32)).any()


def test_the_forward_pool_has_no_indices() -> None:
    x = sg.input("x", ("N", 1, 4, 4))
    pools = [n for n in topological([F.max_pool2d(x, 2)]) if n.op.name == "MaxPool"]
    assert [len(n.outputs) for n in pools] == [1]


def test_a_pool_with_and_one_without_indices_stay_two() -> None:
    x = sg.input("x", (1, 1, 3, 6))
    values, (maxima, indices) = F.max_pool2d(x, 3, 1), F.max_pool2d(x, 3, 1, return_indices=True)
    found = sg.function([values, maxima, indices, sg.grad(values.sum(), x)])(np.zeros((1, 1, 3, 6), np.float32))
    assert [y.shape for y in found] == [(1, 1, 1, 4)] * 3 + [(1, 1, 3, 6)]
    assert found[3][0, 0].tolist() == [[1, 1, 1, 1, 0, 0]] + [[0] * 6] * 2


@pytest.mark.parametrize(
    ("build", "opset"),
    [
        (lambda x: F.max_pool2d(x, 2), 13),
        (lambda x: F.max_pool2d(x, 2, ceil_mode=True), 22),
        (lambda x: F.avg_pool2d(x, 2), 19),
        (lambda x: F.avg_pool2d(x, 2, ceil_mode=True), 22),
        (lambda x: F.lp_pool2d(x, 2, 2), 13),
        (lambda x: sg.ops.lp_pool(x, kernel_shape=[2, 2], dilations=[2, 2]), 18),
    ],
)
def test_pools_are_stamped_with_the_opset_that_means_the_same(build: Any, opset: int) -> None:
    x = sg.input("x", (1, 1, 5, 5))
    model = to_model(Graph("g", {"x": x}, {"y": build(x)}))
    assert model.opset_import[0].version == opset
    onnx.checker.check_model(model, full_check=True)


X = sg.input("x", ("N", 4, 6))
W = sg.input("w", (4, 4, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sg.conv1d(X, sg.input("v", (4, 3, 3))), "4 channels, the weight takes 3"),
        (lambda: sg.conv3d(X, W), "conv3d takes an input of"),
        (lambda: sg.conv1d(X, sg.input("v", (4, 4, 9))), "a window of 9 is larger than the 6"),
        (lambda: sg.conv1d(X, W, sg.input("b", (3,))), "3 elements for 4 channels"),
        (lambda: sg.conv1d(X, W, padding="full"), "'valid' or 'same', 'full' came"),
        (lambda: sg.conv1d(X, W, stride=2, padding="same"), "takes stride=1"),
        (lambda: sg.conv1d(X, W, stride=0), "stride of conv1d must be ints of 1 or more"),
        (lambda: sg.conv1d(X, W, stride=(1, 2)), "stride of conv1d must be one int or 1"),
        (lambda: sg.conv1d(X, W, groups=3), "12"),
        (lambda: sg.conv_transpose1d(X, W, output_padding=1), "must be smaller than stride or dilation"),
        (lambda: F.max_pool1d(X, 2, padding=2), "at most half of the kernel"),
        (lambda: F.max_pool1d(X, 3, padding=2, dilation=3), "at most half of the kernel"),
        (lambda: F.max_pool1d(sg.input("o", (1, 1, 1)), 2, 2, 1, dilation=2), "nothing but padding"),
        (lambda: F.avg_pool3d(sg.input("o", (1, 1, 1, 3, 3)), 2, 2, 1), "at most as large as its input"),
        (lambda: F.max_pool1d(sg.input("o", (2, 4, 0)), 2, 2, 1), "an input with elements"),
        (lambda: F.adaptive_avg_pool1d(X, 2**30), "at most 10000 cells"),
        (lambda: F.avg_pool2d(X.unsqueeze(0), 2, divisor_override=0), "an int other than 0"),
        (lambda: F.adaptive_avg_pool1d(sg.input("n", (1, 2, "L")), 3), "needs spatial sizes that are known"),
        (lambda: F.lp_pool1d(X, 0, 2), "a number but 0"),
        (lambda: sg.ops.conv_transpose(X, W, output_shape=[9, 9]), "output_shape must be 1 ints of 1 or more"),
        (lambda: sg.ops.conv_transpose(X, W, output_padding=[1]), "must be smaller than the strides"),
        (lambda: sg.ops.max_pool(X, kernel_shape=[2], storage_order=2), "storage_order=2 is neither 0 nor 1"),
        (
            lambda: sg.ops.conv(sg.input("n", (1, 4, "L")), W, auto_pad="SAME_UPPER", dilations=[2], strides=[2]),
            "give pads, or declare the sizes as numbers",
        ),
        (lambda: sg.ops.average_pool(X, kernel_shape=[2], auto_pad="SAME"), "is not one of"),
    ],
)
def test_what_is_refused(build: Any, message: str) -> None:
    with pytest.raises(sg.StaticgradError, match=message) as caught:
        build()
    assert "test_convolution.py:" in str(caught.value) and "\n" not in str(caught.value)


def ran(outputs: list[Value], *arrays: Array, inputs: list[Value]) -> list[Array]:
    """As a function runs: optimised by us, then by onnxruntime."""
    function = sg.function(outputs, inputs, device="cpu")
    return list(function(*(a.astype(np.float32) for a in arrays)))


def test_windows_of_size_one_over_named_sizes() -> None:
    x = sg.input("x", ("N", 2, "L"))
    array = np.arange(12.0).reshape(2, 2, 3)
    (found,) = ran([sg.grad((F.avg_pool1d(x, 1) * x).sum(), x)], array, inputs=[x])
    np.testing.assert_allclose(found, 2 * array)


def test_a_window_over_nothing_but_padding_of_a_named_size() -> None:
    x, w = sg.input("x", (1, 1, "L")), sg.input("w", (1, 1, 1))
    gradient = sg.grad(sg.conv1d(x, w, stride=3, padding=1).sum(), x)
    for size, expected in ((1, [0]), (2, [0, 0]), (3, [0, 0, 2]), (4, [0, 0, 2, 0])):
        (found,) = ran([gradient], np.ones((1, 1, size)), np.full((1, 1, 1), 2.0), inputs=[x, w])
        assert found.ravel().tolist() == expected
    gradient = sg.grad(F.max_pool1d(x, 2, 4, 1, dilation=2)[..., 0].sum(), x)
    for size, expected in ((1, [0]), (2, [0, 1]), (3, [0, 1, 0])):
        (found,) = ran([gradient], np.ones((1, 1, size)), inputs=[x])
        assert found.ravel().tolist() == expected


def test_what_onnxruntime_joins_with_a_pad() -> None:
    x, w = sg.input("x", (2, 3, 5)), sg.input("w", (4, 5, 2))
    a, b = draw(2, 3, 5), draw(4, 5, 2)
    turned = x.permute(0, 2, 1)
    # A Pad behind a Transpose, of a weight, and in front of a pool.
    values = [
        F.pad(turned, (1, 2)),
        sg.conv1d(turned, sg.ops.pad(w, [0, 0, 0, 0, 0, 1])),
        sg.ops.average_pool(sg.ops.pad(x, [0, 0, 1, 0, 0, 1]), kernel_shape=[2], strides=[3], ceil_mode=True),
    ]
    kept = Evaluator([x, w], values)({"x": a.astype(np.float32), "w": b.astype(np.float32)})
    assert_all_near(ran(values, a, b, inputs=[x, w]), kept)


def test_the_second_derivative_of_a_transposed_convolution_that_fits_its_weight() -> None:
    x, w = sg.input("x", (3, 3)), sg.input("w", (3, 3, 3))
    y = sg.conv_transpose1d(x, w, stride=2, output_padding=1)
    gradients = list(sg.grad((y * y).sum(), [x, w]))
    second = list(sg.grad(sum(((g * g).sum() for g in gradients), start=sg.constant(0.0)), [x, w]))
    a, b = draw(3, 3), draw(3, 3, 3)
    kept = Evaluator([x, w], second)({"x": a.astype(np.float32), "w": b.astype(np.float32)})
    assert_all_near(ran(second, a, b, inputs=[x, w]), kept)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(("op", "side"), [(sg.ops.conv, 6), (sg.ops.conv_transpose, 10)])
@pytest.mark.parametrize("sizes", [("N", 16, 8, 8), (None,) * 4], ids=str)
def test_an_empty_batch_of_a_run(sizes: tuple[Any, ...], op: Any, side: int, group: int) -> None:
    x, w = sg.input("x", sizes), sg.input("w", (16, 16 // group, 3, 3))
    y = op(x, w, group=group)
    g = Leaf("input", "g", y.type).outputs[0]
    run = Evaluator([x, w, g], list(sg.vjp([y], [x, w], [g])), rewritten=True)
    kernel = np.ones((16, 16 // group, 3, 3), np.float32)
    # onnxruntime's convolution over no channels does not end, or gives what the memory held times zero.
    for batch, number in ((3, np.nan), (0, 1), (2, 1), (2, np.nan), (0, 1), (0, 1)):
        images = np.full((batch, 16, 8, 8), number, np.float32)
        to_x, to_w = run({"x": images, "w": kernel, "g": np.full((batch, 16, side, side), number, np.float32)})
        assert to_x.shape == images.shape
        assert_all_near([to_w], [np.full(kernel.shape, batch * number * min(side, 8) ** 2)])


@pytest.mark.parametrize("counts", [0, 1])
@pytest.mark.parametrize("sizes", [(2, 2, 8, 2), (1, 2, 3, 1), (2, 1, 1, 5)], ids=str)
def test_an_average_over_less_than_its_kernel_in_a_run(sizes: tuple[int, ...], counts: int) -> None:
    # onnxruntime takes one window then, and divides by what it holds; with a step of one it takes none.
    attributes: dict[str, Any] = {"kernel_shape": (2, 3), "strides": (1, 3), "count_include_pad": counts}
    node = onnx.helper.make_node("AveragePool", ["x"], ["y"], **attributes)
    x_type, y_type = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [None] * 4) for n in "xy")
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x_type], [y_type]), opset_imports=[onnx.helper.make_opsetid("", 19)]
    )
    model.ir_version = 10
    found = sg.gradient_model(model)
    run = onnxruntime.InferenceSession(found.SerializeToString(), SETTINGS, ["CPUExecutionProvider"]).run
    x = draw(*sizes).astype(np.float32)
    count = (sizes[2] - 1, (sizes[3] - 3) // 3 + 1 if sizes[3] >= 3 else 1)
    g = draw(*sizes[:2], *count).astype(np.float32)
    y, to_x = run(None, {"x": x, "cotangent.y": g})
    assert y.shape == g.shape and to_x.shape == x.shape
    # The pool is linear.
    np.testing.assert_allclose((to_x * x).sum(), (g * y).sum(), rtol=1e-4, atol=1e-5)
