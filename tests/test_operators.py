"""Every operator of the table: types, values, gradients, gradients of gradients, with fixed and with dynamic sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
from evaluation import PYTHON_OPERATORS, Evaluator
from operator_rows import NOT_YET, ROWS, Array, Fixed, Row
from staticgrad.exporters.model import to_model

import staticgrad as sg
from staticgrad.errors import StaticgradError
from staticgrad.graph import Graph, Leaf, Value, topological
from staticgrad.methods import OPERATORS
from staticgrad.types import COMPUTED, as_dtype


def leaves_of(row: Row, sizes: str = "fixed", dtype: str | None = None) -> tuple[list[Value], dict[str, Array]]:
    """The inputs of a row and what is fed to them."""
    dtype = dtype or row.dtype
    values = []
    feeds = {}
    for position, x in enumerate(row.inputs):
        if isinstance(x, np.ndarray):
            array = x.astype(dtype) if x.dtype == np.float64 else x
            value = sg.input(f"x{position}", declared(row, x, sizes), str(array.dtype))
            values.append(value)
            feeds[f"x{position}"] = array
    return values, feeds


def declared(row: Row, x: Array, sizes: str) -> tuple[int | str | None, ...]:
    """The dimensions as numbers, as names (equal for equal sizes; 1 stays) or unknown."""
    steering = x.dtype != np.float64 and row.operator not in (
        "DequantizeLinear",
        "Gather",
        "GatherElements",
        "NegativeLogLikelihoodLoss",
        "OneHot",
        "ReverseSequence",
        "ScatterElements",
        "SoftmaxCrossEntropyLoss",
        "TensorScatter",
        "Where",
    )
    if sizes == "fixed" or steering or (row.operator == "OneHot" and sizes == "named" and x.shape == (2,)):
        return x.shape
    return tuple(None if sizes == "unknown" else d if d == 1 else f"D{d}" for d in x.shape)


def applied(row: Row, leaves: Sequence[Value], dtype: str | None = None) -> tuple[Value, ...]:
    """The operator's results."""
    dtype = dtype or row.dtype
    given = iter(leaves)
    arguments: list[Any] = []
    for x in row.inputs:
        if isinstance(x, Fixed):
            arguments.append(x.array.astype(dtype) if x.array.dtype == np.float64 else x.array)
        else:
            arguments.append(None if x is None else next(given))
    result = OPERATORS[row.operator](*arguments, **row.attributes)
    return result if isinstance(result, tuple) else (result,)


def like(name: str, value: Value) -> Value:
    """An input of exactly the type of a value."""
    return Leaf("input", name, value.type).outputs[0]


def weights(shape: Sequence[int], seed: int) -> Array:
    return np.random.default_rng([seed, *shape]).uniform(0.5, 1.5, shape)


def is_differentiable(row: Row) -> bool:
    if row.operator == "Cast" and row.attributes["to"] != "float64":
        return False
    if row.operator == "CastLike" and not (isinstance(row.inputs[1], np.ndarray) and row.inputs[1].dtype == np.float64):
        return False
    return bool(OPERATORS[row.operator].differentiable) and any(
        isinstance(x, np.ndarray) and x.dtype == np.float64 for x in row.inputs
    )


class Derivatives:
    """A row with its vjp and the vjp of that, and all numbers that go in."""

    def __init__(self, row: Row, sizes: str = "fixed") -> None:
        self.leaves, self.feeds = leaves_of(row, sizes)
        self.inputs = [x for x in self.leaves if x.type.dtype.is_float]
        self.outputs = [y for y in applied(row, self.leaves) if y.type.dtype.is_float]
        ys = Evaluator(self.leaves, self.outputs)(self.feeds)
        self.cotangents = [like(f"g{i}", y) for i, y in enumerate(self.outputs)]
        self.feeds |= {f"g{i}": weights(y.shape, i).astype(y.dtype) for i, y in enumerate(ys)}
        self.pulled = list(sg.vjp(self.outputs, self.inputs, self.cotangents))


DIFFERENTIABLE = [row for row in ROWS if is_differentiable(row)]


@cache
def derivatives(position: int) -> Derivatives:
    return Derivatives(DIFFERENTIABLE[position])


