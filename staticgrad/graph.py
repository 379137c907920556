"""Graphs as values: typed, immutable, acyclic. A node is one ONNX operator; a `Value` is one of its outputs."""

from __future__ import annotations

import gc
import itertools
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from staticgrad.errors import DeclarationError, SymbolicValueError
from staticgrad.methods import Methods
from staticgrad.origin import Origin, SourceLine, current_origin, source_line
from staticgrad.types import Dim, DType, OpaqueType, TensorType, is_unknown

Array = NDArray[Any]
Content = tuple[Dim, ...] | Dim
"""What a small integer tensor is known to hold: the dimensions in it, as a tuple for rank 1, bare for rank 0."""


@contextmanager
def collection_paused() -> Iterator[None]:
    """Python's cyclic garbage collector is off inside: it would scan a growing graph again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Pullback(NamedTuple):
    """A derivative that replaces the operator's own rule: cotangent of the node -> cotangents of `inputs`.

    `formula` is what was given for it, None where it blocks a derivative.
    """

    inputs: tuple[Value, ...]
    rule: Callable[[Value], Iterable[Value | None]]
    formula: Callable[..., Any] | None = None


class Training(NamedTuple):
    """What makes a value one of training: what stands in its place in inference, and the states that it moves on."""

    inference: Value
    updates: tuple[tuple[Value, Value], ...]


class OperatorEntry(Protocol):
    """What a graph and its differentiation need to know of an operator.

    A differentiable one has a `rule` or a `body`, see `staticgrad.ops.registry.Operator`; `refusal` says why an
    application has no derivative all the same, `shortcut` which applications have a rule in the body's place, `behind`
    what the body's derivative reaches besides the inputs, and `reach` to which outputs of an operator that holds graphs
    a derivative goes.
    """

    name: str
    attributes: Mapping[str, Any]
    differentiable: bool
    rule: Callable[..., Any] | None
    body: Callable[..., Any] | None
    shortcut: tuple[Callable[..., bool], Callable[..., Any]] | None
    refusal: Callable[..., str | None] | None
    behind: Callable[..., tuple[Value, ...]] | None
    reach: Callable[..., Iterable[int]] | None


NO_ATTRIBUTES: Mapping[str, Any] = MappingProxyType({})


class Node:
    """One application of an operator; never changed after it is made.

    `inputs` holds None for an optional input that is left out. `origin` says in whose derivative this node was made;
    None for one that was declared. `names` are what a model that it came from calls its outputs. `order` counts nodes
    as they are made.

    An attribute may be a `Graph`, the body of a loop or a branch. What such a body takes from outside is among the
    inputs of the node: the last ones, as many as the body's `captures`.
    """

    __slots__ = ("attributes", "inputs", "names", "op", "order", "origin", "outputs", "pullback", "source", "training")

    _orders: ClassVar[Iterator[int]] = itertools.count()

    def __init__(
        self,
        op: OperatorEntry,
        inputs: tuple[Value | None, ...],
        attributes: Mapping[str, Any],
        types: Iterable[TensorType],
        source: SourceLine | None = None,
        pullback: Pullback | None = None,
        origin: Origin | None = None,
        training: Training | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attributes = attributes
        self.pullback = pullback
        self.training = training
        self.names = names
        if source is None:
            inside = current_origin.get()
            origin, source = (None, source_line()) if inside is None else inside
        self.source = source
        self.origin = origin
        self.order = next(Node._orders)
        self.outputs = tuple([Value(self, index, type) for index, type in enumerate(types)])

    @property
    def derives_from(self) -> Node | None:
        """The forward node in whose derivative this node was made, or None."""
        return None if self.origin is None else self.origin.node


class Leaf(Node):
    """An input, a parameter or another state: a value that comes from outside the graph.

    Its initial value is an array, None, or a function that makes the array whenever it is asked for.
    """

    __slots__ = ("_initial", "kind", "name", "requires_grad")

    def __init__(
        self,
        kind: Literal["input", "parameter", "state"],
        name: str,
        type: TensorType,
        initial: Array | Callable[[], Array] | None = None,
        requires_grad: bool = False,
    ) -> None:
        super().__init__(LEAF, (), NO_ATTRIBUTES, (type,))
        self.kind = kind
        self.name = name
        self._initial = initial
        self.requires_grad = requires_grad

    @property
    def initial(self) -> Array | None:
        """The value to start from."""
        return self._initial() if callable(self._initial) else self._initial

    @property
    def has_initial(self) -> bool:
        """Whether there is a value to start from."""
        return self._initial is not None


class _LeafEntry:
    name = "Leaf"
    attributes: Mapping[str, Any] = NO_ATTRIBUTES
    differentiable = False
    rule: Callable[..., Any] | None = None
    body: Callable[..., Any] | None = None
    shortcut: tuple[Callable[..., bool], Callable[..., Any]] | None = None
    refusal: Callable[..., str | None] | None = None
    behind: Callable[..., tuple[Value, ...]] | None = None
    reach: Callable[..., Iterable[int]] | None = None


LEAF = _LeafEntry()


class Value(Methods):
    """A symbolic tensor: one output of a node, with its type. Arithmetic on it declares further nodes."""

    __slots__ = ("content", "index", "node", "type")

    def __init__(self, node: Node, index: int, type: TensorType, content: Content | None = None) -> None:
        self.node = node
        self.index = index
        self.type = type
        self.content = content

    @property
    def dtype(self) -> DType:
        """The element type; `str(x.dtype)` is `float32`, `int64`, ..."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[int | str | None, ...]:
        """The dimensions: an int, a name or expression over names, or None where nothing is known."""
        return tuple(None if is_unknown(d) else d for d in self.type.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.type.shape)

    @property
    def source(self) -> SourceLine:
        """The user's file and line that declared this value."""
        return self.node.source

    @property
    def name(self) -> str | None:
        """The declared name of an input, parameter or state; None for a computed value."""
        return self.node.name if isinstance(self.node, Leaf) else None

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        origin = f" {self.name}" if self.name else f" = {self.node.op.name}(...)"
        return f"<Value{origin}: {self.type}, declared at {self.source}>"

    def __bool__(self) -> bool:
        raise SymbolicValueError(
            f"a symbolic value has no truth value before it is run; use sg.where for a choice, or `is` to compare "
            f"identity: {self!r}"
        )

    def __iter__(self) -> Iterator[Value]:
        raise SymbolicValueError(
            f"a symbolic value cannot be iterated; use x.unbind(dim) or x.split(sizes, dim) for its parts: {self!r}"
        )

    def __contains__(self, item: object) -> bool:
        raise SymbolicValueError(f"`in` needs numbers; compare with == and reduce: {self!r}")

    def __len__(self) -> int:
        raise SymbolicValueError(f"len() of a symbolic value is not used here; see x.shape: {self!r}")

    def __array__(self, *_: object, **__: object) -> Array:
        raise SymbolicValueError(
            f"a symbolic value holds no numbers; run it with sg.function([value]) to get an array: {self!r}"
        )

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise SymbolicValueError(
            f"a symbolic value cannot be copied or pickled, for values compare by identity; use it as it is, declare "
            f"it again, or export its graph: {self!r} ({source_line()})"
        )

    def __float__(self) -> float:
        raise SymbolicValueError(f"a symbolic value holds no number; run it with sg.function(value): {self!r}")

    __int__ = __index__ = __float__
    __array_ufunc__ = None


