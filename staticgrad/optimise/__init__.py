"""Make a graph smaller and faster without changing what it computes."""

from __future__ import annotations

from staticgrad.graph import Graph
from staticgrad.optimise import passes  # noqa: F401 - registers its equations
from staticgrad.optimise.equations import EQUATIONS
from staticgrad.rewrite import Rebuild, Trace

__all__ = ["optimise"]


def optimise(graph: Graph, trace: Trace | None = None) -> Graph:
    """An equal graph with fewer nodes: common subexpressions shared, literals folded, equations applied.

    `trace` is called with a line for every rewrite (rule, before, after): `optimise(graph, trace=print)`.
    """
    # One sweep reaches the end: a node is rewritten after its inputs, and a right side in the same way.
    return Rebuild(EQUATIONS, trace).graph(graph)
