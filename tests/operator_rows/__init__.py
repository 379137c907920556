"""One row for every case of every operator, in one module a family."""

from operator_rows import attention, convolution, elementary, indexing, normalization, padding, product, run_time
from operator_rows.row import Array, Fixed, Row

ROWS: list[Row] = [
    *attention.ROWS,
    *convolution.ROWS,
    *elementary.ROWS,
    *indexing.ROWS,
    *normalization.ROWS,
    *padding.ROWS,
    *product.ROWS,
    *run_time.ROWS,
]

NOT_YET: dict[tuple[str, str], str] = {}
"""Inputs that ONNX calls differentiable and that have no gradient here: (operator, input) -> why."""

__all__ = ["NOT_YET", "ROWS", "Array", "Fixed", "Row"]
