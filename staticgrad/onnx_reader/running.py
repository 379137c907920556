"""Which initializers of a model are running statistics."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import onnx

from staticgrad.onnx_reader.ordering import in_order
from staticgrad.onnx_reader.signatures import domain_of

_GRAPH = onnx.AttributeProto.GRAPH
_STATISTICS = (3, 4)
_CARRIED = ("Identity", "Cast")

Roles = dict[str, set[str]]
"""For every name, what it is read as: "statistic" or "other"."""


def running_statistics(model: onnx.ModelProto) -> set[str]:
    """The initializers that batch normalizations read as running mean or variance, and that nothing else reads."""
    reader = _Reader(model)
    formal = {v.name for v in model.graph.input} | {t.name for t in model.graph.initializer}
    roles = reader.roles(model.graph.node, [output.name for output in model.graph.output], formal)
    return {tensor.name for tensor in model.graph.initializer if roles.get(tensor.name) == {"statistic"}}


class _Reader:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self.known: dict[tuple[str, str, str], list[set[str]]] = {}

    def roles(self, nodes: Sequence[onnx.NodeProto], results: Iterable[str], formal: Container[str]) -> Roles:
        """What the names of a graph are read as, in bodies of loops and branches and in functions too.

        No node may give one of the `formal` names.
        """
        found: Roles = {name: {"other"} for name in results}
        # From the readers of a name to its giver, in models that are not sorted too.
        for node in reversed(list(in_order(nodes, formal))):
            standard = not domain_of(node.domain)
            called = None if standard else self._called(node)
            for position, name in enumerate(node.input):
                if called is not None:
                    role = called[position] if position < len(called) else set()
                elif standard and node.op_type in _CARRIED:
                    role = found.get(node.output[0], set()) if node.output else set()
                elif standard and node.op_type == "BatchNormalization" and position in _STATISTICS:
                    role = {"statistic"}
                else:
                    role = {"other"}
                found[name] = found.get(name, set()) | role
            for attribute in node.attribute:
                if attribute.type == _GRAPH:
                    self._inner(attribute.g, found)
        return found

    def _inner(self, graph: onnx.GraphProto, outer: Roles) -> None:
        own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
        given = {name for node in graph.node for name in node.output}
        for name, role in self.roles(graph.node, [output.name for output in graph.output], own).items():
            if name not in own and name not in given:
                outer[name] = outer.get(name, set()) | role

    def _called(self, node: onnx.NodeProto) -> list[set[str]] | None:
        """What a function reads its inputs as; None for what is no function."""
        key = (node.domain, node.op_type, node.overload)
        function = self.functions.get(key)
        if function is None:
            return None
        if key not in self.known:
            # A function that calls itself is refused elsewhere.
            self.known[key] = []
            roles = self.roles(function.node, function.output, function.input)
            self.known[key] = [roles.get(name, set()) for name in function.input]
        return self.known[key]
