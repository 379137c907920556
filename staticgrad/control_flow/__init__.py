"""Derivatives of branches and loops, which are branches and loops again."""

from staticgrad.control_flow import branch, loop, scan, sequence_map

__all__ = ["branch", "loop", "scan", "sequence_map"]
