"""One row for every case of every operator, in one module a family."""

from operator_rows import (
    activation,
    bits,
    convolution,
    elementary,
    indexing,
    loss,
    normalization,
    padding,
    product,
    quantization,
    random,
    selection,
)
from operator_rows.row import Array, Fixed, Row

ROWS: list[Row] = [
    *activation.ROWS,
    *bits.ROWS,
    *convolution.ROWS,
    *elementary.ROWS,
    *indexing.ROWS,
    *loss.ROWS,
    *normalization.ROWS,
    *padding.ROWS,
    *product.ROWS,
    *quantization.ROWS,
    *random.ROWS,
    *selection.ROWS,
]

NOT_YET: dict[tuple[str, str], str] = {
    ("Hardmax", "input"): "its derivative is 0 wherever it has one",
}
"""Inputs that ONNX calls differentiable and that have no gradient here: (operator, input) -> why."""

__all__ = ["NOT_YET", "ROWS", "Array", "Fixed", "Row"]
