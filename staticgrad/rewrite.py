"""The engine of all graph rewriting: a rebuild that interns equal nodes, folds literals and applies equations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx

from staticgrad.graph import (
    Graph,
    Leaf,
    Node,
    OperatorEntry,
    Value,
    any_opaque,
    bodies,
    collection_paused,
    constant_of,
)
from staticgrad.ops.foreign import Foreign
from staticgrad.ops.registry import DIALECT, Operator, constant
from staticgrad.origin import rewriting
from staticgrad.pruning import pruned, shared_runs
from staticgrad.substitute import sealed, with_inputs
from staticgrad.types import OpaqueType, count_elements

Equation = Callable[[Node], Value | None]
"""Left side in, right side out: a value equal to the node's first output, or None where the equation does not apply."""

Fusion = Callable[[Node, Callable[[Value], bool]], Value | None]
"""An equation that saves work only where nobody else reads what it takes in; it asks so of a value."""

Trace = Callable[[str], Any]

_FOLD_LIMIT = 4096
_INTERN_LIMIT = 1024


def _is_deterministic(entry: OperatorEntry) -> bool:
    if not isinstance(entry, Operator):
        return False
    schema: Any = onnx.defs.get_schema(entry.name, DIALECT)
    return bool(schema.node_determinism == schema.NodeDeterminism.Deterministic)


def draws_numbers(node: Node) -> bool:
    """Whether a node may give other results when it is run again; a branch or a loop does where one in it does."""
    entry = node.op
    inner = bodies(node)
    if inner:
        return any(draws_numbers(n) for body in inner.values() for n in body.nodes)
    if isinstance(entry, Foreign):
        return any(map(_is_random, _operators(entry)))
    if entry.name == "Dropout":
        training = constant_of((*node.inputs, None, None)[2])
        return node.inputs[2:] != () and node.inputs[2] is not None and (training is None or bool(training))
    return _is_random(("", entry.name))


def _operators(entry: Foreign) -> list[tuple[str, str]]:
    """Domain and name of the operators in an operator that no entry describes."""
    found = [(entry.domain, entry.operator)] if not entry.functions else []
    for function in entry.functions:
        proto = onnx.FunctionProto.FromString(function)
        found += [(n.domain, n.op_type) for n in proto.node]
    return found


def _is_random(operator: tuple[str, str]) -> bool:
    domain, name = operator
    if domain or not onnx.defs.has(name):
        return "Random" in name or "Dropout" in name
    if name in ("If", "Loop", "Scan"):
        return False
    schema: Any = onnx.defs.get_schema(name, DIALECT)
    return bool(schema.node_determinism == schema.NodeDeterminism.NonDeterministic)


