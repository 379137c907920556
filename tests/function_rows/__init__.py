"""One row for every case of every PyTorch-named function, in one module a family."""

from function_rows import (
    arithmetic,
    convolution,
    elementary,
    indexing,
    linear,
    losses,
    normalization,
    padding,
    patches,
    resampling,
    sampling,
)
from function_rows.row import Row

ROWS: list[Row] = [
    *arithmetic.ROWS,
    *convolution.ROWS,
    *elementary.ROWS,
    *indexing.ROWS,
    *linear.ROWS,
    *losses.ROWS,
    *normalization.ROWS,
    *padding.ROWS,
    *patches.ROWS,
    *resampling.ROWS,
    *sampling.ROWS,
]