def constant_of(value: Value | None) -> Array | None:
    """The array that a literal holds, else None."""
    if value is None or value.node.op.name != "Constant":
        return None
    array: Array = value.node.attributes["value"]
    return array


def topological(
    outputs: Iterable[Value], stop: Iterable[Value] = (), derivative: bool = False, inference: bool = False
) -> list[Node]:
    """The nodes that `outputs` depend on, each after its inputs; does not look behind values in `stop`.

    With `derivative`, also what they depend on by a replaced derivative only; with `inference`, what stands in the
    place of values of training instead of those.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    blocked = set(stop)
    for output in outputs:
        stack: list[tuple[Node, bool]] = [(output.node, False)]
        while stack:
            node, inputs_done = stack.pop()
            if inputs_done:
                order.append(node)
                continue
            if node in seen:
                continue
            seen.add(node)
            stack.append((node, True))
            inputs = node.inputs
            if derivative and node.pullback is not None:
                inputs += node.pullback.inputs
            if inference and node.training is not None:
                inputs = (node.training.inference,)
            for value in reversed(inputs):
                if value is not None and value.node not in seen and value not in blocked:
                    stack.append((value.node, False))
    return order


class Graph:
    """Named inputs and outputs and all nodes between them.

    `became` says which value stands here for a node that was declared, where a pass has rewritten it. As the body of a
    loop or a branch it takes its last inputs, as many as `captures`, from the graph around it.
    """

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Value],
        outputs: Mapping[str, Value],
        nodes: Iterable[Node] | None = None,
        became: Mapping[Node, Value] = MappingProxyType({}),
        captures: int = 0,
    ) -> None:
        self.name = name
        self.facts: dict[object, Any] = {}
        """What was found out about this graph, which never changes, by question."""
        self.captures = captures
        self.inputs = MappingProxyType(dict(inputs))
        self.outputs = MappingProxyType(dict(outputs))
        self.became = became
        if nodes is None:
            # An input that is an output too may be computed, outside of a body that takes it from there.
            given = set(self.inputs.values())
            nodes = topological([v for v in self.outputs.values() if v not in given], given)
        leaves = {v.node for v in self.inputs.values()}
        self.nodes: tuple[Node, ...] = tuple([n for n in nodes if n not in leaves])
        for node in self.nodes:
            if isinstance(node, Leaf):
                raise DeclarationError(
                    f"the graph {name!r} depends on {node.kind} {node.name!r} (declared at {node.source}), which is "
                    f"not among its inputs ({source_line()})"
                )

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise SymbolicValueError(
            f"a graph cannot be copied or pickled; it never changes, so use it as it is, or export it ({source_line()})"
        )

    @property
    def operators(self) -> tuple[Node, ...]:
        """The nodes that compute something: all but literals."""
        return tuple(n for n in self.nodes if n.op.name != "Constant")

    def __str__(self) -> str:
        return print_graph(self)


def print_graph(graph: Graph, sections: Mapping[str, Sequence[Node]] | None = None) -> str:
    """The signature, then `name: type = Operator(arguments, attribute=...)` for every node.

    With `sections` the nodes come in their order, and those of a derivative with the forward node that they belong to.
    """
    ordered = {"": graph.operators} if sections is None else sections
    names = value_names(graph, itertools.chain.from_iterable(ordered.values()))
    arguments = ", ".join(f"{name}: {value.type}" for name, value in graph.inputs.items())
    results = ", ".join(f"{name}: {value.type}" for name, value in graph.outputs.items())
    lines = [f"{graph.name}({arguments}) -> ({results})"]
    for title, nodes in ordered.items():
        lines += [f"  # {title}"] * bool(title)
        for node in nodes:
            results = ", ".join(f"{names[value]}: {value.type}" for value in node.outputs)
            lines.append(f"  {results} = {application(node, names)}")
            if sections is not None and node.derives_from is not None:
                lines[-1] += f"  # {forward_name(graph, node.derives_from, names)}"
            for body in bodies(node).values():
                lines += [f"    {line}" for line in print_graph(body).splitlines()]
    for name, value in graph.outputs.items():
        if names.get(value) != name:
            lines.append(f"  {name}: {value.type} = {_argument(value, names)}")
    return "\n".join(lines)


def bodies(node: Node) -> dict[str, Graph]:
    """The graphs among the attributes of a node."""
    # Nearly all nodes have none.
    found: dict[str, Graph] = {}
    for key, value in node.attributes.items():
        if type(value) is Graph:
            found[key] = value
    return found


def any_opaque(node: Node) -> bool:
    """Whether something that is no tensor of known rank goes in or comes out."""
    return any(type(v.type) is OpaqueType for v in (*node.inputs, *node.outputs) if v is not None)


def with_inner(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes, and those in their bodies."""
    for node in nodes:
        yield node
        for body in bodies(node).values():
            yield from with_inner(body.nodes)