each_row = pytest.mark.parametrize("row", ROWS, ids=str)
each_differentiable = pytest.mark.parametrize(
    "position", range(len(DIFFERENTIABLE)), ids=[str(r) for r in DIFFERENTIABLE]
)


def assert_near(found: Array, numeric: Array, dtype: str) -> None:
    """Equal but for what central differences err in this precision."""
    exact = dtype == "float64"
    np.testing.assert_allclose(found, numeric, rtol=2e-7 if exact else 1e-3, atol=5e-8 if exact else 1e-3)


def numeric_vjp(run: Evaluator, feeds: Mapping[str, Array], name: str, cotangents: Sequence[Array]) -> Array:
    """The vjp by central differences of values."""
    step = 1e-6 if feeds[name].dtype == np.float64 else 1e-2
    result = np.zeros(feeds[name].shape)
    for i in np.ndindex(result.shape):
        sides = []
        for h in (step, -step):
            moved = feeds[name].copy()
            moved[i] += h
            ys = run({**feeds, name: moved})
            sides.append(sum(float((c * y).sum()) for c, y in zip(cotangents, ys, strict=True)))
        result[i] = (sides[0] - sides[1]) / (2 * step)
    return result


# - completeness -


TAKE_GRAPHS = {"If", "Loop", "Scan"} | {
    *("SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceAt", "SequenceLength"),
    *("SequenceMap", "SplitToSequence", "ConcatFromSequence"),
    *("Optional", "OptionalGetElement", "OptionalHasElement"),
}
"""Operators that no row of arrays describes; `test_control_flow` and `test_sequences` have them."""


ZERO = {"Hardmax", "Ceil", "Floor", "Round", "Sign"}
"""Operators that ONNX calls differentiable though their derivative is 0."""


def test_every_operator_has_a_row() -> None:
    assert set(OPERATORS) - TAKE_GRAPHS == {row.operator for row in ROWS}


def test_every_input_that_onnx_calls_differentiable_has_a_rule() -> None:
    differentiable = onnx.defs.OpSchema.DifferentiationCategory.Differentiable
    ruled = set()
    for row in DIFFERENTIABLE:
        schema = onnx.defs.get_schema(row.operator, 26)
        for position, x in enumerate(row.inputs):
            if isinstance(x, np.ndarray) and x.dtype == np.float64:
                ruled.add((row.operator, schema.inputs[min(position, len(schema.inputs) - 1)].name))
    for name in set(OPERATORS) - TAKE_GRAPHS:
        for formal in onnx.defs.get_schema(name, 26).inputs:
            if formal.differentiation_category == differentiable:
                if name in ZERO:
                    assert not OPERATORS[name].differentiable
                    continue
                assert ((name, formal.name) in ruled) != ((name, formal.name) in NOT_YET), (name, formal.name)


def test_operators_without_derivative_have_no_rule_and_the_others_have_one() -> None:
    for name, entry in OPERATORS.items():
        assert (entry.rule is not None or entry.body is not None) == entry.differentiable, name
        assert entry.rule is None or entry.body is None, name


# - types and values -


@each_row
@pytest.mark.parametrize("sizes", ["fixed", "named", "unknown"])
def test_type_is_that_of_the_run_and_as_precise_as_onnx_infers(row: Row, sizes: str) -> None:
    leaves, feeds = leaves_of(row, sizes, "float32")
    if row.dynamic == "unknown" and sizes == "named":
        pytest.skip("literals have the sizes that would get names")
    if row.dynamic == "refused" and sizes != "fixed":
        with pytest.raises(StaticgradError):
            applied(row, leaves, "float32")
        return
    outputs = applied(row, leaves, "float32")
    bindings = {}
    for leaf in leaves:
        bindings |= {
            d: n for d, n in zip(leaf.type.shape, feeds[leaf.name or ""].shape, strict=True) if isinstance(d, str)
        }
    graph = Graph("g", {x.name: x for x in leaves if x.name}, {f"out{i}": y for i, y in enumerate(outputs)})
    model = to_model(graph, {})
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output
    ys = Evaluator(leaves, outputs)(feeds)
    for value, y, guess in zip(outputs, ys, inferred, strict=True):
        assert as_dtype(y.dtype) is value.type.dtype
        assert guess.type.tensor_type.elem_type == value.type.dtype.onnx
        assert len(value.type.shape) == y.ndim
        if sizes == "fixed":
            steered = any(isinstance(x, np.ndarray) and x.dtype != np.float64 for x in row.inputs)
            exact = [n for d, n in zip(value.type.shape, y.shape, strict=True) if isinstance(d, int)]
            assert steered or row.operator in ("Range", "NonZero", "Unique") or len(exact) == y.ndim, value.type
        for position, (dim, size) in enumerate(zip(value.type.shape, y.shape, strict=True)):
            if isinstance(dim, int):
                assert dim == size
            elif "?" not in dim:
                assert eval(dim, {}, bindings) == size, (dim, size)
            else:
                dims = guess.type.tensor_type.shape.dim
                # ONNX leaves an unknown size where it broadcasts it with another one, and calls it by the name of one.
                # Of sums of unknown sizes it says 0, which the run contradicts.
                guessed = len(dims) > position and dims[position].HasField("dim_value")
                assert not guessed or dims[position].dim_value == 0 != size, (str(value.type), guess)


