"""`sg.nn.RNN`, `GRU` and `LSTM` against PyTorch's modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import draw
from evaluation import Evaluator

import staticgrad as sg

EACH = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


@EACH
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "batch_first": True},
        {"bias": False, "bidirectional": True, "batch_first": True},
    ],
    ids=["plain", "deep", "batch-first", "without-bias"],
)
@pytest.mark.parametrize("given", [False, True])
def test_values_and_gradients_are_pytorchs(kind: str, how: dict[str, Any], given: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind)(3, 4, **how, dtype=torch.float64)
    ours = getattr(sg.nn, kind)(3, 4, **how, dtype="float64")
    names = [p.name for p in ours.parameters()]
    assert names == [f"{kind.lower()}/{name}" for name, _ in theirs.named_parameters()]
    assert [p.type.shape for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    rows = how.get("num_layers", 1) * (1 + how.get("bidirectional", False))
    arrays = [draw(5, 2, 3) if not how.get("batch_first") else draw(2, 5, 3)]
    arrays += [draw(rows, 2, 4, seed=1), draw(rows, 2, 4, seed=2)][: (1 + (kind == "LSTM")) * given]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    leaves = [sg.input(f"x{i}", a.shape, "float64") for i, a in enumerate(arrays)]

    def called(module: Any, values: list[Any]) -> list[Any]:
        states = values[1:]
        output, last = module(*values[:1], *([] if not states else [tuple(states)] if len(states) == 2 else states))
        return [output, *(last if kind == "LSTM" else [last])]

    expected, made = called(theirs, tensors), called(ours, leaves)
    assert [y.type.shape for y in made] == [tuple(y.shape) for y in expected]
    torch.autograd.backward(sum(y.pow(2).sum() for y in expected))
    parameters = list(ours.parameters())
    gradients = sg.grad(sum((y * y).sum() for y in made), [*leaves, *parameters])
    feeds = {x.name or "": a for x, a in zip(leaves, arrays, strict=True)}
    weights = [p.detach().numpy() for p in theirs.parameters()]
    feeds |= {p.name or "": a for p, a in zip(parameters, weights, strict=True)}
    found = Evaluator([*leaves, *parameters], [*made, *gradients], rewritten=True)(feeds)
    wanted = [y.detach() for y in expected] + [t.grad for t in (*tensors, *theirs.parameters())]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-9, atol=1e-11)


def test_relu() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.RNN(3, 4, nonlinearity="relu", bidirectional=True)
    ours = sg.nn.RNN(3, 4, nonlinearity="relu", bidirectional=True)
    x = sg.input("x", (5, "N", 3))
    feeds = {"x": draw(5, 2, 3).astype(np.float32)}
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        feeds[p.name or ""] = q.detach().numpy()
    (found,) = Evaluator([x, *ours.parameters()], [ours(x)[0]])(feeds)
    np.testing.assert_allclose(found, theirs(torch.tensor(feeds["x"]))[0].detach().numpy(), rtol=1e-5, atol=1e-6)


@EACH
def test_a_recurrent_net_learns(kind: str) -> None:
    x, y = sg.input("x", ("N", 6, 2)), sg.input("y", ("N",), "int64")
    hidden = getattr(sg.nn, kind)(2, 8, num_layers=2, batch_first=True)(x)[0]
    loss = sg.nn.functional.cross_entropy(sg.nn.Linear(8, 2)(hidden[:, -1]), y)
    trainer = sg.Trainer(sg.train_step(loss, sg.optim.adam(0.05)), device="cpu")
    random = np.random.default_rng(0)
    batch = {"x": random.standard_normal((16, 6, 2)).astype(np.float32)}
    batch["y"] = (batch["x"][:, 0, 0] > 0).astype(np.int64)
    losses = [float(trainer.step(batch)) for _ in range(60)]
    assert losses[-1] < 0.2 < losses[0]


def test_what_they_lack_is_refused() -> None:
    with pytest.raises(sg.DeclarationError, match="nonlinearity is 'tanh' or 'relu'"):
        sg.nn.RNN(2, 3, nonlinearity="sin")
    with pytest.raises(sg.DeclarationError, match="of rank 3"):
        sg.nn.GRU(2, 3)(sg.input("x", (5, 2)))
    with pytest.raises(sg.DeclarationError, match=r"\(h, c\)"):
        sg.nn.LSTM(2, 3, name="other")(sg.input("x", (5, 1, 2)), sg.input("h", (1, 1, 3)))
    with pytest.raises(sg.DeclarationError, match="hidden_size"):
        sg.nn.LSTM(2, 0)
