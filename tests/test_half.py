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

ADDED_IN_PLACES = "onnxruntime's CPU provider adds no float16 at positions, and says so only when it runs"
REFUSED_WHEN_RUN = {
    name: ADDED_IN_PLACES
    for name in ("max", "min", "gather", "scatter_add", "index_select", "embedding", "cross_entropy", "nll_loss")
}
"""Functions of which some rows stop with an error that names a Scatter operator, and why."""


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
        f = sg.function(outputs, [*self.leaves, *seeds])
        for i, seed in enumerate(seeds):
            shape = tuple(d for d in seed.type.shape if isinstance(d, int))
            assert len(shape) == len(seed.type.shape)
            g = cotangent(np.zeros(shape), i).astype("float16")
            self.feeds[seed.name or ""] = g.astype(seed.type.dtype.numpy)
        found = f(**self.feeds)
        return list(found) if isinstance(found, tuple | list) else [found]


@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_float16_is_float32_to_its_own_precision(row: Row) -> None:
    expected = Half(row, "float32").results()
    try:
        found = Half(row, "float16").results()
    except sg.RunError as error:
        assert row.name in REFUSED_WHEN_RUN and "Scatter" in str(error), error
        return
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        asked = row.name in ("to", "double") or "dtype" in row.kwargs
        assert y.dtype == z.dtype or (z.dtype == np.float32 and y.dtype == np.float16)
        assert asked or z.dtype != np.float32 or y.dtype == np.float16
        scale = float(np.abs(z[np.isfinite(z)]).max(initial=0)) if z.dtype.kind == "f" else 0.0
        if row.name in CANCELLING:
            scale = max(scale, 1.0)
        np.testing.assert_allclose(y.astype(np.float64), z.astype(np.float64), rtol=8 * UNIT, atol=8 * UNIT * scale)


def test_the_tables_of_exceptions_hold() -> None:
    for name in REFUSED_WHEN_RUN:
        stopped = False
        for row in (row for row in SHARED if row.name == name):
            try:
                Half(row, "float16").results()
            except sg.RunError:
                stopped = True
        assert stopped, f"{name} runs in float16 now"


@pytest.mark.parametrize("row", SHARED, ids=identify)
def test_bfloat16_is_kept(row: Row) -> None:
    call, exact = Half(row, "bfloat16"), Half(row, "float32")
    outputs, _ = call.with_gradients()
    wanted, _ = exact.with_gradients()
    for y, z in zip(outputs, wanted, strict=True):
        assert str(y.dtype) == {"float32": "bfloat16"}.get(str(z.dtype), str(z.dtype))
        assert y.type.shape == z.type.shape
