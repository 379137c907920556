"""One row for every case of every PyTorch-named function, in one module a family."""

from function_rows import convolution, elementary
from function_rows.row import Row

ROWS: list[Row] = [*elementary.ROWS, *convolution.ROWS]
