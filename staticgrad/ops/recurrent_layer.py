"""A recurrent layer as a product of all its inputs and a scan over time, whose step is a cell.

Activations take `activation_alpha` and `activation_beta` in turn, those of them that have such a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from staticgrad.graph import Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.activation import relu, sigmoid
from staticgrad.ops.arithmetic import clip as limited
from staticgrad.ops.bodies import scan
from staticgrad.ops.creation import range_
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import full_like, stored, transposed
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import greater, less, where
from staticgrad.ops.math import exp, log, tanh
from staticgrad.ops.registry import constant
from staticgrad.ops.shape import concat, expand, shape, split, squeeze, transpose, unsqueeze

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
ACTIVATIONS: dict[str, tuple[tuple[float | None, ...], Callable[..., Value]]] = {
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
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def numbers_of(
    names: Sequence[str], alpha: Sequence[float] | None, beta: Sequence[float] | None
) -> list[tuple[float | None, ...]]:
    """The numbers of each activation; None where there is neither one given nor a default."""
    left = [list(alpha or ()), list(beta or ())]
    found = []
    for name in names:
        defaults = ACTIVATIONS[name.lower()][0]
        found.append(tuple(rest.pop(0) if rest else d for rest, d in zip(left, defaults, strict=False)))
    return found


class Direction:
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


Cell = Callable[[Direction, int], tuple[Value | None, Callable[..., list[Value]]]]


def layer(
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
    names = activations or tuple(default) * len(DIRECTIONS[direction])
    numbers = numbers_of(names, activation_alpha, activation_beta)
    functions = [_activation(name, given) for name, given in zip(names, numbers, strict=True)]
    each = len(functions) // len(DIRECTIONS[direction])
    valid = None if sequence_lens is None else _valid(x, sequence_lens)
    wholes, lasts = [], []
    for position, reverse in enumerate(DIRECTIONS[direction]):
        own = functions[position * each : (position + 1) * each]
        whole, last = _direction(
            cell, gates, x, valid, sequence_lens, Direction(position, reverse, weights, states, own, clip)
        )
        wholes.append(unsqueeze(whole, [1]))
        lasts.append([unsqueeze(v, [0]) for v in last])
    results = [joined(wholes, 1), *[joined(parts, 0) for parts in zip(*lasts, strict=True)]]
    if layout == 1:
        results = [transpose(results[0], perm=(2, 0, 1, 3)), *[transpose(v, perm=(1, 0, 2)) for v in results[1:]]]
    return tuple(results)


def joined(parts: Sequence[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else concat(*parts, axis=axis)


def _activation(name: str, numbers: Sequence[float | None]) -> Activation:
    function = ACTIVATIONS[name.lower()][1]
    return lambda x: function(x, *numbers)


def _valid(x: Value, sequence_lens: Value) -> Value:
    """Whether a step is one of a sequence or behind its end, of shape (time, batch, 1)."""
    times = squeeze(shape(x, start=0, end=1), [0])
    steps = OPERATORS["Cast"](range_(np.array(0), times, np.array(1)), to=sequence_lens.type.dtype)
    return unsqueeze(less(unsqueeze(steps, [1]), sequence_lens), [2])


def _direction(
    cell: Cell, gates: int, x: Value, valid: Value | None, sequence_lens: Value | None, given: Direction
) -> tuple[Value, list[Value]]:
    assert given.w is not None and given.r is not None
    bias, step = cell(given, gates)
    inputs = matmul(x, transposed(given.w))
    inputs = inputs if bias is None else inputs + bias
    begin = [zero_state(x, given.r) if v is None else v for v in given.states]

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


def zero_state(x: Value, r: Value) -> Value:
    """A state of zeros, of shape (batch, hidden)."""
    extent = concat(shape(x, start=1, end=2), shape(r, start=1, end=2), axis=0)
    return expand(full_like(x, 0), extent)


def parts_of(x: Value, count: int) -> tuple[Value, ...]:
    """`x` in even parts along its last axis."""
    size = x.type.shape[-1]
    if isinstance(size, int):
        return split(x, constant(np.full(count, size // count, np.int64)), axis=-1)
    return split(x, num_outputs=count, axis=-1)


def sum_of_biases(b: Value | None) -> Value | None:
    if b is None:
        return None
    of_inputs, of_states = parts_of(b, 2)
    return of_inputs + of_states
