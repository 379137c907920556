"""Say how a gradient came about: which rule each operator used, and what that rule emitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Graph, Node, Value, topological
from staticgrad.origin import Derivation, SourceLine, source_line
from staticgrad.reverse import differentiable_inputs, differentiated, rule_of


@dataclass(frozen=True)
class Step:
    """One operator on the way of a gradient: where it was declared, its rule, and the operators that this emitted."""

    operator: str
    type: str
    source: SourceLine
    rule: str
    emitted: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """The operators that were differentiated, from the loss back; printed, a table."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        if not self.steps:
            return "no operator was differentiated"
        heads = ("operator", "type", "declared at", "rule", "emitted")
        rows = [
            (s.operator, s.type, str(s.source), s.rule, ", ".join(s.emitted) or "(passes the cotangent on)")
            for s in self.steps
        ]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (heads, *rows)
        )


def explain(gradient: Value | Iterable[Value] | Graph) -> Explanation:
    """Which rule each operator used in the derivation of a gradient, from the loss back to what it was taken by.

    Takes what `grad`, `vjp`, `jvp`, ... gave, values computed from it, or a graph such as `step.declared`. The rule is
    "own rule" (that of the operator's entry) or "replaced" (by `sg.custom_vjp`, or by a function whose derivative has a
    formula of its own), with its file and line.
    """
    nodes = topological(_values(gradient))
    emitted: dict[tuple[Node, int], list[str]] = {}
    derivations: dict[int, Derivation] = {}
    targets: dict[int, list[Value]] = {}
    for node in nodes:
        if node.origin is not None:
            derivation = node.origin.derivation
            derivations.setdefault(id(derivation), derivation)
            if node.op.name != "Constant":
                emitted.setdefault((node.origin.node, id(derivation)), []).append(node.op.name)
            for y in node.outputs:
                if id(y) in derivation.targets:
                    targets.setdefault(id(derivation), []).append(derivation.targets[id(y)])
    steps = []
    for key, derivation in derivations.items():
        on_path = set(_walked(derivation, targets.get(key, [])))
        # Of a derivation whose gradients went into others, only what was emitted is seen.
        for node in _walked(derivation, derivation.targets.values()):
            names = emitted.get((node, key), [])
            if names or node in on_path:
                steps.append(_step(node, names))
    return Explanation(tuple(steps))


def _walked(derivation: Derivation, targets: Iterable[Value]) -> list[Node]:
    """The nodes at which a cotangent arrives on its way from the outputs to `targets`, in that order."""
    active, _ = differentiated(derivation.outputs, targets)
    arrived = set(derivation.outputs)
    walked = []
    for node in reversed(active):
        if any(y in arrived for y in node.outputs):
            walked.append(node)
            arrived.update(differentiable_inputs(node))
    return walked


def _values(gradient: object) -> list[Value]:
    if isinstance(gradient, Value):
        return [gradient]
    if isinstance(gradient, Graph):
        return list(gradient.outputs.values())
    listed: list[Any] = list(gradient) if isinstance(gradient, Iterable) else [gradient]
    for value in listed:
        if not isinstance(value, Value):
            raise DeclarationError(f"explain takes gradients, {shown(value)} is no Value ({source_line()})")
    return listed


def _step(node: Node, emitted: list[str]) -> Step:
    operator = node.op.name
    if node.pullback is not None:
        formula = node.pullback.formula
        assert formula is not None, "nothing flows through a blocked derivative"
        operator = formula.__qualname__.partition(".<locals>")[0]
        rule = f"replaced ({_place(formula)})"
    else:
        entry = node.op
        own = rule_of(node)
        formula = own or entry.body
        assert formula is not None
        rule = f"{'own rule' if own else 'body'} ({_place(formula)})"
    return Step(operator, str(node.outputs[0].type), node.source, rule, tuple(emitted))


def _place(rule: Callable[..., Any]) -> str:
    code = rule.__code__
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
