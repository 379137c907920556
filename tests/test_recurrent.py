"""Recurrent layers: every attribute against Python, onnxruntime's kernels and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from derivative_checks import Array, check
from drawing import draw
from evaluation import Evaluator

import staticgrad as sg
from staticgrad.methods import OPERATORS

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
LENGTHS = np.array([3, 1], np.int32)
KINDS = pytest.mark.parametrize("kind", list(GATES))


def arguments(kind: str, direction: str = "forward", layout: int = 0, inputs: int = 2, hidden: int = 2) -> list[Any]:
    """X, W, R, B, sequence_lens, initial_h, initial_c, P of three steps of two sequences."""
    count, gates = 1 + (direction == "bidirectional"), GATES[kind]
    x, h, c = draw(3, 2, inputs), draw(count, 2, hidden, seed=4), draw(count, 2, hidden, seed=5)
    if layout:
        x, h, c = (np.ascontiguousarray(v.transpose(1, 0, 2)) for v in (x, h, c))
    w, r = draw(count, gates * hidden, inputs, seed=1), draw(count, gates * hidden, hidden, seed=2)
    found = [x, w, r, draw(count, 2 * gates * hidden, seed=3), LENGTHS, h]
    return [*found, c, draw(count, 3 * hidden, seed=6)] if kind == "LSTM" else found


def checked(kind: str, given: list[Array | None], **how: Any) -> None:
    """All derivatives against central differences of Python's layer, and that against onnxruntime's kernel."""
    present = [i for i, a in enumerate(given) if a is not None]
    hidden = how.pop("hidden_size", given[2].shape[-1])  # type: ignore[union-attr]

    def build(*xs: Any) -> Any:
        whole: list[Any] = [None] * len(given)
        for i, x in zip(present, xs, strict=True):
            whole[i] = x
        return OPERATORS[kind](*whole, hidden_size=hidden, **how)

    arrays = [given[i] for i in present]
    expected = check(build, *arrays, second=len(arrays) < 5)  # type: ignore[arg-type]
    if how.get("layout") == 1:
        return
    narrow = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays if a is not None]
    leaves = [sg.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(narrow)]
    found = Evaluator(leaves, build(*leaves))({f"x{i}": a for i, a in enumerate(narrow)})
    for y, z in zip(found, expected, strict=True):
        np.testing.assert_allclose(y, z, rtol=2e-5, atol=2e-5)


@KINDS
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_directions_and_layouts_with_all_inputs(kind: str, direction: str, layout: int) -> None:
    checked(kind, arguments(kind, direction, layout), direction=direction, layout=layout)


@KINDS
@pytest.mark.parametrize("missing", [3, 4, 5, 6, 7])
def test_inputs_that_are_left_out(kind: str, missing: int) -> None:
    given = arguments(kind)
    if missing >= len(given):
        pytest.skip("it has no such input")
    given[missing] = None
    checked(kind, given)


@KINDS
def test_no_optional_inputs(kind: str) -> None:
    checked(kind, arguments(kind)[:3])


@KINDS
@pytest.mark.parametrize("lengths", [[0, 3], [2, 2]])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_lengths(kind: str, lengths: list[int], direction: str) -> None:
    given = arguments(kind)
    given[4] = np.array(lengths, np.int32)
    checked(kind, given, direction=direction)


@KINDS
def test_clip(kind: str) -> None:
    checked(kind, [*arguments(kind)], clip=0.4)


@pytest.mark.parametrize("missing", [3, 4, None])
def test_linear_before_reset(missing: int | None) -> None:
    given = arguments("GRU")
    if missing is not None:
        given[missing] = None
    checked("GRU", given, linear_before_reset=True)


@pytest.mark.parametrize("missing", [7, None])
def test_input_forget(missing: int | None) -> None:
    given = arguments("LSTM")
    if missing is not None:
        given[missing] = None
    checked("LSTM", given, input_forget=True, clip=0.7)


@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [
        ("Relu", [], []),
        ("Tanh", [], []),
        ("Sigmoid", [], []),
        ("Softsign", [], []),
        ("Softplus", [], []),
        ("LeakyRelu", [], []),
        ("LeakyRelu", [0.3], []),
        ("Elu", [], []),
        ("Elu", [0.6], []),
        ("ThresholdedRelu", [0.1], []),
        ("HardSigmoid", [], []),
        ("HardSigmoid", [0.3], [0.4]),
        ("Affine", [0.6], [0.2]),
        ("ScaledTanh", [0.8], [0.7]),
    ],
)
def test_activations(name: str, alpha: list[float], beta: list[float]) -> None:
    checked("RNN", arguments("RNN")[:4], activations=(name,), activation_alpha=alpha, activation_beta=beta)
    names = ("Sigmoid", name)
    checked("GRU", arguments("GRU")[:4], activations=names, activation_alpha=alpha, activation_beta=beta)


def test_activations_take_their_numbers_in_turn() -> None:
    names = ("HardSigmoid", "Tanh", "LeakyRelu", "Sigmoid", "ScaledTanh", "Elu")
    checked(
        "LSTM",
        arguments("LSTM", "bidirectional")[:4],
        direction="bidirectional",
        activations=names,
        activation_alpha=(0.3, 0.2, 0.9),
        activation_beta=(0.4, 0.8),
    )


@KINDS
@pytest.mark.parametrize("sizes", ["named", "unknown"])
def test_sizes_of_the_run(kind: str, sizes: str) -> None:
    def build(x: Any, lengths: Any, w: Any, r: Any, b: Any) -> Any:
        return OPERATORS[kind](x, w, r, b, lengths, hidden_size=2)

    # The size that inputs and a weight share has no name; in float32 onnxruntime has the kernel and the scan.
    given = arguments(kind, inputs=1)
    arrays = (given[0], given[4], *given[1:4])
    check(build, *arrays, sizes=sizes, fixed=3, second=False, dtype="float32")


@KINDS
def test_only_the_last_states_used(kind: str) -> None:
    given = arguments(kind)[:4]
    for position in range(1, 2 + (kind == "LSTM")):
        check(lambda *xs, p=position: OPERATORS[kind](*xs, hidden_size=2)[p], *given, second=False)


@KINDS
def test_gradients_in_float32(kind: str) -> None:
    given = arguments(kind, "bidirectional")

    def build(*xs: Any) -> Any:
        return OPERATORS[kind](*xs, hidden_size=2, direction="bidirectional")

    check(build, *given, dtype="float32", second=False)


def test_numbers_without_an_agreed_default_are_refused() -> None:
    leaves = [sg.input(f"x{i}", a.shape) for i, a in enumerate(arguments("RNN")[:3])]
    y, _ = OPERATORS["RNN"](*leaves, hidden_size=2, activations=("Affine",))
    with pytest.raises(sg.UnsupportedOperatorError, match="Affine has no number given"):
        sg.grad(y.sum(), leaves[0])


@pytest.mark.parametrize("how", [{"activations": ("Sine",)}, {"direction": "backward"}, {"activations": ("Tanh",) * 2}])
def test_what_onnx_does_not_have_is_refused_when_declaring(how: dict[str, Any]) -> None:
    leaves = [sg.input(f"x{i}", a.shape) for i, a in enumerate(arguments("RNN")[:3])]
    with pytest.raises(sg.DeclarationError):
        OPERATORS["RNN"](*leaves, hidden_size=2, **how)


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_are_those_of_pytorch(kind: str, bidirectional: bool) -> None:
    torch = pytest.importorskip("torch")
    hidden, count = 3, 1 + bidirectional
    module = getattr(torch.nn, kind)(2, hidden, bidirectional=bidirectional, dtype=torch.float64)
    order = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}[kind]

    def ours(stem: str) -> Array:
        parts = [getattr(module, stem + s).detach().numpy() for s in ("", "_reverse")[:count]]
        return np.stack([np.concatenate([np.split(p, GATES[kind])[i] for i in order]) for p in parts])

    w, r = ours("weight_ih_l0"), ours("weight_hh_l0")
    b = np.concatenate([ours("bias_ih_l0"), ours("bias_hh_l0")], axis=1)
    x, h, c = draw(4, 2, 2), draw(count, 2, hidden, seed=4), draw(count, 2, hidden, seed=5)
    states = [h, c][: 1 + (kind == "LSTM")]
    tensors = [torch.tensor(v, requires_grad=True) for v in (x, *states)]
    whole, last = module(tensors[0], tuple(tensors[1:]) if kind == "LSTM" else tensors[1])
    results = [whole, *(last if kind == "LSTM" else [last])]
    torch.autograd.backward(sum(y.pow(2).sum() for y in results))
    arrays = [x, w, r, b, *states]
    leaves = [sg.input(f"x{i}", a.shape, "float64") for i, a in enumerate(arrays)]
    how = {"hidden_size": hidden, "direction": "bidirectional" if bidirectional else "forward"}
    how |= {"linear_before_reset": True} if kind == "GRU" else {}
    made = OPERATORS[kind](*leaves[:4], None, *leaves[4:], **how)
    # PyTorch has (time, batch, direction * hidden).
    whole = whole.detach().reshape(4, 2, count, hidden).permute(0, 2, 1, 3)
    seeds = [2 * whole.numpy(), *[2 * y.detach().numpy() for y in results[1:]]]
    pulled = sg.vjp(made, leaves, seeds)
    found = Evaluator(leaves, pulled, rewritten=True)({f"x{i}": a for i, a in enumerate(arrays)})
    for g, t in zip([found[0], *found[4:]], tensors, strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-9, atol=1e-12)

    def grads(stem: str) -> Array:
        parts = [getattr(module, stem + s).grad.numpy() for s in ("", "_reverse")[:count]]
        return np.stack([np.concatenate([np.split(p, GATES[kind])[i] for i in order]) for p in parts])

    np.testing.assert_allclose(found[1], grads("weight_ih_l0"), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[2], grads("weight_hh_l0"), rtol=1e-9, atol=1e-12)
    both = np.concatenate([grads("bias_ih_l0"), grads("bias_hh_l0")], axis=1)
    np.testing.assert_allclose(found[3], both, rtol=1e-9, atol=1e-12)
