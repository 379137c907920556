"""The tape: leaves, backward, no_grad, in-place changes, views, and the two-layer net of the tutorial."""

from __future__ import annotations

import copy
import gc
import sys
from typing import Any

import numpy as np
import pytest

from staticgrad import eager

EagerError = eager.EagerError


def leaf(*values: float) -> eager.Tensor:
    return eager.tensor(values, requires_grad=True)


# - the tutorial -


def tutorial_in_numpy(x: Any, y: Any, w1: Any, w2: Any, lr: float, steps: int) -> tuple[list[float], Any, Any]:
    """The program with its gradients written out by hand."""
    losses = []
    for _ in range(steps):
        h = x @ w1
        h_relu = np.maximum(h, 0)
        y_pred = h_relu @ w2
        losses.append(float(((y_pred - y) ** 2).sum()))
        grad_y_pred = 2 * (y_pred - y)
        grad_w2 = h_relu.T @ grad_y_pred
        grad_h = (grad_y_pred @ w2.T) * (h >= 0)
        grad_w1 = x.T @ grad_h
        w1, w2 = w1 - lr * grad_w1, w2 - lr * grad_w2
    return losses, w1, w2


@pytest.mark.parametrize("with_optimizer", [False, True])
def test_tutorial(with_optimizer: bool) -> None:
    eager.manual_seed(0)
    x, y = eager.randn(64, 1000, dtype="float64"), eager.randn(64, 10, dtype="float64")
    w1 = eager.randn(1000, 100, dtype="float64", requires_grad=True)
    w2 = eager.randn(100, 10, dtype="float64", requires_grad=True)
    lr = 1e-6
    expected, v1, v2 = tutorial_in_numpy(x.numpy(), y.numpy(), w1.numpy().copy(), w2.numpy().copy(), lr, 100)
    opt = eager.optim.SGD([w1, w2], lr=lr, momentum=0.0, dampening=0, weight_decay=0, nesterov=False)
    losses = []
    for _ in range(100):
        y_pred = x.mm(w1).clamp(min=0).mm(w2)
        loss = (y_pred - y).pow(2).sum()
        losses.append(loss.item())
        if with_optimizer:
            opt.zero_grad()
            loss.backward()
            opt.step()
        else:
            loss.backward()
            with eager.no_grad():
                w1 -= lr * w1.grad
                w2 -= lr * w2.grad
                w1.grad.zero_()
                w2.grad.zero_()
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    np.testing.assert_allclose(w1.numpy(), v1, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(w2.numpy(), v2, rtol=1e-9, atol=1e-12)
    assert losses[-1] < losses[0] / 100 and w1.is_leaf and w1.requires_grad


def test_tutorial_is_float32_throughout() -> None:
    eager.manual_seed(1)
    x, w = eager.randn(8, 5), eager.randn(5, 3, requires_grad=True)
    loss = (x.mm(w).clamp(min=0) * 2.0 - 1).pow(2).sum()
    loss.backward()
    with eager.no_grad():
        w -= 1e-6 * w.grad
    assert {str(t.dtype) for t in (x, w, loss, w.grad)} == {"float32"}


def test_seed_repeats_the_draw() -> None:
    draws = []
    for _ in range(2):
        eager.manual_seed(3)
        draws.append([eager.randn(2, 3).tolist(), eager.rand(4).tolist(), eager.randint(0, 9, (5,)).tolist()])
    assert draws[0] == draws[1]


# - backward -


def test_gradients_accumulate() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first and x.grad.tolist() == [5.0, 7.0]
    x.grad.zero_()
    assert x.grad.tolist() == [0.0, 0.0]


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf(2.0)
    y = x * x
    (y * x + y).sum().backward()
    assert x.grad.tolist() == [3 * 4.0 + 2 * 2.0]


def test_broadcast_gradients_have_the_shape_of_the_operand() -> None:
    a, b, c = (
        eager.ones(3, 1, requires_grad=True),
        eager.ones(4, requires_grad=True),
        eager.ones((), requires_grad=True),
    )
    (a * b + c).sum().backward()
    assert (a.grad.shape, b.grad.shape, c.grad.shape) == ((3, 1), (4,), ())
    assert a.grad.tolist() == [[4.0]] * 3 and b.grad.tolist() == [3.0] * 4 and c.grad.item() == 12.0


def test_backward_of_a_vector_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(EagerError, match="single element"):
        (x * 2).backward()
    with pytest.raises(EagerError, match="expected \\[2\\]"):
        (x * 2).backward(eager.ones(3))
    (x * 2).backward(eager.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]
    (x * 2).backward(gradient=np.array([1.0, 1.0]))
    assert x.grad.tolist() == [4.0, 22.0]


def test_backward_without_a_leaf_is_an_error() -> None:
    with pytest.raises(EagerError, match="no leaf"):
        eager.ones(3).sum().backward()


def test_backward_of_a_leaf() -> None:
    x = eager.tensor(3.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_second_backward_needs_retain_graph() -> None:
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]
    with pytest.raises(EagerError, match="second time"):
        y.backward()
    assert x.grad.tolist() == [12.0]  # nothing was added before the error
    z = (x + 1).sum()  # saves no values
    z.backward()
    z.backward()
    assert x.grad.tolist() == [14.0]


def test_only_leaves_have_a_gradient_unless_retained() -> None:
    x = leaf(2.0)
    y = x * 3
    z = y * y
    z.retain_grad()
    (z * 2).sum().backward()
    assert y.grad is None and z.grad.tolist() == [2.0] and x.grad.tolist() == [72.0]
    assert x.is_leaf and not y.is_leaf and y.requires_grad


def test_long_chain() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    z = x
    for _ in range(50_000):
        z = z * 1.0
    assert sys.getrecursionlimit() < 50_000
    z.sum().backward()
    del y, z
    gc.collect()


def test_wide_fan() -> None:
    x = leaf(1.0)
    y = x * 1
    for _ in range(60):
        y = y + y  # 2^60 paths, each node is walked once
    y.sum().backward()
    assert x.grad.tolist() == [2.0**60]


# - leaves, detach, no_grad -


def test_no_grad() -> None:
    x = leaf(1.0)
    with eager.no_grad():
        assert not eager.is_grad_enabled()
        y = x * 2
        with eager.enable_grad():
            z = x * 2
        assert not eager.is_grad_enabled()
    assert eager.is_grad_enabled() and not y.requires_grad and y.is_leaf and z.requires_grad

    @eager.no_grad()
    def f(t: eager.Tensor) -> eager.Tensor:
        return f(t - 1) if t.item() > 0 else t * x

    assert not f(eager.tensor(2.0)).requires_grad and eager.is_grad_enabled()
    with pytest.raises(KeyError), eager.no_grad():
        raise KeyError
    assert eager.is_grad_enabled()


def test_detach_cuts_and_shares_memory() -> None:
    x = leaf(1.0, 2.0)
    d = x.detach()
    assert not d.requires_grad and np.shares_memory(d.numpy(), x.numpy())
    (x * d).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]
    c = x.clone()
    assert c.requires_grad and not np.shares_memory(c.numpy(), x.numpy())


