"""One row for every case of every operator, in one module a family."""

from operator_rows import convolution, elementary, indexing, normalization, padding, product, recurrent
from operator_rows.row import Array, Fixed, Row

ROWS: list[Row] = [
    *convolution.ROWS,
    *elementary.ROWS,
    *indexing.ROWS,
    *normalization.ROWS,
    *padding.ROWS,
    *product.ROWS,
    *recurrent.ROWS,
]

NOT_YET: dict[tuple[str, str], str] = {}
"""Inputs that ONNX calls differentiable and that have no gradient here: (operator, input) -> why."""

__all__ = ["NOT_YET", "ROWS", "Array", "Fixed", "Row"]
