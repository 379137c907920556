"""Losses on symbolic values against PyTorch, and what PyTorch does not define."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation import Evaluator, run
from function_rows.elementary import CLASSES, DISTRIBUTION, IMAGE_CLASSES, X
from function_rows.row import draw

import staticgrad as sg

F = sg.nn.functional


W = np.array([0.5, 2.0, 1.0, 0.25])
IGNORED = np.array([2, -100, 3])
LOSSES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *(
        ("cross_entropy", (X, t), {"weight": w, "label_smoothing": s, "reduction": r, **i})
        for t, i in ((CLASSES, {}), (IGNORED, {}), (CLASSES, {"ignore_index": 0}), (DISTRIBUTION, {}))
        for w in (None, W)
        for s in (0.0, 0.2)
        for r in ("mean", "sum", "none")
    ),
    ("cross_entropy", (draw(2, 4, 2, 2), IMAGE_CLASSES), {"weight": W, "label_smoothing": 0.1}),
    ("cross_entropy", (draw(2, 4, 2, 2), IMAGE_CLASSES), {"reduction": "none"}),
    ("cross_entropy", (draw(4), np.array(2)), {"weight": W}),
    ("cross_entropy", (draw(4, 4), np.array([3, 1, 2, -100])), {}),
    ("nll_loss", (X, IGNORED), {"weight": W}),
    ("nll_loss", (X, CLASSES), {"weight": W, "ignore_index": 3, "reduction": "sum"}),
    *(
        (
            "binary_cross_entropy_with_logits",
            (x, draw(3, 4, low=0, high=1)),
            {"weight": w, "pos_weight": p, "reduction": r},
        )
        for x in (X, X * 1000)
        for w in (None, W)
        for p in (None, W + 1)
        for r in ("mean", "none")
    ),
    ("mse_loss", (X, draw(3, 4, seed=5)), {}),
    ("l1_loss", (X, draw(3, 4, seed=5)), {"reduction": "sum"}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", ["fixed", "named", "unknown"])
def test_losses_are_those_of_torch(name: str, args: Any, kwargs: dict[str, Any], dtype: str, sizes: str) -> None:
    torch = pytest.importorskip("torch")
    tensors = [
        torch.tensor(a.astype(dtype) if a.dtype == np.float64 else a, requires_grad=a.dtype == np.float64) for a in args
    ]
    more = {k: torch.tensor(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    expected = getattr(torch.nn.functional, name)(*tensors, **more)
    expected.sum().backward()
    leaves = []
    for i, a in enumerate(args):
        shape: Any = {"fixed": a.shape, "named": [f"D{d}" for d in a.shape], "unknown": [None] * a.ndim}[sizes]
        if sizes == "named" and any(isinstance(v, np.ndarray) for v in kwargs.values()):
            shape = a.shape
        leaves.append(sg.input(f"x{i}", shape, dtype if a.dtype == np.float64 else "int64"))
    constants = {k: sg.constant(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    loss = getattr(F, name)(*leaves, **constants)
    inputs = [x for x in leaves if x.type.dtype.is_float]
    found = Evaluator(leaves, [loss, *sg.grad(loss.sum(), inputs)])(
        {f"x{i}": a.astype(dtype) if a.dtype == np.float64 else a for i, a in enumerate(args)}
    )
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(found[0], expected.detach().numpy(), **tolerance)
    for g, t in zip(found[1:], [t for t in tensors if t.requires_grad], strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), **tolerance)


def test_a_loss_without_targets_is_nan_as_in_torch() -> None:
    assert np.isnan(run(lambda x, t: F.cross_entropy(x, t), X, np.full(3, -100))[0][0])


def test_an_ignored_target_may_stand_beside_impossible_classes() -> None:
    x = X.copy()
    x[1, 0] = -np.inf
    (value,), (g, *_) = run(lambda x, t: F.cross_entropy(x, t), x, IGNORED)
    (wanted,), (h, *_) = run(lambda x, t: F.cross_entropy(x, t), X[[0, 2]], IGNORED[[0, 2]])
    np.testing.assert_allclose(value, wanted)
    np.testing.assert_allclose(g, [h[0], 0 * h[0], h[1]])


def test_a_negative_class_is_heard() -> None:
    (value,), (g,) = run(lambda x, t: F.cross_entropy(x, t), X, np.array([1, -1, 2]))
    assert np.isnan(value) and np.isnan(g).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "bool"])
def test_class_indices_are_int32_or_int64(dtype: str) -> None:
    x, t = sg.input("x", (3, 4)), sg.input("t", (3,), dtype)
    for f in (F.cross_entropy, F.nll_loss):
        with pytest.raises(sg.DTypeError, match=r"class indices must be int32 or int64, target: .* came \(test_losses"):
            f(x, t)
        assert f(x, t.to("int32")).shape == f(x, np.zeros(3, np.int32)).shape == ()


@pytest.mark.parametrize("shape", [(5,), (1,), (), (1, 4)])
def test_weights_are_one_for_each_class(shape: tuple[int, ...]) -> None:
    w = sg.input("w", shape)
    for f in (F.cross_entropy, F.nll_loss, F.multi_margin_loss):
        with pytest.raises(sg.ShapeError, match=r"one number for each class, .* \(test_losses"):
            f(sg.input("x", (3, 4)), sg.input("t", (3,), "int64"), weight=w)
    with pytest.raises(sg.ShapeError, match="one number for each class"):
        F.cross_entropy(sg.input("x", (3, 4)), sg.input("p", (3, 4)), w)


def test_binary_cross_entropy_at_large_logits_is_finite() -> None:
    x = np.array([1000.0, -1000.0, 1000.0, -1000.0])
    t = np.array([1.0, 0.0, 0.0, 1.0])
    for dtype in ("float32", "float64"):
        (value,), (g, _) = run(
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"), x, t, dtype=dtype
        )
        assert value.tolist() == [0, 0, 1000, 1000] and g.tolist() == [0, 0, 1, -1]


def test_padding_idx_gets_no_gradient() -> None:
    _, (g,) = run(lambda w, i: F.embedding(i, w, padding_idx=1), np.ones((3, 2)), np.array([0, 1, 1, 2]))
    assert g.tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    _, (g,) = run(lambda w, i: F.embedding(i, w, padding_idx=-1), np.ones((3, 2)), np.array([0, 1, 1, 2]))
    assert g.tolist() == [[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