def test_requires_grad() -> None:
    x = eager.ones(2)
    assert x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(EagerError, match="floating"):
        eager.tensor([1], requires_grad=True)
    y = leaf(1.0) * 2
    with pytest.raises(EagerError, match="detach"):
        y.requires_grad_(False)
    with pytest.raises(EagerError, match="expected float32 \\[2\\]"):
        x.grad = eager.ones(3)


def test_integer_results_cut_the_gradient() -> None:
    x = leaf(1.5, 2.5)
    assert not (x > 2).requires_grad and not x.argmax().requires_grad and not x.long().requires_grad


# - in place -


def test_leaf_in_place_outside_no_grad_is_an_error() -> None:
    w = leaf(1.0)
    for change in (lambda: w.add_(1), lambda: w.zero_(), lambda: w.__setitem__(0, 2.0), lambda: w.__isub__(1.0)):
        with pytest.raises(EagerError, match="leaf that requires a gradient"):
            change()
    assert w.tolist() == [1.0]


def test_recorded_in_place_changes() -> None:
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    z = x * 1
    before = z
    z += y
    z *= 3
    z /= y
    z -= 1
    z.mul_(z.detach() * 0 + 2)
    assert z is before and not z.is_leaf
    np.testing.assert_allclose(z.tolist(), [(2 + 5) * 3 / 5 * 2 - 2, (3 + 7) * 3 / 7 * 2 - 2], rtol=1e-6)
    z.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), [6 / 5, 6 / 7], rtol=1e-6)
    np.testing.assert_allclose(y.grad.tolist(), [-6 * 2 / 25, -6 * 3 / 49], rtol=1e-6)


