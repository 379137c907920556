"""Axes of which only the run knows where they lie, and even how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from derivative_checks import check
from drawing import distinct, draw

import staticgrad as sg
from staticgrad import ops
from staticgrad.errors import ShapeError
from staticgrad.methods import OPERATORS

REDUCTIONS = [
    f"Reduce{n}" for n in ("Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "LogSumExp", "LogSum", "SumSquare")
]
NO_AXES = np.zeros(0, np.int64)


@pytest.mark.parametrize("axes", [NO_AXES, np.array([-1, 0]), np.array([1, 2, 0])], ids=str)
@pytest.mark.parametrize("noop", [False, True])
@pytest.mark.parametrize("operator", REDUCTIONS)
def test_reductions_over_a_number_of_axes_that_only_the_run_knows(operator: str, noop: bool, axes: Any) -> None:
    def build(x: Any, axes: Any) -> Any:
        return OPERATORS[operator](x, axes, keepdims=True, noop_with_empty_axes=noop)

    check(build, np.abs(distinct(2, 3, 2)) + 0.13, axes, sizes="unknown")


@pytest.mark.parametrize("operator", REDUCTIONS)
def test_reductions_that_drop_axes_need_their_number(operator: str) -> None:
    x, axes = sg.input("x", (2, 3)), sg.input("axes", (None,), "int64")
    with pytest.raises(ShapeError, match="not even the number is known need keepdims=True"):
        OPERATORS[operator](x, axes, keepdims=False)


def test_types_keep_what_follows_from_the_number_of_axes() -> None:
    x, one, two = sg.input("x", (1, 3, "N")), sg.input("one", (1,), "int64"), sg.input("two", (2,), "int64")
    assert [d is None for d in ops.reduce_sum(x, one, keepdims=False).shape] == [True, True]
    assert ops.reduce_sum(x, two, keepdims=True).shape == (1, None, None)
    assert ops.reduce_sum(x, sg.input("all", (3,), "int64")).shape == (1, 1, 1)
    assert ops.squeeze(x, two).shape == (3,)
    assert ops.squeeze(sg.input("y", (1, 3)), one).shape == (3,)
    assert ops.unsqueeze(sg.input("z", (1,)), one).shape == (1, 1)
    with pytest.raises(ShapeError, match="cannot be of size 1"):
        ops.squeeze(sg.input("y", (2, 3)), one)


def test_slices_and_pads_along_axes_of_the_run() -> None:
    def build(x: Any, axes: Any) -> Any:
        part = ops.slice_(x, [1, 3], [4, 0], axes, [1, -2])
        return part, ops.pad(x, [1, 0, 0, 2], None, axes, mode="edge"), ops.pad(x, [1, 0, 0, 2], None, axes)

    check(build, draw(4, 3, 4), np.array([-1, 0]), sizes="unknown")
