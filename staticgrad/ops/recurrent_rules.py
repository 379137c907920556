"""The derivative of recurrent layers of the usual kind, with activations that can be told from what they gave.

A layer runs once more as a scan that keeps what its gates were; `staticgrad.optimise` lets that stand for the layer
itself. All that can be computed for all steps at once is: factors, and one product for each weight's cotangent. Only
what a step needs of the next one stays in a scan against time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from staticgrad.graph import Graph, Node, Value
from staticgrad.ops.activation import relu, sigmoid
from staticgrad.ops.bodies import formal, scan
from staticgrad.ops.control_flow import scan_operator
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import full_like, reshape_like, transposed, zeros_like
from staticgrad.ops.linear import gemm, matmul, rows
from staticgrad.ops.logic import greater, where
from staticgrad.ops.math import tanh
from staticgrad.ops.recurrent_layer import DIRECTIONS, joined, parts_of, sum_of_biases, zero_state
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import LARGEST_SIZE, constant
from staticgrad.ops.shape import concat, reshape, shape, split, squeeze, transpose, unsqueeze
from staticgrad.ops.slicing import slice_
from staticgrad.types import TensorType

AGAIN = "again"
"""The body of the scan that runs a layer once more. Its last inputs are those of the layer, which nothing in it uses:
they say which layer it runs, also where others have taken the place of values. `whole_of` gives the states `h_t`."""


class Cotangents(NamedTuple):
    """What goes back to the inputs of one direction."""

    x: Value
    w: Value
    r: Value
    b: Value
    states: Sequence[Value]


class Way:
    """One direction of a layer: its inputs, and what comes back to its outputs."""

    def __init__(
        self,
        reverse: bool,
        own: Callable[[Value | None, int], Value | None],
        g: Sequence[Value | None],
        x: Value,
        weights: Sequence[Value | None],
        states: Sequence[Value | None],
        given: Sequence[Value],
    ) -> None:
        self.given = given
        w, r, self.b = (own(v, 0) for v in weights)
        assert w is not None and r is not None
        self.reverse, self.x, self.w, self.r = reverse, x, w, r
        begin = [own(v, 0) for v in states]
        self.states = [zero_state(x, r) if v is None else v for v in begin]
        self.g = own(g[0], 1)
        last = [own(v, 0) for v in g[1:]]
        self.last = [zeros_like(s) if v is None else v for v, s in zip(last, self.states, strict=True)]

    def inputs(self, w: Value, b: Value | None) -> Value:
        """The product of all inputs with a part of the weight, and its bias."""
        product = gemm(rows(self.x), w, b, transB=True)
        sizes = (*self.x.type.shape[:2], product.type.shape[1])
        dynamic = [size for size in sizes if not isinstance(size, int)]
        if len(dynamic) < 2 and 0 not in sizes:
            target = constant(np.array([size if isinstance(size, int) else -1 for size in sizes]))
        else:
            target = concat(shape(self.x, start=0, end=2), [sizes[2]], axis=0)
        how = {"allowzero": len(dynamic) > 1 or 0 in sizes}
        result: Value = reshape.apply((product, target), how, (TensorType(product.type.dtype, sizes),)).outputs[0]
        return result

    def again(self, step: Callable[..., Any], sequences: Sequence[Value], kept: int) -> list[Value]:
        """The states `h_{t-1}` and `h_t` of all steps, and what `step` keeps, without `h_t` itself if it does so."""
        way, axis = [int(self.reverse)], [0]
        _, (stacked, *_) = scan(
            step,
            self.states,
            sequences,
            input_directions=way * len(sequences),
            output_directions=way * kept,
        )
        run = _beside(stacked.node, self.given)
        others = list(run.outputs[len(self.states) :])
        whole = whole_of(run, len(self.states))
        if whole is others[0]:
            del others[0]
        first = unsqueeze(self.states[0], axis)
        if self.reverse:
            parts = slice_(whole, [1], [LARGEST_SIZE], axis), first
        else:
            parts = first, slice_(whole, [0], [-1], axis)
        return [concat.apply(parts, {"axis": 0}, (whole.type,)).outputs[0], whole, *others]

    def back(
        self, step: Callable[..., Any], factors: Sequence[Value], outputs: int
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        """The cotangents of the first states, and what comes of `step(h's cotangent, further ones, *factors)`."""
        sequences = [*factors] if self.g is None else [*factors, self.g]

        def whole_step(*values: Value) -> Any:
            return step(*values) if self.g is None else step(values[0] + values[-1], *values[1:-1])

        way = [1 - int(self.reverse)]
        return scan(
            whole_step,
            self.last,
            sequences,
            input_directions=way * len(sequences),
            output_directions=way * outputs,
        )

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


def whole_of(run: Node, states: int) -> Value:
    """The states `h_t` of all steps that a scan with so many states ran."""
    first, *others = run.outputs[states:]
    # Of an LSTM they are products of what it keeps: a copy of them at every step would cost more.
    return others[0] * others[-1] if states == 2 else first


def _beside(run: Node, given: Sequence[Value]) -> Node:
    """A scan that takes `given` besides all that it uses."""
    body = run.attributes["body"]
    formals = {f"given{i}": formal(f"given{i}", v.type) for i, v in enumerate(given)}
    again = Graph(AGAIN, {**body.inputs, **formals}, body.outputs, captures=body.captures + len(given))
    return scan_operator.apply((*run.inputs, *given), {**run.attributes, "body": again}, [y.type for y in run.outputs])


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
        states = list(further[: len(y) - 1])
        given = [v for v in (x, w, r, b, *states) if v is not None]
        if layout == 1:
            x, *states = (_batch_second(v) for v in (x, *states))
            g = [None if g[0] is None else transpose(g[0], perm=(1, 2, 0, 3)), *(_batch_second(v) for v in g[1:])]
        found = []
        for position, reverse in enumerate(DIRECTIONS[direction]):

            def own(v: Value | None, axis: int, position: int = position) -> Value | None:
                if v is None:
                    return None
                return squeeze(v, [axis]) if count == 1 else gather(v, constant(np.array(position)), axis=axis)

            found.append(backward(Way(reverse, own, g, x, (w, r, b), states, given), position=position, **how))
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
    linear = activations is not None and activations[position].lower() == "relu"
    recurrent = transposed(way.r)

    def forth(h: Value, a: Value) -> tuple[list[Value], list[Value]]:
        following = (relu if linear else tanh)(gemm(h, recurrent, a))
        return [following], [following]

    before, h = way.again(forth, [way.inputs(way.w, sum_of_biases(way.b))], 1)
    slope = where(greater(h, 0), full_like(h, 1), full_like(h, 0)) if linear else 1.0 - h * h

    def step(dh: Value, slope: Value) -> tuple[list[Value], list[Value]]:
        da = dh * slope
        return [matmul(da, way.r)], [da]

    first, (da,) = way.back(step, [slope], 1)
    return way.cotangents(da, [(da, before)], False, first)


def gru(way: Way, *, linear_before_reset: bool, **_: Any) -> Cotangents:
    """With `h_t = (1 - z) n + z h_{t-1}`, `dn = (1 - z) dh_t` and `dz = (h_{t-1} - n) dh_t`."""
    return _gru_linear(way) if linear_before_reset else _gru_reset(way)


def _gru_linear(way: Way) -> Cotangents:
    """`n = tanh(W x_t + r q)` with `q = R h_{t-1} + b`: all that goes back to R is `dh_t` with factors."""
    size, recurrent = way.r.type.shape[-1], transposed(way.r)
    of_inputs, of_states = (None, None) if way.b is None else parts_of(way.b, 2)

    def forth(h: Value, gates: Value, n: Value) -> tuple[list[Value], list[Value]]:
        product, q = split(gemm(h, recurrent, of_states), [2 * size, size], axis=-1)
        z, reset = parts_of(sigmoid(gates + product), 2)
        n = tanh(n + reset * q)
        change = h - n
        following = n + z * change
        return [following], [following, z, reset, n, q, change]

    before, _, z, reset, n, q, change = way.again(forth, _gates_and_candidate(way, of_inputs), 6)
    new = 1.0 - z
    to_n = new * (1.0 - n * n)
    to_q = to_n * reset
    factors = concat(change * (z * new), to_q * q * (1.0 - reset), to_q, axis=-1)

    def step(dh: Value, factors: Value, z: Value) -> tuple[list[Value], list[Value]]:
        da = concat(dh, dh, dh, axis=-1) * factors
        return [gemm(da, way.r, dh * z)], [da, dh]

    first, (da, dh) = way.back(step, [factors, z], 2)
    gates, _ = split(da, [2 * size, size], axis=-1)
    return way.cotangents(concat(gates, dh * to_n, axis=-1), [(da, before)], True, first)


def _gates_and_candidate(way: Way, b: Value | None) -> list[Value]:
    """The products of all inputs, for z and r and for n."""
    size = way.r.type.shape[-1]
    gates, candidate = split(way.w, [2 * size, size], axis=0)
    of_gates, of_candidate = (None, None) if b is None else split(b, [2 * size, size], axis=0)
    return [way.inputs(gates, of_gates), way.inputs(candidate, of_candidate)]


def _gru_reset(way: Way) -> Cotangents:
    """`n = tanh(W x_t + R (r h_{t-1}) + b)`: `dh_t` goes through two products with parts of R, one after the other."""
    size = way.r.type.shape[-1]
    of_gates, of_candidate = split(way.r, [2 * size, size], axis=0)
    to_gates, to_candidate = transposed(of_gates), transposed(of_candidate)

    def forth(h: Value, gates: Value, n: Value) -> tuple[list[Value], list[Value]]:
        z, reset = parts_of(sigmoid(gemm(h, to_gates, gates)), 2)
        kept = reset * h
        n = tanh(gemm(kept, to_candidate, n))
        change = h - n
        following = n + z * change
        return [following], [following, z, reset, n, kept, change]

    before, _, z, reset, n, kept, change = way.again(forth, _gates_and_candidate(way, sum_of_biases(way.b)), 6)
    new = 1.0 - z
    factors = concat(change * (z * new), kept * (1.0 - reset), axis=-1)

    def step(dh: Value, to_n: Value, factors: Value, z: Value, reset: Value) -> tuple[list[Value], list[Value]]:
        dn = dh * to_n
        to_kept = matmul(dn, of_candidate)
        da = concat(dh, to_kept, axis=-1) * factors
        return [gemm(da, of_gates, dh * z + to_kept * reset)], [da, dn]

    first, (da, dn) = way.back(step, [new * (1.0 - n * n), factors, z, reset], 2)
    return way.cotangents(concat(da, dn, axis=-1), [(da, before), (dn, kept)], False, first)


def lstm(way: Way, **_: Any) -> Cotangents:
    """`dc_t += o (1 - tanh(c_t)^2) dh_t`; all gates get `dc_t` with a factor but o, which gets `dh_t` with one."""
    recurrent = transposed(way.r)

    def forth(h: Value, c: Value, a: Value) -> tuple[list[Value], list[Value]]:
        i, o, f, n = parts_of(gemm(h, recurrent, a), 4)
        i, o, f, n = sigmoid(i), sigmoid(o), sigmoid(f), tanh(n)
        kept, new = f * c, i * n
        following = kept + new
        bounded = tanh(following)
        return [o * bounded, following], [i, o, f, n, kept, new, bounded]

    before, h, i, o, f, n, kept, new, c = way.again(forth, [way.inputs(way.w, sum_of_biases(way.b))], 7)
    factors = concat(new * (1.0 - i), h * (1.0 - o), kept * (1.0 - f), i - new * n, axis=-1)

    def step(dh: Value, dc: Value, factors: Value, to_c: Value, f: Value) -> tuple[list[Value], list[Value]]:
        dc = dc + dh * to_c
        da = concat(dc, dh, dc, dc, axis=-1) * factors
        return [matmul(da, way.r), dc * f], [da]

    first, (da,) = way.back(step, [factors, o - h * c, f], 1)
    return way.cotangents(da, [(da, before)], False, first)
