"""Sequences and optionals: values, types, and derivatives against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from backend import Runner
from derivative_checks import Array, check
from drawing import draw
from evaluation import Evaluator

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import DTypeError, GradientError, ShapeError, UnsupportedOperatorError
from staticgrad.graph import Leaf, Value
from staticgrad.ops.onnx_types import inner_type, optional_of, sequence_of
from staticgrad.types import DType, TensorType

SIZES = pytest.mark.parametrize("sizes", ["fixed", "named", "unknown"])


def place(i: int) -> Array:
    return np.array(i)


def weighted(xs: Value) -> Value:
    """A number from the first and the last element of a sequence, and from how many there are."""
    last = ops.sequence_at(xs, -1)
    length = ops.cast(ops.sequence_length(xs), to=last.type.dtype)
    return (ops.sequence_at(xs, 0).sin().sum() + last.exp().sum() * 0.3) * length


# - elements -


@SIZES
@pytest.mark.parametrize("position", [0, 1, -1, -3])
def test_an_element_of_a_sequence_of_different_shapes(position: int, sizes: str) -> None:
    def build(x: Any, y: Any, z: Any, p: Any) -> Any:
        return ops.sequence_at(ops.sequence_construct(x * y[0], y.sin(), z), p).exp()

    check(build, draw(3), draw(2, seed=1), draw(3, seed=2), place(position), sizes=sizes)


@SIZES
@pytest.mark.parametrize("position", [0, 1, -1])
def test_elements_of_different_rank(position: int, sizes: str) -> None:
    def build(x: Any, y: Any, p: Any) -> Any:
        xs = ops.sequence_construct(x.sin(), y, x * y.sum())
        element = ops.sequence_at(xs, p)
        assert str(element.type).endswith("[...]")
        # The rank is known again behind a Reshape.
        return ops.reshape(element, [-1]).sin(), ops.reshape(ops.sequence_at(ops.sequence_erase(xs, 0), 0), [-1])

    check(build, draw(3), draw(2, 2, seed=1), place(position), sizes=sizes)


@SIZES
@pytest.mark.parametrize("position", [None, 0, 2, -1, -2])
def test_insertion(position: int | None, sizes: str) -> None:
    def build(x: Any, y: Any, *p: Any) -> Any:
        xs = ops.sequence_insert(ops.sequence_construct(x, x * x), y.sin(), *p)
        return weighted(xs), ops.sequence_at(xs, 1)

    check(build, draw(3), draw(3, seed=1), *([] if position is None else [place(position)]), sizes=sizes)


@SIZES
@pytest.mark.parametrize("position", [None, 0, -1, -2])
def test_removal(position: int | None, sizes: str) -> None:
    def build(x: Any, y: Any, *p: Any) -> Any:
        return weighted(ops.sequence_erase(ops.sequence_construct(x, y, x * y), *p))

    check(build, draw(3), draw(3, seed=1), *([] if position is None else [place(position)]), sizes=sizes)


def test_positions_in_a_list_and_in_int32() -> None:
    def build(x: Any, y: Any, p: Any) -> Any:
        xs = ops.sequence_construct(x, y)
        return ops.sequence_at(xs, p[0]) * ops.sequence_at(ops.sequence_erase(xs, p), 0)

    check(build, draw(3), draw(3, seed=1), np.array([-1], np.int32))


def test_a_sequence_used_several_times_has_the_sum_of_its_cotangents() -> None:
    def build(x: Any, y: Any) -> Any:
        xs = ops.sequence_construct(x.sin(), y.cos())
        return ops.sequence_at(xs, 0) * ops.sequence_at(xs, 1), weighted(xs), weighted(ops.identity(xs))

    check(build, draw(2, 3), draw(2, 3, seed=1))


def test_an_empty_sequence_that_is_filled() -> None:
    def build(x: Any, y: Any) -> Any:
        xs = ops.sequence_insert(ops.sequence_empty(dtype=x.type.dtype), x.sin())
        return ops.sequence_at(ops.sequence_insert(xs, y, 0), 1)

    check(build, draw(2), draw(3, seed=1))


# - cutting and putting together -


@SIZES
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [True, False])
def test_cutting_into_single_elements(axis: int, keepdims: bool, sizes: str) -> None:
    check(lambda x: weighted(ops.split_to_sequence(x, axis=axis, keepdims=keepdims)), draw(3, 2), sizes=sizes)


@SIZES
@pytest.mark.parametrize("parts", [np.array(2), np.array(5), np.array([1, 3]), np.array([0, 2, 2])], ids=str)
def test_cutting_into_parts(parts: Array, sizes: str) -> None:
    check(lambda x, n: weighted(ops.split_to_sequence(x, n, axis=-1)), draw(2, 4), parts, sizes=sizes)
    check(lambda x: weighted(ops.split_to_sequence(x, parts, axis=1, keepdims=False)), draw(2, 4), sizes=sizes)


@SIZES
@pytest.mark.parametrize("axis", [0, -1, -2])
def test_putting_together_elements_of_different_sizes(axis: int, sizes: str) -> None:
    def build(x: Any, y: Any) -> Any:
        return ops.concat_from_sequence(ops.sequence_construct(x.sin(), y, x * 2.0), axis=axis).exp()

    other = (2, 1) if axis == -1 else (4, 3)
    check(build, draw(2, 3), draw(*other, seed=1), sizes=sizes)


@SIZES
@pytest.mark.parametrize("axis", [0, 2, -1, -2])
def test_putting_together_along_a_new_axis(axis: int, sizes: str) -> None:
    def build(x: Any, y: Any) -> Any:
        xs = ops.sequence_construct(x.sin(), y, x * y)
        return ops.concat_from_sequence(xs, axis=axis, new_axis=True).exp()

    check(build, draw(2, 3), draw(2, 3, seed=1), sizes=sizes)


def test_what_is_cut_and_put_together_is_there_again() -> None:
    def build(x: Any, n: Any) -> Any:
        xs = ops.split_to_sequence(x, n, axis=1)
        return ops.concat_from_sequence(ops.sequence_insert(xs, x, 1), axis=1).sin()

    check(build, draw(2, 4), np.array([3, 0, 1]))


def test_nothing_is_cut_into_nothing() -> None:
    x = sg.input("x", (2, 0), "float64")
    xs = ops.split_to_sequence(x, axis=1, keepdims=False)
    result = weighted(ops.sequence_insert(xs, x.sum(1)))
    found = Evaluator([x], [result, sg.grad(result, x)])({"x": np.zeros((2, 0))})
    assert found[1].shape == (2, 0)


# - maps -


@SIZES
def test_a_map_over_one_sequence(sizes: str) -> None:
    def build(x: Any, y: Any) -> Any:
        xs = ops.sequence_map(lambda e: e * e.sin(), ops.sequence_construct(x, y.exp()))
        return weighted(xs)

    check(build, draw(3), draw(2, seed=1), sizes=sizes)


@SIZES
def test_a_map_over_two_sequences_a_tensor_and_a_captured_value(sizes: str) -> None:
    def build(x: Any, y: Any, w: Any, v: Any) -> Any:
        xs, ys = (
            ops.sequence_construct(x, y),
            ops.sequence_construct(
                y.sin(),
                x,
            ),
        )
        product, total = ops.sequence_map(lambda a, b, c: (a * b * c + v, (a * v).sum()), xs, ys, w)
        return weighted(product), weighted(total)

    check(build, draw(3), draw(3, seed=1), draw(1, seed=2), draw(3, seed=3), sizes=sizes)


def test_a_map_of_which_one_result_is_not_used() -> None:
    def build(x: Any, y: Any) -> Any:
        return weighted(ops.sequence_map(lambda a: (a.sin(), a.exp()), ops.sequence_construct(x, y))[1])

    check(build, draw(3), draw(3, seed=1))


def test_a_map_that_hands_its_element_and_a_captured_value_on() -> None:
    def build(x: Any, y: Any) -> Any:
        same, given = ops.sequence_map(lambda a: (a, y), ops.sequence_construct(x, y))
        return weighted(same), weighted(given)

    check(build, draw(3), draw(3, seed=1))


def test_a_map_over_an_empty_sequence_gives_zeros_to_what_it_captures() -> None:
    def build(x: Any) -> Any:
        nothing = ops.sequence_empty(dtype=x.type.dtype)
        mapped = ops.sequence_map(lambda a: x * ops.reshape(a, [-1]).sum(), nothing)
        return weighted(ops.sequence_insert(mapped, x.sin()))

    check(build, draw(3))


def test_a_map_that_uses_a_sequence_from_outside_is_refused() -> None:
    x, y = sg.input("x", (3,)), sg.input("y", (3,))
    ys = ops.sequence_construct(y, x)
    result = weighted(ops.sequence_map(lambda a: a * ops.sequence_at(ys, 0), ops.sequence_construct(x, y)))
    with pytest.raises(UnsupportedOperatorError, match="hand it to the map as one of its inputs"):
        sg.grad(result, [x, y])


# - branches and loops -


@pytest.mark.parametrize("condition", [True, False])
def test_branches_that_give_sequences(condition: bool) -> None:
    def build(c: Any, x: Any, y: Any) -> Any:
        xs = ops.sequence_construct(x.sin(), y)
        chosen = ops.if_(c, lambda: ops.sequence_insert(xs, x * y), lambda: ops.sequence_construct(y, x, y.exp()))
        return weighted(chosen), weighted(xs)

    check(build, np.array(condition), draw(3), draw(3, seed=1))


@SIZES
def test_a_loop_that_collects_a_sequence(sizes: str) -> None:
    def build(x: Any, w: Any, n: Any) -> Any:
        def step(i: Any, state: Any, xs: Any) -> Any:
            return None, (state * w, ops.sequence_insert(xs, state.sin())), ()

        last, xs = ops.loop(step, (x, ops.sequence_construct(x * x)), n)[0]
        return weighted(xs), last

    check(build, draw(3), draw(3, seed=1), np.array(3), sizes=sizes)


def test_a_loop_over_the_elements_of_a_sequence() -> None:
    def build(x: Any, y: Any, n: Any) -> Any:
        xs = ops.sequence_construct(x, y, x * y)

        def step(i: Any, total: Any) -> Any:
            return None, (total * 0.5 + ops.sequence_at(xs, i).sin(),), ()

        return ops.loop(step, (x,), n)[0][0]

    check(build, draw(3), draw(3, seed=1), np.array(3))


@SIZES
def test_a_loop_that_fills_an_empty_sequence(sizes: str) -> None:
    def build(x: Any, w: Any, n: Any) -> Any:
        def step(i: Any, state: Any, xs: Any) -> Any:
            return None, (state * w, ops.sequence_insert(xs, state.sin())), ()

        xs = ops.loop(step, (x, ops.sequence_empty(dtype=x.type.dtype)), n)[0][1]
        return ops.concat_from_sequence(xs, axis=0), weighted(xs)

    check(build, draw(3), draw(3, seed=1), np.array(3), sizes=sizes)


LIST = """<ir_version: 10, opset_import: ["" : 17]>
g (double[3] x, double[3] w, int64 n) => (double[M] y) {
    start = START
    going = Constant<value = bool {1}>()
    last, xs = Loop(n, going, x, start) <body = step (int64 i, bool c, double[3] h, seq(double[K]) s) =>
        (bool d, double[3] k, seq(double[L]) t) {
        d = Identity(c)
        k = Mul(h, w)
        one = Constant<value = int64[1] {1}>()
        j = Add(i, one)
        zero = Constant<value = int64[1] {0}>()
        part = Slice(k, zero, j)
        e = Sin(part)
        t = SequenceInsert(s, e)
    }>
    y = ConcatFromSequence<axis = 0>(xs)
}"""


@pytest.mark.parametrize("start", ["SequenceEmpty<dtype = 11>()", "SequenceConstruct(x)"])
def test_a_loop_of_a_model_collects_elements_of_different_sizes(start: str) -> None:
    found = sg.gradient_model(onnx.parser.parse_model(LIST.replace("START", start)))
    onnx.checker.check_model(found, full_check=True)
    x, w = draw(3), draw(3, seed=1)
    runner = Runner(found)
    seed = draw(9 if "Construct" in start else 6, seed=5)
    y, by_x, by_w = runner({"x": x, "w": w, "n": np.array(3), "cotangent.y": seed})[:3]
    assert runner.place == "onnxruntime"
    parts = [x] * ("Construct" in start)
    expected_x, expected_w, at = np.zeros(3), np.zeros(3), 0
    if parts:
        expected_x, at = expected_x + seed[:3], 3
    for i in range(3):
        k = i + 1
        value, g = x * w**k, np.zeros(3)
        parts.append(np.sin(value)[:k])
        g[:k] = seed[at : at + k]
        g, at = g * np.cos(value), at + k
        expected_x, expected_w = expected_x + g * w**k, expected_w + g * x * k * w**i
    np.testing.assert_allclose(y, np.concatenate(parts))
    np.testing.assert_allclose(by_x, expected_x)
    np.testing.assert_allclose(by_w, expected_w)


# - optionals -


def test_what_an_optional_holds() -> None:
    def build(x: Any, y: Any) -> Any:
        held = ops.optional(x * y)
        several = ops.optional(ops.sequence_construct(x, y.sin()))
        return (
            ops.optional_get_element(held).exp() + ops.optional_get_element(x),
            weighted(ops.optional_get_element(several)),
            weighted(ops.optional_get_element(ops.identity(several))),
        )

    check(build, draw(3), draw(3, seed=1))


@pytest.mark.parametrize("given", [True, False])
def test_cotangents_of_optionals_add_up_and_may_hold_nothing(given: bool) -> None:
    kind = optional_of(TensorType(DType.float64, (3,)))
    o = Leaf("input", "o", kind).outputs[0]
    g, h = (Leaf("input", n, kind).outputs[0] for n in "gh")
    pulled = sg.vjp([ops.identity(o), ops.identity(ops.identity(o))], o, [g, h])
    assert pulled.type == kind
    x = draw(3)
    feeds = {"o": x, "g": x * 2, "h": x * 5} if given else {"o": None, "g": None, "h": None}
    (found,) = Session([o, g, h], [pulled])(feeds)
    assert found is None if not given else np.allclose(found, x * 7)
    (nothing,) = Session(
        [o], [sg.vjp(ops.sequence_construct(ops.constant(x)), o, ops.sequence_construct(ops.constant(x)))]
    )({"o": feeds["o"]})
    assert nothing is None if not given else not nothing.any()


class Session(Evaluator):
    """Results as they come, which may be sequences or nothing."""

    def __call__(self, arrays: Any) -> list[Any]:
        found: list[Any] = self.run(None, {name: arrays[name] for name in self.names})
        return found


def test_an_optional_of_a_model_that_holds_nothing() -> None:
    tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [3])
    info = onnx.helper.make_tensor_value_info
    x, y = (info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy")
    nothing = onnx.helper.make_node("Optional", [], ["o"], type=tensor)
    asked = onnx.helper.make_node("OptionalHasElement", ["o"], ["c"])
    square = onnx.helper.make_node("Mul", ["x", "x"], ["s"])
    chosen = onnx.helper.make_node("Where", ["c", "x", "s"], ["y"])
    graph = onnx.helper.make_graph([nothing, asked, square, chosen], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    found = sg.gradient_model(model)
    onnx.checker.check_model(found, full_check=True)
    given = np.array([1, 2, 3], np.float32)
    y_found, by_x = Runner(found)({"x": given, "cotangent.y": np.ones(3, np.float32)})
    np.testing.assert_array_equal(y_found, given**2)
    np.testing.assert_array_equal(by_x, 2 * given)


def test_whether_an_optional_holds_anything_has_no_derivative() -> None:
    x = sg.input("x", (3,))
    yes = ops.optional_has_element(ops.optional(x.exp()))
    no = ops.optional_has_element(ops.optional(type=x.type))
    picked = ops.where(ops.logical_and(yes, ops.logical_not(no)), x * x, x)
    found = Evaluator([x], [yes, no, sg.grad(picked.sum(), x)])({"x": np.ones(3, np.float32)})
    assert found[0] and not found[1]
    np.testing.assert_array_equal(found[2], np.full(3, 2))


# - sequences as inputs and outputs -


def test_derivatives_by_a_sequence_are_sequences() -> None:
    kind = sequence_of(TensorType(DType.float64, ("N",)))
    xs, ts = (Leaf("input", n, kind).outputs[0] for n in ("xs", "ts"))
    y = ops.sequence_at(xs, 1).sin().sum() * ops.sequence_at(xs, 0).sum()
    pulled = sg.grad(y, xs)
    assert pulled.type == kind
    pushed = sg.jvp(y, xs, ts)
    bent = sg.hvp(y, xs, ts)
    a, b, c = draw(3), draw(2, seed=1), draw(4, seed=2)
    s, t, u = draw(3, seed=3), draw(2, seed=4), draw(4, seed=5)
    found, slope, curvature = Session([xs, ts], [pulled, pushed, bent], rewritten=True)(
        {"xs": [a, b, c], "ts": [s, t, u]}
    )
    np.testing.assert_allclose(found[0], np.full(3, np.sin(b).sum()))
    np.testing.assert_allclose(found[1], np.cos(b) * a.sum())
    np.testing.assert_array_equal(found[2], np.zeros(4))
    np.testing.assert_allclose(slope, found[0] @ s + found[1] @ t)
    np.testing.assert_allclose(curvature[0], np.full(3, np.cos(b) @ t))
    np.testing.assert_allclose(curvature[1], np.cos(b) * s.sum() - np.sin(b) * t * a.sum())
    np.testing.assert_array_equal(curvature[2], np.zeros(4))


def test_a_model_with_sequences_is_differentiated() -> None:
    text = """<ir_version: 10, opset_import: ["" : 17]>
    g (seq(float[N, 2]) xs, float[2] w) => (float[M, 2] y) {
        zs = SequenceMap(xs) <body = each (float[K, 2] x) => (float[K, 2] z) { t = Tanh(x) z = Mul(t, w) }>
        y = ConcatFromSequence<axis = 0>(zs)
    }"""
    model = onnx.parser.parse_model(text)
    found = sg.gradient_model(model)
    assert found.opset_import[0].version <= 26
    onnx.checker.check_model(found, full_check=True)
    a, b, w = (x.astype(np.float32) for x in (draw(1, 2), draw(2, 2), draw(2, seed=3)))
    g = draw(3, 2, seed=4).astype(np.float32)
    runner = Runner(found)
    y, by_xs, by_w = runner({"xs": [a, b], "w": w, "cotangent.y": g})
    assert runner.place == "onnxruntime"
    x = np.concatenate([a, b])
    np.testing.assert_allclose(y, np.tanh(x) * w, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(by_xs), g * w * (1 - np.tanh(x) ** 2), rtol=1e-5)
    np.testing.assert_allclose(by_w, (g * np.tanh(x)).sum(0), rtol=1e-5)


# - types and what is refused -


def test_types_of_elements_are_as_wide_as_needed() -> None:
    x, y, z = sg.input("x", (2, 3)), sg.input("y", (2, 4)), sg.input("z", (3,))
    assert str(ops.sequence_construct(x, x).type) == "seq(f32[2,3])"
    assert str(ops.sequence_construct(x, y).type) == "seq(f32[2,?])"
    assert str(ops.sequence_construct(x, z).type) == "seq(f32[...])"
    assert str(ops.sequence_insert(ops.sequence_empty(), x).type) == "seq(f32[2,3])"
    assert str(ops.sequence_at(ops.sequence_construct(x, y), 0).type) == "f32[2,?]"
    assert str(ops.split_to_sequence(x, [1, 2], axis=1).type) == "seq(f32[2,?])"
    assert str(ops.split_to_sequence(x, [1, 1, 1], axis=1).type) == "seq(f32[2,1])"
    assert str(ops.split_to_sequence(x, 3, axis=1).type) == "seq(f32[2,3])"
    assert str(ops.concat_from_sequence(ops.sequence_construct(x, y), axis=1).type) == "f32[2,?]"
    assert inner_type(ops.optional(x).type) == x.type


WRONG: list[tuple[Callable[..., Any], type[Exception], str]] = [
    (lambda x, xs: ops.sequence_construct(x, x.double()), DTypeError, "element types must agree"),
    (lambda x, xs: ops.sequence_at(x, 0), DTypeError, "a sequence is expected"),
    (lambda x, xs: ops.sequence_construct(xs), DTypeError, "a tensor is expected"),
    (lambda x, xs: ops.add(xs, xs), DTypeError, "tensors of known rank are expected"),
    (lambda x, xs: ops.sequence_at(xs, x.sum()), DTypeError, "int64"),
    (lambda x, xs: ops.sequence_at(xs, [0, 1]), ShapeError, "one integer"),
    (lambda x, xs: ops.split_to_sequence(x, 0), ShapeError, "no sequence"),
    (lambda x, xs: ops.concat_from_sequence(xs, axis=3), ShapeError, "out of range"),
    (lambda x, xs: ops.optional(), ShapeError, "either a value or a type"),
    (lambda x, xs: sg.grad(xs, x), GradientError, "one number"),
    (lambda x, xs: sg.jacobian(xs, x), DTypeError, "known rank"),
    (lambda x, xs: sg.vjp(xs, x, x), DTypeError, "types must agree"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_what_makes_no_sense_is_refused(case: int) -> None:
    build, error, message = WRONG[case]
    x = sg.input("x", (2, 3))
    with pytest.raises(error, match=message):
        build(x, ops.sequence_construct(x, x))
