"""Order along an axis: the largest elements."""

from __future__ import annotations

from staticgrad.errors import DTypeError
from staticgrad.graph import Value
from staticgrad.ops.indexing import scatter_elements
from staticgrad.ops.kinds import dims_of, normal_axis, zeros_like
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.types import DType, TensorType, dims_agree, unknown


def _largest(x, k, *, axis, largest, sorted):
    if x.type.dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came; cast with x.to('int64')")
    listed = len(k.type.shape) == 1 and dims_agree(k.type.shape[0], 1)
    require(k.type.dtype is DType.int64 and listed, "k must be one int64 in a list")
    axis = normal_axis(axis, len(x.type.shape))
    count = dims_of(k.content)
    size = x.type.shape[axis]
    number = count[0] if count else unknown()
    if isinstance(number, int):
        require(number >= 0, f"k is {number}, which is negative")
        require(not isinstance(size, int) or number <= size, f"k is {number}, axis {axis} has only {size} elements")
    dims = (*x.type.shape[:axis], number, *x.type.shape[axis + 1 :])
    return TensorType(x.type.dtype, dims), TensorType(DType.int64, dims)


@onnx_op("TopK", type=_largest)
def topk(x: Input, k: Input, *, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Value, ...]:
    """The `k` largest (or smallest) elements along `axis` and where they stand, of equal ones the first."""


@topk.vjp
def _(gs, ys, x, k, *, axis, largest, sorted):
    g = gs[0]
    return None if g is None else scatter_elements(zeros_like(x), ys[1], g, axis=axis), None
