"""What becomes of every operator of ONNX: its derivative, and where that has kernels."""

from staticgrad.operator_table.page import markdown
from staticgrad.operator_table.rows import KINDS, Row, known_facts, rows

__all__ = ["KINDS", "Row", "known_facts", "markdown", "rows"]
