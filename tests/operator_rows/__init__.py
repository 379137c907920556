"""One row for every case of every operator, in one module a family."""

from operator_rows import (
    activation,
    attention,
    bits,
    blocks,
    convolution,
    einsum,
    elementary,
    indexing,
    loss,
    normalization,
    padding,
    product,
    quantization,
    random,
    recurrent,
    regions,
    resampling,
    run_time,
    sampling,
    selection,
    signal,
)
from operator_rows.row import Array, Fixed, Row

ROWS: list[Row] = [
    *activation.ROWS,
    *attention.ROWS,
    *bits.ROWS,
    *blocks.ROWS,
    *convolution.ROWS,
    *einsum.ROWS,
    *elementary.ROWS,
    *indexing.ROWS,
    *loss.ROWS,
    *normalization.ROWS,
    *padding.ROWS,
    *product.ROWS,
    *quantization.ROWS,
    *random.ROWS,
    *recurrent.ROWS,
    *regions.ROWS,
    *resampling.ROWS,
    *run_time.ROWS,
    *sampling.ROWS,
    *selection.ROWS,
    *signal.ROWS,
]

NOT_YET: dict[tuple[str, str], str] = {}
"""Inputs that ONNX calls differentiable and that have no gradient here: (operator, input) -> why."""

__all__ = ["NOT_YET", "ROWS", "Array", "Fixed", "Row"]
