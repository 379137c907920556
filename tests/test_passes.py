"""Gradients that are written in few passes over float32 activations, against PyTorch's in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import staticgrad as sg
from staticgrad.nn import functional as F

torch = pytest.importorskip("torch")
RANDOM = np.random.default_rng(0)
T = torch.nn.functional


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype("float32")


def like_torch(
    ours: Callable[..., sg.Value], theirs: Callable[..., Any], arrays: Sequence[np.ndarray], shapes: Any = None
) -> None:
    """Values, gradients and gradients of gradients, each with cotangents that are drawn."""
    inputs = [sg.input(f"x{i}", (shapes or [a.shape for a in arrays])[i]) for i, a in enumerate(arrays)]
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    y, z = ours(*inputs), theirs(*tensors)
    cotangents = [draw(*z.shape), *(draw(*a.shape) for a in arrays)]
    weights = [sg.input(f"w{i}", v.type.shape) for i, v in enumerate((y, *inputs))]
    doubles = [torch.tensor(c, dtype=torch.float64) for c in cotangents]
    first = sg.grad((y * weights[0]).sum(), inputs)
    total, theirs_total = sg.constant(np.float32(0)), torch.zeros((), dtype=torch.float64)
    expected = torch.autograd.grad((z * doubles[0]).sum(), tensors, create_graph=True)
    for g, w, h, d in zip(first, weights[1:], expected, doubles[1:], strict=True):
        total, theirs_total = total + (g * w).sum(), theirs_total + (h * d).sum() + 0 * sum(t.sum() for t in tensors)
    second = sg.grad(total, inputs, unused="zero")
    slopes = torch.autograd.grad(theirs_total, tensors)
    results = sg.function([y, *first, *second], [*inputs, *weights])(*arrays, *cotangents)
    wanted = [z, *expected, *slopes]
    for found, right in zip(results, wanted, strict=True):
        reference = right.detach().numpy()
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=2e-5 * (1 + np.abs(reference).max(initial=0)))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (5, 1, 2, 2), (2, 2, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("parameters", [0, 1, 2])
@pytest.mark.parametrize("named", [False, True])
def test_batch_normalization(shape: tuple[int, ...], parameters: int, named: bool) -> None:
    arrays = [draw(*shape) * 3 + 2, *(draw(shape[1]) for _ in range(parameters))]
    shapes = [("N", *shape[1:]) if named else shape, *([(shape[1],)] * parameters)]

    def ours(x: sg.Value, *affine: sg.Value) -> sg.Value:
        y: sg.Value = F.batch_norm(x, None, None, *affine, training=True, eps=0.01)
        return y * y

    like_torch(ours, lambda x, *p: T.batch_norm(x, None, None, *p, training=True, eps=0.01) ** 2, arrays, shapes)


def test_batch_normalization_far_from_zero() -> None:
    x = draw(4, 3, 8, 8) + np.array([0, 1e3, -1e4], "float32").reshape(3, 1, 1)
    found = sg.function(F.batch_norm(sg.input("x", x.shape), None, None, training=True))(x)
    wide = x.astype("float64")
    centred = wide - wide.mean((0, 2, 3), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_batch_normalization_backward_is_three_passes_behind_two_sums() -> None:
    x, g = sg.input("x", ("N", 2, 8, 8)), sg.input("g", ("N", 2, 8, 8))
    w, b = sg.input("w", (2,)), sg.input("b", (2,))
    y = F.batch_norm(x, None, None, w, b, training=True)
    graph = str(sg.function(sg.vjp([y], [x, w, b], [g]), [x, g, w, b]).graph)
    passes = [line.split("= ")[1].split("(")[0] for line in graph.splitlines() if "[N,2,8,8] =" in line]
    # The first three are the differences from the mean, their squares, and products for the sum.
    assert sorted(passes) == ["BatchNormalization", "Mul", "Mul", "Mul", "Sub", "Sub"]


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 2, 2), (3, 2, 5, 4), (2, 1, 6, 3)], ids=str)
@pytest.mark.parametrize("named", [False, True])
def test_max_pools_of_two_by_two_give_to_the_first(shape: tuple[int, ...], named: bool) -> None:
    # Small whole numbers, so that many maxima are not unique.
    x = np.round(draw(*shape))
    like_torch(lambda x: F.max_pool2d(x, 2), lambda x: T.max_pool2d(x, 2), [x], [("N", *shape[1:])] if named else None)


def test_a_max_pool_of_no_images() -> None:
    x = sg.input("x", ("N", 3, 4, 4))
    gradient = sg.function(sg.grad(F.max_pool2d(x, 2).sum(), x))
    assert gradient(np.zeros((0, 3, 4, 4), "float32")).shape == (0, 3, 4, 4)
    assert gradient(np.zeros((1, 3, 4, 4), "float32")).sum() == 12


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    x = np.linspace(-6, 6, 101).astype("float32")
    like_torch(lambda x: F.gelu(x, approximate=approximate), lambda x: T.gelu(x, approximate=approximate), [x])


def test_gelu_far_out() -> None:
    x = np.array([20, -20, 1e6, -1e6, 1e16, -1e16, np.nan], "float32")
    value = sg.input("x", x.shape)
    slope = sg.function(sg.grad(F.gelu(value, approximate="tanh").sum(), value))(x)
    np.testing.assert_array_equal(slope, [1, 0, 1, 0, 1, 0, np.nan])


@pytest.mark.parametrize("keys", [3, 7])
@pytest.mark.parametrize("mask", ["none", "causal", "bool"])
@pytest.mark.parametrize("named", [False, True])
def test_attention(keys: int, mask: str, named: bool) -> None:
    if mask == "causal" and keys != 3:
        pytest.skip("PyTorch and ONNX differ where queries and keys are not as many")
    arrays = [draw(2, 2, 3, 4), draw(2, 2, keys, 4), draw(2, 2, keys, 5)]
    shapes = [("N", *a.shape[1:]) for a in arrays] if named else None
    some = RANDOM.random((3, keys)) < 0.6
    some[0], some[1] = False, True
    held = {"none": {}, "causal": {"is_causal": True}, "bool": {"attn_mask": some}}[mask]

    def ours(*operands: sg.Value) -> sg.Value:
        y: sg.Value = F.scaled_dot_product_attention(
            *operands, **{k: sg.constant(v) if k == "attn_mask" else v for k, v in held.items()}
        )
        return y

    def theirs(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = q @ k.transpose(-1, -2) / 2
        if mask != "none":
            inside = torch.tensor(some) if mask == "bool" else torch.ones(3, keys, dtype=torch.bool).tril()
            shares = scores.masked_fill(~inside, -1e30).softmax(-1)
            return torch.where(inside.any(-1, keepdim=True), shares @ v, 0.0)
        return scores.softmax(-1) @ v

    like_torch(ours, theirs, arrays, shapes)


def _optimised(outputs: sg.Value | Sequence[sg.Value], inputs: Sequence[sg.Value]) -> str:
    return str(sg.function(outputs, inputs).graph)


@pytest.mark.parametrize("named", [False, True])
def test_the_gradient_of_a_cross_entropy_makes_no_table_of_zeros(named: bool) -> None:
    batch = "N" if named else 5
    x, y = sg.input("x", (batch, 4)), sg.input("y", (batch,), dtype="int64")
    gradient = sg.grad(F.cross_entropy(x, y), x)
    graph = _optimised(gradient, [x, y])
    assert "ConstantOfShape" not in graph and " Sub(" not in graph
    logits, targets = draw(5, 4), np.array([0, 3, -100, 1, 3])
    theirs = torch.tensor(logits, requires_grad=True)
    T.cross_entropy(theirs, torch.tensor(targets)).backward()  # type: ignore[no-untyped-call]
    assert theirs.grad is not None
    np.testing.assert_allclose(sg.function(gradient, [x, y])(logits, targets), theirs.grad.numpy(), atol=1e-6)


def test_equations_over_scattered_numbers_and_unsqueezed_operands() -> None:
    x, u = sg.input("x", (3, 4)), sg.input("u", (3, 1))
    i = sg.input("i", (3, 1), dtype="int64")
    zeros = sg.ops.constant_of_shape([3, 4], value=np.zeros(1, "float32"))
    placed = sg.ops.scatter_elements(zeros, i, u, axis=1, reduction="add")
    few = sg.ops.scatter_elements(zeros, i[:2], u[:2], axis=1, reduction="add")
    outputs = [placed - x * u, placed.sum(1), few.sum(1), placed.sum(0), few - x * u]
    arrays = draw(3, 4), draw(3, 1), np.array([[1], [3], [1]])
    whole = np.zeros((3, 4), "float32")
    np.put_along_axis(whole, arrays[2], arrays[1], 1)
    cut = np.concatenate([whole[:2], np.zeros((1, 4), "float32")])
    product = arrays[0] * arrays[1]
    expected = whole - product, whole.sum(1), cut.sum(1), whole.sum(0), cut - product
    for found, right in zip(sg.function(outputs, [x, u, i])(*arrays), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6)
    row = sg.ops.unsqueeze(sg.input("v", (4,)), [0])
    assert " Unsqueeze(" not in _optimised(x * row, [x, row.node.inputs[0]])  # type: ignore[list-item]
    one = sg.input("s", ())
    # The result has an axis more than the operands would give.
    assert " Unsqueeze(" in _optimised(sg.ops.unsqueeze(one, [0]) * one, [one])
    mean = sg.ops.reduce_mean(sg.ops.unsqueeze(x, [1]), [1], keepdims=False)
    assert "ReduceMean" not in _optimised(mean, [x])
