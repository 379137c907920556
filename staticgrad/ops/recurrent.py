"""Recurrent layers: each is one kernel forward, and a product of all inputs with a scan over time in its derivative.

Their activations take `activation_alpha` and `activation_beta` in turn, those of them that have such a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, ShapeError
from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.activation import relu, sigmoid
from staticgrad.ops.arithmetic import clip as limited
from staticgrad.ops.bodies import scan
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import common_dtype, full_like, stored, transposed
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import greater, less, where
from staticgrad.ops.math import exp, log, tanh
from staticgrad.ops.registry import constant, onnx_op, require
from staticgrad.ops.shape import concat, expand, shape, split, squeeze, transpose, unsqueeze
from staticgrad.types import Dim, TensorType, dims_agree

Activation = Callable[[Value], Value]


def _leaky_relu(x: Value, alpha: float) -> Value:
    return where(greater(x, 0), x, x * stored(alpha))


def _elu(x: Value, alpha: float) -> Value:
    return where(greater(x, 0), x, (exp(where(greater(x, 0), 0, x)) - 1) * stored(alpha))


def _thresholded_relu(x: Value, alpha: float) -> Value:
    return where(greater(x, stored(alpha)), x, 0)


def _softplus(x: Value) -> Value:
    return relu(x) + log(1 + exp(where(greater(x, 0), -x, x)))


def _hard_sigmoid(x: Value, alpha: float, beta: float) -> Value:
    y = x * stored(alpha) + stored(beta)
    return where(greater(y, 0), where(less(y, 1), y, 1), 0)


# What an activation is called, with the defaults of its numbers; None where onnxruntime's differs from the
# specification's, or there is none in the latter. They are put together from operators that every runtime has in
# float64 too, and their derivatives are right at 0.
_ACTIVATIONS: dict[str, tuple[tuple[float | None, ...], Callable[..., Value]]] = {
    "relu": ((), relu),
    "tanh": ((), tanh),
    "sigmoid": ((), sigmoid),
    "softsign": ((), lambda x: x / (1 + abs(x))),
    "softplus": ((), _softplus),
    "leakyrelu": ((0.01,), _leaky_relu),
    "elu": ((1.0,), _elu),
    "thresholdedrelu": ((None,), _thresholded_relu),
    "hardsigmoid": ((0.2, 0.5), _hard_sigmoid),
    "affine": ((None, None), lambda x, alpha, beta: x * stored(alpha) + stored(beta)),
    "scaledtanh": ((None, None), lambda x, alpha, beta: tanh(x * stored(beta)) * stored(alpha)),
}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def _layer_type(gates: int, functions: int, states: int) -> Callable[..., tuple[TensorType, ...]]:
    def type_rule(
        x: Value,
        w: Value,
        r: Value,
        b: Value | None = None,
        sequence_lens: Value | None = None,
        *further: Value | None,
        activations: tuple[str, ...] | None,
        direction: str,
        hidden_size: int | None,
        layout: int,
        **_: Any,
    ) -> tuple[TensorType, ...]:
        if direction not in _DIRECTIONS:
            raise DeclarationError(f"direction is {direction!r}; it is one of {', '.join(_DIRECTIONS)}")
        count = len(_DIRECTIONS[direction])
        common_dtype(x, w, r, b, *further)
        require(len(x.type.shape) == 3, f"a sequence of rank 3 is expected, {x.type} came")
        require(layout in (0, 1), f"layout is 0 or 1, {layout} came")
        for name in activations or ():
            if name.lower() not in _ACTIVATIONS:
                raise DeclarationError(f"no activation {name!r}; ONNX has {', '.join(sorted(_ACTIVATIONS))}")
        if activations and len(activations) != count * functions:
            raise DeclarationError(f"{count * functions} activations are expected, {len(activations)} came")
        hidden: Dim = r.type.shape[-1] if hidden_size is None or isinstance(r.type.shape[-1], int) else hidden_size
        if hidden_size is not None and not dims_agree(hidden, hidden_size):
            raise ShapeError(f"hidden_size is {hidden_size}, the recurrent weight is {r.type}")
        times, batch = x.type.shape[:2] if layout == 0 else x.type.shape[1::-1]

        def expect(value: Value | None, what: str, *dims: Dim | None) -> None:
            if value is not None:
                found = value.type.shape
                if len(found) != len(dims) or any(
                    d is not None and not dims_agree(d, e) for d, e in zip(dims, found, strict=True)
                ):
                    raise ShapeError(f"{what} is {value.type}, which does not go with {x.type} and {r.type}")

        wide = hidden * gates if isinstance(hidden, int) else None
        expect(w, "the weight", count, wide, x.type.shape[2])
        expect(r, "the recurrent weight", count, wide, hidden)
        expect(b, "the bias", count, None if wide is None else 2 * wide)
        expect(sequence_lens, "sequence_lens", batch)
        state = (count, batch, hidden) if layout == 0 else (batch, count, hidden)
        for value in further[:states]:
            expect(value, "an initial state", *state)
        for value in further[states:]:
            expect(value, "the weight of the peepholes", count, 3 * hidden if isinstance(hidden, int) else None)
        whole = (times, count, batch, hidden) if layout == 0 else (batch, times, count, hidden)
        return tuple(TensorType(x.type.dtype, s) for s in (whole, *[state] * states))

    return type_rule


def _numbers(
    names: Sequence[str], alpha: Sequence[float] | None, beta: Sequence[float] | None
) -> list[tuple[float | None, ...]]:
    """The numbers of each activation; None where there is neither one given nor a default."""
    left = [list(alpha or ()), list(beta or ())]
    found = []
    for name in names:
        defaults = _ACTIVATIONS[name.lower()][0]
        found.append(tuple(rest.pop(0) if rest else d for rest, d in zip(left, defaults, strict=False)))
    return found


def _without_numbers(default: Sequence[str]) -> Callable[..., str | None]:
    def reason(
        *_: Value | None,
        activations: tuple[str, ...] | None,
        activation_alpha: tuple[float, ...] | None,
        activation_beta: tuple[float, ...] | None,
        **__: Any,
    ) -> str | None:
        """An activation whose numbers are left out and differ among runtimes."""
        names = activations or default
        for name, numbers in zip(names, _numbers(names, activation_alpha, activation_beta), strict=True):
            if None in numbers:
                return (
                    f"the activation {name} has no number given, for which runtimes have different defaults; give "
                    f"activation_alpha and activation_beta"
                )
        return None

    return reason


class _Direction:
    """One direction of a layer: its weights, its activations, and how a scan runs over it."""

    def __init__(
        self,
        position: int,
        reverse: bool,
        weights: Sequence[Value | None],
        states: Sequence[Value | None],
        functions: Sequence[Activation],
        clip: float | None,
    ) -> None:
        self.reverse = reverse
        self.w, self.r, self.b, self.p = (
            None if v is None else gather(v, constant(np.array(position))) for v in weights
        )
        self.states = [None if v is None else gather(v, constant(np.array(position))) for v in states]
        self.functions = functions
        self.clip = clip

    @property
    def recurrent(self) -> Value:
        """The recurrent weight, by which states are multiplied from the left."""
        assert self.r is not None
        return transposed(self.r)

    def __getitem__(self, position: int) -> Activation:
        """An activation, whose input is clipped."""
        function, bound = self.functions[position], self.clip
        if bound is None:
            return function
        number = stored(bound)
        return lambda x: function(limited(x, full_like(x, -number), full_like(x, number)))


Cell = Callable[[_Direction, int], tuple[Value | None, Callable[..., list[Value]]]]


def _layer(
    cell: Cell,
    gates: int,
    default: Sequence[str],
    x: Value,
    weights: Sequence[Value | None],
    sequence_lens: Value | None,
    states: Sequence[Value | None],
    *,
    activations: tuple[str, ...] | None,
    activation_alpha: tuple[float, ...] | None,
    activation_beta: tuple[float, ...] | None,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> tuple[Value, ...]:
    """All outputs of a layer; `cell` gives the bias of all inputs and a step of the scan for one direction."""
    if layout == 1:
        x = transpose(x, perm=(1, 0, 2))
        states = [None if v is None else transpose(v, perm=(1, 0, 2)) for v in states]
    names = activations or tuple(default) * len(_DIRECTIONS[direction])
    numbers = _numbers(names, activation_alpha, activation_beta)
    functions = [_activation(name, given) for name, given in zip(names, numbers, strict=True)]
    each = len(functions) // len(_DIRECTIONS[direction])
    valid = None if sequence_lens is None else _valid(x, sequence_lens)
    wholes, lasts = [], []
    for position, reverse in enumerate(_DIRECTIONS[direction]):
        own = functions[position * each : (position + 1) * each]
        whole, last = _direction(
            cell, gates, x, valid, sequence_lens, _Direction(position, reverse, weights, states, own, clip)
        )
        wholes.append(unsqueeze(whole, [1]))
        lasts.append([unsqueeze(v, [0]) for v in last])
    results = [_joined(wholes, 1), *[_joined(parts, 0) for parts in zip(*lasts, strict=True)]]
    if layout == 1:
        results = [transpose(results[0], perm=(2, 0, 1, 3)), *[transpose(v, perm=(1, 0, 2)) for v in results[1:]]]
    return tuple(results)


def _joined(parts: Sequence[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else concat(*parts, axis=axis)


def _activation(name: str, numbers: Sequence[float | None]) -> Activation:
    function = _ACTIVATIONS[name.lower()][1]
    return lambda x: function(x, *numbers)


def _valid(x: Value, sequence_lens: Value) -> Value:
    """Whether a step is one of a sequence or behind its end, of shape (time, batch, 1)."""
    times = squeeze(shape(x, start=0, end=1), [0])
    steps = OPERATORS["Cast"](range_(np.array(0), times, np.array(1)), to=sequence_lens.type.dtype)
    return unsqueeze(less(unsqueeze(steps, [1]), sequence_lens), [2])


def _direction(
    cell: Cell, gates: int, x: Value, valid: Value | None, sequence_lens: Value | None, given: _Direction
) -> tuple[Value, list[Value]]:
    assert given.w is not None and given.r is not None
    bias, step = cell(given, gates)
    inputs = matmul(x, transposed(given.w))
    inputs = inputs if bias is None else inputs + bias
    begin = [_zeros(x, given.r) if v is None else v for v in given.states]

    def run(*values: Value) -> tuple[list[Value], list[Value]]:
        current, element = values[: len(begin)], values[len(begin)]
        following = step(element, *current)
        if valid is None:
            return following, [following[0]]
        inside = values[-1]
        # A reversed sequence begins with its last valid step: until then the states stay as they began.
        kept = [where(inside, new, old) for new, old in zip(following, current, strict=True)]
        return kept, [where(inside, following[0], 0)]

    direction = [int(given.reverse)]
    sequences = [inputs] if valid is None else [inputs, valid]
    last, (whole,) = scan(
        run, begin, sequences, input_directions=direction * len(sequences), output_directions=direction
    )
    if sequence_lens is not None:
        some = unsqueeze(greater(sequence_lens, np.array(0, sequence_lens.type.dtype.numpy)), [1])
        return whole, [where(some, v, 0) for v in last]
    return whole, list(last)


def _zeros(x: Value, r: Value) -> Value:
    """A state of zeros, of shape (batch, hidden)."""
    extent = concat(shape(x, start=1, end=2), shape(r, start=1, end=2), axis=0)
    return expand(full_like(x, 0), extent)


def _parts(x: Value, count: int) -> tuple[Value, ...]:
    """`x` in even parts along its last axis."""
    size = x.type.shape[-1]
    if isinstance(size, int):
        return split(x, constant(np.full(count, size // count, np.int64)), axis=-1)
    return split(x, num_outputs=count, axis=-1)


def _sum_of_biases(b: Value | None) -> Value | None:
    if b is None:
        return None
    of_inputs, of_states = _parts(b, 2)
    return of_inputs + of_states


@onnx_op("RNN", type=_layer_type(1, 1, 1))
def rnn(
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[Value, Value]:
    """All states `h_t = f(W x_t + R h_{t-1} + b)`, of shape (time, direction, batch, hidden), and the last ones."""


@rnn.as_body
def _(x, w, r, b, sequence_lens, initial_h, **how):
    def cell(given: _Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        recurrent = given.recurrent
        return _sum_of_biases(given.b), lambda element, h: [given[0](element + matmul(h, recurrent))]

    return _layer(cell, 1, ("Tanh",), x, (w, r, b, None), sequence_lens, [initial_h], **how)


@onnx_op("GRU", type=_layer_type(3, 2, 1))
def gru(
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: bool = False,
) -> tuple[Value, Value]:
    """All states `h_t = (1 - z) n + z h_{t-1}`, of shape (time, direction, batch, hidden), and the last ones.

    The gates are `z, r = f(W x_t + R h_{t-1} + b)`; `n = g(W x_t + R (r h_{t-1}) + b)`, and with `linear_before_reset`
    `n = g(W x_t + r (R h_{t-1} + b_R) + b_W)`, as PyTorch has it. Weights are in the order z, r, n.
    """


@gru.as_body
def _(x, w, r, b, sequence_lens, initial_h, *, linear_before_reset, **how):
    def cell(given: _Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        of_gates, of_candidate = _gates(given.recurrent)
        bias, apart = _sum_of_biases(given.b), None
        if linear_before_reset and given.b is not None:
            of_inputs, of_states = _parts(given.b, 2)
            common, apart = _gates(of_states)
            bias = of_inputs + concat(common, apart * 0, axis=0)

        def step(element: Value, h: Value) -> list[Value]:
            inputs, candidate = _gates(element)
            z, reset = _parts(given[0](inputs + matmul(h, of_gates)), 2)
            if linear_before_reset:
                turned = matmul(h, of_candidate)
                turned = reset * (turned if apart is None else turned + apart)
            else:
                turned = matmul(reset * h, of_candidate)
            new = given[1](candidate + turned)
            return [new + z * (h - new)]

        return bias, step

    return _layer(cell, 3, ("Sigmoid", "Tanh"), x, (w, r, b, None), sequence_lens, [initial_h], **how)


def _gates(x: Value) -> tuple[Value, Value]:
    """The part of two gates and that of the candidate, along the last axis."""
    size = x.type.shape[-1]
    if isinstance(size, int):
        gates, candidate = split(x, constant(np.array([size // 3 * 2, size // 3])), axis=-1)
        return gates, candidate
    z, reset, candidate = split(x, num_outputs=3, axis=-1)
    return concat(z, reset, axis=-1), candidate


@onnx_op("LSTM", type=_layer_type(4, 3, 2))
def lstm(
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    p: Value | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: bool = False,
    layout: int = 0,
) -> tuple[Value, Value, Value]:
    """All states `h_t = o h(c_t)`, of shape (time, direction, batch, hidden), the last ones, and the last `c_t`.

    `c_t = f c_{t-1} + i n`; the gates are `i, o, f = f(W x_t + R h_{t-1} + P c + b)` with `c_t` for o and `c_{t-1}`
    for the others, `n = g(W x_t + R h_{t-1} + b)`. With `input_forget`, f is `1 - i`. Weights are in the order
    i, o, f, n. The input of h is not clipped.
    """


@lstm.as_body
def _(x, w, r, b, sequence_lens, initial_h, initial_c, p, *, input_forget, **how):
    def cell(given: _Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        recurrent = given.recurrent
        peepholes = None if given.p is None else _parts(given.p, 3)

        def step(element: Value, h: Value, c: Value) -> list[Value]:
            i, o, f, n = _parts(element + matmul(h, recurrent), 4)
            if peepholes is not None:
                i, f = i + peepholes[0] * c, f + peepholes[2] * c
            i = given[0](i)
            f = 1.0 - i if input_forget else given[0](f)
            following = f * c + i * given[1](n)
            o = given[0](o if peepholes is None else o + peepholes[1] * following)
            return [o * given.functions[2](following), following]

        return _sum_of_biases(given.b), step

    defaults = ("Sigmoid", "Tanh", "Tanh")
    return _layer(cell, 4, defaults, x, (w, r, b, p), sequence_lens, [initial_h, initial_c], **how)


rnn.refuses(_without_numbers(("Tanh",)))
gru.refuses(_without_numbers(("Sigmoid", "Tanh")))
lstm.refuses(_without_numbers(("Sigmoid", "Tanh", "Tanh")))
