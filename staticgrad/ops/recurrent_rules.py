"""The derivative of recurrent layers of the usual kind, with activations that can be told from what they gave.

A kernel gives all states, so that what every gate was at every step comes from one product over all steps, and the
weights' cotangents from one more each. Only what a step needs of the next one stays in a scan, against time: a product
with the recurrent weight, and factors that were computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from staticgrad.graph import Value
from staticgrad.ops.activation import sigmoid
from staticgrad.ops.bodies import scan
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import full_like, reshape_like, transposed, zeros_like
from staticgrad.ops.linear import gemm, matmul, rows
from staticgrad.ops.logic import greater, where
from staticgrad.ops.math import tanh
from staticgrad.ops.recurrent_layer import DIRECTIONS, joined, parts_of, sum_of_biases, zero_state
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import LARGEST_SIZE, constant
from staticgrad.ops.shape import concat, split, squeeze, transpose, unsqueeze
from staticgrad.ops.slicing import slice_


class Cotangents(NamedTuple):
    """What goes back to the inputs of one direction."""

    x: Value
    w: Value
    r: Value
    b: Value
    states: Sequence[Value]


class Way:
    """One direction of a layer: its inputs, the states that the kernel gave, and what comes back to its outputs."""

    def __init__(
        self,
        reverse: bool,
        own: Callable[[Value | None, int], Value | None],
        g: Sequence[Value | None],
        whole: Value,
        x: Value,
        weights: Sequence[Value | None],
        states: Sequence[Value | None],
    ) -> None:
        w, r, self.b = (own(v, 0) for v in weights)
        mine = own(whole, 1)
        assert w is not None and r is not None and mine is not None
        self.reverse, self.x, self.w, self.r, self.whole = reverse, x, w, r, mine
        begin = [own(v, 0) for v in states]
        self.states = [zero_state(x, r) if v is None else v for v in begin]
        self.g = own(g[0], 1)
        last = [own(v, 0) for v in g[1:]]
        self.last = [zeros_like(s) if v is None else v for v, s in zip(last, self.states, strict=True)]

    def before(self) -> Value:
        """The states `h_{t-1}` of all steps."""
        first, axis = unsqueeze(self.states[0], [0]), [0]
        if self.reverse:
            parts = slice_(self.whole, [1], [LARGEST_SIZE], axis), first
        else:
            parts = first, slice_(self.whole, [0], [-1], axis)
        return concat.apply(parts, {"axis": 0}, (self.whole.type,)).outputs[0]

    def gates(self, product: Value, count: int) -> list[Value]:
        """The parts of a product over all steps, each in the shape of the states."""
        return [reshape_like(part, self.whole) for part in parts_of(product, count)]

    def forth(self, step: Callable[..., Any], states: Sequence[Value], sequences: Sequence[Value]) -> Value:
        """What comes of each step on the way of the layer."""
        return self._run(step, states, sequences, int(self.reverse), 1)[1][0]

    def back(
        self, step: Callable[..., Any], factors: Sequence[Value], outputs: int
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        """The cotangents of the first states, and what comes of `step(h's cotangent, further ones, *factors)`."""
        sequences = [*factors] if self.g is None else [*factors, self.g]

        def whole_step(*values: Value) -> Any:
            return step(*values) if self.g is None else step(values[0] + values[-1], *values[1:-1])

        return self._run(whole_step, self.last, sequences, 1 - int(self.reverse), outputs)

    def _run(
        self, step: Callable[..., Any], states: Sequence[Value], sequences: Sequence[Value], way: int, outputs: int
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        return scan(step, states, sequences, input_directions=[way] * len(sequences), output_directions=[way] * outputs)

    def cotangents(
        self, of_inputs: Value, of_states: Sequence[tuple[Value, Value]], apart: bool, first: Sequence[Value]
    ) -> Cotangents:
        """Those of all inputs, from those of the products with the weights.

        `of_states` pairs the cotangent of a product with what the recurrent weight was multiplied by, for a part of the
        weight each; `apart` says whether they differ from those of the inputs, and so have a bias of their own.
        """
        flat = rows(of_inputs)
        pairs = [(rows(g), rows(h)) for g, h in of_states]
        bias = reduce_sum(flat, [0], keepdims=False)
        recurrent = joined([reduce_sum(g, [0], keepdims=False) for g, _ in pairs], 0) if apart else bias
        return Cotangents(
            reshape_like(matmul(flat, self.w), self.x),
            matmul(transposed(flat), rows(self.x)),
            joined([matmul(transposed(g), h) for g, h in pairs], 0),
            concat(bias, recurrent, axis=0),
            first,
        )


Backward = Callable[..., Cotangents]


def rule_of(backward: Backward) -> Callable[..., tuple[Value | None, ...]]:
    """The rule of a layer from `backward(way, activation=..., linear_before_reset=...)` of one direction."""

    def rule(
        g: Sequence[Value | None],
        y: Sequence[Value],
        x: Value,
        w: Value,
        r: Value,
        b: Value | None,
        sequence_lens: None,
        *further: Value | None,
        direction: str,
        layout: int,
        **how: Any,
    ) -> tuple[Value | None, ...]:
        count = len(DIRECTIONS[direction])
        states, whole = list(further[: len(y) - 1]), y[0]
        if layout == 1:
            x, *states = (_batch_second(v) for v in (x, *states))
            whole = transpose(whole, perm=(1, 2, 0, 3))
            g = [None if g[0] is None else transpose(g[0], perm=(1, 2, 0, 3)), *(_batch_second(v) for v in g[1:])]
        found = []
        for position, reverse in enumerate(DIRECTIONS[direction]):

            def own(v: Value | None, axis: int, position: int = position) -> Value | None:
                if v is None:
                    return None
                return squeeze(v, [axis]) if count == 1 else gather(v, constant(np.array(position)), axis=axis)

            found.append(backward(Way(reverse, own, g, whole, x, (w, r, b), states), position=position, **how))
        to_x = found[0].x if count == 1 else found[0].x + found[1].x
        to_w, to_r, to_b = (_stacked([f[i] for f in found]) for i in (1, 2, 3))
        to_states = [_stacked(parts) for parts in zip(*(f.states for f in found), strict=True)]
        if layout == 1:
            to_x, *to_states = (_batch_second(v) for v in (to_x, *to_states))
        padding = [None] * (len(further) - len(states))
        return (
            to_x,
            to_w,
            to_r,
            None if b is None else to_b,
            None,
            *(None if v is None else reshape_like(to, v) for v, to in zip(further, to_states, strict=False)),
            *padding,
        )

    return rule


def _batch_second(v: Value | None) -> Any:
    return None if v is None else transpose(v, perm=(1, 0, 2))


def _stacked(parts: Sequence[Value]) -> Value:
    return joined([unsqueeze(v, [0]) for v in parts], 0)


def usual(*allowed: tuple[str, ...]) -> Callable[..., bool]:
    """Says whether a layer has but the usual inputs and `allowed` activations, the first by default."""

    def applies(
        x: Value,
        w: Value,
        r: Value,
        b: Value | None = None,
        sequence_lens: Value | None = None,
        initial_h: Value | None = None,
        initial_c: Value | None = None,
        p: Value | None = None,
        *,
        activations: Sequence[str] | None,
        clip: float | None,
        input_forget: bool = False,
        **_: Any,
    ) -> bool:
        names = tuple(name.lower() for name in activations or (*allowed[0], *allowed[0]))
        each = len(allowed[0])
        parts = {names[i : i + each] for i in range(0, len(names), each)}
        sizes = r.type.shape[-1], x.type.shape[-1]
        return (
            sequence_lens is None
            and p is None
            and clip is None
            and not input_forget
            and parts <= set(allowed)
            and all(isinstance(size, int) and size > 0 for size in sizes)
        )

    return applies


def rnn(way: Way, *, position: int, activations: Sequence[str] | None, **_: Any) -> Cotangents:
    """`da_t = dh_t f'(a_t)` and `dh_{t-1} = g_{t-1} + da_t R`, where f' comes of `h_t = f(a_t)`."""
    h = way.whole
    if activations is not None and activations[position].lower() == "relu":
        slope = where(greater(h, 0), full_like(h, 1), full_like(h, 0))
    else:
        slope = 1.0 - h * h

    def step(dh: Value, slope: Value) -> tuple[list[Value], list[Value]]:
        da = dh * slope
        return [matmul(da, way.r)], [da]

    first, (da,) = way.back(step, [slope], 1)
    return way.cotangents(da, [(da, way.before())], False, first)


