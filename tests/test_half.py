"""Every function in float16 on onnxruntime against the same in float32, and the types of bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation import Array
from function_rows.row import Row
from test_eager_functions import cotangent, identify
from test_functions import SHARED, Call

import staticgrad as sg
from staticgrad.graph import Leaf, Value

UNIT = 2.0**-10
"""The distance of 1 to the next number of float16."""

CANCELLING = {
    "cosine_similarity": "the length of a vector does not matter: terms of the size of 1 cancel in its gradient",
}
"""Functions whose results may be as far off as those of numbers around 1, and why."""


class Half(Call):
    """A function with its gradients, in float16 or in float32 of the numbers that float16 holds."""

    def __init__(self, row: Row, dtype: str) -> None:
        super().__init__(row, dtype)
        exact = {name: a.dtype.name for name, a in self.feeds.items()}
        for name, a in self.feeds.items():
            if a.dtype.kind == "f":
                self.feeds[name] = a.astype("float16").astype(exact[name])

    def with_gradients(self) -> tuple[list[Value], list[Value]]:
        """All results and gradients, and the cotangents that they take."""
        inputs = [x for x in self.leaves if x.type.dtype.is_float]
        floats = [y for y in self.outputs if y.type.dtype.is_float]
        seeds = [Leaf("input", f"g{i}", y.type).outputs[0] for i, y in enumerate(floats)]
        gradients = list(sg.vjp(floats, inputs, seeds)) if floats and inputs else []
        assert [g.type for g in gradients] == [x.type for x in inputs]
        return [*self.outputs, *gradients], seeds

    def results(self) -> list[Array]:
        outputs, seeds = self.with_gradients()
        values = run(self.outputs, self.leaves, self.feeds)
        floats = [y for y in values if y.dtype.kind == "f"]
        for i, (seed, y) in enumerate(zip(seeds, floats, strict=True)):
            self.feeds[seed.name or ""] = cotangent(y, i).astype("float16").astype(y.dtype)
        return run(outputs, [*self.leaves, *seeds], self.feeds)


def run(outputs: list[Value], inputs: list[Value], feeds: dict[str, Array]) -> list[Array]:
    given = {x.name or "": feeds[x.name or ""] for x in inputs}
    return list(sg.function(outputs, inputs)(**given))


@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_float16_is_float32_to_its_own_precision(row: Row) -> None:
    expected = Half(row, "float32").results()
    found = Half(row, "float16").results()
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        asked = row.name in ("to", "double") or "dtype" in row.kwargs
        assert y.dtype == z.dtype or (z.dtype == np.float32 and y.dtype == np.float16)
        assert asked or z.dtype != np.float32 or y.dtype == np.float16
        scale = float(np.abs(z[np.isfinite(z)]).max(initial=0)) if z.dtype.kind == "f" else 0.0
        if row.name in CANCELLING:
            scale = max(scale, 1.0)
        np.testing.assert_allclose(y.astype(np.float64), z.astype(np.float64), rtol=8 * UNIT, atol=8 * UNIT * scale)


@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_bfloat16_is_kept(row: Row) -> None:
    call, exact = Half(row, "bfloat16"), Half(row, "float32")
    outputs, _ = call.with_gradients()
    wanted, _ = exact.with_gradients()
    for y, z in zip(outputs, wanted, strict=True):
        assert str(y.dtype) == {"float32": "bfloat16"}.get(str(z.dtype), str(z.dtype))
        assert y.shape == z.shape


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_padding_that_only_the_run_knows(mode: str) -> None:
    """Sums of float16 at positions, for which onnxruntime has no kernel."""
    x, pads = sg.input("x", ["N", 3], "float16"), sg.input("pads", [4], "int64")
    loss = sg.ops.pad(x, pads, mode=mode).sum()
    found = sg.function(sg.grad(loss, x), [x, pads])(x=np.ones((3, 3), np.float16), pads=np.array([1, 0, 0, 1]))
    assert found.dtype == np.float16 and found.sum() == 16
