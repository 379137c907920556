"""Recurrent layers, with PyTorch's parameters and gates in its order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from staticgrad import ops
from staticgrad.declare import parameter
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value
from staticgrad.nn import init
from staticgrad.nn.layers import Module, positive
from staticgrad.origin import source_line


class _Recurrent(Module):
    """Layers one above the other, each over what the one below gives.

    The parameters `<name>/weight_ih_l<k>`, `weight_hh_l<k>`, `bias_ih_l<k>` and `bias_hh_l<k>`, and with
    `bidirectional` those with `_reverse` behind, start uniform within 1 / sqrt(hidden_size) of 0.
    """

    operator: Any
    order: tuple[int, ...]
    """Where each of the operator's gates stands among PyTorch's."""
    states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        name: str | None = None,
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        self.hidden_size, self.num_layers, self.batch_first = hidden_size, num_layers, batch_first
        self.suffixes = ("", "_reverse")[: 1 + bool(bidirectional)]
        self.keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if bias else 2]
        rows, bound = len(self.order) * hidden_size, 1 / math.sqrt(hidden_size)
        stem = name or type(self).__name__.lower()
        for layer in range(num_layers):
            columns = hidden_size * len(self.suffixes) if layer else input_size
            shapes = {"weight_ih": (rows, columns), "weight_hh": (rows, hidden_size)}
            for suffix in self.suffixes:
                for key in self.keys:
                    own = f"{key}_l{layer}{suffix}"
                    start = init.uniform(shapes.get(key, (rows,)), -bound, bound, dtype, seed)
                    setattr(self, own, parameter(f"{stem}/{own}", start))

    def __call__(self, x: Value, states: Any = None) -> Any:
        return self.forward(x, states)

    def forward(self, x: Value, states: Any = None) -> Any:
        """All states of the last layer, and the last states of all layers."""
        begin = self._begin(states)
        if len(x.type.shape) != 3:
            raise DeclarationError(f"a batch of sequences, of rank 3, is expected, {x.type} came ({source_line()})")
        if self.batch_first:
            x = ops.transpose(x, perm=(1, 0, 2))
        lasts: list[list[Value]] = [[] for _ in range(self.states)]
        count = len(self.suffixes)
        for layer in range(self.num_layers):
            first = [None if v is None else v[layer * count : (layer + 1) * count] for v in begin]
            whole, *last = self._layer(layer, x, first)
            parts = [ops.squeeze(y, [1]) for y in ops.split(whole, [1] * count, axis=1)] if count > 1 else []
            x = ops.concat(*parts, axis=2) if parts else ops.squeeze(whole, [1])
            for found, value in zip(lasts, last, strict=True):
                found.append(value)
        if self.batch_first:
            x = ops.transpose(x, perm=(1, 0, 2))
        return x, self._last([v[0] if len(v) == 1 else ops.concat(*v, axis=0) for v in lasts])

    def _layer(self, layer: int, x: Value, states: Sequence[Value | None]) -> tuple[Value, ...]:
        """The outputs of the operator."""

        def stacked(key: str) -> Value:
            parts = [ops.unsqueeze(self._ordered(getattr(self, f"{key}_l{layer}{s}")), [0]) for s in self.suffixes]
            return parts[0] if len(parts) == 1 else ops.concat(*parts, axis=0)

        w, r, *biases = (stacked(key) for key in self.keys)
        b = ops.concat(*biases, axis=1) if biases else None
        direction = "bidirectional" if len(self.suffixes) == 2 else "forward"
        how = self._how(len(self.suffixes))
        made: tuple[Value, ...] = self.operator(
            x, w, r, b, None, *states, hidden_size=self.hidden_size, direction=direction, **how
        )
        return made

    def _ordered(self, v: Value) -> Value:
        """A parameter with its gates in the operator's order."""
        if self.order == tuple(range(len(self.order))):
            return v
        gates = ops.split(v, [self.hidden_size] * len(self.order), axis=0)
        return ops.concat(*(gates[place] for place in self.order), axis=0)

    def _how(self, directions: int) -> dict[str, Any]:
        """Further attributes of the operator."""
        return {}

    def _begin(self, states: Any) -> Sequence[Value | None]:
        if states is not None and not isinstance(states, Value):
            raise DeclarationError(f"the first states are one Value, {shown(states)} came ({source_line()})")
        return [states]

    def _last(self, states: Sequence[Value]) -> Any:
        return states[0]


class RNN(_Recurrent):
    """`h_t = tanh(W x_t + R h_{t-1} + b)`, or relu by `nonlinearity`: (time, batch, input_size) -> `(output, h)`.

    The output is (time, batch, directions * hidden_size), or (batch, time, ...) of such with `batch_first`; `h` holds
    the last states, (num_layers * directions, batch, hidden_size), and may be given to begin with. The parameters
    `<name>/weight_ih_l<k>`, ... are PyTorch's.
    """

    operator = ops.rnn
    order = (0,)

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", **how: Any
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise DeclarationError(f"nonlinearity is 'tanh' or 'relu', {shown(nonlinearity)} came ({source_line()})")
        super().__init__(input_size, hidden_size, num_layers, **how)
        self.nonlinearity = nonlinearity

    def _how(self, directions: int) -> dict[str, Any]:
        return {} if self.nonlinearity == "tanh" else {"activations": ("Relu",) * directions}


class GRU(_Recurrent):
    """Gated recurrent units: (time, batch, input_size) -> `(output, h)`, see `RNN`. Gates are in the order r, z, n."""

    operator = ops.gru
    order = (1, 0, 2)

    def _how(self, directions: int) -> dict[str, Any]:
        return {"linear_before_reset": True}


class LSTM(_Recurrent):
    """Long short-term memory: (time, batch, input_size) -> `(output, (h, c))`, see `RNN`. Gates: i, f, g, o."""

    operator = ops.lstm
    order = (0, 3, 1, 2)
    states = 2

    def _begin(self, states: Any) -> Sequence[Value | None]:
        if states is None:
            return [None, None]
        if not isinstance(states, (tuple, list)) or len(states) != 2 or not all(isinstance(v, Value) for v in states):
            raise DeclarationError(f"the first states are (h, c), {shown(states)} came ({source_line()})")
        return states

    def _last(self, states: Sequence[Value]) -> Any:
        return tuple(states)