def gru(way: Way, *, linear_before_reset: bool, **_: Any) -> Cotangents:
    """With `h_t = (1 - z) n + z h_{t-1}`, `dn = (1 - z) dh_t` and `dz = (h_{t-1} - n) dh_t`."""
    before = way.before()
    return (_gru_linear if linear_before_reset else _gru_reset)(way, before)


def _gru_linear(way: Way, before: Value) -> Cotangents:
    """`n = tanh(W x_t + r q)` with `q = R h_{t-1} + b`: all that goes back to R is `dh_t` with factors."""
    of_inputs, of_states = (None, None) if way.b is None else parts_of(way.b, 2)
    z, reset, n = way.gates(gemm(rows(way.x), way.w, of_inputs, transB=True), 3)
    z_too, reset_too, q = way.gates(gemm(rows(before), way.r, of_states, transB=True), 3)
    z, reset = sigmoid(z + z_too), sigmoid(reset + reset_too)
    n = tanh(n + reset * q)
    new = 1.0 - z
    to_n = new * (1.0 - n * n)
    to_q = to_n * reset
    factors = concat((before - n) * (z * new), to_q * q * (1.0 - reset), to_q, axis=-1)

    def step(dh: Value, factors: Value, z: Value) -> tuple[list[Value], list[Value]]:
        da = concat(dh, dh, dh, axis=-1) * factors
        return [gemm(da, way.r, dh * z)], [da, dh]

    first, (da, dh) = way.back(step, [factors, z], 2)
    size = way.r.type.shape[-1]
    gates, _ = split(da, [2 * size, size], axis=-1)
    return way.cotangents(concat(gates, dh * to_n, axis=-1), [(da, before)], True, first)


