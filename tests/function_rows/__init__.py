"""One row for every case of every PyTorch-named function, in one module a family."""

from function_rows import arithmetic, elementary, linear
from function_rows.row import Row

ROWS: list[Row] = [*elementary.ROWS, *arithmetic.ROWS, *linear.ROWS]
"""Elementwise functions, products, reductions, shapes, indexing, activations and losses."""
