"""Gradients of tables: of a tensor that is 0 but for a few rows only these rows are computed with.

A gather's derivative is zeros into which rows are added. What the optimizer makes of it elementwise is, where the rows
are few, made of the rows, and the table itself is touched in these places only. Where a place may be there twice,
the CPU first sorts the places.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from staticgrad import ops
from staticgrad.graph import Node, Value
from staticgrad.ops.registry import Operator
from staticgrad.optimise.equations import equation, splat
from staticgrad.optimise.formulations import arranged, formulation
from staticgrad.optimise.places import are_once, found_once, listed, lists
from staticgrad.types import count_elements

_FEW = 4
"""So many times more elements than its rows a table has before it is worth to look at them alone."""

_LARGE = 1 << 20
"""The elements of a table that is taken to be larger than the rows of a batch whose size is not known."""

_ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Sqrt"))


class Rows(NamedTuple):
    """`rows` added up at `places` (n, 1) of a table of zeros."""

    table: Value
    places: Value
    rows: Value

    def with_rows(self, rows: Value) -> Value:
        """The table of other rows in the same places."""
        return _added(self.table, self.places, rows)


def _added(table: Value, places: Value, rows: Value) -> Value:
    return _written(table, places, rows, "add")


def _written(table: Value, places: Value, rows: Value, reduction: str) -> Value:
    attributes: dict[str, Any] = {**ops.scatter_nd.attributes, "reduction": reduction}
    found: Value = ops.scatter_nd.apply((table, places, rows), attributes, (table.type,)).outputs[0]
    return found


def _sparse(value: Value | None) -> Rows | None:
    """The few rows of a table that is 0 elsewhere."""
    if value is None or value.node.op.name != "ScatterND" or value.node.attributes["reduction"] != "add":
        return None
    table, places, rows = value.node.inputs
    assert table is not None and places is not None and rows is not None
    if splat(table) != 0 or places.type.shape[-1:] != (1,) or len(places.type.shape) < 2:
        return None
    whole, some = count_elements(table.type.shape), count_elements(rows.type.shape)
    if not isinstance(whole, int) or not whole:
        return None
    few = some * _FEW <= whole if isinstance(some, int) else whole >= _LARGE
    if not few and not are_once(places, table):
        return None
    if len(places.type.shape) > 2:
        places, rows = arranged(places, (-1, 1)), arranged(rows, (-1, *table.type.shape[1:]))
    return Rows(table, places, rows)


@equation("Mul", "Div")
def _scaled_rows(node: Node) -> Value | None:
    """k rows at places = (k rows) at places, of a number k"""
    # Of k that is no number until the run, as of a norm that overflowed, the rows come out as NaN and show it.
    for position, value in enumerate(node.inputs[: 1 if node.op.name == "Div" else 2]):
        sparse, other = _sparse(value), node.inputs[1 - position]
        if sparse is None or other is None or other.type.shape != ():
            continue
        number = splat(other)
        if number is not None and not (np.isfinite(number) and (number or node.op.name == "Mul")):
            continue
        entry = node.op
        assert isinstance(entry, Operator)
        pair = (sparse.rows, other) if position == 0 else (other, sparse.rows)
        return sparse.with_rows(entry.apply(pair, node.attributes, (sparse.rows.type,)).outputs[0])
    return None


@equation("Neg")
def _negated_rows(node: Node) -> Value | None:
    """-(rows at places) = (-rows) at places"""
    sparse = _sparse(node.inputs[0])
    return None if sparse is None else sparse.with_rows(ops.neg(sparse.rows))


@equation("Add")
def _rows_added(node: Node) -> Value | None:
    """x + rows at places = x with rows added at places"""
    y = node.outputs[0]
    for value, other in (node.inputs, node.inputs[::-1]):
        sparse = _sparse(value)
        if sparse is not None and other is not None and other.type == y.type and splat(other) is None:
            return _added(other, sparse.places, sparse.rows)
    return None


@equation("Sub")
def _rows_subtracted(node: Node) -> Value | None:
    """x - rows at places = x with -rows added at places"""
    other, value = node.inputs
    sparse = _sparse(value)
    if sparse is None or other is None or other.type != node.outputs[0].type:
        return None
    return _added(other, sparse.places, ops.neg(sparse.rows))


@formulation("cpu", "Mul")
def _squared_rows(node: Node) -> Value | None:
    """(rows at places)^2 = rows^2 at places, once each place is there once"""
    sparse = _sparse(node.inputs[0])
    if sparse is None or node.inputs[0] is not node.inputs[1]:
        return None
    single = _once_each(sparse)
    return single.with_rows(ops.mul(single.rows, single.rows))


@formulation("cpu", "Div")
def _divided_rows(node: Node) -> Value | None:
    """(rows at places) / x = (rows / x[places]) at places where x > 0, once each place is there once"""
    value, divisor = node.inputs
    sparse = _sparse(value)
    if sparse is None or divisor is None or divisor.type != node.outputs[0].type or not _is_positive(divisor):
        return None
    single = _once_each(sparse)
    return single.with_rows(ops.div(single.rows, _at(divisor, single.places)))


def _is_positive(value: Value) -> bool:
    """Whether a value is sqrt(x + eps) or sqrt(x) + eps, which is never 0."""
    node = value.node
    return (node.op.name == "Sqrt" and _has_eps(node.inputs[0])) or (
        _has_eps(value) and any(v is not None and v.node.op.name == "Sqrt" for v in node.inputs)
    )


def _has_eps(value: Value | None) -> bool:
    return value is not None and value.node.op.name == "Add" and any((splat(v) or 0) > 0 for v in value.node.inputs)


@formulation("cpu", "ScatterND")
def _squares_added(node: Node) -> Value | None:
    """x with squares added at places = x with x[places] + squares at places, if each place is there once"""
    # Only squares: rows are divided by the roots of their sums, which are in hand then.
    table, places, rows = node.inputs
    assert table is not None and places is not None and rows is not None
    squared = rows.node.op.name == "Mul" and rows.node.inputs[0] is rows.node.inputs[1]
    if not squared or node.attributes["reduction"] != "add" or splat(table) is not None:
        return None
    if not are_once(places, table):
        return None
    return _written(table, places, ops.add(_at(table, places), rows), "none")


@formulation("cpu", "Gather")
def _replaced_rows(node: Node) -> Value | None:
    """(x with rows at places)[places] = rows, if each place is there once"""
    value, flat = node.inputs
    assert value is not None and flat is not None
    if value.node.op.name != "ScatterND" or value.node.attributes["reduction"] != "none" or node.attributes["axis"]:
        return None
    table, places, rows = value.node.inputs
    assert table is not None and places is not None and rows is not None
    return rows if are_once(places, table) and lists(flat, places) else None


@formulation("cpu", "ReduceL2", "ReduceSumSquare")
def _size_of_rows(node: Node) -> Value | None:
    """|rows at places| = |rows|, once each place is there once"""
    sparse = _sparse(node.inputs[0])
    if sparse is None or node.outputs[0].type.shape != ():
        return None
    entry = node.op
    assert isinstance(entry, Operator)
    inputs = (_once_each(sparse).rows, *node.inputs[1:])
    return entry.apply(inputs, node.attributes, (node.outputs[0].type,)).outputs[0]


def _once_each(sparse: Rows) -> Rows:
    """The same with every place once: the rows of equal places are summed."""
    if are_once(sparse.places, sparse.table):
        return sparse
    places, which = found_once(sparse.places, sparse.table)
    shape = ops.concat(ops.shape(places), ops.shape(sparse.rows, start=1), axis=0)
    nothing = ops.constant_of_shape(shape, value=np.zeros(1, sparse.rows.type.dtype.numpy))
    return Rows(sparse.table, ops.unsqueeze(places, [1]), _added(nothing, ops.unsqueeze(which, [1]), sparse.rows))


def _at(value: Value, places: Value, depth: int = 8) -> Value:
    """The rows of `value` at places: what is computed elementwise is computed of rows."""
    node = value.node
    if splat(value) is not None and value.type.shape == ():
        return value
    entry = node.op
    elementwise = isinstance(entry, Operator) and node.op.name in _ELEMENTWISE
    if depth and elementwise and all(v is None or v.type.shape in ((), value.type.shape) for v in node.inputs):
        assert isinstance(entry, Operator)
        inputs = [v if v is None or v.type.shape == () else _at(v, places, depth - 1) for v in node.inputs]
        return entry.apply(tuple(inputs), node.attributes).outputs[0]
    return ops.gather(value, listed(places))
