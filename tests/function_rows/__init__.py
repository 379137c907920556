"""One row for every case of every PyTorch-named function, in one module a family."""

from function_rows import elementary, padding, patches, resampling, sampling
from function_rows.row import Row

ROWS: list[Row] = [*elementary.ROWS, *padding.ROWS, *patches.ROWS, *resampling.ROWS, *sampling.ROWS]
