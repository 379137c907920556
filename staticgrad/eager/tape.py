"""The tape: how a result remembers where it came from, and the walk back that turns this into gradients.

Every differentiable function ends in `result(value, (x, formula), ...)`: the value, and for each tensor argument the
formula that takes the gradient of the result to the gradient of that argument. The formulas are closures; what they
captured is what the tape holds. Formulas need neither un-broadcast nor cast: the walk does that in one place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from staticgrad.eager.dtypes import Array, DType, is_float, wide_dtype
from staticgrad.eager.errors import EagerError

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Formula: TypeAlias = Callable[[Array], Array]
Edge: TypeAlias = "tuple[Tensor, Formula | None]"

_recording: ContextVar[bool] = ContextVar("recording", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now."""
    return _recording.get()


class _GradMode(contextlib.ContextDecorator):
    """A context manager and decorator that switches recording, and switches it back."""

    enabled: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self.enabled))

    def __exit__(self, *error: object) -> None:
        _recording.reset(self._tokens.pop())


class no_grad(_GradMode):
    """Inside, nothing is recorded: results do not require a gradient and leaves may be changed in place."""

    enabled = False


class enable_grad(_GradMode):
    """Inside, operations are recorded again, also within `no_grad`."""

    enabled = True


class Memory:
    """What tensors that share one buffer share besides: how often it was written."""

    __slots__ = ("recorded", "version")

    def __init__(self) -> None:
        self.version = 0  # all writes
        self.recorded = 0  # those that went on the tape: they give the buffer a new history


class Node:
    """One step on the tape: shape and type of a value, and edges to the nodes that it was computed from."""

    __slots__ = ("dtype", "edges", "holds", "keeper", "saved", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: DType, keeper: Tensor | None = None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.edges: list[tuple[Node, Formula]] | None = []  # None: freed by an earlier backward
        self.saved: list[tuple[Memory, int]] = []  # buffers that the formulas read, and their versions then
        self.holds = False  # whether the formulas captured any value
        self.keeper = keeper  # the tensor whose .grad collects the gradient: a leaf, or one that retains it


def result(value: Any, *edges: Edge, dtype: DType | None = None) -> Tensor:
    """A tensor of `value`, with one edge for *every* tensor argument of the function that calls.

    An edge is `(tensor, formula)`, or `(tensor, None)` if there is no gradient to it. The type is that of the first
    tensor unless `dtype` says otherwise. If the value is a view of an argument's buffer, the result is a view.
    """
    first = edges[0][0]
    array = np.asarray(value)
    dtype = dtype or first.dtype
    if array.dtype != dtype:
        with np.errstate(all="ignore"):
            array = array.astype(dtype)
    owner = next((x for x, _ in edges if np.may_share_memory(array, x.array)), None)
    y = type(first)(array, _memory=owner.memory if owner is not None else None)
    if not is_grad_enabled():
        return y
    for x, _ in edges:
        require_current(x)
    live = [(x, formula) for x, formula in edges if formula is not None and x.requires_grad]
    if live and is_float(dtype):
        node = Node(y.shape, dtype)
        node.edges = [(x.node(), formula) for x, formula in live]
        tensors = [y, *(x for x, _ in edges)]
        for _, formula in live:
            for captured in _captured(formula):
                node.holds = True
                node.saved += [(x.memory, x.memory.version) for x in tensors if np.may_share_memory(captured, x.array)]
        y.set_node(node)
    return y


def require_current(x: Tensor) -> None:
    """Refuse a view whose buffer was given a new history through another tensor."""
    if x.recorded is not None and x.recorded != x.memory.recorded:
        raise EagerError(
            "a view was used after its buffer was changed in place through another tensor, so its history is not "
            "that of its values: take the view again after the change"
        )


def _captured(formula: Callable[..., Any]) -> Iterator[Array]:
    """The arrays that a closure holds, also through lists and through the closures that it calls."""
    pending: list[Any] = [formula]
    while pending:
        thing = pending.pop()
        if isinstance(thing, np.ndarray | np.generic):
            yield np.asarray(thing)
        elif isinstance(thing, list | tuple):
            pending += thing
        elif hasattr(thing, "memory"):
            yield thing.array
        else:
            for cell in getattr(thing, "__closure__", None) or ():
                with contextlib.suppress(ValueError):  # an empty cell
                    pending.append(cell.cell_contents)


def _consumers(root: Node) -> dict[Node, int]:
    """For every node that leads to the root, how many edges wait for its gradient; checks that all can be walked."""
    counts = {root: 0}
    pending = [root]
    while pending:
        node = pending.pop()
        if node.edges is None:
            raise EagerError(
                "backward a second time through values that the first backward freed: compute them again, or pass "
                "retain_graph=True to the first backward"
            )
        for memory, version in node.saved:
            if memory.version != version:
                raise EagerError(
                    f"a value of shape {node.shape} cannot be differentiated: an operand or result that its gradient "
                    f"needs was modified in place since (version {memory.version}, expected {version}): use the "
                    "out-of-place form, or modify a clone()"
                )
        for parent, _ in node.edges:
            if parent not in counts:
                counts[parent] = 0
                pending.append(parent)
            counts[parent] += 1
    return counts


def _sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of broadcasting: `g` summed over the axes along which `shape` was repeated."""
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    if axes:
        g = np.sum(g, axis=axes, keepdims=True)
    return np.broadcast_to(g.reshape(g.shape[extra:]) if extra > 0 else g, shape)


@np.errstate(all="ignore")
def walk_back(root: Node, seed: Array, retain_graph: bool) -> None:
    """Send `seed` from the root to all leaves and add to their `.grad`; each node once, after all its consumers."""
    waiting = _consumers(root)
    gradients = {root: seed}
    ready = [root]
    while ready:
        node = ready.pop()
        g = gradients.pop(node)
        if node.keeper is not None:
            node.keeper.add_gradient(g)
        for parent, formula in node.edges or ():
            part = _sum_to(np.asarray(formula(g)), parent.shape).astype(wide_dtype(parent.dtype), copy=False)
            gradients[parent] = gradients[parent] + part if parent in gradients else part
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
        if node.holds and not retain_graph:
            node.edges = None
