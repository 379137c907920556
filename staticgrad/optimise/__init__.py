"""Make a graph smaller and faster without changing what it computes."""

from __future__ import annotations

from typing import Literal

from staticgrad.graph import Graph, with_inner
from staticgrad.optimise import (  # noqa: F401 - their equations join the others
    depthwise,
    masks,
    numbers,
    passes,
    rows,
    softmax,
    sums,
    weights,
    widening,
    winograd,
)
from staticgrad.optimise.equations import EQUATIONS
from staticgrad.optimise.formulations import FORMULATIONS
from staticgrad.optimise.products import FUSIONS
from staticgrad.optimise.recurrent import run_once
from staticgrad.rewrite import Rebuild, Trace

__all__ = ["optimise"]


def optimise(graph: Graph, trace: Trace | None = None, target: Literal["cpu", "cuda"] = "cpu") -> Graph:
    """An equal graph with fewer nodes: common subexpressions shared, literals folded, equations applied.

    `trace` is called with a line for every rewrite (rule, before, after): `optimise(graph, trace=print)`.
    Among equal formulations the one is chosen that is fastest on the `target`.
    """
    # One sweep reaches the end: a node is rewritten after its inputs, and a right side in the same way.
    chosen = FORMULATIONS[target]
    equations = EQUATIONS | {name: [*EQUATIONS.get(name, ()), *found] for name, found in chosen.items()}
    found = Rebuild(equations, trace).graph(run_once(graph))
    # Only now it is known which values are equal, and so who is read once.
    some = any(node.op.name in ("Gemm", "LogSoftmax", "MatMul") for node in with_inner(found.nodes))
    return Rebuild({}, trace, FUSIONS).graph(found) if some else found
