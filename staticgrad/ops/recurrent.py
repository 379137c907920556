"""Recurrent layers: each is one kernel forward.

Their derivative is a rule where a layer is of the usual kind, and that of a scan over time for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, ShapeError
from staticgrad.graph import Value
from staticgrad.ops import recurrent_rules
from staticgrad.ops.kinds import common_dtype
from staticgrad.ops.linear import matmul
from staticgrad.ops.recurrent_layer import (
    ACTIVATIONS,
    DIRECTIONS,
    Direction,
    layer,
    numbers_of,
    parts_of,
    sum_of_biases,
)
from staticgrad.ops.registry import constant, onnx_op, require
from staticgrad.ops.shape import concat, split
from staticgrad.types import Dim, TensorType, dims_agree


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
        if direction not in DIRECTIONS:
            raise DeclarationError(f"direction is {direction!r}; it is one of {', '.join(DIRECTIONS)}")
        count = len(DIRECTIONS[direction])
        common_dtype(x, w, r, b, *further)
        require(len(x.type.shape) == 3, f"a sequence of rank 3 is expected, {x.type} came")
        require(layout in (0, 1), f"layout is 0 or 1, {layout} came")
        for name in activations or ():
            if name.lower() not in ACTIVATIONS:
                raise DeclarationError(f"no activation {name!r}; ONNX has {', '.join(sorted(ACTIVATIONS))}")
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
        for name, numbers in zip(names, numbers_of(names, activation_alpha, activation_beta), strict=True):
            if None in numbers:
                return (
                    f"the activation {name} has no number given, for which runtimes have different defaults; give "
                    f"activation_alpha and activation_beta"
                )
        return None

    return reason


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
    def cell(given: Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        recurrent = given.recurrent
        return sum_of_biases(given.b), lambda element, h: [given[0](element + matmul(h, recurrent))]

    return layer(cell, 1, ("Tanh",), x, (w, r, b, None), sequence_lens, [initial_h], **how)


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
    def cell(given: Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        of_gates, of_candidate = _gates(given.recurrent)
        bias, apart = sum_of_biases(given.b), None
        if linear_before_reset and given.b is not None:
            of_inputs, of_states = parts_of(given.b, 2)
            common, apart = _gates(of_states)
            bias = of_inputs + concat(common, apart * 0, axis=0)

        def step(element: Value, h: Value) -> list[Value]:
            inputs, candidate = _gates(element)
            z, reset = parts_of(given[0](inputs + matmul(h, of_gates)), 2)
            if linear_before_reset:
                turned = matmul(h, of_candidate)
                turned = reset * (turned if apart is None else turned + apart)
            else:
                turned = matmul(reset * h, of_candidate)
            new = given[1](candidate + turned)
            return [new + z * (h - new)]

        return bias, step

    return layer(cell, 3, ("Sigmoid", "Tanh"), x, (w, r, b, None), sequence_lens, [initial_h], **how)


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
    def cell(given: Direction, _: int) -> tuple[Value | None, Callable[..., list[Value]]]:
        recurrent = given.recurrent
        peepholes = None if given.p is None else parts_of(given.p, 3)

        def step(element: Value, h: Value, c: Value) -> list[Value]:
            i, o, f, n = parts_of(element + matmul(h, recurrent), 4)
            if peepholes is not None:
                i, f = i + peepholes[0] * c, f + peepholes[2] * c
            i = given[0](i)
            f = 1.0 - i if input_forget else given[0](f)
            following = f * c + i * given[1](n)
            o = given[0](o if peepholes is None else o + peepholes[1] * following)
            return [o * given.functions[2](following), following]

        return sum_of_biases(given.b), step

    defaults = ("Sigmoid", "Tanh", "Tanh")
    return layer(cell, 4, defaults, x, (w, r, b, p), sequence_lens, [initial_h, initial_c], **how)


rnn.refuses(_without_numbers(("Tanh",)))
gru.refuses(_without_numbers(("Sigmoid", "Tanh")))
lstm.refuses(_without_numbers(("Sigmoid", "Tanh", "Tanh")))
rnn.shortens(recurrent_rules.usual(("tanh",), ("relu",)), recurrent_rules.rule_of(recurrent_rules.rnn))
gru.shortens(recurrent_rules.usual(("sigmoid", "tanh")), recurrent_rules.rule_of(recurrent_rules.gru))
lstm.shortens(recurrent_rules.usual(("sigmoid", "tanh", "tanh")), recurrent_rules.rule_of(recurrent_rules.lstm))
