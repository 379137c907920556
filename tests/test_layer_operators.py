"""Operators of layers and losses beyond the table: against PyTorch, where nothing counts, what is drawn and rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from evaluation import Array, Evaluator

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Leaf, topological
from staticgrad.ops.kinds import reshape_like
from staticgrad.optimise import optimise

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4))
IMAGE = RNG.normal(1.0, 2.0, (3, 4, 2, 2))
LABELS = np.array([0, 3, 2])


def pulled(build: Callable[..., Any], *arrays: Array, run: Sequence[Array] = ()) -> list[Array]:
    """Values and gradients by the floating `arrays`, for cotangents 1, 2, ...; `run` comes in behind them."""
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate([*arrays, *run])]
    result = build(*leaves)
    outputs = [y for y in (result if isinstance(result, tuple) else (result,)) if y is not None]
    floats = [y for y in outputs if y.type.dtype.is_float]
    wrt = [x for x in leaves[: len(arrays)] if x.type.dtype.is_float]
    ramps = [reshape_like(ops.cast(ops.range_(1, ops.size(y) + 1, 1), to=y.type.dtype), y) for y in floats]
    gradients = list(sg.vjp(floats, wrt, ramps))
    feeds = {f"x{i}": a for i, a in enumerate([*arrays, *run])}
    return Evaluator(leaves, [*outputs, *gradients], rewritten=True)(feeds)


def of_torch(f: Callable[..., Any], *arrays: Array) -> list[Array]:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    result = f(torch, *tensors)
    outputs = result if isinstance(result, tuple) else (result,)
    wrt = [t for t in tensors if t.requires_grad]
    ramps = [torch.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape) for y in outputs]
    gradients = torch.autograd.grad(outputs, wrt, ramps, allow_unused=True)
    zeros = [torch.zeros_like(t) if g is None else g for t, g in zip(wrt, gradients, strict=True)]
    return [t.detach().numpy() for t in (*outputs, *zeros)]


def assert_same(found: Sequence[Array], expected: Sequence[Array], tolerance: float = 1e-10) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# - against PyTorch -

SCALE, BIAS, MEAN, VARIANCE = RNG.uniform(0.5, 1.5, (4, 4))


def batch_normalized(torch: Any, x: Any, w: Any, b: Any, m: Any, v: Any) -> tuple[Any, ...]:
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    y = torch.nn.functional.batch_norm(x, None, None, w, b, True, eps=0.25)
    return y, m * 0.75 + mean * 0.25, v * 0.75 + variance * 0.25


COMPARED: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Array, ...]]] = {
    "group_normalization": (
        lambda x, w, b: ops.group_normalization(x, w, b, num_groups=2, epsilon=0.25, stash_type=11),
        lambda torch, x, w, b: torch.nn.functional.group_norm(x, 2, w, b, 0.25),
        (IMAGE, SCALE, BIAS),
    ),
    "batch_normalization": (
        lambda *xs: ops.batch_normalization(*xs, epsilon=0.25, momentum=0.75, training_mode=True),
        batch_normalized,
        (IMAGE, SCALE, BIAS, MEAN, VARIANCE),
    ),
    "the statistics of batch_normalization": (
        lambda *xs: ops.batch_normalization(*xs, epsilon=0.25, momentum=0.75, training_mode=True)[1:],
        lambda *xs: batch_normalized(*xs)[1:],
        (IMAGE, SCALE, BIAS, MEAN, VARIANCE),
    ),
    "the logarithms of softmax_cross_entropy_loss": (
        lambda x, w, t: ops.softmax_cross_entropy_loss(x, t, w)[1],
        lambda torch, x, w, t: torch.log_softmax(x, 1),
        (X, SCALE, LABELS),
    ),
    "prelu": (
        lambda x, w: ops.prelu(x, ops.unsqueeze(w, [1, 2])),
        lambda torch, x, w: torch.nn.functional.prelu(x, w),
        (np.where(IMAGE > 1, 0.0, IMAGE), SCALE),
    ),
    "softmax_cross_entropy_loss": (
        lambda x, t: ops.softmax_cross_entropy_loss(x, t, ignore_index=2)[0],
        lambda torch, x, t: torch.nn.functional.cross_entropy(x, t, ignore_index=2),
        (1000 * X, LABELS),
    ),
    "softmax_cross_entropy_loss and its logarithms": (
        lambda x, t: ops.softmax_cross_entropy_loss(x, t, SCALE, reduction="none"),
        lambda torch, x, t: (
            torch.nn.functional.cross_entropy(x, t, torch.tensor(SCALE), reduction="none"),
            torch.log_softmax(x, 1),
        ),
        (X, LABELS),
    ),
    "negative_log_likelihood_loss": (
        lambda x, t: ops.negative_log_likelihood_loss(x, t, SCALE, ignore_index=-100),
        lambda torch, x, t: torch.nn.functional.nll_loss(x, t, torch.tensor(SCALE)),
        (IMAGE, RNG.integers(0, 4, (3, 2, 2))),
    ),
    "threshold": (
        lambda x: ops.thresholded_relu(x, alpha=0.5),
        lambda torch, x: torch.nn.functional.threshold(x, 0.5, 0.0),
        (np.array([0.5, 0.25, 0.75, -1.0]),),
    ),
    "shrink": (
        lambda x: ops.shrink(x, bias=0.5),
        lambda torch, x: torch.nn.functional.softshrink(x, 0.5),
        (np.array([0.5, 0.25, 0.75, -0.5, -1.0]),),
    ),
    "swish": (ops.swish, lambda torch, x: torch.nn.functional.silu(x), (X,)),
}


@pytest.mark.parametrize("name", COMPARED)
def test_values_and_gradients_are_those_of_pytorch(name: str) -> None:
    build, f, arrays = COMPARED[name]
    assert_same(pulled(build, *arrays), of_torch(f, *arrays))


@pytest.mark.parametrize("loss", [ops.negative_log_likelihood_loss, ops.softmax_cross_entropy_loss])
@pytest.mark.parametrize("weighted", [False, True])
def test_where_no_label_counts_the_mean_is_nan_and_its_gradient_zero(loss: Any, weighted: bool) -> None:
    def mean(x: Any, *weights: Any) -> Any:
        y = loss(x, np.full(3, -1), *weights, ignore_index=-1)
        return y[0] if isinstance(y, tuple) else y

    arrays = (X, SCALE) if weighted else (X,)
    y, *gradients = pulled(mean, *arrays)
    assert np.isnan(y)
    assert all((g == 0).all() for g in gradients)


def test_running_statistics_that_go_in_stay_as_they_are() -> None:
    arrays = dict(zip("xsbmv", (IMAGE, SCALE, BIAS, MEAN, VARIANCE), strict=True))
    arrays = {name: a.astype("f") for name, a in arrays.items()}
    leaves = [sg.input(name, a.shape) for name, a in arrays.items()]
    y, mean, _ = ops.batch_normalization(*leaves, training_mode=True)
    for outputs in ([y], [mean * 2.0]):
        f = sg.function(outputs)
        feeds = {name: a.copy() for name, a in arrays.items()}
        first, second = (f(**feeds) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        for name, a in arrays.items():
            np.testing.assert_array_equal(feeds[name], a)
    _, mean, _ = ops.batch_normalization(leaves[0], *list(arrays.values())[1:], training_mode=True)
    f = sg.function(mean * 2.0)
    np.testing.assert_array_equal(*(f(arrays["x"]) for _ in range(2)))


def test_parts_of_batch_normalization_may_be_of_three_types() -> None:
    arrays = [a.astype(t) for a, t in zip((IMAGE, SCALE, BIAS, MEAN, VARIANCE), "efffd", strict=True)]
    arrays[4] = arrays[4].astype("f")
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    for training in (False, True):
        result = ops.batch_normalization(*leaves, training_mode=training)
        outputs = list(result) if isinstance(result, tuple) else [result]
        assert [y.dtype for y in outputs] == ["float16", "float32", "float32"][: len(outputs)]
        gradients = sg.vjp(outputs, leaves, [ops.identity(y) for y in outputs])
        assert [g.type for g in gradients] == [x.type for x in leaves]


def test_the_first_of_constant_rows_has_no_length_and_no_derivative() -> None:
    x = np.array([[0.0, 0.0], [3.0, -4.0]])
    for p, length in ((1, 7), (2, 5)):
        y, g = pulled(lambda v, p=p: ops.lp_normalization(v, p=p), x)
        assert_same([y], [x / length])
        assert (g[0] == 0).all() and np.isfinite(g).all() and g[1].any()
    for second in (ops.lp_normalization, lambda v: ops.lp_normalization(v, p=1)):
        leaf = sg.input("x", x.shape, "float64")
        g = sg.grad(sg.grad((second(leaf) * [1.0, 2.0]).sum(), leaf).sum(), leaf)
        assert np.isfinite(Evaluator([leaf], [g])({"x": x})[0]).all()


def test_the_derivative_of_a_standardized_constant_is_finite() -> None:
    _, g = pulled(lambda v: ops.mean_variance_normalization(v, axes=(1,)), np.array([[2.0, 2.0], [1.0, 3.0]], "f"))
    assert np.isfinite(g).all()


# - what is drawn -


@pytest.mark.parametrize("ratio", [None, 0.3, "run"])
@pytest.mark.parametrize("training", [True, "run"])
def test_the_gradient_of_dropout_has_the_mask_that_was_drawn(ratio: Any, training: Any) -> None:
    x = RNG.uniform(1, 2, (40, 5))
    given = [*([np.array(0.3)] if ratio == "run" else []), *([np.array(True)] if training == "run" else [])]

    def dropped(x: Any, *run: Any) -> Any:
        rest = list(run)
        share = rest.pop(0) if ratio == "run" else None if ratio is None else np.array(ratio)
        return ops.dropout(x, share, rest.pop(0) if rest else np.array(True), seed=5)

    y, mask, g = pulled(dropped, x, run=given)
    kept = 0.5 if ratio is None else 0.7
    assert 0 < mask.mean() < 1
    # onnxruntime has the ratio in float32.
    assert_same([y, g], [np.where(mask, x / kept, 0), np.where(mask, ramp(x), 0) / kept], 1e-7)


def test_dropout_passes_all_where_it_does_not_train() -> None:
    for given in ((), (np.array(0.9),), (np.array(0.9), np.array(False))):
        y, mask, g = pulled(lambda x, given=given: ops.dropout(x, *given), X)
        assert_same([y, g], [X, ramp(X)])
        assert mask.all()
    y, mask, g = pulled(lambda x, *run: ops.dropout(x, *run), X, run=(np.array(0.9), np.array(False)))
    assert_same([y, g], [X, ramp(X)])


def test_equal_draws_stay_two() -> None:
    x = sg.input("x", (3, 4))
    draws: list[Callable[[], Any]] = [
        lambda: ops.dropout(x, np.float32(0.5), np.array(True), seed=1)[0],
        lambda: ops.random_normal(shape=(3, 4), seed=1.0),
        lambda: ops.random_uniform_like(x, seed=1.0),
        lambda: ops.bernoulli(ops.sigmoid(x)),
    ]
    for draw in draws:
        y = draw() + draw()
        graph = optimise(sg.graph.Graph("g", {"x": x}, {"y": y}))
        name = draw().node.op.name
        assert sum(n.op.name == name for n in graph.nodes) == 2
        if name != "Dropout":
            assert (np.asarray(pulled(lambda v, name=name: v + draws_like(name, v), X)[1]) == ramp(X)).all()


def draws_like(name: str, x: Any) -> Any:
    return {
        "RandomNormal": lambda: ops.random_normal(shape=(3, 4), dtype="float64"),
        "RandomUniformLike": lambda: ops.random_uniform_like(x),
        "Bernoulli": lambda: ops.cast(ops.bernoulli(ops.cast(ops.sigmoid(x), to="float32")), to="float64"),
    }[name]()


def ramp(x: Array) -> Array:
    return 1.0 + np.arange(x.size).reshape(x.shape)


# - what is rounded -


def straight(torch: Any, x: Any, scale: Any, zero: Any, low: int, high: int) -> Any:
    steps = x / scale
    level = steps + (steps.round() - steps).detach() + zero
    inside = ((level >= low) & (level <= high)).detach()
    limited = torch.where(inside, level, level.detach().clamp(low, high))
    return (limited - zero) * scale


LEVELS = np.array([[-3.0, 0.26, 1.4], [2.6, 9.0, 300.0]], np.float32)


@pytest.mark.parametrize("how", ["tensor", "axis", "blocks", "no zero point"])
def test_gradients_go_straight_through_a_quantizer_and_its_inverse(how: str) -> None:
    scale = {"axis": [0.5, 0.07], "blocks": [[0.5, 0.07], [0.3, 0.9]]}.get(how, 0.3)
    zero = {"axis": [3, -5], "blocks": [[3, -5], [0, 7]]}.get(how, 9)
    attributes: dict[str, Any] = {"axis": {"axis": 0}, "blocks": {"axis": 1, "block_size": 2}}.get(how, {})
    point = None if how == "no zero point" else np.array(zero, np.int8)
    low, high = (0, 255) if point is None else (-128, 127)

    def faked(x: Any, s: Any) -> Any:
        return ops.dequantize_linear(ops.quantize_linear(x, s, point, **attributes), s, point, **attributes)

    def expected(torch: Any, x: Any, s: Any) -> Any:
        z = torch.tensor(0 if point is None else zero, dtype=torch.float32)
        if how == "axis":
            s, z = s[:, None], z[:, None]
        if how == "blocks":
            s, z = (p.repeat_interleave(2, 1)[:, :3] for p in (s, z))
        return straight(torch, x, s, z, low, high)

    arrays = LEVELS, np.array(scale, np.float32)
    assert_same(pulled(faked, *arrays), of_torch(expected, *arrays), 1e-5)


def test_a_fake_quantization_has_the_gradient_of_pytorch() -> None:
    y, g = pulled(
        lambda x: ops.dequantize_linear(
            ops.quantize_linear(x, np.float32(0.3), np.int8(9)), np.float32(0.3), np.int8(9)
        ),
        LEVELS,
    )
    expected = of_torch(lambda torch, x: torch.fake_quantize_per_tensor_affine(x, 0.3, 9, -128, 127), LEVELS)
    assert_same([y, g], expected, 1e-5)
    assert g[1, 2] == 0 and g[0, 0] == 1


def test_gradients_go_through_a_quantizer_that_finds_its_own_scale() -> None:
    def faked(x: Any) -> Any:
        q, scale, zero = ops.dynamic_quantize_linear(x)
        return ops.dequantize_linear(q, scale, zero)

    def expected(torch: Any, x: Any) -> Any:
        scale = (x.max().clamp(min=0) - x.min().clamp(max=0)) / 255
        zero = (-x.min() / scale).round().detach()
        return straight(torch, x, scale, zero, 0, 255)

    x = np.array([-1.0, 0.3, 1.7, 0.9], np.float32)
    assert_same(pulled(faked, x), of_torch(expected, x), 2e-4)


def test_integers_that_nothing_was_quantized_to_have_no_gradient_behind() -> None:
    x = sg.input("x", (3,))
    y = ops.dequantize_linear(ops.cast(x, to="int8"), np.float32(0.5))
    assert (Evaluator([x], [sg.grad(y.sum(), x, unused="zero")])({"x": np.ones(3, "f")})[0] == 0).all()


def test_whole_numbers_made_of_quantized_ones_are_refused() -> None:
    x, s = sg.input("x", (3, 4)), np.float32(0.5)
    q = ops.quantize_linear(x, s)
    for made in (
        ops.transpose(q),
        ops.qlinear_matmul(q, s, np.uint8(0), np.ones((4, 2), np.uint8), s, np.uint8(0), s, np.uint8(0)),
    ):
        scale = sg.input("s", ())
        loss = ops.dequantize_linear(made, scale).sum()
        for wrt in (x, scale):
            with pytest.raises(
                sg.UnsupportedOperatorError, match=f"{made.node.op.name} come from quantized.*stop_gradient"
            ):
                sg.grad(loss, wrt)
        stopped = ops.dequantize_linear(sg.stop_gradient(made), scale).sum()
        assert sg.grad(stopped, scale).type == scale.type
    # As onnxruntime's dynamic quantization writes a product.
    q, s, zero = ops.dynamic_quantize_linear(x)
    product = ops.matmul_integer(q, np.ones((4, 2), np.uint8), zero)
    with pytest.raises(sg.UnsupportedOperatorError, match=r"Cast \(.*MatMulInteger come from quantized"):
        sg.grad((ops.cast(product, to="float32") * s).sum(), x)
    other = sg.input("w", (2,))
    assert sg.grad((ops.cast(product, to="float32") * other).sum(), other).type == other.type


# - what is selected -


def test_of_equal_elements_the_first_gets_the_gradient() -> None:
    x = np.array([2.0, 1.0, 1.0, 3.0, 4.0, 3.0])
    for is_sorted, expected in ((True, [2, 1, 0, 3, 4, 0]), (False, [1, 2, 0, 3, 4, 0])):
        y, _, _, _, g = pulled(lambda v, how=is_sorted: ops.unique(v, sorted=how), x)
        assert sorted(y) == [1, 2, 3, 4]
        np.testing.assert_array_equal(g, expected)
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 3.0]])
    np.testing.assert_array_equal(pulled(lambda v: ops.unique(v, axis=0), rows)[-1], [[1, 2], [0, 0], [3, 4]])


def test_bits_read_as_another_floating_type_have_no_derivative_and_the_same_type_all_of_it() -> None:
    x = sg.input("x", (3,), "float16")
    y = ops.bit_cast(x, to="bfloat16")
    with pytest.raises(sg.UnsupportedOperatorError, match="no smooth function"):
        sg.vjp(y, x, ops.identity(y))
    g = Leaf("input", "g", x.type).outputs[0]
    assert sg.vjp(ops.bit_cast(x, to="float16"), x, g) is g


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: ops.prelu(sg.input("x", (4,)), sg.input("s", (3, 4))), "broadcast"),
        (lambda: ops.softmax_cross_entropy_loss(sg.input("x", (3, 4)), sg.input("t", (4,), "int64")), "labels"),
        (lambda: ops.negative_log_likelihood_loss(sg.input("x", (3, 4)), LABELS, reduction="max"), "reduction"),
        (lambda: ops.dropout(sg.input("x", (3,)), sg.input("r", (3,))), "one element"),
        (lambda: ops.random_normal(shape=(3,), dtype="int64"), "floating"),
        (lambda: ops.bit_cast(sg.input("x", (3,)), to="int64"), "bits"),
        (lambda: ops.bit_shift(np.uint8(3), np.uint8(1), direction="UP"), "direction"),
        (lambda: ops.reverse_sequence(sg.input("x", (3, 4)), np.zeros(3, "int64")), "length"),
        (lambda: ops.tensor_scatter(sg.input("x", (3, 4, 2)), sg.input("u", (3, 5, 2))), "size 5"),
        (lambda: ops.tensor_scatter(sg.input("x", (3, 4)), sg.input("u", (3, 4)), axis=0), "batch axis"),
        (lambda: ops.quantize_linear(sg.input("x", (3, 4)), sg.input("s", (3,))), "one for each element"),
        (lambda: ops.quantize_linear(sg.input("x", (3, 4)), sg.input("s", (3, 3)), block_size=2), "blocks of 2"),
        (lambda: ops.compress(sg.input("x", (3, 4)), sg.input("c", (3,))), "must be bool"),
        (lambda: ops.lp_normalization(sg.input("x", (3, 4)), p=3), "1 or 2"),
    ],
    ids=range(14),
)
def test_refused(wrong: Callable[[], Any], words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words):
        wrong()


def test_a_rule_of_dropout_draws_nothing_again() -> None:
    x = sg.input("x", (3, 4))
    y, _ = ops.dropout(x, np.float32(0.5), np.array(True))
    g = sg.grad((y * y).sum(), x)
    assert sum(n.op.name == "Dropout" for n in topological([y, g])) == 1
