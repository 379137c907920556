"""Make a graph smaller and faster without changing what it computes."""

from __future__ import annotations

from staticgrad.graph import Graph
from staticgrad.optimise import passes, rows  # noqa: F401 - their equations join the others
from staticgrad.optimise.equations import EQUATIONS
from staticgrad.optimise.products import FUSIONS
from staticgrad.optimise.recurrent import run_once
from staticgrad.rewrite import Rebuild, Trace

__all__ = ["optimise"]


def optimise(graph: Graph, trace: Trace | None = None) -> Graph:
    """An equal graph with fewer nodes: common subexpressions shared, literals folded, equations applied.

    `trace` is called with a line for every rewrite (rule, before, after): `optimise(graph, trace=print)`.
    """
    # One sweep reaches the end: a node is rewritten after its inputs, and a right side in the same way.
    return Rebuild(EQUATIONS, trace, FUSIONS).graph(run_once(graph))
