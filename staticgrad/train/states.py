"""The states that transformations of gradients keep: fresh names, one step counter, moments of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from staticgrad.graph import Leaf, Value
from staticgrad.types import TensorType, as_dtype


class Naming:
    """The names of one training step: what is taken already, the states made so far, and their one step counter."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.made: set[Value] = set()
        self.counter: tuple[Value, Value] | None = None
        """The number of steps done, now and after this step."""

    def state(self, name: str, initial: Any) -> Value:
        """A state called `name`, or `name2`, `name3`, ... where that is taken."""
        fresh, copy = name, 1
        while fresh in self.taken:
            copy += 1
            fresh = f"{name}{copy}"
        self.taken.add(fresh)
        array = np.asarray(initial)
        # Not by `sg.state`: imported parameters have names that it would refuse.
        state = Leaf("state", fresh, TensorType(as_dtype(array.dtype), array.shape), array).outputs[0]
        self.made.add(state)
        return state


_naming: ContextVar[Naming | None] = ContextVar("naming", default=None)


@contextmanager
def naming(taken: Iterable[str] = ()) -> Iterator[Naming]:
    """Inside, no state takes a name twice, nor one of `taken`, and all share one step counter; the outermost counts."""
    outer = _naming.get()
    if outer is not None:
        yield outer
        return
    current = Naming(taken)
    token = _naming.set(current)
    try:
        yield current
    finally:
        _naming.reset(token)


def counter() -> Value:
    """The number of steps done, which all transformations of a training step share."""
    with naming() as current:
        if current.counter is None:
            count = current.state("step", np.zeros((), np.int64))
            current.counter = count, count + 1
        return current.counter[0]


def after(count: Value) -> Value:
    """The step counter after this step."""
    current = _naming.get()
    if current is not None and current.counter is not None and current.counter[0] is count:
        return current.counter[1]
    return count + 1


def _sizes(p: Value) -> tuple[int, ...]:
    return tuple(int(d) for d in p.type.shape)


def moments(params: Mapping[str, Value], name: str, initial: float = 0.0) -> dict[str, Value]:
    """For every parameter `p` a state `p.name` of its type, filled with one number, which is all that is kept of it."""
    with naming() as current:
        return {
            key: current.state(f"{key}.{name}", np.broadcast_to(np.asarray(initial, p.type.dtype.numpy), _sizes(p)))
            for key, p in params.items()
        }
