"""Numbers held as small integers."""

from __future__ import annotations

import numpy as np

from operator_rows.row import Array, Row, draw, number, row

BYTES = np.array([[0, 3, 128, 255], [7, 200, 90, 11], [1, 2, 3, 4]], np.uint8)
SIGNED = BYTES.astype(np.int8)
A, B = BYTES, np.array([[1, 2], [250, 4], [5, 6], [0, 8]], np.uint8)
IMAGE, KERNEL = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3), np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
POINT = np.array(3, np.uint8)


def single(x: object) -> Array:
    return np.array(x, np.float32)


def dequantized(q: Array, scale: Array, zero_point: Array | None = None, behind: int = 0, **how: int) -> Row:
    """A row whose scales have `behind` axes behind them."""
    scales, zeros = (p.reshape((*p.shape, *[1] * behind)) for p in (scale, scale if zero_point is None else zero_point))
    block, axis = how.get("block_size"), how.get("axis", 1)
    if block:
        scales, zeros = (np.repeat(p, block, axis).take(range(q.shape[axis]), axis) for p in (scales, zeros))
    expected = (q.astype(np.float64) - (0 if zero_point is None else zeros)) * scales
    return row("DequantizeLinear", q, scale, zero_point, dtype="float32", expected=expected, **how)


PRODUCT = A, single(0.1), POINT, B, single(0.2), POINT, single(0.7), POINT
CONVOLUTION = IMAGE, single(0.1), POINT, KERNEL, single(0.2), POINT, single(0.7), POINT

ROWS: list[Row] = [
    row("QuantizeLinear", single([[-3.0, 0.5, 1.5], [2.5, 9.0, 300.0]]), single(0.5)),
    row("QuantizeLinear", single([[-3.0, 0.5, 1.5], [2.5, 9.0, 300.0]]), single([0.5, 0.1, 2.0]), SIGNED[0, :3]),
    row("QuantizeLinear", single([[-3.0, 0.5], [2.5, 9.0]]), single([0.5, 0.1]), output_dtype="int16", axis=-2),
    row("QuantizeLinear", single([[-3.0, 0.5, 1.5]]), single([[0.5, 0.1]]), BYTES[:1, :2], block_size=2),
    # onnx.reference does not have it in all versions.
    dequantized(BYTES, number(0.3)),
    dequantized(SIGNED, draw(4, low=0.2), SIGNED[0]),
    dequantized(BYTES, draw(3, low=0.2), BYTES[:, 0].copy(), behind=1, axis=-2),
    dequantized(BYTES, draw(1, low=0.2), BYTES[0, :1]),
    dequantized(BYTES[0], draw(4, low=0.2), axis=0),
    dequantized(BYTES, draw(3, 2, low=0.2), BYTES[:, 2:].copy(), block_size=3),
    dequantized(BYTES, draw(2, 4, low=0.2), axis=0, block_size=2),
    dequantized(np.array([-7, 4], np.int32), number(0.3)),
    row("DynamicQuantizeLinear", draw(3, 4, low=-1.0), dtype="float32"),
    row("DynamicQuantizeLinear", draw(3, 4, low=0.2), dtype="float32"),
    row("DynamicQuantizeLinear", draw(3, 4, low=-2.0, high=-0.2), dtype="float32"),
    row("MatMulInteger", A, B),
    row("MatMulInteger", SIGNED, B, POINT.astype(np.int8), POINT),
    row("ConvInteger", IMAGE, KERNEL, POINT, group=2),
    row("ConvInteger", IMAGE, KERNEL, group=2, pads=(1, 0, 0, 1), strides=(2, 1), kernel_shape=(2, 2)),
    row("QLinearMatMul", *PRODUCT),
    row("QLinearConv", *CONVOLUTION, group=2),
    row("QLinearConv", *CONVOLUTION, np.array([40, -60], np.int32), group=2, dilations=(2, 2)),
]