class Rebuild:
    """One sweep over a graph: equal nodes become one, nodes of literals literals, what no output needs is gone."""

    def __init__(
        self,
        equations: Mapping[str, Sequence[Equation]],
        trace: Trace | None = None,
        fusions: Mapping[str, Sequence[Fusion]] = MappingProxyType({}),
    ) -> None:
        self.equations = equations
        self.fusions = fusions
        self.trace = trace
        self.interned: dict[Any, Node] = {}
        self.canonical: dict[Node, tuple[Value, ...]] = {}
        self.deterministic: dict[OperatorEntry, bool] = {}
        self.inner: dict[Any, Graph] = {}
        self.used: Counter[Value | None] = Counter()
        self.readers: Counter[Value] = Counter()
        self.lost_derivatives = False

    def graph(self, graph: Graph, known: Mapping[Value, Value] = MappingProxyType({})) -> Graph:
        """The rebuilt graph; inputs and the names of outputs stay.

        `known` says what captured inputs of a body are: literals, or others of its inputs.
        """
        with collection_paused():
            self._count_uses(graph)
            inputs = dict(graph.inputs)
            for position, (name, value) in enumerate(graph.inputs.items()):
                placed = list(self.canonical.get(value.node, value.node.outputs))
                if position >= len(inputs) - graph.captures and not isinstance(value.node, Leaf):
                    # No equation may look at what is outside.
                    inputs[name] = placed[value.index] = Leaf("input", name, value.type).outputs[0]
                    inputs[name].content = value.content
                if value in known:
                    other = known[value]
                    placed[value.index] = other if constant_of(other) is not None else self._lookup(other)
                self.canonical[value.node] = tuple(placed)
            shared = shared_runs(graph.nodes)
            for node, (common, positions) in shared.items():
                self.used.update(
                    common.outputs[p] for y, p in zip(node.outputs, positions, strict=True) if y in self.used
                )
            for node in graph.nodes:
                if node in shared:
                    common, positions = shared[node]
                    if common not in self.canonical:
                        self.canonical[common] = self._place(common)
                    self.canonical[node] = tuple([self.canonical[common][p] for p in positions])
                else:
                    self.canonical[node] = self._place(node)
                self._count_readers(node)
            outputs = {name: self._lookup(value) for name, value in graph.outputs.items()}
            became = self._became(graph)
            rebuilt = Graph(graph.name, inputs, outputs, became=became, captures=graph.captures)
            if self.lost_derivatives:
                rebuilt = sealed(rebuilt, {name for name, value in outputs.items() if value is graph.outputs[name]})
            return rebuilt

    def _count_uses(self, graph: Graph) -> None:
        """Note which values the nodes and outputs of a graph need."""
        self.used.update(graph.outputs.values())
        for node in graph.nodes:
            self.used.update(node.inputs)

    def _count_readers(self, node: Node) -> None:
        """Note how many read what a node has become."""
        for value, placed in zip(node.outputs, self.canonical[node], strict=True):
            self.readers[placed] += self.used[value]

    def _is_read_once(self, value: Value) -> bool:
        return self.readers[value] <= 1

    def _body(self, body: Graph, inputs: Sequence[Value | None]) -> Graph:
        """The rebuilt body of a loop or a branch of a node with these inputs."""
        formals = list(body.inputs.values())[len(body.inputs) - body.captures :]
        known: dict[Value, Value] = {}
        first: dict[Value, Value] = {}
        for formal, value in zip(formals, inputs[len(inputs) - body.captures :], strict=True):
            if value is not None:
                known[formal] = value if constant_of(value) is not None else first.setdefault(value, formal)
        known = {formal: value for formal, value in known.items() if value is not formal}
        key = (body, *known.items())
        if key not in self.inner:
            self.inner[key] = Rebuild(self.equations, self.trace, self.fusions).graph(body, known)
        return self.inner[key]

    def _without_unused(self, node: Node, used: Sequence[Value]) -> tuple[Node, list[int]] | None:
        """A branch or a loop without what nobody needs, and the positions of its outputs that it still has."""
        cut = pruned(node, [y.index for y in used])
        if cut is None:
            return None
        types = [node.outputs[o].type for o in cut.outputs]
        return with_inputs(node, [node.inputs[i] for i in cut.inputs], None, cut.attributes, types), list(cut.outputs)

    def _inlined(self, body: Graph, inputs: Sequence[Value | None]) -> tuple[Value, ...]:
        """The results of a branch that is always taken, as part of this graph."""
        self._count_uses(body)
        before = dict.fromkeys(v.node for v in body.inputs.values())
        outside = {node: self.canonical.get(node) for node in before}
        for formal, value in zip(body.inputs.values(), inputs, strict=True):
            placed = list(self.canonical.get(formal.node, formal.node.outputs))
            if value is not None:
                placed[formal.index] = value
            self.canonical[formal.node] = tuple(placed)
        for node in body.nodes:
            self.canonical[node] = self._place(node)
            self._count_readers(node)
        results = tuple([self._lookup(value) for value in body.outputs.values()])
        for node, placed_before in outside.items():
            if placed_before is not None:
                self.canonical[node] = placed_before
        return results

    def _became(self, graph: Graph) -> dict[Node, Value]:
        """Where the forward nodes are now in whose derivatives nodes were made."""
        became = {}
        for node in graph.nodes:
            forward = node.derives_from
            if forward is not None and forward not in became:
                value = graph.became.get(forward, forward.outputs[0])
                if value.node in self.canonical:
                    became[forward] = self._lookup(value)
        return became

    def _lookup(self, value: Value) -> Value:
        return self.canonical[value.node][value.index]

    def _place(self, node: Node) -> tuple[Value, ...]:
        """The canonical outputs for a node whose inputs have been placed."""
        if isinstance(node, Leaf):
            return node.outputs
        canonical = self.canonical
        changed = False
        inputs: list[Value | None] = []
        for value in node.inputs:
            if value is None:
                inputs.append(None)
                continue
            placed = canonical[value.node][value.index]
            changed = changed or placed is not value
            inputs.append(placed)
        self.lost_derivatives = self.lost_derivatives or node.pullback is not None
        branches = bodies(node)
        if branches:
            return self._with_bodies(node, inputs, branches)
        if changed or node.pullback is not None:
            node = with_inputs(node, inputs)
        folded = self._folded(node)
        if folded is not None:
            return self._interned(folded.node) or folded.node.outputs
        known = self._interned(node)
        if known is not None:
            return known
        result = self._rewritten(node)
        # Later nodes that are equal to a left side find the right side at once.
        self.canonical[node] = node.outputs if result is None else (self._absorb(result),)
        return self.canonical[node]

    def _with_bodies(
        self, node: Node, inputs: Sequence[Value | None], branches: Mapping[str, Graph]
    ) -> tuple[Value, ...]:
        """The canonical outputs for a branch or a loop."""
        condition = constant_of(inputs[0]) if node.op.name == "If" else None
        if condition is not None:
            return self._inlined(branches["then_branch" if condition.all() else "else_branch"], inputs[1:])
        outputs = node.outputs
        used = [y for y in outputs if y in self.used]
        if used and not isinstance(node.op, Foreign):
            inner = {key: self._body(body, inputs) for key, body in branches.items()}
            node = with_inputs(node, inputs, attributes={**node.attributes, **inner})
            cut = self._without_unused(node, used)
        else:
            node, cut = with_inputs(node, inputs), None
        kept = list(range(len(outputs)))
        if cut is not None:
            node, kept = cut
        results = self._interned(node) or node.outputs
        places = dict(zip(kept, results, strict=True))
        return tuple([places.get(position, y) for position, y in enumerate(outputs)])

    def _rewritten(self, node: Node) -> Value | None:
        """The right side of the first equation that applies."""
        equations = self.equations.get(node.op.name, ())
        fusions = self.fusions.get(node.op.name, ())
        # What is known of tensors holds for others in places only.
        entry = node.op
        if (
            (equations or fusions)
            and type(node.outputs[0].type) is not OpaqueType
            and not (isinstance(entry, Operator) and entry.opaque and any_opaque(node))
        ):
            with rewriting(node):
                for equation in equations:
                    result = equation(node)
                    if result is not None:
                        return self._traced(equation, node, result)
                for fusion in fusions:
                    result = fusion(node, self._is_read_once)
                    if result is not None:
                        return self._traced(fusion, node, result)
        return None

    def _traced(self, rule: Equation | Fusion, node: Node, result: Value) -> Value:
        if self.trace is not None:
            self.trace(f"{rule.__doc__}: {_shown(node.outputs[0])}  ->  {_shown(result)}")
        return result

    def _absorb(self, result: Value) -> Value:
        """Place the new nodes of an equation's right side."""
        stack = [result.node]
        while stack:
            node = stack[-1]
            if node in self.canonical:
                stack.pop()
                continue
            waiting = [v.node for v in node.inputs if v is not None and v.node not in self.canonical]
            if waiting:
                stack.extend(waiting)
            else:
                stack.pop()
                self.canonical[node] = self._place(node)
        return self._lookup(result)

    def _interned(self, node: Node) -> tuple[Value, ...] | None:
        """What an equal node placed before has become; None for the first of its kind."""
        key = self._key(node)
        if key is None:
            return None
        known = self.interned.setdefault(key, node)
        if known is node:
            return None
        if self.trace is not None and node.op.name != "Constant":
            self.trace(f"common subexpression: {_shown(node.outputs[0])}")
        return self.canonical.get(known, known.outputs)

    def _key(self, node: Node) -> Any:
        name = node.op.name
        if name == "Constant":
            array = node.attributes["value"]
            if array.size > _INTERN_LIMIT or array.dtype.hasobject:
                return ("Constant", id(array))
            return ("Constant", array.dtype, array.shape, array.tobytes())
        entry = node.op
        if bodies(node):
            if isinstance(entry, Foreign) or draws_numbers(node):
                return None
        elif not self._is_deterministic(entry):
            return None
        # With their names: not everybody gives them in the same order.
        attributes: tuple[Any, ...] = tuple(node.attributes.items())
        if name == "ConstantOfShape":
            array = node.attributes["value"]
            attributes = (None if array is None else (array.dtype, array.shape, array.tobytes()),)
        # Optional outputs that one of two nodes lacks are no outputs of both.
        return (name, len(node.outputs), *map(id, node.inputs), attributes)

    def _is_deterministic(self, entry: OperatorEntry) -> bool:
        if entry not in self.deterministic:
            self.deterministic[entry] = _is_deterministic(entry)
        return self.deterministic[entry]

    def _folded(self, node: Node) -> Value | None:
        """The literal that a node of literals, or a small integer tensor of known content, amounts to."""
        entry = node.op
        output = node.outputs[0]
        content = output.content
        if content is not None and entry.name != "Constant":
            if isinstance(content, int) or (isinstance(content, tuple) and all(isinstance(d, int) for d in content)):
                with rewriting(node):
                    return constant(
                        np.array(content, output.type.dtype.numpy).reshape([int(d) for d in output.type.shape])
                    )
        if not isinstance(entry, Operator) or entry.numpy is None or constant_of(node.inputs[-1]) is None:
            return None
        arrays = [constant_of(v) for v in node.inputs]
        if any(a is None for a in arrays) or sum(a.size for a in arrays if a is not None) > _FOLD_LIMIT:
            return None
        size = count_elements(output.type.shape)
        if not isinstance(size, int) or size > _FOLD_LIMIT:
            return None
        with np.errstate(all="ignore"):
            result = entry.numpy(*arrays)
        if result is None or np.size(result) > _FOLD_LIMIT:
            return None
        with rewriting(node):
            return constant(np.asarray(result).astype(output.type.dtype.numpy))


def _shown(value: Value) -> str:
    """An expression to the depth of two operators, for the trace."""
    return _expression(value, 2)


def _expression(value: Value, depth: int) -> str:
    array = constant_of(value)
    if array is not None:
        return str(array.tolist()) if array.size <= 4 else f"constant {value.type}"
    if isinstance(value.node, Leaf):
        return value.node.name
    if depth == 0:
        return str(value.type)
    inputs = ", ".join("_" if v is None else _expression(v, depth - 1) for v in value.node.inputs)
    return f"{value.node.op.name}({inputs})"
