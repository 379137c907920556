"""Reverse accumulation: walk from outputs to inputs, ask each operator's rule, sum, add."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from staticgrad import ops
from staticgrad.errors import DTypeError, ShapeError, UnsupportedOperatorError
from staticgrad.graph import Node, Value, bodies, topological
from staticgrad.ops.kinds import reshape_like
from staticgrad.ops.registry import shared_literal
from staticgrad.ops.sequence import added
from staticgrad.origin import Derivation, deriving_from, source_line
from staticgrad.types import OpaqueType, is_unknown

Cotangents = dict[Value, Value]


def backward(cotangents: Cotangents, targets: Sequence[Value]) -> Cotangents:
    """Carry cotangents of outputs back to `targets`: the one loop of reverse accumulation.

    Returns the cotangent of every target that is reached through operators with a derivative.
    """
    active, reached = differentiated(cotangents, targets)
    _refuse_unruled(active, reached, cotangents)
    derivation = Derivation(tuple(cotangents), {})
    _accumulate(active, reached, cotangents, lambda node: deriving_from(node, derivation))
    derivation.targets.update({id(cotangents[x]): x for x in targets if x in cotangents})
    return cotangents


def _accumulate(
    active: Sequence[Node],
    reached: set[Value],
    cotangents: Cotangents,
    inside: Callable[[Node], AbstractContextManager[None]],
) -> None:
    """Walk from outputs to inputs and add up what each rule gives, whose nodes are made `inside` a context."""
    for node in reversed(active):
        arrived = [cotangents.get(y) for y in node.outputs]
        if any(g is not None for g in arrived):
            with inside(node):
                for x, pulled in _pull(node, arrived, reached):
                    if x in reached:
                        g = sum_to(pulled, x)
                        cotangents[x] = added(cotangents[x], g) if x in cotangents else g


def differentiated(
    outputs: Iterable[Value], targets: Iterable[Value], stop: Iterable[Value] = ()
) -> tuple[list[Node], set[Value]]:
    """The nodes on differentiable paths from `targets` to `outputs`, in order, and the values on them.

    Nothing behind the values in `stop` counts.
    """
    outputs = list(outputs)
    reached, needed = set(targets), set(outputs)
    active = []
    for node in topological(outputs, stop, derivative=True):
        if any(x in reached for x in differentiable_inputs(node)):
            given = [y for y in _reached_outputs(node, reached) if y.type.dtype.is_float]
            reached.update(given)
            if given or not bodies(node):
                active.append(node)
    # What only values without a derivative depend on is on no path.
    on_path = []
    for node in reversed(active):
        if any(y in needed for y in node.outputs):
            needed.update(differentiable_inputs(node))
            on_path.append(node)
    return on_path[::-1], reached


def _reached_outputs(node: Node, reached: set[Value]) -> Iterable[Value]:
    """The outputs to which a derivative goes: all, but for a body that keeps some apart."""
    reach = node.op.reach
    if reach is None or node.pullback is not None:
        return node.outputs
    wanted = tuple([x in reached for x in node.inputs])
    return [node.outputs[i] for i in reach(*node.inputs, wanted=wanted, **node.attributes)]


def differentiable_inputs(node: Node) -> Iterable[Value]:
    if node.pullback is not None:
        return node.pullback.inputs
    entry = node.op
    if not entry.differentiable:
        return ()
    inputs = node.inputs if entry.behind is None else (*node.inputs, *entry.behind(*node.inputs, **node.attributes))
    return (x for x in inputs if x is not None)


def rule_of(node: Node) -> Callable[..., Any] | None:
    """The gradient rule of an application; None where its derivative is that of the operator's body."""
    entry = node.op
    if entry.shortcut is not None:
        applies, rule = entry.shortcut
        if applies(*node.inputs, **node.attributes):
            return rule
    return entry.rule


def _pull(node: Node, arrived: list[Value | None], reached: set[Value]) -> list[tuple[Value, Value]]:
    """The cotangents of a node's inputs by its rule, paired with the inputs; for those in `reached` at least."""
    inputs: tuple[Value | None, ...] = node.inputs
    if node.pullback is not None:
        inputs = node.pullback.inputs
        result: Any = node.pullback.rule(arrived[0])  # type: ignore[arg-type]
    else:
        rule = rule_of(node)
        if rule is None:
            return _pull_through_body(node, arrived, reached)
        if bodies(node):
            wanted = tuple([x in reached for x in inputs])
            result = rule(tuple(arrived), node.outputs, *inputs, wanted=wanted, **node.attributes)
        elif len(node.outputs) == 1:
            result = rule(arrived[0], node.outputs[0], *inputs, **node.attributes)
        else:
            result = rule(tuple(arrived), node.outputs, *inputs, **node.attributes)
    given = result if isinstance(result, tuple) else (result,)
    return [
        (x, g) for x, g in zip(inputs, given, strict=True) if x is not None and g is not None and x.type.dtype.is_float
    ]


