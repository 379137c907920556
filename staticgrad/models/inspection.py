"""What a model holds: its tensors, its layers, and what has a derivative by what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from staticgrad.graph import Graph, Leaf, Node, Value
from staticgrad.models.columns import aligned, amount, type_text
from staticgrad.models.model import ModelLike
from staticgrad.models.names import old_names
from staticgrad.models.training_mode import layers
from staticgrad.models.uses import Use, uses
from staticgrad.onnx_reader import Reading, Source, load, read
from staticgrad.reverse import differentiable_inputs, differentiated, refused

_LEAST_WEIGHT = 8


@dataclass(frozen=True)
class Tensor:
    """An input or an output; `by` are the inputs and parameters that an output is differentiable by."""

    name: str
    type: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weight:
    """A tensor that the model holds: a parameter, a state such as a running statistic, or a literal in its nodes.

    `known_as` is what the program that exported it called it, `note` what was done to it, `read_by` the nodes that read
    it, and as what.
    """

    name: str
    type: str
    kind: Literal["parameter", "state", "literal"]
    elements: int
    bytes: int
    known_as: str | None
    note: str
    read_by: tuple[Use, ...]


@dataclass(frozen=True)
class Layer:
    """A layer that training changes; inside a loop or a branch it stays as it is."""

    node: str
    operator: str
    changes: bool


@dataclass(frozen=True)
class Obstacle:
    """A node on the way of a derivative that has none, why, and the outputs that this blocks."""

    node: str
    operator: str
    reason: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What there is to say of a model; printed, a page of text."""

    name: str
    producer: str
    ir_version: int
    opsets: dict[str, int]
    nodes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: tuple[Weight, ...]
    layers: tuple[Layer, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def parameters(self) -> tuple[Weight, ...]:
        """The weights that an optimizer can train."""
        return tuple(w for w in self.weights if w.kind == "parameter")

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers."""
        found = asdict(self)
        for weight, held in zip(found["weights"], self.weights, strict=True):
            weight["read_by"] = [use._asdict() for use in held.read_by]
        return found

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        opsets = ", ".join(f"{domain} {version}" for domain, version in self.opsets.items())
        producer = f", made by {self.producer}" if self.producer else ""
        yield f"{self.name}: opset {opsets}, IR version {self.ir_version}{producer}, {self.nodes} nodes"
        yield "inputs:"
        yield aligned([(t.name, t.type) for t in self.inputs], "  ") or "  none"
        yield "outputs:"
        yield aligned([(t.name, t.type, self._differentiable(t)) for t in self.outputs], "  ")
        for title, kind in (
            ("parameters", "parameter"),
            ("states, which no optimizer trains", "state"),
            ("weights in Constant nodes, which are no parameters", "literal"),
        ):
            listed = [w for w in self.weights if w.kind == kind]
            if listed:
                elements, size = sum(w.elements for w in listed), amount(sum(w.bytes for w in listed))
                yield f"{title}: {len(listed)} of {elements} elements, {size}"
                yield aligned([(w.name, w.type, amount(w.bytes), _said(w)) for w in listed], "  ")
            elif kind == "parameter":
                yield "parameters: none"
        if self.layers:
            yield "layers that --training changes:"
            rows = [
                (la.node, la.operator, "" if la.changes else "no: it stands in a loop or branch") for la in self.layers
            ]
            yield aligned(rows, "  ")
        if self.obstacles:
            yield "without a derivative:"
            yield aligned(
                [(o.node, o.operator, f"blocks {', '.join(o.blocks)}: {o.reason}") for o in self.obstacles], "  "
            )

    def _differentiable(self, output: Tensor) -> str:
        if any(output.name in o.blocks for o in self.obstacles):
            return "blocked, see below"
        inputs = {t.name for t in self.inputs}
        names = [name for name in output.by if name in inputs]
        count = len(output.by) - len(names)
        names += [f"{count} parameter{'s' * (count > 1)}"] * bool(count)
        return f"differentiable by {', '.join(names)}" if names else "no derivative"


def _said(weight: Weight) -> str:
    """The notes of a weight in one cell."""
    parts = [f"known as {weight.known_as}"] * bool(weight.known_as) + [weight.note] * bool(weight.note)
    readers = [f"{use.operator} {use.node}" for use in weight.read_by]
    more = f" and {len(readers) - 2} more" if len(readers) > 2 else ""
    parts.append(f"read by {', '.join(readers[:2])}{more}" if readers else "read by nothing")
    return "; ".join(parts)


def inspect_model(model: ModelLike) -> Inspection:
    """What a model holds and what of it has a derivative: a path, bytes or a ModelProto.

    Every operator that stands in the way of a derivative is listed, with its node and the reason.
    """
    source = load(model)
    reading = read(source)
    proto = source.proto
    obstacles, depends = _derivatives(reading)
    return Inspection(
        source.name,
        " ".join(part for part in (proto.producer_name, proto.producer_version) if part),
        proto.ir_version,
        {o.domain or "ai.onnx": o.version for o in proto.opset_import},
        len(proto.graph.node),
        tuple(Tensor(name, type_text(x.type)) for name, x in reading.inputs.items()),
        tuple(Tensor(name, type_text(y.type), depends.get(name, ())) for name, y in reading.outputs.items()),
        tuple(_weights(source, reading)),
        tuple(Layer(n.source.label, n.op.name, outside) for n, outside in reversed(layers(reading.outputs.values()))),
        tuple(obstacles),
    )


def _derivatives(reading: Reading) -> tuple[list[Obstacle], dict[str, tuple[str, ...]]]:
    """What stands in the way of derivatives, and for each output what it is differentiable by."""
    names = {x: n for n, x in {**reading.inputs, **reading.parameters}.items() if x.type.dtype.is_float}
    depends: dict[str, tuple[str, ...]] = {}
    found: dict[tuple[Node, str], list[str]] = {}
    for name, y in reading.outputs.items():
        if not y.type.dtype.is_float:
            continue
        active, reached = differentiated([y], names)
        behind = _behind(y, set(active))
        depends[name] = tuple(n for x, n in names.items() if x in behind)
        for node, reason in refused(active, reached, [y]):
            if any(out in behind for out in node.outputs):
                found.setdefault((node, reason), []).append(name)
    obstacles = [
        Obstacle(node.source.label, node.op.name, reason, tuple(blocks)) for (node, reason), blocks in found.items()
    ]
    return obstacles, depends


def _behind(y: Value, active: set[Node]) -> set[Value]:
    """The values that a cotangent of `y` passes on its way back."""
    seen = {y}
    stack = [y]
    while stack:
        node = stack.pop().node
        if node in active:
            for x in differentiable_inputs(node):
                if x not in seen and x.type.dtype.is_float:
                    seen.add(x)
                    stack.append(x)
    return seen


def _weights(source: Source, reading: Reading) -> Iterator[Weight]:
    literals = dict(_literals(reading.graph))
    tied = _tied(reading.graph)
    before = old_names(source.proto)
    readers = uses(reading.graph, [*literals.values(), *(copy for again in tied.values() for _, copy in again)])
    for name, value in reading.parameters.items():
        leaf = value.node
        assert isinstance(leaf, Leaf)
        read_by = [*readers.get(value, ())]
        again = tied.get(value, [])
        notes = [*_treated(name, read_by)]
        if again:
            notes.append(f"tied: also called {', '.join(label for label, _ in again)}")
            read_by = [u for u in read_by if u.operator != "Identity"]
            read_by += [use for _, copy in again for use in readers[copy] if use.operator != "Identity"]
        elif len({use.node for use in read_by}) > 1:
            notes.append("shared")
        weight = _weight(name, value, "state" if leaf.kind == "state" else "parameter", read_by)
        yield replace(weight, known_as=", ".join(before.get(name, [])) or None, note=", ".join(notes))
    for name, value in literals.items():
        yield _weight(name, value, "literal", readers.get(value, ()))


def _weight(name: str, value: Value, kind: Literal["parameter", "state", "literal"], read_by: Iterable[Use]) -> Weight:
    uses_of = tuple(read_by)
    elements = int(np.prod([int(d) for d in value.type.shape], dtype=np.int64))
    size = elements * value.type.dtype.numpy.itemsize
    return Weight(name, type_text(value.type), kind, elements, size, None, "", uses_of)


def _treated(name: str, read_by: Iterable[Use]) -> Iterator[str]:
    """What exporters do to weights that they give a number for a name."""
    operator = name.removeprefix("onnx::").partition("_")[0] if name.startswith("onnx::") else ""
    if operator == "MatMul":
        yield "transposed"
    elif operator.startswith("Conv") and any(use.argument for use in read_by):
        yield "folded with a BatchNormalization"


def _literals(graph: Graph) -> Iterator[tuple[str, Value]]:
    """The floating tensors in Constant nodes that are large enough to be weights."""
    for number, node in enumerate(graph.nodes):
        if node.op.name == "Constant":
            value = node.outputs[0]
            array = node.attributes["value"]
            if value.type.dtype.is_float and (array.ndim > 1 or array.size >= _LEAST_WEIGHT) and array.size > 1:
                yield (node.names or ("",))[0] or f"literal {number}", value


def _tied(graph: Graph) -> dict[Value, list[tuple[str, Value]]]:
    """Parameters that the model names again, and those names."""
    found: dict[Value, list[tuple[str, Value]]] = {}
    stands_for: dict[Value, Value] = {}
    for node in graph.nodes:
        x = node.inputs[0] if node.op.name == "Identity" else None
        if x is not None and ((isinstance(x.node, Leaf) and x.node.kind != "input") or x in stands_for):
            first = stands_for[node.outputs[0]] = stands_for.get(x, x)
            found.setdefault(first, []).append(((node.names or (node.source.label,))[0], node.outputs[0]))
    return found