def _gru_reset(way: Way, before: Value) -> Cotangents:
    """`n = tanh(W x_t + R (r h_{t-1}) + b)`: `dh_t` goes through two products with parts of R, one after the other."""
    size = way.r.type.shape[-1]
    of_gates, of_candidate = split(way.r, [2 * size, size], axis=0)
    z, reset, n = way.gates(gemm(rows(way.x), way.w, sum_of_biases(way.b), transB=True), 3)
    z_too, reset_too = way.gates(gemm(rows(before), of_gates, transB=True), 2)
    z, reset = sigmoid(z + z_too), sigmoid(reset + reset_too)
    kept = reset * before
    n = tanh(n + reshape_like(gemm(rows(kept), of_candidate, transB=True), n))
    new = 1.0 - z
    to_n = new * (1.0 - n * n)
    factors = concat((before - n) * (z * new), kept * (1.0 - reset), axis=-1)

    def step(dh: Value, to_n: Value, factors: Value, z: Value, reset: Value) -> tuple[list[Value], list[Value]]:
        dn = dh * to_n
        to_kept = matmul(dn, of_candidate)
        da = concat(dh, to_kept, axis=-1) * factors
        return [gemm(da, of_gates, dh * z + to_kept * reset)], [da, dn]

    first, (da, dn) = way.back(step, [to_n, factors, z, reset], 2)
    return way.cotangents(concat(da, dn, axis=-1), [(da, before), (dn, kept)], False, first)


def lstm(way: Way, **_: Any) -> Cotangents:
    """`dc_t += o (1 - tanh(c_t)^2) dh_t`; all gates get `dc_t` with a factor but o, which gets `dh_t` with one.

    The cells `c_t = f c_{t-1} + i n` are the one thing that the kernel does not give and takes a scan.
    """
    before = way.before()
    product = gemm(rows(way.x), way.w, sum_of_biases(way.b), transB=True)
    i, o, f, n = way.gates(gemm(rows(before), way.r, product, transB=True), 4)
    i, o, f, n = sigmoid(i), sigmoid(o), sigmoid(f), tanh(n)
    new = i * n

    def cell(c: Value, f: Value, new: Value) -> tuple[list[Value], list[Value]]:
        kept = f * c
        return [kept + new], [kept]

    kept = way.forth(cell, way.states[1:], [f, new])
    c = tanh(kept + new)
    h = o * c
    factors = concat(new * (1.0 - i), h * (1.0 - o), kept * (1.0 - f), i - new * n, axis=-1)

    def step(dh: Value, dc: Value, factors: Value, to_c: Value, f: Value) -> tuple[list[Value], list[Value]]:
        dc = dc + dh * to_c
        da = concat(dc, dh, dc, dc, axis=-1) * factors
        return [matmul(da, way.r), dc * f], [da]

    first, (da,) = way.back(step, [factors, o - h * c, f], 1)
    return way.cotangents(da, [(da, before)], False, first)
