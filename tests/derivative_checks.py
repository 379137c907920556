"""A function of arrays against central differences: gradients, those of gradients, and the transposed product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from evaluation import Evaluator
from numpy.typing import NDArray

import staticgrad as sg
from staticgrad.graph import Leaf, Value

Array = NDArray[Any]


def _like(name: str, value: Value) -> Value:
    return Leaf("input", name, value.type).outputs[0]


def _weights(seed: int, shape: Sequence[int]) -> Array:
    return np.random.default_rng([seed, *shape]).uniform(0.5, 1.5, tuple(shape))


def numeric_vjp(
    run: Callable[..., list[Array]], feeds: Mapping[str, Array], name: str, cotangents: Sequence[Array], step: float
) -> Array:
    """The vjp of the first results of `run`, as many as there are cotangents, by central differences."""
    result = np.zeros(feeds[name].shape)
    for i in np.ndindex(result.shape):
        sides = []
        for h in (step, -step):
            moved = feeds[name].copy()
            moved[i] += h
            sides.append(
                sum(float((c * y).sum()) for c, y in zip(cotangents, run({**feeds, name: moved}), strict=True))
            )
        result[i] = (sides[0] - sides[1]) / (2 * step)
    return result


def check(
    build: Callable[..., Any],
    *arrays: Array,
    sizes: str = "fixed",
    fixed: int = 0,
    second: bool = True,
    dtype: str = "float64",
) -> list[Array]:
    """Compare all derivatives of `build`, in float64 arrays; gives its values.

    The sizes of the last `fixed` arrays are known in any case.
    """
    exact = dtype == "float64"
    step, close = (1e-6, {"rtol": 2e-7, "atol": 5e-8}) if exact else (1e-2, {"rtol": 2e-3, "atol": 2e-3})
    arrays = tuple(a.astype(dtype) if a.dtype == np.float64 else a for a in arrays)
    shapes = [
        tuple({"fixed": d, "named": f"D{d}", "unknown": None}[sizes if i < len(arrays) - fixed else "fixed"] for d in s)
        for i, s in enumerate(a.shape for a in arrays)
    ]
    shapes = [tuple(1 if d == "D1" else d for d in s) for s in shapes]
    leaves = [sg.input(f"x{i}", s, str(a.dtype)) for i, (a, s) in enumerate(zip(arrays, shapes, strict=True))]
    feeds = {f"x{i}": a for i, a in enumerate(arrays)}
    made = build(*leaves)
    everything = list(made) if isinstance(made, tuple) else [made]
    values = Evaluator(leaves, everything)(feeds)
    for y, value in zip(everything, values, strict=True):
        assert y.type.dtype.numpy == value.dtype and len(y.type.shape) == value.ndim
        assert all(not isinstance(d, int) or d == n for d, n in zip(y.type.shape, value.shape, strict=True)), y
    outputs = [y for y in everything if y.type.dtype.is_float]
    inputs = [x for x in leaves if x.type.dtype.is_float]
    gs = [_like(f"g{i}", y) for i, y in enumerate(outputs)]
    shapes_of = [v.shape for v, y in zip(values, everything, strict=True) if y.type.dtype.is_float]
    feeds |= {f"g{i}": _weights(i, s).astype(dtype) for i, s in enumerate(shapes_of)}
    pulled = list(sg.vjp(outputs, inputs, gs))
    assert [g.type for g in pulled] == [x.type for x in inputs]
    plain = Evaluator([*leaves, *gs], pulled)(feeds)
    run = Evaluator(leaves, outputs)
    cotangents = [feeds[g.name or ""] for g in gs]
    for x, found in zip(inputs, plain, strict=True):
        np.testing.assert_allclose(found, numeric_vjp(run, feeds, x.name or "", cotangents, step), **close)
    # The same rewritten, with the jvp.
    ts = [_like(f"t{i}", x) for i, x in enumerate(inputs)]
    feeds |= {f"t{i}": _weights(50 + i, feeds[x.name or ""].shape).astype(dtype) for i, x in enumerate(inputs)}
    pushed = list(sg.jvp(outputs, inputs, ts))
    assert [p.type for p in pushed] == [y.type for y in outputs]
    found = Evaluator(leaves, everything, rewritten=True)(feeds)
    found += Evaluator([*leaves, *gs, *ts], [*pulled, *pushed], rewritten=True)(feeds)
    for a, b in zip(found, [*values, *plain], strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-12 if exact else 1e-5, atol=1e-12 if exact else 1e-5)
    left = sum(float((c * p).sum()) for c, p in zip(cotangents, found[len(values) + len(plain) :], strict=True))
    right = sum(float((feeds[t.name or ""] * p).sum()) for t, p in zip(ts, plain, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-11 if exact else 1e-4)
    if second:
        wrt = [*inputs, *gs]
        twice = Evaluator([*leaves, *gs, *ts], list(sg.vjp(pulled, wrt, ts)), rewritten=True)(feeds)
        run = Evaluator([*leaves, *gs], pulled)
        directions = [feeds[t.name or ""] for t in ts]
        for x, number in zip(wrt, twice, strict=True):
            np.testing.assert_allclose(number, numeric_vjp(run, feeds, x.name or "", directions, step), **close)
    return values
