"""One row for every case of every PyTorch-named function, in one module a family."""

from function_rows import elementary, losses, normalization
from function_rows.row import Row

ROWS: list[Row] = [*elementary.ROWS, *losses.ROWS, *normalization.ROWS]