def test_in_place_into_a_tensor_without_history() -> None:
    x = leaf(2.0, 3.0)
    out = eager.zeros(2, 2)
    out[0] = x * x
    out[1, 1] = x[0]
    assert out.requires_grad
    out.sum().backward()
    assert x.grad.tolist() == [5.0, 6.0]
    y = leaf(1.0)
    total = eager.zeros(1)
    total.add_(y, alpha=3)
    total.copy_(total * 2)
    total.backward()
    assert y.grad.tolist() == [6.0]


def test_filling_cuts_the_gradient() -> None:
    x = leaf(2.0, 3.0)
    y = x * 2
    y.zero_()
    (y + x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    y = x * 2
    y.fill_(x[0])
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 1.0]


def test_repeated_positions_in_an_assignment_leave_the_gradient_to_the_last() -> None:
    v = leaf(1.0, 2.0, 3.0)
    z = eager.zeros(2)
    z[[0, 0, 1]] = v
    z.sum().backward()
    assert z.tolist() == [2.0, 3.0] and v.grad.tolist() == [0.0, 1.0, 1.0]


def test_in_place_keeps_type_and_shape() -> None:
    x = eager.ones(2)
    x += eager.ones(2, dtype="float64")
    assert str(x.dtype) == "float32"
    with pytest.raises(EagerError, match="does not fit"):
        x += eager.ones(3, 2)
    i = eager.tensor([1, 2])
    with pytest.raises(EagerError, match="float32 does not fit"):
        i += 1.5
    with pytest.raises(EagerError, match="float32 does not fit"):
        i /= 2
    i += 1
    assert i.tolist() == [2, 3] and str(i.dtype) == "int64"
    same = i
    i **= 2
    i //= 3
    i %= 2
    assert i is same and i.tolist() == [1, 1] and i.clamp_(max=0).tolist() == [0, 0]
    with pytest.raises(EagerError, match="cannot be written"):
        eager.ones(1).expand(3).add_(1)


# - what was saved must not change -


@pytest.mark.parametrize(
    ("f", "change_operand", "change_result"),
    [
        (lambda x, c: x * c, True, False),
        (lambda x, c: x.mm(c), True, False),
        (lambda x, c: x / c, True, False),
        (lambda x, c: x.exp(), False, True),
        (lambda x, c: x.softmax(1), False, True),
        (lambda x, c: eager.where(c > 1, x, 0), False, False),
        (lambda x, c: x + c, False, False),
        (lambda x, c: x.t().reshape(-1) + c.reshape(-1), False, False),
        (lambda x, c: x.sum(0), False, False),
        (lambda x, c: x.logsumexp(1), False, True),
    ],
)
def test_a_saved_value_that_changes_is_an_error_and_others_may(
    f: Any, change_operand: bool, change_result: bool
) -> None:
    for which, fails in (("operand", change_operand), ("result", change_result)):
        x, c = eager.rand(2, 2, requires_grad=True), eager.rand(2, 2) + 0.5
        y = f(x, c)
        kept = y.clone().sum()
        (c if which == "operand" else y).mul_(2)
        if fails:
            with pytest.raises(EagerError, match="modified in place"):
                kept.backward()
            assert x.grad is None
        else:
            kept.backward()


