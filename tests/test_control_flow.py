"""Branches and loops: values, types, and derivatives against central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from derivative_checks import Array, check
from drawing import draw
from evaluation import Evaluator

import staticgrad as sg
from staticgrad import ops
from staticgrad.graph import Graph, Node
from staticgrad.methods import OPERATORS
from staticgrad.ops.bodies import scan_of_batches
from staticgrad.ops.kinds import in_training
from staticgrad.optimise import optimise
from staticgrad.substitute import in_inference, substituted

BOTH = pytest.mark.parametrize("condition", [True, False])
SIZES = pytest.mark.parametrize("sizes", ["fixed", "named", "unknown"])


def flag(x: bool) -> Array:
    return np.array(x)


def count(n: int) -> Array:
    return np.array(n)


# - If -


@BOTH
@SIZES
def test_branches_of_different_captured_values(condition: bool, sizes: str) -> None:
    def build(c: Any, x: Any, w: Any, unused: Any) -> Any:
        return ops.if_(c, lambda: (x * w, x.sum()), lambda: (x.exp(), w.sum() * w.sum())), unused * 2.0

    def flat(*xs: Any) -> Any:
        pair, last = build(*xs)
        return (*pair, last)

    check(flat, flag(condition), draw(2, 3), draw(2, 3), draw(2), sizes=sizes)


@BOTH
def test_branches_that_give_a_captured_value_or_a_literal(condition: bool) -> None:
    check(lambda c, x: ops.if_(c, lambda: x, lambda: ops.constant(np.ones(3))), flag(condition), draw(3))


@BOTH
def test_a_value_used_in_a_branch_and_outside_and_twice(condition: bool) -> None:
    def build(c: Any, x: Any) -> Any:
        y = x.sin()
        return ops.if_(c, lambda: y * y * x, lambda: ops.if_(c.logical_not(), lambda: y.exp(), lambda: x)) * y

    check(build, flag(condition), draw(3))


@BOTH
def test_sizes_in_which_branches_differ_are_unknown(condition: bool) -> None:
    def build(c: Any, x: Any) -> Any:
        y = ops.if_(c, lambda: ops.concat(x, x, axis=0), lambda: x * x)
        assert y.shape == (None, 2)
        return y * 2.0

    check(build, flag(condition), draw(3, 2))


# - Scan -


def recurrent(h: Any, x: Any, w: Any, **how: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        following = (h @ w + x).tanh()
        return [following], [following * x, h]

    (last,), (ys, hs) = ops.scan(step, [h], [x], **how)
    return last, ys, hs


@SIZES
def test_scan_against_a_python_loop(sizes: str) -> None:
    h, x, w = draw(2, 3), draw(4, 2, 3), draw(3, 3)
    last, ys, hs = check(recurrent, h, x, w, sizes=sizes)
    for t in range(4):
        np.testing.assert_allclose(hs[t], h)
        h = np.tanh(h @ w + x[t])
        np.testing.assert_allclose(ys[t], h * x[t])
    np.testing.assert_allclose(last, h)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("axes", [(1, 0, 2), (-1, 2, -3)])
def test_directions_and_axes(direction: int, axes: tuple[int, int, int]) -> None:
    x = np.moveaxis(draw(4, 2, 3), 0, axes[0])
    how = {"input_axes": [axes[0]], "output_axes": axes[1:], "input_directions": [direction]}
    how |= {"output_directions": [1 - direction, direction]}
    check(lambda h, x, w: recurrent(h, x, w, **how), draw(2, 3), x, draw(3, 3))


def test_a_state_from_a_captured_value_and_one_that_no_gradient_reaches() -> None:
    def build(x: Any, w: Any, v: Any) -> Any:
        def step(a: Any, counter: Any, noise: Any, x: Any) -> Any:
            return [a * w + x, counter + 1, noise * 2.0], [a * ops.cast(counter, to="float64") * noise]

        (a, n, _), (y,) = ops.scan(step, [w, 0, ops.cast(v, to="float64")], [x])
        return a, y, n

    check(build, draw(3, 2), draw(2), np.array([1, 2]))


def test_states_that_change_places() -> None:
    def step(a: Any, b: Any, x: Any) -> Any:
        return [b, a * x], [a]

    def build(a: Any, b: Any, x: Any) -> Any:
        (_, last), (ys,) = ops.scan(step, [a, b], [x])
        return last, ys

    check(build, draw(2), draw(2), draw(3, 2))


def test_a_scan_without_states_and_one_whose_gradient_needs_no_sequence() -> None:
    check(lambda x, w: ops.scan(lambda x: ([], [x * w, w]), [], [x])[1], draw(3, 2), draw(2))
    check(lambda h, x: ops.scan(lambda h, x: ([h * 2.0], []), [h], [x])[0], draw(2), draw(3, 1))


@pytest.mark.parametrize("direction", [0, 1])
def test_scan_over_each_of_a_batch(direction: int) -> None:
    h, e = sg.input("h", [2], "float64"), sg.input("e", [2], "float64")
    following = h * e
    body = Graph("body", {"h": h, "e": e}, {"next": following, "y": following.sin()})
    h0, x = draw(3, 2), draw(3, 4, 2)
    last, ys = check(lambda h, x: scan_of_batches(body, [h], [x], [direction]), h0, x)
    np.testing.assert_allclose(last, h0 * x.prod(1))
    for t in range(4):
        np.testing.assert_allclose(ys[:, t], np.sin(h0 * (x[:, ::-1] if direction else x)[:, : t + 1].prod(1)))


# - Loop -


@SIZES
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_loop_of_a_number_of_steps(sizes: str, steps: int) -> None:
    def build(n: Any, h: Any, w: Any) -> Any:
        def step(i: Any, h: Any, k: Any) -> Any:
            return None, [(h * w).sin() + ops.cast(k, to="float64"), k + i], [h * h]

        (last, k), (ys,) = ops.loop(step, [h, 1], n)
        return last, ys, k

    check(build, count(steps), draw(2), draw(2), sizes=sizes)


def test_loop_that_ends_early() -> None:
    def build(limit: Any, h: Any, w: Any) -> Any:
        def step(i: Any, h: Any) -> Any:
            following = h * w
            return (following.sum() < limit), [following], [following]

        (last,), (ys,) = ops.loop(step, [h])
        return last, ys

    last, ys = check(build, np.array(20.0), np.array([1.0, 1.5]), np.array([1.5, 1.7]))
    assert len(ys) == 5 and last.sum() >= 20


@BOTH
def test_condition_to_begin(condition: bool) -> None:
    def build(c: Any, h: Any, w: Any) -> Any:
        (last,), _ = ops.loop(lambda i, h: (None, [h * w], []), [h], 3, c)
        return last

    check(build, flag(condition), draw(2), draw(2))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_states_whose_sizes_change(steps: int) -> None:
    def build(n: Any, h: Any, w: Any) -> Any:
        def step(i: Any, h: Any, s: Any) -> Any:
            following = ops.concat(h * h, w * s, axis=0)
            return None, [following, s + h.sum()], [s]

        (last, s), (ys,) = ops.loop(step, [h, 1.0 * w.sum()], n)
        assert last.shape == (None,)
        return last.sin(), s, ys

    check(build, count(steps), draw(2) / 3, draw(1) / 3)


def test_types_of_loops() -> None:
    x = sg.input("x", ["N", 2])
    n = ops.shape(x)
    (h,), (y,) = ops.loop(lambda i, h: (None, [h * 2.0], [h]), [x], ops.gather(n, 0))
    assert h.shape == ("N", 2) and y.shape == ("N", "N", 2)
    assert ops.loop(lambda i, h: (None, [h], [i]), [x], 4)[1][0].shape == (4,)
    assert ops.loop(lambda i, h: (i < 2, [h], [i]), [x], 4)[1][0].shape == (None,)


# - nested -


@BOTH
def test_a_loop_in_a_scan_in_a_branch(condition: bool) -> None:
    def build(c: Any, n: Any, x: Any, w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            (k,), _ = ops.loop(lambda i, k: (None, [(k * w).sin() + x], []), [h], n)
            return [k], [k * w]

        def taken() -> Any:
            (h,), (ys,) = ops.scan(step, [w], [x])
            return h, ys

        return ops.if_(c, taken, lambda: (w * w, x * w))

    check(build, flag(condition), count(2), draw(2, 2), draw(2))


def test_a_gradient_taken_inside_a_body() -> None:
    def build(x: Any, w: Any) -> Any:
        def descend(i: Any, x: Any) -> Any:
            return None, [x - 0.1 * sg.grad(((x * w).sin() ** 2).sum(), x)], []

        return ops.loop(descend, [x], 3)[0][0]

    check(build, draw(2), draw(2))


def test_replaced_derivatives_in_bodies() -> None:
    def build(x: Any, w: Any) -> Any:
        double = sg.custom_vjp(lambda x, w: x * w, lambda g, y, x, w: (g * w, g * x))
        blocked = sg.stop_gradient
        (h,), (ys,) = ops.scan(lambda h, x: ([double(h, w) + x], [double(x, w) + 0.0 * blocked(h)]), [w], [x])
        (k,), _ = ops.loop(lambda i, k: (None, [double(k, w)], []), [h], 2)
        return h, ys, k

    check(build, draw(3, 2), draw(2))


def test_third_derivatives() -> None:
    def build(h: Any, w: Any) -> Any:
        (last,), _ = ops.loop(lambda i, h: (None, [(h * w).sin()], []), [h], 3)
        return sg.grad(last.sum(), w)

    check(build, draw(2), draw(2))


# - what is refused -


def test_what_has_no_derivative_inside_is_named_and_only_on_the_path() -> None:
    x = sg.input("x", [3, 2])
    bare = OPERATORS["Sin"].rule
    try:
        OPERATORS["Sin"].rule = None
        sines = ops.if_(x[0, 0] > 0, lambda: ops.scan(lambda h, e: ([h.sin()], [e]), [x[0]], [x])[0][0], lambda: x[1])
        with pytest.raises(sg.UnsupportedOperatorError, match=r"Sin \(test_control_flow.py:\d+\): no gradient rule"):
            sg.grad(sines.sum(), x)
        (_, kept), _ = ops.scan(lambda h, k, e: ([h.sin(), k * e], []), [x[0], x[1]], [x])
        sg.grad(kept.sum(), x)
        w = sg.input("w", [2])
        (h, kept), _ = ops.scan(lambda h, k, e: ([h + e, k * w], []), [x[0], x[1]], [x])
        sg.grad((h.sin() * kept).sum(), w)
    finally:
        OPERATORS["Sin"].rule = bare


def test_random_numbers_inside_are_refused() -> None:
    x = sg.input("x", [3, 2])

    def step(i: Any, h: Any) -> Any:
        return None, [h * ops.random_normal_like(h)], []

    (h,), _ = ops.loop(step, [x], 3)
    with pytest.raises(sg.UnsupportedOperatorError, match="draws other numbers"):
        sg.grad(h.sum(), x)


def test_sizes_that_change_in_a_body_of_fixed_sizes_are_refused() -> None:
    x = sg.input("x", [None])
    state = sg.input("state", [2])
    growing = Graph(
        "body",
        {"i": sg.input("i", [], "int64"), "c": sg.input("c", [], "bool"), "s": state},
        {"c": sg.constant(True), "s": ops.concat(state, state, axis=0)},
    )
    with pytest.raises(sg.ShapeError, match="a size that changes is declared unknown"):
        OPERATORS["Loop"].apply((sg.constant(3), None, x), {"body": growing})


def test_states_moved_on_in_training_are_refused() -> None:
    norm = sg.nn.BatchNorm1d(2)
    x = sg.input("x", [3, 4, 2])
    with pytest.raises(sg.DeclarationError, match="moves states on in training"):
        ops.scan(lambda e: ([], [norm(e)]), [], [x])


# - bodies as models have them -


def test_bodies_after_rewriting_have_the_same_derivatives() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        v = w.exp()

        def step(h: Any, e: Any) -> Any:
            (k, _), (ks,) = ops.loop(lambda i, k, j: (None, [(k * v).sin() + e, j + i], [k * w]), [h, 0], n)
            return [ops.if_(k.sum() > 0.3, lambda: k * v, lambda: w * 1.0)], [ks.sum(0)]

        (h,), (ys,) = ops.scan(step, [v], [x])
        graph = optimise(Graph("g", {"x0": n, "x1": x, "x2": w}, {"h": h, "ys": ys}))
        return tuple(graph.outputs.values())

    check(build, count(2), draw(3, 2), draw(2))


@BOTH
def test_a_loop_whose_body_has_numbers_of_rank_1_and_names_of_its_own(condition: bool) -> None:
    def build(n: Any, c: Any, x: Any, w: Any) -> Any:
        i, going = sg.input("i", [1], "int64"), sg.input("going", [1], "bool")
        # One value captured twice, under two names.
        state, total, first, second = (sg.input(name, [2], "float64") for name in ("s", "t", "first", "second"))
        following = state * first + ops.where(going, second, 0.0).sin() * ops.cast(i, to="float64")
        body = Graph(
            "body",
            {"i": i, "going": going, "s": state, "t": total, "first": first, "second": second},
            {"more": going, "s": following, "t": total + state, "ys": following * second},
            captures=2,
        )
        return OPERATORS["Loop"].apply((n, c, x, w, w, w), {"body": body}).outputs

    check(build, np.array([3]), np.array([condition]), draw(2), draw(2))


def test_a_sequence_that_is_carried_beside_the_path_and_on_it() -> None:
    x, w = sg.input("x", [2]), sg.input("w", [2])

    def step(i: Any, h: Any, s: Any, kept: Any) -> Any:
        many = ops.cast(ops.sequence_length(s) + 1, to="float32")
        return None, [h * w * many, ops.sequence_insert(s, kept), kept], []

    (h, s, _), _ = ops.loop(step, [x, ops.sequence_empty(), ops.constant(np.zeros(2, np.float32))], 3)
    gradient = sg.grad(h.sum(), w)
    feeds = {"x": np.array([1.0, 2.0], np.float32), "w": np.array([0.5, 3.0], np.float32)}
    for how in (False, True):
        found = Evaluator([x, w], [gradient], rewritten=how)(feeds)[0]
        np.testing.assert_allclose(found, feeds["x"] * 6 * 3 * feeds["w"] ** 2, rtol=1e-5)
    (_, s, _), _ = ops.loop(step, [x, ops.sequence_empty(), x], 3)
    both = sum(ops.sequence_at(s, i) * (i + 1) for i in range(2))
    for how in (False, True):
        found = Evaluator([x, w], [sg.vjp(both, x, feeds["w"])], rewritten=how)(feeds)[0]
        np.testing.assert_allclose(found, 3 * feeds["w"], rtol=1e-6)


# - what is rewritten -


def rewritten(inputs: dict[str, Any], **outputs: Any) -> Graph:
    return optimise(Graph("g", inputs, outputs))


def nodes_named(graph: Graph, name: str) -> list[Node]:
    return [node for node in graph.nodes if node.op.name == name]


def test_the_loop_and_its_run_for_the_derivative_become_one() -> None:
    x, w, n = sg.input("x", [4, 2]), sg.input("w", [2]), sg.input("n", [], "int64")
    (h,), (y,) = ops.scan(lambda h, e: ([(h * w + e).sin()], [h * e]), [w], [x], output_directions=[1])
    graph = rewritten({"x": x, "w": w}, h=h, y=y, g=sg.grad((h * y).sum(), w))
    assert [len(node.outputs) for node in nodes_named(graph, "Scan")] == [3, 2]
    (h,), (y,) = ops.loop(lambda i, h: (None, [(h * w).sin()], [h]), [w], n)
    graph = rewritten({"n": n, "w": w}, h=h, y=y, g=sg.grad((h * y).sum(), w))
    assert len(nodes_named(graph, "Loop")) == 2 and not nodes_named(graph, "If")


def test_what_nobody_needs_of_a_loop_goes() -> None:
    x, w, v = sg.input("x", [4, 2]), sg.input("w", [2]), sg.input("v", [2])

    def step(a: Any, b: Any, c: Any, e: Any, f: Any) -> Any:
        return [a * w, b + f * v, c + a], [e * 2.0, c * b]

    (last, *_), (double, _) = ops.scan(step, [w, w, w], [x, x + 1.0])
    (scan,) = nodes_named(rewritten({"x": x, "w": w, "v": v}, last=last, double=double), "Scan")
    assert [v.name for v in scan.inputs if v is not None] == ["w", "x", "w"] and len(scan.outputs) == 2
    (last, _), (stacked,) = ops.loop(lambda i, a, b: (None, [a * w, b + v], [b]), [w, w], 3)
    (loop,) = nodes_named(rewritten({"w": w, "v": v}, last=last), "Loop")
    assert len(loop.inputs) == 4 and len(loop.outputs) == 1
    (loop,) = nodes_named(rewritten({"w": w, "v": v}, stacked=stacked), "Loop")
    assert len(loop.inputs) == 4 and len(loop.outputs) == 2
    a, _ = ops.if_(w[0] > 0, lambda: (w + 1.0, v), lambda: (w - 1.0, w))
    (branch,) = nodes_named(rewritten({"w": w, "v": v}, a=a), "If")
    assert len(branch.inputs) == 2 and len(branch.outputs) == 1


def test_literals_go_into_bodies_and_a_branch_that_is_always_taken_out_of_its_own() -> None:
    x = sg.input("x", [2])
    two = ops.exp(ops.log(ops.constant(np.array(2.0, np.float32)))) * 0.0 + 3.0
    graph = rewritten({"x": x}, y=ops.if_(ops.constant(np.array(True)), lambda: x * 2.0, lambda: x))
    assert [node.op.name for node in graph.operators] == ["Mul"]
    y = ops.if_(x[0] > 0, lambda: x * two, lambda: x)
    feeds = {"x": np.array([1.5, 2.0], np.float32)}
    np.testing.assert_allclose(Evaluator([x], [y], rewritten=True)(feeds)[0], feeds["x"] * 3, rtol=1e-6)


def test_equations_do_not_look_out_of_a_body() -> None:
    x = sg.input("x", [4, 2])
    negative = -x[0]
    (h,), _ = ops.scan(lambda h, e: ([h + -negative * e], []), [x[1]], [x])
    feeds = {"x": np.arange(8, dtype=np.float32).reshape(4, 2)}
    plain, better = (Evaluator([x], [h], rewritten=how)(feeds)[0] for how in (False, True))
    np.testing.assert_array_equal(plain, better)


def test_random_branches_are_not_one() -> None:
    x = sg.input("x", [2])
    a, b = (ops.if_(x[0] > 0, lambda: ops.random_normal_like(x), lambda: x) for _ in range(2))
    assert len(nodes_named(rewritten({"x": x}, a=a, b=b), "If")) == 2


@pytest.mark.parametrize("how", [False, True])
def test_a_captured_value_in_whose_place_another_stands(how: bool) -> None:
    x, other = sg.input("x", [2]), sg.input("other", [2])
    y = ops.if_(x[0] > 0, lambda: ops.if_(x[1] > 0, lambda: x * 2.0, lambda: x), lambda: x)
    replaced = substituted(y, {x: other})
    z = replaced + x
    pulled = sg.vjp(replaced, [x, other], np.ones(2, np.float32))
    feeds = {"x": np.array([1.0, 2.0], np.float32), "other": np.array([10.0, 20.0], np.float32)}
    value, *gradients = Evaluator([x, other], [z, *pulled], rewritten=how)(feeds)
    np.testing.assert_array_equal(value, [21.0, 42.0])
    np.testing.assert_array_equal(gradients, [[0.0, 0.0], [2.0, 2.0]])


@pytest.mark.parametrize("how", [False, True])
def test_a_value_made_in_a_body_and_used_outside(how: bool) -> None:
    x = sg.input("x", [2])
    kept: list[Any] = []

    def then() -> Any:
        kept.append(x.exp())
        return kept[0] * 2.0

    y = ops.if_(x[0] > 0, then, lambda: kept[0])
    feeds = {"x": np.array([1.0, 2.0], np.float32)}
    for value, factor in ((y + kept[0], 3), (kept[0] * y.exp() + y + kept[0], None)):
        found = Evaluator([x], [value], rewritten=how)(feeds)[0]
        e = np.exp(feeds["x"])
        np.testing.assert_allclose(found, e * factor if factor else e * np.exp(2 * e) + 3 * e, rtol=1e-5)


def test_inference_reaches_into_bodies() -> None:
    x = sg.input("x", [3, 2])
    (h,), _ = ops.scan(lambda h, e: ([h + in_training(e * 5.0, e)], []), [x[0]], [x])
    found = Evaluator([x], [in_inference(h)])({"x": np.ones((3, 2), np.float32)})[0]
    np.testing.assert_array_equal(found, np.full(2, 4.0))


# - in models -


def test_a_loop_over_parameters_is_trained() -> None:
    w = sg.parameter("w", np.eye(2, dtype=np.float32))
    x, t = sg.input("x", ["T", "N", 2]), sg.input("t", ["N", 2])
    (h,), _ = ops.scan(lambda h, e: ([(h @ w + e).tanh()], []), [t * 0.0], [x])
    trainer = sg.Trainer(sg.train_step(((h - t) ** 2).mean(), sg.optim.sgd(0.1)))
    feeds = {"x": np.ones((4, 3, 2), np.float32), "t": np.full((3, 2), 0.3, np.float32)}
    losses = [float(trainer.step(**feeds).loss) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_a_scan_over_nothing_is_refused_by_name() -> None:
    x = sg.input("x", ["T", 2])
    run = sg.function(ops.scan(lambda e: ([], [e * 2.0]), [], [x])[1])
    with pytest.raises(sg.FeedError, match="no Scan over nothing"):
        run(x=np.zeros((0, 2), np.float32))


def test_bodies_are_printed() -> None:
    x = sg.input("x", [2])
    y = ops.if_(x[0] > 0, lambda: x * 2.0, lambda: x)
    text = str(Graph("g", {"x": x}, {"y": y}))
    assert "then_branch=then" in text and "    then(captured0: f32[2]) -> (result0: f32[2])" in text
