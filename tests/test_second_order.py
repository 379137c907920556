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
from function_rows.row import Row, draw
from test_eager_functions import arrays, identify, is_float
from test_functions import SHARED, Call

import staticgrad as sg
from staticgrad.errors import StaticgradError
from staticgrad.graph import Leaf, Value
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
        for i, shape in enumerate(shape for shape in shapes for _ in range(2)):
            self.feeds[f"g{i}"] = np.asarray(random.uniform(0.5, 1.5, shape))
        for i, x in enumerate(self.inputs):
            self.feeds[f"t{i}"] = np.asarray(random.uniform(0.5, 1.5, call.feeds[x.name or ""].shape))
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


SEVERAL = [row for row in FLOATING if sum(map(is_float, arrays(row))) > 1]


@pytest.mark.parametrize("row", SEVERAL, ids=identify)
def test_a_tensor_as_two_operands(row: Row) -> None:
    for call in shared(row):
        Beyond(call).check()


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
@pytest.mark.parametrize("row", [row for row in FLOATING if row.in_torch], ids=identify)
def test_no_elements_and_numbers_are_as_in_torch(row: Row) -> None:
    pytest.importorskip("torch")
    from test_eager_torch import torch_pulled

    if row.name in UNDEFINED:
        return
    for small in fewer(row):
        try:
            ys, xs = torch_pulled(small)
        except Exception:
            # PyTorch does not take it; what comes of it here is no matter.
            continue
        if not ys:
            continue
        try:
            call = Call(small)
        except StaticgradError:
            assert row.name in REFUSED
            continue
        values, gradients = call.pulled()
        wanted = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs if x.requires_grad]
        expected = [*(y.detach().numpy() for y in ys), *wanted]
        for x, y in zip([*values, *gradients], expected, strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=2e-7, atol=1e-10)
        if all(np.isfinite(x).all() for x in (*values, *gradients)):
            Beyond(call).check()
