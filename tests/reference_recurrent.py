"""Recurrent layers in Python, one sequence and one step after another, for onnxruntime has them in float32 only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: dict[str, tuple[tuple[float, ...], Callable[..., Array]]] = {
    "Relu": ((), lambda x: np.maximum(x, 0)),
    "Tanh": ((), np.tanh),
    "Sigmoid": ((), sigmoid),
    "Softsign": ((), lambda x: x / (1 + np.abs(x))),
    "Softplus": ((), lambda x: np.logaddexp(x, 0)),
    "LeakyRelu": ((0.01,), lambda x, a: np.where(x >= 0, x, a * x)),
    "Elu": ((1.0,), lambda x, a: np.where(x >= 0, x, a * np.expm1(x))),
    "ThresholdedRelu": ((0.0,), lambda x, a: np.where(x > a, x, 0)),
    "HardSigmoid": ((0.2, 0.5), lambda x, a, b: np.clip(a * x + b, 0, 1)),
    "Affine": ((0.0, 0.0), lambda x, a, b: a * x + b),
    "ScaledTanh": ((0.0, 0.0), lambda x, a, b: a * np.tanh(b * x)),
}


def layer(
    cell: Callable[..., list[Array]],
    default: Sequence[str],
    x: Array,
    weights: Sequence[Array | None],
    lengths: Array | None,
    states: Sequence[Array | None],
    attributes: dict[str, Any],
) -> tuple[Array, ...]:
    """`cell(x_t, states, weights, functions)` over every sequence in every direction."""
    layout, direction = attributes.get("layout") or 0, attributes.get("direction") or "forward"
    if layout:
        x = x.transpose(1, 0, 2)
        states = [None if s is None else s.transpose(1, 0, 2) for s in states]
    reversals = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    names = attributes.get("activations") or list(default) * len(reversals)
    left = [list(attributes.get("activation_alpha") or []), list(attributes.get("activation_beta") or [])]
    functions: list[Callable[[Array], Array]] = []
    for name in names:
        defaults, function = FUNCTIONS[name]
        numbers = [rest.pop(0) if rest else d for rest, d in zip(left, defaults, strict=False)]
        functions.append(lambda v, f=function, n=numbers: f(v, *n))  # type: ignore[misc]
    each = len(functions) // len(reversals)
    steps, batch, _ = x.shape
    weight = weights[1]
    assert weight is not None
    hidden = weight.shape[-1]
    ys = np.zeros((steps, len(reversals), batch, hidden), x.dtype)
    lasts = [np.zeros((len(reversals), batch, hidden), x.dtype) for _ in states]
    clip = attributes.get("clip")
    for d, reverse in enumerate(reversals):
        own = functions[d * each : (d + 1) * each]
        clipped = [
            f if clip is None else (lambda v, f=f: f(np.clip(v, -clip, clip)))  # type: ignore[misc]
            for f in own
        ]
        given = [None if w is None else w[d] for w in weights]
        for n in range(batch):
            length = steps if lengths is None else int(lengths[n])
            current = [np.zeros(hidden, x.dtype) if s is None else s[d, n] for s in states]
            for t in range(length)[:: -1 if reverse else 1]:
                current = cell(x[t, n], current, given, clipped, own)
                ys[t, d, n] = current[0]
            if length:
                for last, state in zip(lasts, current, strict=True):
                    last[d, n] = state
    if layout:
        return ys.transpose(2, 0, 1, 3), *[last.transpose(1, 0, 2) for last in lasts]
    return ys, *lasts


def halves(b: Array | None, size: int, x: Array) -> tuple[Array, Array]:
    return (b[:size], b[size:]) if b is not None else (np.zeros(size, x.dtype), np.zeros(size, x.dtype))


class RNN(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(self, x, w, r, b=None, lengths=None, h=None, **attributes):  # type: ignore[no-untyped-def]
        def cell(x, states, weights, functions, _):  # type: ignore[no-untyped-def]
            w, r, b = weights
            wb, rb = halves(b, len(r), x)
            return [functions[0](w @ x + r @ states[0] + wb + rb)]

        return layer(cell, ["Tanh"], x, (w, r, b), lengths, [h], attributes)


class GRU(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(self, x, w, r, b=None, lengths=None, h=None, linear_before_reset=0, **attributes):  # type: ignore[no-untyped-def]
        def cell(x, states, weights, functions, _):  # type: ignore[no-untyped-def]
            w, r, b = weights
            (h,) = states
            wb, rb = (np.split(v, 3) for v in halves(b, len(r), x))
            wz, wr, wn = np.split(w, 3)
            rz, rr, rn = np.split(r, 3)
            z = functions[0](wz @ x + rz @ h + wb[0] + rb[0])
            reset = functions[0](wr @ x + rr @ h + wb[1] + rb[1])
            turned = reset * (rn @ h + rb[2]) if linear_before_reset else rn @ (reset * h) + rb[2]
            return [(1 - z) * functions[1](wn @ x + turned + wb[2]) + z * h]

        return layer(cell, ["Sigmoid", "Tanh"], x, (w, r, b), lengths, [h], attributes)


class LSTM(OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(self, x, w, r, b=None, lengths=None, h=None, c=None, p=None, input_forget=0, **attributes):  # type: ignore[no-untyped-def]
        def cell(x, states, weights, functions, unclipped):  # type: ignore[no-untyped-def]
            w, r, b, p = weights
            h, c = states
            wb, rb = halves(b, len(r), x)
            i, o, f, n = np.split(w @ x + r @ h + wb + rb, 4)
            pi, po, pf = np.split(np.zeros(3 * len(h), x.dtype) if p is None else p, 3)
            i = functions[0](i + pi * c)
            f = 1 - i if input_forget else functions[0](f + pf * c)
            c = f * c + i * functions[1](n)
            # onnxruntime does not clip what goes into this one.
            return [functions[0](o + po * c) * unclipped[2](c), c]

        return layer(cell, ["Sigmoid", "Tanh", "Tanh"], x, (w, r, b, p), lengths, [h, c], attributes)


OPERATORS = [RNN, GRU, LSTM]