@each_row
def test_value_in_float32_is_that_of_the_reference(row: Row) -> None:
    leaves, feeds = leaves_of(row, dtype="float32")
    outputs = applied(row, leaves, "float32")
    exact_leaves, exact_feeds = leaves_of(row)
    graph = Graph(
        "g", {x.name: x for x in exact_leaves if x.name}, {f"o{i}": y for i, y in enumerate(applied(row, exact_leaves))}
    )
    if row.expected is not None:
        expected: list[Any] = [row.expected]
    else:
        expected = onnx.reference.ReferenceEvaluator(to_model(graph, {}), new_ops=PYTHON_OPERATORS).run(
            None, exact_feeds
        )
    for y, z in zip(Evaluator(leaves, outputs)(feeds), expected, strict=True):
        np.testing.assert_allclose(y, np.asarray(z), rtol=2e-5, atol=2e-6)


# - derivatives -


@each_differentiable
def test_gradient_is_that_of_central_differences(position: int) -> None:
    d = derivatives(position)
    found = Evaluator([*d.leaves, *d.cotangents], d.pulled)(d.feeds)
    run = Evaluator(d.leaves, d.outputs)
    cotangents = [d.feeds[g.name or ""] for g in d.cotangents]
    for x, g, number in zip(d.inputs, d.pulled, found, strict=True):
        assert g.type == x.type
        assert number.shape == d.feeds[x.name or ""].shape and number.dtype == x.type.dtype.numpy
        assert_near(number, numeric_vjp(run, d.feeds, x.name or "", cotangents), DIFFERENTIABLE[position].dtype)


@each_differentiable
def test_jvp_is_the_transpose_of_the_vjp(position: int) -> None:
    d = derivatives(position)
    tangents = [like(f"t{i}", x) for i, x in enumerate(d.inputs)]
    feeds = d.feeds | {
        f"t{i}": weights(d.feeds[x.name or ""].shape, 50 + i).astype(x.type.dtype.numpy) for i, x in enumerate(d.inputs)
    }
    pushed = list(sg.jvp(d.outputs, d.inputs, tangents))
    assert [p.type for p in pushed] == [y.type for y in d.outputs]
    found = Evaluator([*d.leaves, *d.cotangents, *tangents], [*d.pulled, *pushed], rewritten=True)(feeds)
    pulled, forward = found[: len(d.pulled)], found[len(d.pulled) :]
    left = sum(float((feeds[g.name or ""] * p).sum()) for g, p in zip(d.cotangents, forward, strict=True))
    right = sum(float((feeds[t.name or ""] * p).sum()) for t, p in zip(tangents, pulled, strict=True))
    exact = DIFFERENTIABLE[position].dtype == "float64"
    np.testing.assert_allclose(left, right, rtol=1e-12 if exact else 1e-5, atol=1e-12 if exact else 1e-5)


@each_differentiable
def test_gradient_of_the_gradient_is_that_of_central_differences(position: int) -> None:
    d = derivatives(position)
    directions = [like(f"d{i}", x) for i, x in enumerate(d.inputs)]
    numbers = {
        f"d{i}": weights(d.feeds[x.name or ""].shape, 70 + i).astype(x.type.dtype.numpy) for i, x in enumerate(d.inputs)
    }
    wrt = [*d.inputs, *d.cotangents]
    second = list(sg.vjp(d.pulled, wrt, directions))
    assert [g.type for g in second] == [x.type for x in wrt]
    found = Evaluator([*d.leaves, *d.cotangents, *directions], second)(d.feeds | numbers)
    run = Evaluator([*d.leaves, *d.cotangents], d.pulled)
    for x, number in zip(wrt, found, strict=True):
        numeric = numeric_vjp(run, d.feeds, x.name or "", list(numbers.values()))
        assert_near(number, numeric, DIFFERENTIABLE[position].dtype)