def _pull_through_body(node: Node, arrived: Sequence[Value | None], reached: set[Value]) -> list[tuple[Value, Value]]:
    """The cotangents of a node's inputs by the derivative of the operator's body."""
    assert node.op.body is not None
    result = node.op.body(*node.inputs, **node.attributes)
    given = result if isinstance(result, tuple) else (result,)
    seeds: Cotangents = {}
    for y, g in itertools.zip_longest(given, arrived):
        if g is not None:
            # A body leaves out outputs without a derivative only.
            assert y is not None, f"the body of {node.op.name} leaves out an output whose cotangent came"
            seeds[y] = added(seeds[y], g) if y in seeds else g
    ends = list(dict.fromkeys(differentiable_inputs(node)))
    targets = [x for x in ends if x in reached and x.type.dtype.is_float]
    cotangents = pull_within(seeds, targets, ends)
    return [(x, cotangents[x]) for x in targets if x in cotangents]


def pull_within(
    seeds: Cotangents,
    targets: Iterable[Value],
    ends: Iterable[Value],
    inside: Callable[[Node], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Cotangents:
    """The cotangents of `targets` from those of results, in a body that begins at `ends`, which contain the targets."""
    ends = set(ends)
    cotangents = dict(seeds)
    outputs = [y for y in seeds if y not in ends]
    active, reached = differentiated(outputs, targets, ends)
    _refuse_unruled(active, reached, outputs)
    _accumulate(active, reached, cotangents, inside)
    return {x: cotangents[x] for x in targets if x in cotangents}


def _refuse_unruled(nodes: Sequence[Node], reached: set[Value], outputs: Iterable[Value]) -> None:
    """Refuse what has no derivative here, all at once."""
    refused = dict.fromkeys(refusals(nodes, reached, outputs))
    if refused:
        raise UnsupportedOperatorError(
            f"no derivative of {'; '.join(refused)}; use sg.custom_vjp to give one, or sg.stop_gradient to block "
            f"it ({source_line()})"
        )


def refusals(nodes: Sequence[Node], reached: set[Value], outputs: Iterable[Value]) -> Iterator[str]:
    """Why nodes, as `differentiated` gives them, have no derivative here: operator, line and reason of each."""
    for node, reason in refused(nodes, reached, outputs):
        yield f"{node.op.name} ({node.source}): {reason}"


def refused(nodes: Sequence[Node], reached: set[Value], outputs: Iterable[Value]) -> Iterator[tuple[Node, str]]:
    """The nodes, of those that `differentiated` gives, that have no derivative here, and why."""
    used = set(outputs)
    used.update(itertools.chain.from_iterable(map(differentiable_inputs, nodes)))
    for node in nodes:
        entry = node.op
        if node.pullback is None:
            if entry.refusal is None:
                reason = None
            elif bodies(node):
                wanted = tuple([x in reached for x in node.inputs])
                arrives = tuple([y in used for y in node.outputs])
                reason = entry.refusal(*node.inputs, wanted=wanted, arrives=arrives, **node.attributes)
            else:
                reason = entry.refusal(*node.inputs, **node.attributes)
            if reason is None and entry.rule is None and entry.body is None:
                reason = "no gradient rule"
            if reason is not None:
                yield node, reason


def sum_to(g: Value, x: Value) -> Value:
    """A cotangent summed over the axes on which `x` was broadcast, so that it has exactly the type of `x`."""
    if g.type.dtype is not x.type.dtype:
        raise DTypeError(
            f"a cotangent of {g.type.dtype} came for {x.type.dtype}, from the rule of a node at {x.source} "
            f"({source_line()})"
        )
    if isinstance(x.type, OpaqueType):
        return g if g.type == x.type else ops.identity.apply((g,), types=(x.type,)).outputs[0]
    if isinstance(g.type, OpaqueType):
        return reshape_like(g, x)
    wide, narrow = g.type.shape, x.type.shape
    if wide == narrow:
        return g
    lead = len(wide) - len(narrow)
    if lead < 0:
        # An operand broadcast up by others of higher rank that are all of size 1 cannot be here: ranks only grow.
        raise ShapeError(
            f"a cotangent {g.type} came for {x.type}, from the rule of a node at {x.source} ({source_line()})"
        )
    for a, b in zip(wide[lead:], narrow, strict=True):
        if a != b and b != 1 and not is_unknown(b) and (a == 1 or (isinstance(a, int) and isinstance(b, int))):
            raise ShapeError(
                f"a cotangent {g.type} came for {x.type}, from the rule of a node at {x.source} ({source_line()})"
            )
    # Where the sizes differ and x is not known to be 1, the sizes of the run decide.
    if any(a != b and b != 1 for a, b in zip(wide[lead:], narrow, strict=True)):
        if lead:
            g = ops.reduce_sum(g, list(range(lead)), keepdims=False)
        ones = ops.nonzero(ops.equal(ops.shape(x), 1))
        axes = ops.reshape(ones, [-1])
        how = {"keepdims": True, "noop_with_empty_axes": True}
        return ops.reduce_sum.apply((g, axes), how, (x.type,)).outputs[0]
    repeated = [*range(lead), *(lead + i for i, d in enumerate(narrow) if d == 1 and wide[lead + i] != 1)]
    if len(repeated) == lead:
        # Only leading dimensions: the result has the type of x as it is.
        how = {"keepdims": False, "noop_with_empty_axes": False}
        return ops.reduce_sum.apply((g, shared_literal(repeated, None)), how, (x.type,)).outputs[0]
    g = ops.reduce_sum(g, repeated, keepdims=not lead)
    return reshape_like(g, x)