def value_names(graph: Graph, nodes: Iterable[Node]) -> dict[Value, str]:
    """What values are called: inputs and outputs as declared, others by letters in the order of `nodes`."""
    names = {value: name for name, value in graph.inputs.items()}
    # A value that is an output goes by that name; where it has several, the first one counts.
    for name, value in graph.outputs.items():
        names.setdefault(value, name)
    letters = (letter for letter in _letters() if letter not in graph.inputs and letter not in graph.outputs)
    for node in nodes:
        for value in node.outputs:
            if value not in names:
                names[value] = next(letters)
    return names


def application(node: Node, names: Mapping[Value, str]) -> str:
    """`Operator(arguments, attribute=...)`, without the attributes that have their defaults."""
    inputs = ["_" if v is None else _argument(v, names) for v in node.inputs]
    while inputs and inputs[-1] == "_":
        inputs.pop()
    defaults = node.op.attributes
    attributes = [f"{k}={_attribute(v)}" for k, v in node.attributes.items() if v is not defaults.get(k)]
    return f"{node.op.name}({', '.join(inputs + attributes)})"


def forward_name(graph: Graph, forward: Node, names: Mapping[Value, str]) -> str:
    """What a node that was differentiated is called in this graph; where it is gone, its operator and source line."""
    value = graph.became.get(forward, forward.outputs[0])
    if value in names and not isinstance(value.node, Leaf):
        return f"{names[value]} = {value.node.op.name}"
    return f"{forward.op.name} ({forward.source})"


def _letters() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)


def _argument(value: Value, names: Mapping[Value, str]) -> str:
    array = constant_of(value)
    if array is None:
        return names[value]
    if array.ndim == 0:
        # The shortest digits that give this number back in its own precision.
        return str(array[()])
    return str(array.tolist()) if array.size <= 8 else f"constant {value.type}"


def _attribute(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 8 else f"array of {value.size}"
    if isinstance(value, (Graph, TensorType)):
        return value.name if isinstance(value, Graph) else str(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)