@each_differentiable
def test_third_derivatives_are_those_of_central_differences(position: int) -> None:
    d = derivatives(position)
    if DIFFERENTIABLE[position].dtype != "float64":
        pytest.skip("too coarse in float32")
    directions = [like(f"d{i}", x) for i, x in enumerate(d.inputs)]
    numbers = {f"d{i}": weights(d.feeds[x.name or ""].shape, 70 + i) for i, x in enumerate(d.inputs)}
    inputs = [*d.leaves, *d.cotangents, *directions]
    second = list(sg.vjp(d.pulled, d.inputs, directions))
    third = Evaluator(inputs, list(sg.vjp(second, d.inputs, directions)), rewritten=True)(d.feeds | numbers)
    run = Evaluator(inputs, second)
    for x, number in zip(d.inputs, third, strict=True):
        numeric = numeric_vjp(run, d.feeds | numbers, x.name or "", list(numbers.values()))
        np.testing.assert_allclose(number, numeric, rtol=1e-6, atol=2e-7 * max(1.0, np.abs(numeric).max(initial=0)))


@each_differentiable
def test_what_a_rule_emits_has_a_rule(position: int) -> None:
    d = derivatives(position)
    for node in topological(d.pulled):
        entry = node.op
        assert (
            isinstance(node, Leaf)
            or OPERATORS[entry.name].rule is not None
            or OPERATORS[entry.name].body is not None
            or not OPERATORS[entry.name].differentiable
        )


@each_differentiable
@pytest.mark.parametrize("sizes", ["named", "unknown"])
def test_dynamic_sizes_give_the_same_gradients(position: int, sizes: str) -> None:
    row = DIFFERENTIABLE[position]
    if row.dynamic != "works" and (row.dynamic != "unknown" or sizes == "named"):
        pytest.skip("the operator needs this size when declaring")
    exact = row.dtype == "float64"
    fixed = derivatives(position)
    d = Derivatives(row, sizes)
    assert [g.type for g in d.pulled] == [x.type for x in d.inputs]
    directions = [like(f"d{i}", x) for i, x in enumerate(d.inputs)]
    numbers = {
        f"d{i}": weights(d.feeds[x.name or ""].shape, 70 + i).astype(x.type.dtype.numpy) for i, x in enumerate(d.inputs)
    }
    second = list(sg.vjp(d.pulled, d.inputs, directions))
    steady = [like(f"d{i}", x) for i, x in enumerate(fixed.inputs)]
    expected = [*fixed.pulled, *sg.vjp(fixed.pulled, fixed.inputs, steady)]
    feeds = d.feeds | numbers
    wanted = Evaluator([*fixed.leaves, *fixed.cotangents, *steady], expected)(feeds)
    found = Evaluator([*d.leaves, *d.cotangents, *directions], [*d.pulled, *second], rewritten=True)(feeds)
    for y, z in zip(found, wanted, strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(y, z, rtol=1e-12 if exact else 1e-6, atol=1e-13 if exact else 1e-6)


# - what is refused -


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - TAKE_GRAPHS))
def test_element_types_that_onnx_refuses_are_refused_when_declaring(name: str) -> None:
    row = next(r for r in ROWS if r.operator == name)
    if not any(isinstance(x, np.ndarray) for x in row.inputs):
        return
    for dtype in COMPUTED:
        leaves = []
        for position, x in enumerate(row.inputs):
            if isinstance(x, np.ndarray):
                leaves.append(sg.input(f"x{position}", x.shape, dtype if x.dtype == np.float64 else str(x.dtype)))
        try:
            outputs = applied(row, leaves, "float64")
        except StaticgradError:
            continue
        graph = Graph("g", {x.name: x for x in leaves if x.name}, {f"out{i}": y for i, y in enumerate(outputs)})
        onnx.checker.check_model(to_model(graph, {}), full_check=True)
