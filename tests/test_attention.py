"""ONNX's Attention and RotaryEmbedding: derivatives in all attributes, where onnxruntime has no kernel too."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx.reference
import pytest
from drawing import draw
from evaluation import Array, Evaluator, run, torch_pulled
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import DTypeError, ShapeError, UnsupportedOperatorError
from staticgrad.graph import Graph

Q, K, V = draw(2, 4, 3, 2), draw(2, 2, 5, 2, seed=1), draw(2, 2, 5, 3, seed=2)
PAST = draw(2, 2, 2, 2, seed=3), draw(2, 2, 2, 3, seed=4)
LENGTHS = np.array([2, 5])
OPEN = draw(2, 1, 3, 5) > -0.3
OPEN[0, 0, 1] = False


def in_python(leaves: list[sg.Value], outputs: list[sg.Value]) -> Any:
    graph = Graph("g", {x.name or "": x for x in leaves}, {f"out{i}": y for i, y in enumerate(outputs)})
    evaluator = onnx.reference.ReferenceEvaluator(to_model(graph, {}))
    return lambda feeds: evaluator.run(None, feeds)


def applied(arrays: list[Array | None], **attributes: Any) -> tuple[list[sg.Value], dict[str, Array], list[sg.Value]]:
    """The leaves, what is fed to them, and the results of Attention."""
    leaves = [None if a is None else sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    feeds = {f"x{i}": a for i, a in enumerate(arrays) if a is not None}
    return [x for x in leaves if x is not None], feeds, list(ops.attention(*leaves, **attributes))


def shared(*arrays: Array | None, **attributes: Any) -> Any:
    return pytest.param(list(arrays), attributes, id=f"{[a is not None for a in arrays[3:]]}-{attributes}")


NO_MASK: list[Array | None] = [None]
OF_ONE_ROW = [draw(5), draw(4, 1, 5)]
MASKS = [draw(3, 5), draw(3, 3), draw(3, 1), draw(1, 4, 3, 4), OPEN, OPEN[..., :4], OPEN[0, 0, :, :2]]
CASES = [
    *(shared(Q, K, V, m, is_causal=c, qk_matmul_output_mode=3) for m in (*NO_MASK, *MASKS) for c in (False, True)),
    *(shared(Q, K, V, m) for m in OF_ONE_ROW),
    *(
        shared(Q, K, V, m, is_causal=c, left_window_size=left, right_window_size=right)
        for m in (None, OPEN)
        for c in (False, True)
        for left, right in ((1, -1), (-1, 0), (0, 1), (0, 0))
    ),
    *(
        shared(Q, K, V, m, None, None, LENGTHS, is_causal=c, right_window_size=right)
        for m in (None, draw(3, 5), OPEN)
        for c in (False, True)
        for right in (-1, 1)
    ),
    *(
        shared(Q, K, V, m, *PAST, is_causal=c, left_window_size=left)
        for m in (None, draw(3, 7), draw(2, 1, 3, 6))
        for c in (False, True)
        for left in (-1, 1)
    ),
    *(shared(Q, K, V, m, softcap=1.5, qk_matmul_output_mode=mode) for m in (None, draw(3, 5)) for mode in (1, 2, 3)),
    shared(Q, K, V, scale=0.3, softmax_precision=11),
    *(
        shared(draw(2, 3, 8), draw(2, 5, 4), draw(2, 5, 6), *more, q_num_heads=4, kv_num_heads=2, is_causal=True)
        for more in ((), (draw(3, 5),), (None, *PAST))
    ),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("arrays", "attributes"), CASES)
def test_gradient_is_that_of_central_differences_of_the_specification(
    arrays: list[Array | None], attributes: dict[str, Any]
) -> None:
    leaves, feeds, outputs = applied(arrays, **attributes)
    forward = in_python(leaves, outputs)
    inputs = [x for x in leaves if x.type.dtype.is_float]
    cotangents = [sg.input(f"g{i}", y.type.shape, "float64") for i, y in enumerate(outputs)]
    given = {f"g{i}": draw(*y.shape, seed=20 + i) for i, y in enumerate(forward(feeds))}
    pulled = list(sg.vjp(outputs, inputs, cotangents))
    found = Evaluator([*leaves, *cotangents], pulled)(feeds | given)
    for x, gradient in zip(inputs, found, strict=True):
        numeric = np.zeros(gradient.shape)
        for position in np.ndindex(numeric.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = feeds[x.name or ""].copy()
                moved[position] += step
                ys = forward(feeds | {x.name or "": moved})
                sides.append(sum(float((given[f"g{i}"] * y).sum()) for i, y in enumerate(ys)))
            numeric[position] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mask", OF_ONE_ROW)
def test_a_causal_mask_of_one_row_is_that_of_all_rows(mask: Array) -> None:
    # onnx.reference takes the number of queries from the mask then.
    slopes = []
    for given in (mask, np.broadcast_to(mask, (4, 3, 5)).copy()):
        leaves, feeds, outputs = applied([Q, K, V, given], is_causal=True)
        slopes.append(Evaluator(leaves, list(sg.vjp(outputs[0], leaves, draw(*outputs[0].type.shape))))(feeds))
    for ours, theirs in zip(slopes[0][:3], slopes[1][:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_scores_come_before_the_soft_cap_in_mode_0() -> None:
    # onnx.reference gives them behind it.
    (_, _, _, scores), gradients = run(
        lambda q, k, v: ops.attention(q, k, v, softcap=0.5), Q[:, :2], K, V, dtype="float32"
    )
    np.testing.assert_allclose(scores, Q[:, :2] @ K.swapaxes(2, 3) / math.sqrt(2), rtol=1e-5, atol=1e-6)
    _, _, outputs = applied([Q[:, :2], K, V], softcap=0.5)
    assert outputs[3].type.shape == scores.shape
    plain = run(lambda q, k, v: ops.attention(q, k, v, softcap=0.5)[3], Q[:, :2], K, V)[1]
    np.testing.assert_allclose(
        plain[0], np.broadcast_to(K.sum(2, keepdims=True), Q[:, :2].shape) / math.sqrt(2), rtol=1e-6
    )
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("mask", [np.zeros((3, 5), np.bool_), np.full((3, 5), -np.inf)])
def test_what_no_key_is_open_to_is_0_and_has_no_derivative(mask: Array) -> None:
    def value(*xs: sg.Value) -> sg.Value:
        return ops.attention(*xs[:3], xs[3])[0]

    def slope(*xs: sg.Value) -> Any:
        first = sg.grad((value(*xs) * 3).sum(), list(xs[:3]), unused="zero")
        return tuple(g + 0 * x for g, x in zip(first, xs, strict=False))

    (y,), gradients = run(value, Q, K, V, mask, dtype="float32")
    assert not y.any() and not any(g.any() for g in gradients)
    first, second = run(slope, Q, K, V, mask, dtype="float32")
    assert not any(g.any() for g in (*first, *second))


def test_a_wide_score_has_no_overflow() -> None:
    (y,), gradients = run(lambda q, k, v: ops.attention(q, k, v)[0], Q * 1e4, K, V, dtype="float32")
    assert np.isfinite(y).all() and all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [None, "bool", "float"])
def test_it_is_that_of_pytorch(causal: bool, masked: str | None) -> None:
    torch = pytest.importorskip("torch")
    if causal and masked:
        return
    mask = {None: [], "bool": [draw(3, 5) > -0.5], "float": [draw(3, 5)]}[masked]

    def attended(q: Any, k: Any, v: Any, *masks: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, *masks, is_causal=causal, enable_gqa=True)

    expected = torch_pulled(attended, Q, K, V, *mask)
    leaves, feeds, outputs = applied([Q, K, V, *mask], is_causal=causal)
    inputs = [x for x in leaves if x.type.dtype.is_float]
    y = outputs[0]
    found = Evaluator(leaves, list(sg.grad((y * y).sum(), inputs)))(feeds)
    # onnxruntime keeps the scale in float32.
    for ours, theirs in zip(found, expected[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "attributes"),
    list(
        itertools.product(
            [([2, 2, 3, 6], [2, 3, 3]), ([2, 3, 12], [2, 3, 3]), ([2, 2, 3, 6], [4, 3]), ([2, 3, 12], [4, 3])],
            [{}, {"interleaved": True}, {"rotary_embedding_dim": 4}, {"interleaved": True, "rotary_embedding_dim": 4}],
        )
    ),
)
def test_a_rotation_turns_its_gradient_back(shapes: tuple[list[int], list[int]], attributes: dict[str, Any]) -> None:
    width = attributes.get("rotary_embedding_dim", 6)
    angles = draw(*shapes[1][:-1], width // 2)
    positions = np.array([[0, 3, 1], [2, 2, 0]])
    arrays = [draw(*shapes[0]), np.cos(angles), np.sin(angles), *([positions] if len(shapes[1]) == 2 else [])]
    how = attributes | ({"num_heads": 2} if len(shapes[0]) == 3 else {})

    def twice(x: sg.Value, cos: sg.Value, sin: sg.Value, *rest: sg.Value) -> sg.Value:
        y = ops.rotary_embedding(x, cos, sin, *rest, **how)
        return y * y

    (_,), (to_x, _, _) = run(twice, *arrays, dtype="float32")
    # It keeps lengths.
    np.testing.assert_allclose(to_x, 2 * arrays[0], rtol=1e-4, atol=1e-5)


def test_what_onnx_leaves_open_is_refused() -> None:
    _, _, outputs = applied([Q, K, V, np.ones((3, 5), np.int64)])
    with pytest.raises(UnsupportedOperatorError, match="does not say what a mask of int64 means; cast it to bool"):
        sg.grad(outputs[0].sum(), outputs[0].node.inputs[0])
    _, _, outputs = applied([Q, K, V], scale=-1.0)
    with pytest.raises(UnsupportedOperatorError, match="negate the queries"):
        sg.grad(outputs[0].sum(), outputs[0].node.inputs[0])
    past = draw(1, 2, 4, 2)
    q, k = draw(1, 2, 1, 2), draw(1, 2, 3, 2)
    _, _, outputs = applied([q, k, k, None, past, past], is_causal=True)
    with pytest.raises(UnsupportedOperatorError, match="all 3 new keys behind a past"):
        sg.grad(outputs[0].sum(), outputs[0].node.inputs[0])


@pytest.mark.parametrize(
    ("arrays", "attributes", "reason"),
    [
        ([Q[:, :3], K, V], {}, "3 heads of the queries are not a multiple of the 2"),
        ([Q, K[..., :1], V], {}, "queries of size 2 do not fit keys of size 1"),
        ([Q, K, V[:, :, :4]], {}, "differ in their positions"),
        ([Q, K, V, draw(3, 6)], {}, "the mask is too long"),
        ([Q, K, V, draw(2, 5)], {}, "dimensions 3 and 2 do not agree"),
        ([Q, K, V, None, PAST[0]], {}, "past_key and past_value are given together"),
        ([draw(2, 3, 8), draw(2, 5, 4), draw(2, 5, 4)], {}, "need their number of heads"),
        ([Q, K, V], {"qk_matmul_output_mode": 4}, "qk_matmul_output_mode is 0, 1, 2 or 3"),
    ],
)
def test_what_does_not_fit_is_refused_when_declaring(
    arrays: list[Array | None], attributes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ShapeError, match=reason):
        applied(arrays, **attributes)


def test_a_mask_of_another_floating_type_is_refused() -> None:
    with pytest.raises(DTypeError, match="a mask is bool or float64"):
        applied([Q, K, V, draw(3, 5).astype(np.float32)])


def test_one_value_for_all_three_gets_the_sum_of_their_derivatives() -> None:
    x = draw(1, 2, 3, 2)
    apart = run(lambda q, k, v: ops.attention(q, k, v, qk_matmul_output_mode=3), x, x, x)[1]
    together = run(lambda x: ops.attention(x, x, x, qk_matmul_output_mode=3), x)[1]
    np.testing.assert_allclose(together[0], sum(apart), rtol=1e-9)


@pytest.mark.parametrize("precision", [None, 1])
def test_float16_is_float32_to_its_own_precision(precision: int | None) -> None:
    arrays = [a.astype(np.float16) for a in (Q, K, V, draw(3, 5))]

    def slope(*xs: sg.Value) -> Any:
        y = ops.attention(*xs, is_causal=True, softmax_precision=precision)[0]
        return sg.grad((y * y).sum(), list(xs))

    leaves = [sg.input(f"x{i}", a.shape, "float16") for i, a in enumerate(arrays)]
    found = Evaluator(leaves, list(slope(*leaves)))({f"x{i}": a for i, a in enumerate(arrays)})
    wide = [sg.input(f"x{i}", a.shape, "float32") for i, a in enumerate(arrays)]
    expected = Evaluator(wide, list(slope(*wide)))({f"x{i}": a.astype(np.float32) for i, a in enumerate(arrays)})
    for y, z in zip(found, expected, strict=True):
        assert y.dtype == np.float16
        np.testing.assert_allclose(y, z, rtol=2e-2, atol=1e-2)
