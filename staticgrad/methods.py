"""PyTorch's method names and Python's operators, for `Value` to inherit.

The ground knows neither operators nor functions, so both are looked up by name when called: arithmetic in the operator
registry by its ONNX name, methods among the functions of `staticgrad.tensor` by PyTorch's. A test holds every method's
signature to that of its function.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from staticgrad.graph import Value
    from staticgrad.tensor.reduction import Extremes, ValuesAndIndices

    Operand: TypeAlias = "Value | builtins.float"

OPERATORS: dict[str, Any] = {}
"""The operator registry: ONNX name -> entry; filled by `staticgrad.ops`."""

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""PyTorch name -> function; filled by `staticgrad.tensor`."""


class Methods:
    """Everything that can be written behind or between symbolic values."""

    __slots__ = ()

    def __add__(self, other: Operand) -> Value:
        return OPERATORS["Add"](self, other)

    def __radd__(self, other: Operand) -> Value:
        return OPERATORS["Add"](other, self)

    def __sub__(self, other: Operand) -> Value:
        return OPERATORS["Sub"](self, other)

    def __rsub__(self, other: Operand) -> Value:
        return OPERATORS["Sub"](other, self)

    def __mul__(self, other: Operand) -> Value:
        return OPERATORS["Mul"](self, other)

    def __rmul__(self, other: Operand) -> Value:
        return OPERATORS["Mul"](other, self)

    def __truediv__(self, other: Operand) -> Value:
        return FUNCTIONS["div"](self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return FUNCTIONS["div"](other, self)

    def __floordiv__(self, other: Operand) -> Value:
        return FUNCTIONS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return FUNCTIONS["floor_divide"](other, self)

    def __mod__(self, other: Operand) -> Value:
        return FUNCTIONS["remainder"](self, other)

    def __rmod__(self, other: Operand) -> Value:
        return FUNCTIONS["remainder"](other, self)

    def __pow__(self, exponent: Operand) -> Value:
        return FUNCTIONS["pow"](self, exponent)

    def __rpow__(self, base: Operand) -> Value:
        return FUNCTIONS["pow"](base, self)

    def __matmul__(self, other: Value) -> Value:
        return FUNCTIONS["matmul"](self, other)

    def __rmatmul__(self, other: Value) -> Value:
        return FUNCTIONS["matmul"](other, self)

    def __neg__(self) -> Value:
        return OPERATORS["Neg"](self)

    def __pos__(self) -> Value:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Value:
        return OPERATORS["Abs"](self)

    def __eq__(self, other: Operand) -> Value:  # type: ignore[override]
        return NotImplemented if other is None else FUNCTIONS["eq"](self, other)

    def __ne__(self, other: Operand) -> Value:  # type: ignore[override]
        return NotImplemented if other is None else FUNCTIONS["ne"](self, other)

    def __lt__(self, other: Operand) -> Value:
        return FUNCTIONS["lt"](self, other)

    def __le__(self, other: Operand) -> Value:
        return FUNCTIONS["le"](self, other)

    def __gt__(self, other: Operand) -> Value:
        return FUNCTIONS["gt"](self, other)

    def __ge__(self, other: Operand) -> Value:
        return FUNCTIONS["ge"](self, other)

    def __and__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_and"](self, other)

    def __or__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_or"](self, other)

    def __xor__(self, other: Value | bool) -> Value:
        return FUNCTIONS["logical_xor"](self, other)

    def __invert__(self) -> Value:
        return FUNCTIONS["logical_not"](self)

    def __getitem__(self, index: Any) -> Value:
        return FUNCTIONS["getitem"](self, index)

    def abs(self) -> Value:
        """`|x|`; the derivative at 0 is 0."""
        return FUNCTIONS["abs"](self)

    def neg(self) -> Value:
        """`-x`."""
        return FUNCTIONS["neg"](self)

    def sign(self) -> Value:
        """-1, 0 or 1."""
        return FUNCTIONS["sign"](self)

    def exp(self) -> Value:
        """`e ** x`."""
        return FUNCTIONS["exp"](self)

    def exp2(self) -> Value:
        """`2 ** x`."""
        return FUNCTIONS["exp2"](self)

    def expm1(self) -> Value:
        """`exp(x) - 1`, exact near 0: `tanh(x / 2) * (exp(x) + 1)`."""
        return FUNCTIONS["expm1"](self)

    def log(self) -> Value:
        """The natural logarithm."""
        return FUNCTIONS["log"](self)

    def log2(self) -> Value:
        """The logarithm to base 2."""
        return FUNCTIONS["log2"](self)

    def log10(self) -> Value:
        """The logarithm to base 10."""
        return FUNCTIONS["log10"](self)

    def log1p(self) -> Value:
        """`log(1 + x)`, exact near 0 (Kahan's correction by the rounding error of 1 + x)."""
        return FUNCTIONS["log1p"](self)

    def sqrt(self) -> Value:
        """The square root."""
        return FUNCTIONS["sqrt"](self)

    def rsqrt(self) -> Value:
        """`1 / sqrt(x)`."""
        return FUNCTIONS["rsqrt"](self)

    def reciprocal(self) -> Value:
        """`1 / x`."""
        return FUNCTIONS["reciprocal"](self)

    def square(self) -> Value:
        """`x * x`."""
        return FUNCTIONS["square"](self)

    def sin(self) -> Value:
        """The sine of `x` in radians."""
        return FUNCTIONS["sin"](self)

    def cos(self) -> Value:
        """The cosine of `x` in radians."""
        return FUNCTIONS["cos"](self)

    def tan(self) -> Value:
        """The tangent of `x` in radians."""
        return FUNCTIONS["tan"](self)

    def asin(self) -> Value:
        """The inverse sine, in radians."""
        return FUNCTIONS["asin"](self)

    def acos(self) -> Value:
        """The inverse cosine, in radians."""
        return FUNCTIONS["acos"](self)

    def atan(self) -> Value:
        """The inverse tangent, in radians."""
        return FUNCTIONS["atan"](self)

    def sinh(self) -> Value:
        """The hyperbolic sine."""
        return FUNCTIONS["sinh"](self)

    def cosh(self) -> Value:
        """The hyperbolic cosine."""
        return FUNCTIONS["cosh"](self)

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        return FUNCTIONS["tanh"](self)

    def asinh(self) -> Value:
        """The inverse hyperbolic sine."""
        return FUNCTIONS["asinh"](self)

    def acosh(self) -> Value:
        """The inverse hyperbolic cosine."""
        return FUNCTIONS["acosh"](self)

    def atanh(self) -> Value:
        """The inverse hyperbolic tangent."""
        return FUNCTIONS["atanh"](self)

    def erf(self) -> Value:
        """The error function."""
        return FUNCTIONS["erf"](self)

    def floor(self) -> Value:
        """The largest whole number not above `x`; the derivative is 0."""
        return FUNCTIONS["floor"](self)

    def ceil(self) -> Value:
        """The smallest whole number not below `x`; the derivative is 0."""
        return FUNCTIONS["ceil"](self)

    def round(self, decimals: builtins.int = 0) -> Value:
        """The nearest multiple of `10 ** -decimals`, halves to even; the derivative is 0."""
        return FUNCTIONS["round"](self, decimals)

    def add(self, other: Operand, alpha: builtins.float = 1) -> Value:
        """`x + alpha * other`."""
        return FUNCTIONS["add"](self, other, alpha)

    def sub(self, other: Operand, alpha: builtins.float = 1) -> Value:
        """`x - alpha * other`."""
        return FUNCTIONS["sub"](self, other, alpha)

    def mul(self, other: Operand) -> Value:
        """`x * other`."""
        return FUNCTIONS["mul"](self, other)

    def div(self, other: Operand, rounding_mode: str | None = None) -> Value:
        """`x / other`; the quotient of integers is floating."""
        return FUNCTIONS["div"](self, other, rounding_mode)

    def floor_divide(self, other: Operand) -> Value:
        """`x / other` rounded down; the derivative is 0."""
        return FUNCTIONS["floor_divide"](self, other)

    def remainder(self, other: Operand) -> Value:
        """`x - other * floor(x / other)`, with the sign of `other`."""
        return FUNCTIONS["remainder"](self, other)

    def fmod(self, other: Operand) -> Value:
        """The remainder of `x / other` with the sign of `x`."""
        return FUNCTIONS["fmod"](self, other)

    def pow(self, exponent: Operand) -> Value:
        """`x ** exponent`."""
        return FUNCTIONS["pow"](self, exponent)

    def maximum(self, other: Operand) -> Value:
        """The larger of two elements; ties share the derivative evenly."""
        return FUNCTIONS["maximum"](self, other)

    def minimum(self, other: Operand) -> Value:
        """The smaller of two elements; ties share the derivative evenly."""
        return FUNCTIONS["minimum"](self, other)

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Value:
        """`x` within [min, max], numbers or tensors; the derivative passes at the bounds; where min > max, `max`."""
        return FUNCTIONS["clamp"](self, min, max)

    def masked_fill(self, mask: Value, value: Operand) -> Value:
        """`x` with `value`, a number or a tensor of rank 0, where `mask` holds; the element type stays that of `x`."""
        return FUNCTIONS["masked_fill"](self, mask, value)

    def lerp(self, end: Value, weight: Operand) -> Value:
        """`x + weight * (end - x)`."""
        return FUNCTIONS["lerp"](self, end, weight)

    def eq(self, other: Operand) -> Value:
        """`x == other`."""
        return FUNCTIONS["eq"](self, other)

    def ne(self, other: Operand) -> Value:
        """`x != other`."""
        return FUNCTIONS["ne"](self, other)

    def lt(self, other: Operand) -> Value:
        """`x < other`."""
        return FUNCTIONS["lt"](self, other)

    def le(self, other: Operand) -> Value:
        """`x <= other`."""
        return FUNCTIONS["le"](self, other)

    def gt(self, other: Operand) -> Value:
        """`x > other`."""
        return FUNCTIONS["gt"](self, other)

    def ge(self, other: Operand) -> Value:
        """`x >= other`."""
        return FUNCTIONS["ge"](self, other)

    def logical_and(self, other: Value | builtins.bool) -> Value:
        """Whether both are not zero."""
        return FUNCTIONS["logical_and"](self, other)

    def logical_or(self, other: Value | builtins.bool) -> Value:
        """Whether one or both are not zero."""
        return FUNCTIONS["logical_or"](self, other)

    def logical_xor(self, other: Value | builtins.bool) -> Value:
        """Whether exactly one is not zero."""
        return FUNCTIONS["logical_xor"](self, other)

    def logical_not(self) -> Value:
        """Whether `x` is zero."""
        return FUNCTIONS["logical_not"](self)

    def isnan(self) -> Value:
        """Whether an element is NaN."""
        return FUNCTIONS["isnan"](self)

    def isinf(self) -> Value:
        """Whether an element is infinite."""
        return FUNCTIONS["isinf"](self)

    def isfinite(self) -> Value:
        """Whether an element is neither infinite nor NaN."""
        return FUNCTIONS["isfinite"](self)

    def relu(self) -> Value:
        """`max(x, 0)`; the derivative at 0 is 0."""
        return FUNCTIONS["relu"](self)

    def sigmoid(self) -> Value:
        """`1 / (1 + exp(-x))`."""
        return FUNCTIONS["sigmoid"](self)

    def hardshrink(self, lambd: builtins.float = 0.5) -> Value:
        """`x`, and 0 where it is within `lambd` of 0."""
        return FUNCTIONS["hardshrink"](self, lambd)

    def to(self, dtype: object) -> Value:
        """`x` cast to an element type, given by name as in `x.to("float16")`."""
        return FUNCTIONS["to"](self, dtype)

    def float(self) -> Value:
        """`x` as float32."""
        return FUNCTIONS["float"](self)

    def double(self) -> Value:
        """`x` as float64."""
        return FUNCTIONS["double"](self)

    def half(self) -> Value:
        """`x` as float16."""
        return FUNCTIONS["half"](self)

    def bfloat16(self) -> Value:
        """`x` as bfloat16."""
        return FUNCTIONS["bfloat16"](self)

    def int(self) -> Value:
        """`x` as int32, rounded towards zero."""
        return FUNCTIONS["int"](self)

    def long(self) -> Value:
        """`x` as int64, rounded towards zero."""
        return FUNCTIONS["long"](self)

    def bool(self) -> Value:
        """Whether `x` is not zero."""
        return FUNCTIONS["bool"](self)

    def reshape(self, *shape: Any) -> Value:
        """The same elements in another shape; one size may be -1, or the name of a dimension of `x`."""
        return FUNCTIONS["reshape"](self, *shape)

    def view(self, *shape: Any) -> Value:
        """The same elements in another shape, like `reshape`."""
        return FUNCTIONS["view"](self, *shape)

    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Value:
        """`x` with the dimensions from `start_dim` to `end_dim` made one."""
        return FUNCTIONS["flatten"](self, start_dim, end_dim)

    def unflatten(self, dim: builtins.int, sizes: Sequence[builtins.int]) -> Value:
        """`x` with dimension `dim` split into `sizes`, one of which may be -1."""
        return FUNCTIONS["unflatten"](self, dim, sizes)

    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["transpose"](self, dim0, dim1)

    def t(self) -> Value:
        """The transpose of a matrix; a vector or number as it is."""
        return FUNCTIONS["t"](self)

    def permute(self, *dims: Any) -> Value:
        """`x` with its dimensions in this order."""
        return FUNCTIONS["permute"](self, *dims)

    def movedim(
        self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]
    ) -> Value:
        """`x` with dimensions `source` moved to the places `destination`."""
        return FUNCTIONS["movedim"](self, source, destination)

    def squeeze(self, dim: builtins.int | Sequence[builtins.int] | None = None) -> Value:
        """`x` without its dimensions of size 1, or without those among `dim`."""
        return FUNCTIONS["squeeze"](self, dim)

    def unsqueeze(self, dim: builtins.int) -> Value:
        """`x` with a new dimension of size 1 at `dim`."""
        return FUNCTIONS["unsqueeze"](self, dim)

    def expand(self, *sizes: Any) -> Value:
        """`x` repeated along its dimensions of size 1; -1 keeps a size, and further sizes may stand in front."""
        return FUNCTIONS["expand"](self, *sizes)

    def expand_as(self, other: Value) -> Value:
        """`x` repeated to the shape of `other`."""
        return FUNCTIONS["expand_as"](self, other)

    def broadcast_to(self, shape: Sequence[Any]) -> Value:
        """`x` repeated to `shape`."""
        return FUNCTIONS["broadcast_to"](self, shape)

    def repeat(self, *repeats: Any) -> Value:
        """`x` laid beside itself; more numbers than dimensions add dimensions in front."""
        return FUNCTIONS["repeat"](self, *repeats)

    def split(
        self, split_size_or_sections: builtins.int | Sequence[builtins.int], dim: builtins.int = 0
    ) -> tuple[Value, ...]:
        """`x` cut along `dim` into parts of one size (the last may be smaller), or of the sizes given."""
        return FUNCTIONS["split"](self, split_size_or_sections, dim)

    def chunk(self, chunks: builtins.int, dim: builtins.int = 0) -> tuple[Value, ...]:
        """`x` cut along `dim` into at most `chunks` parts of equal size, the last of which may be smaller."""
        return FUNCTIONS["chunk"](self, chunks, dim)

    def unbind(self, dim: builtins.int = 0) -> tuple[Value, ...]:
        """The slices of `x` along `dim`, without that dimension."""
        return FUNCTIONS["unbind"](self, dim)

    def flip(self, *axes: Any, dims: builtins.int | Sequence[builtins.int] | None = None) -> Value:
        """`x` with the order of elements reversed along `dims`."""
        return FUNCTIONS["flip"](self, *axes, dims=dims)

    def tril(self, diagonal: builtins.int = 0) -> Value:
        """The lower triangle of the last two dimensions up to the diagonal, zeros above."""
        return FUNCTIONS["tril"](self, diagonal)

    def triu(self, diagonal: builtins.int = 0) -> Value:
        """The upper triangle of the last two dimensions from the diagonal on, zeros below."""
        return FUNCTIONS["triu"](self, diagonal)

    def gather(self, dim: builtins.int, index: Value, *, sparse_grad: builtins.bool = False) -> Value:
        """For every element of `index` the element of `x` at that position of `dim`."""
        return FUNCTIONS["gather"](self, dim, index, sparse_grad=sparse_grad)

    def index_select(self, dim: builtins.int, index: Value) -> Value:
        """The slices of `x` along `dim` at the positions of a vector."""
        return FUNCTIONS["index_select"](self, dim, index)

    def scatter_add(self, dim: builtins.int, index: Value, src: Value) -> Value:
        """`x` with `src` added at the positions `index` of `dim`."""
        return FUNCTIONS["scatter_add"](self, dim, index, src)

    def view_as(self, other: Value) -> Value:
        """`x` in the shape of `other`."""
        return FUNCTIONS["view_as"](self, other)

    def reshape_as(self, other: Value) -> Value:
        """`x` in the shape of `other`."""
        return FUNCTIONS["reshape_as"](self, other)

    def tile(self, *dims: Any) -> Value:
        """`x` laid beside itself; missing numbers stand for 1 in front, further ones add dimensions in front."""
        return FUNCTIONS["tile"](self, *dims)

    def repeat_interleave(
        self, repeats: Any, dim: builtins.int | None = None, *, output_size: builtins.int | None = None
    ) -> Value:
        """Every element along `dim` `repeats` times in a row; without `dim` those of the flattened `x`."""
        return FUNCTIONS["repeat_interleave"](self, repeats, dim, output_size=output_size)

    def roll(
        self, shifts: builtins.int | Sequence[builtins.int], dims: builtins.int | Sequence[builtins.int] | None = None
    ) -> Value:
        """`x` with its elements moved on by `shifts` along `dims`, those at the end to the front."""
        return FUNCTIONS["roll"](self, shifts, dims)

    def diagonal(self, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Value:
        """The diagonal of the matrices over `dim1` and `dim2`, as a last dimension; `offset` > 0 lies above."""
        return FUNCTIONS["diagonal"](self, offset, dim1, dim2)

    def diag_embed(self, offset: builtins.int = 0, dim1: builtins.int = -2, dim2: builtins.int = -1) -> Value:
        """Matrices over `dim1` and `dim2` with the last dimension of `x` on a diagonal, zeros elsewhere."""
        return FUNCTIONS["diag_embed"](self, offset, dim1, dim2)

    def diag(self, diagonal: builtins.int = 0) -> Value:
        """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
        return FUNCTIONS["diag"](self, diagonal)

    def narrow(self, dim: builtins.int, start: builtins.int | Value, length: builtins.int) -> Value:
        """`length` elements along `dim` from `start` on, which may be a value of rank 0."""
        return FUNCTIONS["narrow"](self, dim, start, length)

    def select(self, dim: builtins.int, index: builtins.int | Value) -> Value:
        """The slice of `x` at one position of `dim`, without that dimension."""
        return FUNCTIONS["select"](self, dim, index)

    def swapaxes(self, axis0: builtins.int, axis1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["swapaxes"](self, axis0, axis1)

    def swapdims(self, dim0: builtins.int, dim1: builtins.int) -> Value:
        """`x` with two dimensions exchanged."""
        return FUNCTIONS["swapdims"](self, dim0, dim1)

    def moveaxis(
        self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]
    ) -> Value:
        """`x` with dimensions `source` moved to the places `destination`."""
        return FUNCTIONS["moveaxis"](self, source, destination)

    def split_with_sizes(self, split_sizes: Sequence[builtins.int], dim: builtins.int = 0) -> tuple[Value, ...]:
        """`x` cut along `dim` into parts of the sizes given."""
        return FUNCTIONS["split_with_sizes"](self, split_sizes, dim)

    def unfold(self, dimension: builtins.int, size: builtins.int, step: builtins.int) -> Value:
        """Windows of `size` elements along `dimension`, one every `step`, which become a last dimension."""
        return FUNCTIONS["unfold_dimension"](self, dimension, size, step)

    def take(self, index: Value) -> Value:
        """The elements of the flattened `x` at the positions `index`."""
        return FUNCTIONS["take"](self, index)

    def take_along_dim(self, indices: Value, dim: builtins.int | None = None) -> Value:
        """`gather` of tensors that broadcast in all dimensions but `dim`; without it, of both flattened."""
        return FUNCTIONS["take_along_dim"](self, indices, dim)

    def masked_select(self, mask: Value) -> Value:
        """The elements of `x` where `mask` holds, as a vector whose size only the run knows."""
        return FUNCTIONS["masked_select"](self, mask)

    def scatter(
        self,
        dim: builtins.int,
        index: Value,
        src: Any = None,
        *,
        value: builtins.float | None = None,
        reduce: str | None = None,
    ) -> Value:
        """`x` with `src` (a tensor or number) or `value` written at the positions `index` of `dim`."""
        return FUNCTIONS["scatter"](self, dim, index, src, value=value, reduce=reduce)

    def scatter_reduce(
        self, dim: builtins.int, index: Value, src: Value, reduce: str, *, include_self: builtins.bool = True
    ) -> Value:
        """`x` with the "sum", "prod", "mean", "amax" or "amin" of the `src` that `index` sends to each position."""
        return FUNCTIONS["scatter_reduce"](self, dim, index, src, reduce, include_self=include_self)

    def index_add(self, dim: builtins.int, index: Value, source: Value, *, alpha: builtins.float = 1) -> Value:
        """`x` with `alpha` times the slices of `source` added at the positions of a vector along `dim`."""
        return FUNCTIONS["index_add"](self, dim, index, source, alpha=alpha)

    def index_copy(self, dim: builtins.int, index: Value, source: Value) -> Value:
        """`x` with the slices of `source` in place of those at the positions of a vector along `dim`."""
        return FUNCTIONS["index_copy"](self, dim, index, source)

    def index_reduce(
        self, dim: builtins.int, index: Value, source: Value, reduce: str, *, include_self: builtins.bool = True
    ) -> Value:
        """`scatter_reduce` of whole slices: `source` to the positions of a vector along `dim`."""
        return FUNCTIONS["index_reduce"](self, dim, index, source, reduce, include_self=include_self)

    def index_fill(self, dim: builtins.int, index: Value, value: Any) -> Value:
        """`x` with `value`, a number or tensor of rank 0, at the positions of a vector along `dim`."""
        return FUNCTIONS["index_fill"](self, dim, index, value)

    def index_put(self, indices: Sequence[Any], values: Value, accumulate: builtins.bool = False) -> Value:
        """`x` with `values` in place of what `x[indices]` reads, or added to it."""
        return FUNCTIONS["index_put"](self, indices, values, accumulate)

    def masked_scatter(self, mask: Value, source: Value) -> Value:
        """`x` with the elements of `source`, in their order, where `mask` holds."""
        return FUNCTIONS["masked_scatter"](self, mask, source)

    def topk(
        self, k: builtins.int, dim: builtins.int = -1, largest: builtins.bool = True, sorted: builtins.bool = True
    ) -> ValuesAndIndices:
        """The `k` largest (or smallest) elements along `dim` in order and where they stand; of equal ones the first."""
        return FUNCTIONS["topk"](self, k, dim, largest, sorted)

    def sort(
        self, dim: builtins.int = -1, descending: builtins.bool = False, stable: builtins.bool = False
    ) -> ValuesAndIndices:
        """The elements along `dim` in order and where they stood; equal ones keep their order, `stable` or not."""
        return FUNCTIONS["sort"](self, dim, descending, stable)

    def argsort(
        self, dim: builtins.int = -1, descending: builtins.bool = False, stable: builtins.bool = False
    ) -> Value:
        """Where the elements along `dim` stand that come first, second, ... in order, int64."""
        return FUNCTIONS["argsort"](self, dim, descending, stable)

    def msort(self) -> Value:
        """The elements along the first dimension in ascending order."""
        return FUNCTIONS["msort"](self)

    def kthvalue(self, k: builtins.int, dim: builtins.int = -1, keepdim: builtins.bool = False) -> ValuesAndIndices:
        """The `k`-th smallest element along `dim`, counted from 1, and where it stands."""
        return FUNCTIONS["kthvalue"](self, k, dim, keepdim)

    def matmul(self, other: Value) -> Value:
        """The matrix product over the last two dimensions; leading ones broadcast, rank 1 is a row or a column."""
        return FUNCTIONS["matmul"](self, other)

    def mm(self, mat2: Value) -> Value:
        """The product of two matrices."""
        return FUNCTIONS["mm"](self, mat2)

    def bmm(self, mat2: Value) -> Value:
        """The products of two batches of matrices."""
        return FUNCTIONS["bmm"](self, mat2)

    def mv(self, vec: Value) -> Value:
        """The product of a matrix and a vector."""
        return FUNCTIONS["mv"](self, vec)

    def dot(self, tensor: Value) -> Value:
        """The inner product of two vectors."""
        return FUNCTIONS["dot"](self, tensor)

    def outer(self, vec2: Value) -> Value:
        """All products of the elements of two vectors."""
        return FUNCTIONS["outer"](self, vec2)

    def addmm(self, mat1: Value, mat2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * mat1 @ mat2`."""
        return FUNCTIONS["addmm"](self, mat1, mat2, beta, alpha)

    def baddbmm(self, batch1: Value, batch2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * batch1 @ batch2`, for each matrix of the batch."""
        return FUNCTIONS["baddbmm"](self, batch1, batch2, beta, alpha)

    def sum(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The sum over `dim` (all dimensions without it); of bools and integers in int64."""
        return FUNCTIONS["sum"](self, dim, keepdim, dtype)

    def mean(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The mean over `dim` (all dimensions without it)."""
        return FUNCTIONS["mean"](self, dim, keepdim, dtype)

    def amax(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """The maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["amax"](self, dim, keepdim)

    def amin(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """The minimum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["amin"](self, dim, keepdim)

    def max(self, dim: builtins.int | Value | None = None, keepdim: builtins.bool = False) -> Value | ValuesAndIndices:
        """The maximum of all elements; over one `dim` also where it stands; with a tensor the elementwise maximum."""
        return FUNCTIONS["max"](self, dim, keepdim)

    def min(self, dim: builtins.int | Value | None = None, keepdim: builtins.bool = False) -> Value | ValuesAndIndices:
        """The minimum of all elements; over one `dim` also where it stands; with a tensor the elementwise minimum."""
        return FUNCTIONS["min"](self, dim, keepdim)

    def argmax(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Value:
        """Where the maximum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
        return FUNCTIONS["argmax"](self, dim, keepdim)

    def argmin(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Value:
        """Where the minimum along `dim` stands (first of equal ones), int64; without `dim` in the flattened tensor."""
        return FUNCTIONS["argmin"](self, dim, keepdim)

    def all(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """Whether all elements over `dim` are not zero."""
        return FUNCTIONS["all"](self, dim, keepdim)

    def any(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False) -> Value:
        """Whether some element over `dim` is not zero."""
        return FUNCTIONS["any"](self, dim, keepdim)

    def var(
        self,
        dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
    ) -> Value:
        """The variance over `dim`: the sum of `(x - mean)^2`, divided by the number of elements less `correction`."""
        return FUNCTIONS["var"](self, dim, unbiased, keepdim, correction=correction)

    def std(
        self,
        dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
    ) -> Value:
        """The standard deviation over `dim`: the square root of `var`; the derivative at deviation 0 is 0."""
        return FUNCTIONS["std"](self, dim, unbiased, keepdim, correction=correction)

    def logsumexp(self, dim: builtins.int | Sequence[builtins.int] | None, keepdim: builtins.bool = False) -> Value:
        """`log(sum(exp(x)))` over `dim`, without overflow."""
        return FUNCTIONS["logsumexp"](self, dim, keepdim)

    def norm(
        self,
        p: builtins.float | str | None = 2,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The p-norm over `dim`: `sum(|x|^p)^(1/p)`, the extremes of `|x|` for p = inf or -inf, a count for p = 0."""
        return FUNCTIONS["norm"](self, p, dim, keepdim, dtype)

    def cumsum(self, dim: builtins.int, dtype: object = None) -> Value:
        """Running sums along `dim`; of bools and integers in int64."""
        return FUNCTIONS["cumsum"](self, dim, dtype)

    def softmax(self, dim: builtins.int, dtype: object = None) -> Value:
        """Exponentials of `x`, normalised to sum to one along `dim`."""
        return FUNCTIONS["softmax"](self, dim, dtype)

    def log_softmax(self, dim: builtins.int, dtype: object = None) -> Value:
        """The logarithm of `softmax(x, dim)`, computed without overflow."""
        return FUNCTIONS["log_softmax"](self, dim, dtype)

    def trunc(self) -> Value:
        """`x` without its fraction, rounded towards zero; the derivative is 0."""
        return FUNCTIONS["trunc"](self)

    def clone(self) -> Value:
        """The same value; the derivative passes."""
        return FUNCTIONS["clone"](self)

    def contiguous(self) -> Value:
        """The same value: how it lies in memory is the runtime's business."""
        return FUNCTIONS["contiguous"](self)

    def frac(self) -> Value:
        """The fraction of `x`, `x - trunc(x)`, with its sign; the derivative is 1."""
        return FUNCTIONS["frac"](self)

    def positive(self) -> Value:
        """`x` as it is; bools are refused."""
        return FUNCTIONS["positive"](self)

    def sgn(self) -> Value:
        """-1, 0 or 1, as `sign`."""
        return FUNCTIONS["sgn"](self)

    def sinc(self) -> Value:
        """`sin(pi x) / (pi x)`, and 1 at 0."""
        return FUNCTIONS["sinc"](self)

    def logit(self, eps: builtins.float | None = None) -> Value:
        """`log(x / (1 - x))`, of `x` limited to [eps, 1 - eps] where eps is given."""
        return FUNCTIONS["logit"](self, eps)

    def nan_to_num(
        self,
        nan: builtins.float | None = 0.0,
        posinf: builtins.float | None = None,
        neginf: builtins.float | None = None,
    ) -> Value:
        """`x` with numbers for NaN and the infinities: the largest and smallest of the type where none is given."""
        return FUNCTIONS["nan_to_num"](self, nan, posinf, neginf)

    def true_divide(self, other: Operand) -> Value:
        """`x / other`, as `div`."""
        return FUNCTIONS["true_divide"](self, other)

    def fmax(self, other: Operand) -> Value:
        """The larger of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
        return FUNCTIONS["fmax"](self, other)

    def fmin(self, other: Operand) -> Value:
        """The smaller of two elements, or the one that is not NaN; of equal ones the first gets the derivative."""
        return FUNCTIONS["fmin"](self, other)

    def clamp_min(self, min: Operand) -> Value:
        """`x` limited to `min` or more."""
        return FUNCTIONS["clamp_min"](self, min)

    def clamp_max(self, max: Operand) -> Value:
        """`x` limited to `max` or less."""
        return FUNCTIONS["clamp_max"](self, max)

    def addcmul(self, tensor1: Value, tensor2: Value, value: builtins.float = 1) -> Value:
        """`x + value * tensor1 * tensor2`."""
        return FUNCTIONS["addcmul"](self, tensor1, tensor2, value)

    def addcdiv(self, tensor1: Value, tensor2: Value, value: builtins.float = 1) -> Value:
        """`x + value * tensor1 / tensor2`."""
        return FUNCTIONS["addcdiv"](self, tensor1, tensor2, value)

    def atan2(self, other: Value) -> Value:
        """The angle of the point (other, x), in (-pi, pi]; the derivative at the origin is 0."""
        return FUNCTIONS["atan2"](self, other)

    def hypot(self, other: Value) -> Value:
        """`sqrt(x * x + other * other)`, without overflow; at the origin there is no derivative, it is NaN."""
        return FUNCTIONS["hypot"](self, other)

    def logaddexp(self, other: Value) -> Value:
        """`log(exp(x) + exp(other))`, without overflow."""
        return FUNCTIONS["logaddexp"](self, other)

    def logaddexp2(self, other: Value) -> Value:
        """`log2(2 ** x + 2 ** other)`, without overflow."""
        return FUNCTIONS["logaddexp2"](self, other)

    def xlogy(self, other: Operand) -> Value:
        """`x * log(other)`, and 0 where `x` is 0 and `other` is not NaN."""
        return FUNCTIONS["xlogy"](self, other)

    def prod(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, dtype: object = None) -> Value:
        """The product over one `dim` (all dimensions without it); of bools and integers in int64."""
        return FUNCTIONS["prod"](self, dim, keepdim, dtype)

    def nansum(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The sum over `dim` of what is not NaN."""
        return FUNCTIONS["nansum"](self, dim, keepdim, dtype)

    def nanmean(
        self,
        dim: builtins.int | Sequence[builtins.int] | None = None,
        keepdim: builtins.bool = False,
        dtype: object = None,
    ) -> Value:
        """The mean over `dim` of what is not NaN; NaN where there is nothing else."""
        return FUNCTIONS["nanmean"](self, dim, keepdim, dtype)

    def aminmax(self, *, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Extremes:
        """The minimum and the maximum over `dim` (all dimensions without it); ties share the derivative evenly."""
        return FUNCTIONS["aminmax"](self, dim=dim, keepdim=keepdim)

    def cumprod(self, dim: builtins.int, dtype: object = None) -> Value:
        """Running products along `dim`; of bools and integers in int64."""
        return FUNCTIONS["cumprod"](self, dim, dtype)

    def logcumsumexp(self, dim: builtins.int) -> Value:
        """`log(cumsum(exp(x)))` along `dim`, without overflow."""
        return FUNCTIONS["logcumsumexp"](self, dim)

    def diff(
        self, n: builtins.int = 1, dim: builtins.int = -1, prepend: Value | None = None, append: Value | None = None
    ) -> Value:
        """Differences of neighbours along `dim`, `n` times, after `prepend` and `append` are put before and behind."""
        return FUNCTIONS["diff"](self, n, dim, prepend, append)

    def prelu(self, weight: Value) -> Value:
        """`x` where positive, else `weight * x`; one weight, or one for every channel, which is dimension 1."""
        return FUNCTIONS["prelu"](self, weight)

    def vdot(self, other: Value) -> Value:
        """The inner product of two vectors, as `dot`."""
        return FUNCTIONS["vdot"](self, other)

    def inner(self, other: Value) -> Value:
        """The inner products of all vectors along the last dimensions; with a number the product."""
        return FUNCTIONS["inner"](self, other)

    def trace(self) -> Value:
        """The sum of the diagonal of a matrix."""
        return FUNCTIONS["trace"](self)

    def kron(self, other: Value) -> Value:
        """The Kronecker product: every element of `x` times all of `other`, side by side."""
        return FUNCTIONS["kron"](self, other)

    def addmv(self, mat: Value, vec: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * mat @ vec`."""
        return FUNCTIONS["addmv"](self, mat, vec, beta, alpha)

    def addr(self, vec1: Value, vec2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * outer(vec1, vec2)`."""
        return FUNCTIONS["addr"](self, vec1, vec2, beta, alpha)

    def addbmm(self, batch1: Value, batch2: Value, beta: builtins.float = 1, alpha: builtins.float = 1) -> Value:
        """`beta * x + alpha * (the sum of batch1 @ batch2 over the batch)`."""
        return FUNCTIONS["addbmm"](self, batch1, batch2, beta, alpha)

    @property
    def T(self) -> Value:
        """The transpose of a matrix."""
        return FUNCTIONS["t"](self)

    @property
    def mT(self) -> Value:
        """The transpose of the last two dimensions."""
        return FUNCTIONS["transpose"](self, -2, -1)

    def detach(self) -> Value:
        """The same value, through which no derivative flows."""
        return FUNCTIONS["detach"](self)

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Value:
        """`x` limited to [min, max]; see `clamp`."""
        return FUNCTIONS["clamp"](self, min, max)

    def dim(self) -> builtins.int:
        """The number of dimensions."""
        return self.ndim  # type: ignore[attr-defined]

    def size(self, dim: builtins.int | None = None) -> Any:
        """The dimensions, or one of them: ints, names or None."""
        return self.shape if dim is None else self.shape[dim]  # type: ignore[attr-defined]