def test_weights_changed_between_forward_and_backward() -> None:
    w, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
    loss = (w * x).sum()
    with eager.no_grad():
        w -= 0.1
    with pytest.raises(EagerError, match="version 1, expected 0"):
        loss.backward()


def test_changes_through_views_and_detached_tensors_are_seen() -> None:
    for change in (
        lambda x: x.view(-1).zero_(),
        lambda x: x.detach().zero_(),
        lambda x: x.data.zero_(),
        lambda x: x[0].fill_(0),
        lambda x: x.t()[0].fill_(0),
        lambda x: x.split(1)[1].zero_(),
    ):
        w, x = eager.rand(2, 2, requires_grad=True), eager.rand(2, 2)
        loss = (w * x).sum()
        change(x)
        assert x.sum().item() < 2.5
        with pytest.raises(EagerError, match="modified in place"):
            loss.backward()


def test_views_share_memory_and_version() -> None:
    x = eager.zeros(2, 3)
    x.view(3, 2)[0].fill_(7)
    x.T[2].add_(1)
    x[1, 0] += 5
    assert x.tolist() == [[7.0, 7.0, 1.0], [5.0, 0.0, 1.0]]
    w = eager.ones(2, 2, requires_grad=True)
    with eager.no_grad():
        w[0] += 1
    assert w.tolist() == [[2.0, 2.0], [1.0, 1.0]] and w.is_leaf


def test_a_view_whose_buffer_got_a_new_history_is_refused() -> None:
    a = leaf(1.0, 2.0)
    x = a * 1
    v, d = x.view(2, 1), x.detach()
    x *= 2
    with pytest.raises(EagerError, match="take the view again"):
        v.sum()
    with pytest.raises(EagerError, match="take the view again"):
        v.backward(eager.ones(2, 1))
    assert d.sum().item() == 6.0  # detached, so it has no history to be wrong
    x.view(2, 1).sum().backward()
    assert a.grad.tolist() == [2.0, 2.0]
    plain = eager.zeros(2)
    w = plain.view(-1)
    plain += a
    with pytest.raises(EagerError, match="take the view again"):
        w * 2


def test_recorded_change_of_a_view_is_refused() -> None:
    x = leaf(1.0, 2.0) * 1
    with pytest.raises(EagerError, match="change of a view"):
        x[0] += 1
    x[0] = x[0] + 1
    assert x.tolist() == [2.0, 2.0]


def test_data_can_be_assigned() -> None:
    w = leaf(1.0, 2.0)
    (w * w).sum().backward()
    w.data -= 0.5 * w.grad.data
    assert w.tolist() == [0.0, 0.0] and w.is_leaf and w.requires_grad
    w.data = eager.ones(3)
    w.grad = None
    w.sum().backward()
    assert w.grad.tolist() == [1.0] * 3


# - values and types -


def test_conversions() -> None:
    x = eager.tensor([[1.5, 2.5]], requires_grad=True)
    assert (
        x.shape == x.size() == (1, 2) and x.size(-1) == 2 and x.ndim == x.dim() == 2 and x.numel() == 2 and len(x) == 1
    )
    assert str(x.dtype) == "float32" and x.tolist() == [[1.5, 2.5]] and x[0, 1].item() == 2.5
    assert float(x[0, 0]) == 1.5 and int(x[0, 1]) == 2 and bool(x[0, 0]) and [r.tolist() for r in x] == [[1.5, 2.5]]
    assert np.asarray(x).dtype == np.float32 and np.asarray(x, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0, 0] = 3
    array = np.zeros(2)
    t = eager.from_numpy(array)
    t[0] = 4
    t.numpy()[1] = 5
    assert array.tolist() == [4.0, 5.0] and str(t.dtype) == "float64"
    copied = eager.tensor(array)
    copied[0] = 0
    assert array[0] == 4.0 and isinstance(eager.tensor(True).item(), bool) and isinstance(eager.tensor(2).item(), int)
    assert [10, 20, 30][eager.tensor(2)] == 30
    for wrong in (lambda: bool(x), lambda: x.item(), lambda: float(x)):
        with pytest.raises(EagerError):
            wrong()
    for wrong in (lambda: len(eager.tensor(1)), lambda: list(eager.tensor(1)), lambda: [1][eager.tensor(0.0)]):
        with pytest.raises(TypeError):
            wrong()


