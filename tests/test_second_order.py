"""Every PyTorch-named function beyond the first gradient; one tensor as two operands; few elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from evaluation import Array, Evaluator
from function_rows.elementary import CLASSES, DISTRIBUTION, IMAGE_CLASSES, X
from function_rows.indexing import BAGS
from function_rows.row import Row, draw
from test_eager_functions import arrays, identify, is_float
from test_functions import SHARED, Call

import staticgrad as sg
from staticgrad.errors import StaticgradError
from staticgrad.graph import Leaf, Value, topological
from staticgrad.types import is_static

STEP = 1e-6
FLOATING = [row for row in SHARED if any(map(is_float, arrays(row)))]


class Beyond:
    """A call with its vjp, its jvp and the vjp of the vjp in one graph, and numbers for all that goes in.

    Every result is used twice, as it is and squared: so the second derivatives of linear functions are not 0.
    """

    def __init__(self, call: Call) -> None:
        self.inputs = [x for x in call.leaves if x.type.dtype.is_float]
        floats = [y for y in call.outputs if y.type.dtype.is_float]
        shapes = [y.type.shape for y in floats]
        if not all(map(is_static, shapes)):
            shapes = [y.shape for y in Evaluator(call.leaves, floats)(call.feeds)]
        self.outputs = [z for y in floats for z in (y, y * y)]
        self.seeds = [like(f"g{i}", y) for i, y in enumerate(self.outputs)]
        tangents = [like(f"t{i}", x) for i, x in enumerate(self.inputs)]
        pulled = list(sg.vjp(self.outputs, self.inputs, self.seeds))
        pushed = list(sg.jvp(self.outputs, self.inputs, tangents))
        second = list(sg.vjp(pulled, [*self.inputs, *self.seeds], tangents))
        assert [g.type for g in pulled] == [x.type for x in self.inputs]
        assert [t.type for t in pushed] == [y.type for y in self.outputs]
        assert [g.type for g in second] == [*(x.type for x in self.inputs), *(y.type for y in self.outputs)]
        self.feeds = dict(call.feeds)
        random = np.random.default_rng(3)
        for i, (y, shape) in enumerate(zip(self.outputs, (s for s in shapes for _ in range(2)), strict=True)):
            self.feeds[f"g{i}"] = np.asarray(random.uniform(0.5, 1.5, shape), y.type.dtype.numpy)
        for i, x in enumerate(self.inputs):
            shape = call.feeds[x.name or ""].shape
            self.feeds[f"t{i}"] = np.asarray(random.uniform(0.5, 1.5, shape), x.type.dtype.numpy)
        self.counts = [len(g) for g in (self.outputs, pulled, pushed, second)]
        leaves = dict.fromkeys([*call.leaves, *self.seeds, *tangents])
        self.evaluate = Evaluator(leaves, [*self.outputs, *pulled, *pushed, *second], rewritten=True)

    def __call__(self, moves: dict[str, Array] | None = None, step: float = 0.0) -> list[list[Array]]:
        """Values, vjp, jvp and the vjp of the vjp at the inputs moved by a multiple of `moves`."""
        moved = {name: np.asarray(self.feeds[name] + step * move) for name, move in (moves or {}).items()}
        found = iter(self.evaluate(self.feeds | moved))
        return [[next(found) for _ in range(count)] for count in self.counts]

    def differences(self, moves: dict[str, Array]) -> list[list[Array]]:
        """The central differences of values and vjp."""
        sides = self(moves, STEP)[:2], self(moves, -STEP)[:2]
        return [[(a - b) / (2 * STEP) for a, b in zip(*pair, strict=True)] for pair in zip(*sides, strict=True)]

    def check(self) -> None:
        values, pulled, pushed, second = self()
        for group in (pulled, pushed, second):
            assert all(np.isfinite(y).all() for y in group)
        inputs = [x.name or "" for x in self.inputs]
        seeds = [g.name or "" for g in self.seeds]
        tangents = [self.feeds[f"t{i}"] for i in range(len(inputs))]
        cotangents = [self.feeds[name] for name in seeds]
        # The jvp is the transpose of the vjp, and the vjp of the vjp by the cotangent.
        left, right = contracted(cotangents, pushed), contracted(pulled, tangents)
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-11 * scale(pulled))
        assert_near(pushed, second[len(inputs) :], 1e-12, 1e-12 * scale(pushed))
        # Along the tangents the differences are the jvp and, for second derivatives are symmetric, the vjp of the vjp.
        of_values, of_vjp = self.differences(dict(zip(inputs, tangents, strict=True)))
        assert_near(pushed, of_values, 2e-7, 2e-9 * scale(values))
        assert_near(second[: len(inputs)], of_vjp, 2e-7, 2e-9 * scale(pulled))
        # Along other directions, of the cotangents, too, only the sum is known.
        random = np.random.default_rng(4)
        moves = {name: random.uniform(-1, 1, self.feeds[name].shape) for name in (*inputs, *seeds)}
        _, of_vjp = self.differences(moves)
        found, numeric = contracted(second, list(moves.values())), contracted(tangents, of_vjp)
        np.testing.assert_allclose(found, numeric, rtol=2e-7, atol=1e-8 * scale(pulled))


def like(name: str, value: Value) -> Value:
    """An input of exactly the type of a value."""
    return Leaf("input", name, value.type).outputs[0]


def contracted(xs: Sequence[Array], ys: Sequence[Array]) -> float:
    return sum(float((x * y).sum()) for x, y in zip(xs, ys, strict=True))


def scale(xs: Sequence[Array]) -> float:
    return max([1.0, *(float(np.abs(x).max(initial=0)) for x in xs)])


def assert_near(found: Sequence[Array], expected: Sequence[Array], rtol: float, atol: float) -> None:
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize("row", FLOATING, ids=identify)
def test_jvp_and_the_gradient_of_the_gradient(row: Row) -> None:
    Beyond(Call(row)).check()


W = np.array([0.5, 2.0, 1.0, 0.25])
WEIGHTED = [
    *(
        Row("cross_entropy", (X, target, W, None, -100, None, reduction, smoothing))
        for target in (CLASSES, np.array([2, -100, 3]), DISTRIBUTION)
        for reduction in ("mean", "none")
        for smoothing in (0.0, 0.2)
    ),
    Row("cross_entropy", (draw(2, 4, 2, 2), IMAGE_CLASSES, W, None, -100, None, "mean", 0.1)),
    Row("nll_loss", (X, CLASSES, W)),
]


@pytest.mark.parametrize("row", WEIGHTED, ids=identify)
def test_weights_of_classes_beyond_the_first_gradient(row: Row) -> None:
    Beyond(Call(row)).check()


FLAT = [
    *(Row(name, (draw(3, 4, avoid=(-1, 0, 1)),)) for name in ("sign", "sgn", "floor", "ceil", "trunc")),
    *(row for row in FLOATING if row.name in ("round", "floor_divide") or "rounding_mode" in row.kwargs),
    *(row for row in FLOATING if row.name == "norm" and row.kwargs.get("p") == 0),
    Row("detach", (X,)),
    Row("threshold", (X, 3.0, -7.0)),
    Row("hardtanh", (X + 4,)),
    Row("masked_fill", (X, np.ones((3, 4), bool), 1.5)),
]


@pytest.mark.parametrize("row", FLAT, ids=identify)
def test_zero_derivatives_are_exactly_zero(row: Row) -> None:
    values, *derivatives = Beyond(Call(row))()
    assert all(y.any() for y in values)
    for group in derivatives:
        assert group and not any(y.any() for y in group)


# - derivatives that are not those of the values, but PyTorch's -

REPLACED = [
    Row("embedding", (np.array([[0, 2], [2, 1]]), X), {"padding_idx": 2}),
    Row("gaussian_nll_loss", (X, draw(3, 4, seed=1), draw(3, 4, low=0.3, seed=2, avoid=(1.0,))), {"eps": 1.0}),
    Row("cosine_similarity", (X, draw(3, 4, seed=1)), {"eps": 3.0}),
]


def torch_outputs(row: Row) -> tuple[list[Any], list[Any]]:
    """What PyTorch gives for the row, each result as it is and squared, and its floating inputs."""
    import torch
    from test_eager_torch import torch_function

    inputs: list[Any] = []

    def convert(x: Any) -> Any:
        if isinstance(x, list):
            return [convert(y) for y in x]
        if not isinstance(x, np.ndarray):
            return x
        tensor = torch.tensor(x, requires_grad=is_float(x))
        if is_float(x):
            inputs.append(tensor)
        return tensor

    keywords = {k: getattr(torch, v) if k == "dtype" else v for k, v in row.kwargs.items()}
    result = torch_function(row.name)(*map(convert, row.args), **keywords)
    listed = result if isinstance(result, tuple | list) else [result]
    return [z for y in listed if y.is_floating_point() for z in (y, y * y)], inputs


def torch_vjp(outputs: Any, inputs: Any, cotangents: Any, create_graph: bool = False) -> list[Any]:
    import torch

    followed = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not followed or not inputs:
        return [torch.zeros_like(x) for x in inputs]
    ys, seeds = zip(*followed, strict=True)
    found = torch.autograd.grad(ys, inputs, seeds, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


@pytest.mark.parametrize("row", REPLACED, ids=identify)
def test_replaced_derivatives_are_those_of_torch(row: Row) -> None:
    torch = pytest.importorskip("torch")
    beyond = Beyond(Call(row))
    values, pulled, _, second = beyond()
    outputs, inputs = torch_outputs(row)
    seeds = [torch.tensor(beyond.feeds[f"g{i}"], requires_grad=True) for i in range(len(outputs))]
    tangents = [torch.tensor(beyond.feeds[f"t{i}"]) for i in range(len(inputs))]
    first = torch_vjp(outputs, inputs, seeds, create_graph=True)
    expected = [*outputs, *first, *torch_vjp(first, [*inputs, *seeds], tangents)]
    assert_near([*values, *pulled, *second], [x.detach().numpy() for x in expected], 1e-10, 1e-12)


# - other types and sizes -


OF_FLOAT32 = {
    *"batch_norm binary_cross_entropy_with_logits celu double elu gelu group_norm hardsigmoid hardswish".split(),
    *"instance_norm layer_norm leaky_relu logsigmoid mish multilabel_soft_margin_loss rms_norm selu".split(),
    *"soft_margin_loss softplus softsign to".split(),
}
"""The functions that are made of other operators in float32 than in float64."""

WITH_PULLBACK = {
    *"atan2 batch_norm binary_cross_entropy binary_cross_entropy_with_logits celu".split(),
    *"cosine_similarity div elu embedding_bag expm1 floor_divide fold gaussian_nll_loss grid_sample".split(),
    *"group_norm hardsigmoid hardswish hardtanh hypot instance_norm interpolate kl_div layer_norm log1p".split(),
    *"logaddexp logaddexp2 logit logsigmoid mish multilabel_soft_margin_loss relu6 rms_norm selu".split(),
    *"scaled_dot_product_attention soft_margin_loss softplus unfold xlogy".split(),
}
"""The functions with a replaced derivative."""


def operators(call: Call) -> list[str]:
    return [node.op.name for node in topological(call.outputs)]


def test_which_functions_are_special() -> None:
    calls = [(row.name, Call(row), Call(row, "float32")) for row in FLOATING]
    assert {name for name, exact, call in calls if operators(exact) != operators(call)} == OF_FLOAT32
    replaced = {name for name, call, _ in calls if any(node.pullback for node in topological(call.outputs))}
    assert replaced == WITH_PULLBACK


@pytest.mark.parametrize("row", [row for row in FLOATING if row.name in OF_FLOAT32], ids=identify)
def test_formulas_for_float32_give_the_same(row: Row) -> None:
    for group, expected in zip(Beyond(Call(row, "float32"))(), Beyond(Call(row))(), strict=True):
        assert_near(group, expected, 1e-4, 1e-5 * scale(expected))


@pytest.mark.parametrize("row", [row for row in FLOATING if row.name in WITH_PULLBACK], ids=identify)
def test_replaced_derivatives_of_dynamic_sizes_give_the_same(row: Row) -> None:
    results = Beyond(Call(row))()
    for sizes in ("named", "unknown"):
        try:
            call = Call(row, sizes=sizes)
        except StaticgradError:
            continue  # which, test_few_functions_are_refused_with_dynamic_sizes knows
        for group, expected in zip(Beyond(call)(), results, strict=True):
            assert_near(group, expected, 1e-10, 1e-11 * scale(expected))


# - one tensor as two operands -


class Shared(Call):
    """A call in which one tensor stands for two of the floating ones."""

    def __init__(self, row: Row, pair: tuple[int, int], x: Array) -> None:
        self.pair, self.x, self.count, self.leaf = pair, x, 0, None
        super().__init__(row)

    def convert(self, x: Any) -> Any:
        if not is_float(x):
            return super().convert(x)
        self.count += 1
        if self.count - 1 not in self.pair:
            return super().convert(x)
        if self.leaf is None:
            self.leaf = super().convert(self.x)
        return self.leaf


def shared(row: Row) -> list[Shared]:
    """The row with one tensor for each pair of operands that takes it."""
    floats = [x for x in arrays(row) if is_float(x)]
    calls = []
    for i, j in itertools.combinations(range(len(floats)), 2):
        shape = max(floats[i].shape, floats[j].shape, key=math.prod)
        try:
            # The numbers are in the domain of all functions, and away from the kinks of most.
            calls.append(Shared(row, (i, j), draw(*shape, low=0.25, high=0.95)))
        except StaticgradError:
            assert floats[i].shape != floats[j].shape
    return calls


SQUARE, BATCH, VECTOR, WINDOW = draw(3, 3), draw(3, 3, 3), draw(3), draw(2, 2, 3, 3)
SEVERAL = [
    *(row for row in FLOATING if sum(map(is_float, arrays(row))) > 1),
    Row("mm", (SQUARE, SQUARE)),
    Row("bmm", (BATCH, BATCH)),
    Row("addmm", (SQUARE, SQUARE, SQUARE), {"beta": 0.5, "alpha": 2.0}),
    Row("baddbmm", (BATCH, BATCH, BATCH), {"beta": 0.5, "alpha": 2.0}),
    Row("addbmm", (SQUARE, BATCH, BATCH)),
    Row("addmv", (VECTOR, SQUARE, VECTOR)),
    Row("addr", (SQUARE, VECTOR, VECTOR)),
    Row("bilinear", (SQUARE, SQUARE, BATCH)),
    Row("conv2d", (WINDOW, WINDOW), {"padding": 1}),
    Row("conv3d", (WINDOW[None], WINDOW[None]), {"padding": 1}),
    Row("conv_transpose2d", (WINDOW, WINDOW), {"stride": 2, "padding": 1}),
    Row("conv_transpose3d", (WINDOW[:1, :1, None], WINDOW[:1, :1, None])),
    Row("embedding_bag", (BAGS % 2, SQUARE[:2], None, None, 2, False, "sum", False, SQUARE[:2])),
    Row("multi_margin_loss", (VECTOR, np.array(1), 2, 1.0, VECTOR)),
    Row("prelu", (VECTOR[:1], VECTOR[:1])),
    Row("rms_norm", (VECTOR, (3,), VECTOR)),
    Row("cat", ([X, X, X],)),
    Row("where", (X > 0, X, X)),
]


@pytest.mark.parametrize("row", SEVERAL, ids=identify)
def test_a_tensor_as_two_operands(row: Row) -> None:
    for call in shared(row):
        Beyond(call).check()


def test_which_functions_take_no_tensor_twice() -> None:
    names = {row.name for row in SEVERAL}
    assert names - {row.name for row in SEVERAL if shared(row)} == {"index_fill", "masked_fill", "mv"}


# - few elements -

REFUSED = {
    "adaptive_max_pool2d": "no channels and no batch",
    "conv1d": "no channels to sum over",
    "conv2d": "no channels to sum over",
    "scaled_dot_product_attention": "no heads to repeat",
}
UNDEFINED = {
    "cross_entropy": "the mean over rows without classes, of which PyTorch divides by the number of elements",
    "multi_margin_loss": "PyTorch gives what the memory held",
    "multilabel_margin_loss": "PyTorch gives what the memory held",
    "repeat_interleave": "an output_size that is not the size",
    "embedding_bag": "PyTorch crashes without offsets",
}


def fewer(row: Row) -> list[Row]:
    """The row with a number in place of each array, and with every size of one length cut to 0."""

    def changed(x: Any, change: Callable[[Array], Array]) -> Any:
        if isinstance(x, list):
            return [changed(y, change) for y in x]
        return change(x) if isinstance(x, np.ndarray) else x

    def number(x: Array) -> Array:
        return np.array(x.reshape(-1)[0]) if x.size else x

    def cut(x: Array, size: int) -> Array:
        return x[tuple(slice(0) if d == size else slice(None) for d in x.shape)]

    sizes = {d for x in arrays(row) for d in x.shape} - {0}
    changes = [number, *(partial(cut, size=size) for size in sorted(sizes))]
    return [replace(row, args=tuple(changed(x, change) for x in row.args)) for change in changes]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", [r for r in FLOATING if r.in_torch and r.name not in UNDEFINED], ids=identify)
def test_no_elements_and_numbers_are_as_in_torch(row: Row) -> None:
    torch = pytest.importorskip("torch")
    for small in fewer(row):
        try:
            outputs, inputs = torch_outputs(small)
            seeds = [np.random.default_rng(i).uniform(0.5, 1.5, y.shape) for i, y in enumerate(outputs)]
            gradients = torch_vjp(
                outputs, inputs, [torch.tensor(g, dtype=y.dtype) for g, y in zip(seeds, outputs, strict=True)]
            )
        except Exception:
            # PyTorch does not take it; what comes of it here is no matter.
            continue
        if not outputs:
            continue
        try:
            call = Call(small)
        except StaticgradError:
            assert row.name in REFUSED
            continue
        beyond = Beyond(call)
        beyond.feeds |= {f"g{i}": np.asarray(g) for i, g in enumerate(seeds)}
        values, pulled, *_ = beyond()
        for x, tensor in zip([*values, *pulled], [*outputs, *gradients], strict=True):
            y = tensor.detach().numpy()
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=5e-7, atol=1e-10)
        if all(np.isfinite(x).all() for x in (*values, *pulled)):
            beyond.check()
