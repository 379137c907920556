"""Which rows of a table are named, each once: a sorted list of places without those that equal the one before.

Unique gives the same, but takes the CPU several times as long; `benchmarks/formulations.py` measures the whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.graph import Value, constant_of
from staticgrad.ops.registry import constant
from staticgrad.optimise.equations import splat
from staticgrad.types import DType

_BEFORE_ALL = np.int64(np.iinfo(np.int64).min)
"""What stands before the first place, and is none."""


class Found(NamedTuple):
    """A list of different places, and for each of those that it was found among which of them it is."""

    places: Value
    which: Value


def found_once(places: Value, table: Value) -> Found:
    """The different ones among places (n, 1) in a table."""
    # One row may be named from the front and from the end.
    numbers, count = constant_of(places), table.type.shape[0]
    if numbers is not None:
        different, which = np.unique(np.where(numbers < 0, numbers + count, numbers), return_inverse=True)
        return Found(constant(different), constant(which.reshape(-1)))
    ordered, order = ops.topk(_from_the_front(listed(places), table), ops.shape(places, start=0, end=1), largest=False)
    first = ops.greater(ordered, ops.pad(ordered, [1, -1], _BEFORE_ALL))
    runs = ops.cumsum(ops.cast(first, to=DType.int64), 0) - 1
    # The order has every position once: of what is scattered into nothing stays.
    return Found(ops.compress(ordered, first), ops.scatter_elements(runs, order, runs, axis=0))


def are_once(places: Value, table: Value) -> bool:
    """Whether each of places (n, 1) is sure to be there once: different numbers, none of which counts from the end."""
    numbers = constant_of(places)
    if numbers is not None:
        return bool((numbers >= 0).all()) and len(np.unique(numbers)) == numbers.size
    kept = listed(places).node if places.type.shape[1:] == (1,) else None
    if kept is None or kept.op.name != "Compress":
        return False
    ordered, first = kept.inputs
    assert ordered is not None and first is not None
    if ordered.node.op.name != "TopK" or ordered.index != 0 or not ordered.node.attributes["sorted"]:
        return False
    previous = first.node.inputs[1] if first.node.op.name == "Greater" and first.node.inputs[0] is ordered else None
    if previous is None or previous.node.op.name != "Pad" or previous.node.inputs[0] is not ordered:
        return False
    amounts, counted = constant_of(previous.node.inputs[1]), ordered.node.inputs[0]
    if amounts is None or amounts.tolist() != [1, -1] or counted is None:
        return False
    return _is_from_the_front(counted, table)


def listed(places: Value) -> Value:
    """Places (n, 1) as a list."""
    inner = places.node.inputs[0] if places.node.op.name == "Unsqueeze" else None
    return inner if inner is not None and len(inner.type.shape) == 1 else ops.squeeze(places, [1])


def lists(flat: Value, places: Value) -> bool:
    """Whether `flat` is sure to be places (n, 1) as a list."""
    numbers, others = constant_of(places), constant_of(flat)
    if numbers is not None and others is not None:
        return np.array_equal(numbers.reshape(-1), others)
    return listed(places) is flat


def _from_the_front(flat: Value, table: Value) -> Value:
    """Places of rows, those that were counted from the end too."""
    count = table.type.shape[0]
    assert isinstance(count, int)
    return ops.where(ops.less(flat, 0), flat + count, flat)


def _is_from_the_front(value: Value, table: Value) -> bool:
    """Whether a value is `where(x < 0, x + rows of the table, x)`."""
    if value.node.op.name != "Where":
        return False
    negative, shifted, flat = value.node.inputs
    assert negative is not None and shifted is not None
    return (
        negative.node.op.name == "Less"
        and negative.node.inputs[0] is flat
        and splat(negative.node.inputs[1]) == 0
        and shifted.node.op.name == "Add"
        and shifted.node.inputs[0] is flat
        and splat(shifted.node.inputs[1]) == table.type.shape[0]
    )