def test_deepcopy_of_a_leaf() -> None:
    w = leaf(1.0, 2.0)
    (w * w).sum().backward()
    pair = copy.deepcopy([w, w])
    assert pair[0] is pair[1] and pair[0].requires_grad and pair[0].grad.tolist() == [2.0, 4.0]
    (pair[0] * 3).sum().backward()
    assert pair[0].grad.tolist() == [5.0, 7.0] and w.grad.tolist() == [2.0, 4.0]
    with pytest.raises(EagerError, match="only leaves"):
        copy.deepcopy(w * 2)


def test_repr() -> None:
    assert repr(eager.tensor([1.0, 2.5], requires_grad=True)) == "tensor([1. , 2.5], requires_grad=True)"
    assert repr(eager.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(eager.ones(1, dtype="bfloat16")) == "tensor([1.], dtype=bfloat16)"
    assert repr(eager.tensor(True)) == "tensor(True)"


def test_default_types() -> None:
    kinds = [
        eager.tensor(v).dtype for v in (1.5, [1, 2], True, [], [1, 2.0], np.float64(1), np.zeros(1), np.zeros(1, "i4"))
    ]
    names = ["float32", "int64", "bool", "float32", "float32", "float64", "float64", "int32"]
    assert [str(k) for k in kinds] == names
    assert str(eager.arange(3).dtype) == "int64" and str(eager.arange(0.0, 1, 0.5).dtype) == "float32"
    assert eager.arange(1, 7, 2).tolist() == [1, 3, 5] and eager.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert eager.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]] and eager.full((2,), 7).tolist() == [7, 7]
    assert eager.zeros(2, 3).shape == eager.ones((2, 3)).shape == eager.rand([2, 3]).shape == (2, 3)
    assert eager.randint(5, (100,)).numpy().max() == 4 and str(eager.zeros(1, dtype="long").dtype) == "int64"
    assert eager.tensor([1.0, 2.0], dtype="bfloat16").tolist() == [1.0, 2.0]


def test_operators() -> None:
    x = eager.tensor([7.0, -7.0])
    assert (1 - x).tolist() == [-6.0, 8.0] and (14 / x).tolist() == [2.0, -2.0] and (-x).tolist() == [-7.0, 7.0]
    assert (x // 2).tolist() == [3.0, -4.0] and (x % 4).tolist() == [3.0, 1.0] and (15 // x).tolist() == [2.0, -3.0]
    assert (2**x).tolist() == [128.0, 2.0**-7] and (x**2).tolist() == [49.0, 49.0] and abs(x).tolist() == [7.0, 7.0]
    assert (np.array([1.0, 2.0], "f4") * x).tolist() == [7.0, -14.0] and (np.float32(2) + x).tolist() == [9.0, -5.0]
    assert (eager.tensor([1, 2]) @ eager.tensor([3, 4])).item() == 11 and (10 % eager.tensor([3, 4])).tolist() == [1, 2]
    assert (x == "a") is False and (x != None) is True and len({x, x}) == 1  # noqa: E711
    with pytest.raises(TypeError):
        x + "a"


def test_optimizers_see_groups_and_changed_options() -> None:
    a, b, c = leaf(1.0), leaf(1.0), leaf(1.0)
    opt = eager.optim.SGD([{"params": [a]}, {"params": [b, c], "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    opt.step()
    opt.param_groups[0]["lr"] = 1.0
    opt.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [-0.1, 0.0, 1.0], atol=1e-6)
    opt.zero_grad(set_to_none=False)
    assert a.grad.item() == 0.0 and c.grad is None
    opt.zero_grad()
    assert a.grad is None
    for wrong in (
        lambda: eager.optim.SGD([]),
        lambda: eager.optim.SGD([a * 1]),
        lambda: eager.optim.SGD([a], nesterov=True),
    ):
        with pytest.raises(EagerError):
            wrong()
