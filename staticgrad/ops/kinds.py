"""Type rules that families of operators share, and the formulas over shapes that gradient rules need."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Content, Node, Pullback, Training, Value, constant_of
from staticgrad.methods import OPERATORS
from staticgrad.ops.registry import constant, literal, require
from staticgrad.origin import source_line
from staticgrad.types import (
    Dim,
    DType,
    OpaqueType,
    Shape,
    TensorType,
    add_dims,
    broadcast_shapes,
    count_elements,
    divide_dims,
    is_static,
    multiply_dims,
    unknown,
)


def same(x: Value, *_: Value | None, **__: Any) -> TensorType:
    """The result has the type of the first input."""
    return x.type


def floating(x: Value, *others: Value | None, **__: Any) -> TensorType:
    """The type of the first input, which is floating."""
    for value in (x, *others):
        if value is not None and not value.type.dtype.is_float:
            raise DTypeError(f"floating numbers are expected, {value.type.dtype} came; cast with x.float()")
    return x.type


def numeric(x: Value, *_: Value | None, **__: Any) -> TensorType:
    """The type of the first input, which is not bool."""
    if x.type.dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came; cast with x.to('float32') or x.to('int64')")
    return x.type


def broadcast(*xs: Value, **_: Any) -> TensorType:
    """Operands of one numeric element type, broadcast against each other."""
    first = xs[0].type
    if len(xs) == 2 and xs[1].type == first and first.dtype is not DType.bool:
        return first
    dtype = common_dtype(*xs)
    if dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came; cast with x.to('float32') or x.to('int64')")
    return TensorType(dtype, broadcast_shapes(*[x.type.shape for x in xs]))


def compared(a: Value, b: Value, **_: Any) -> TensorType:
    """Operands of one element type, broadcast; the result is bool."""
    common_dtype(a, b)
    return TensorType(DType.bool, broadcast_shapes(a.type.shape, b.type.shape))


def logical(*xs: Value) -> TensorType:
    """Operands of bool, broadcast; the result is bool."""
    if common_dtype(*xs) is not DType.bool:
        raise DTypeError(f"bool is expected, {xs[0].type.dtype} came; compare first, as in x != 0")
    return TensorType(DType.bool, broadcast_shapes(*[x.type.shape for x in xs]))


def common_dtype(*xs: Value | None) -> DType:
    """The one element type of all `xs`; DTypeError where they differ."""
    dtypes = {x.type.dtype: None for x in xs if x is not None}
    if len(dtypes) > 1:
        raise DTypeError(f"element types {' and '.join(dtypes)} do not agree; cast one with x.to(dtype)")
    return next(iter(dtypes))


def reduced(
    x: Value, axes: Value | None = None, *, keepdims: bool = True, noop_with_empty_axes: bool = False
) -> TensorType:
    """`x` without the given axes, or with size 1 there."""
    if x.type.dtype is DType.bool:
        raise DTypeError("numbers are expected, bool came; cast with x.to('int64')")
    shape = x.type.shape
    if axes is None:
        positions: tuple[int, ...] | None = () if noop_with_empty_axes else tuple(range(len(shape)))
    else:
        require(axes.type.dtype is DType.int64 and len(axes.type.shape) == 1, "axes must be a list of int64")
        positions = () if axes.type.shape == (0,) else known_axes(axes, len(shape))
        if positions == () and not noop_with_empty_axes:
            positions = tuple(range(len(shape)))
    if positions is None:
        assert axes is not None
        count = axes.type.shape[0]
        if count == len(shape):
            positions = tuple(range(count))
        elif keepdims:
            return TensorType(x.type.dtype, tuple(d if d == 1 else unknown() for d in shape))
        else:
            require(isinstance(count, int), "axes of which not even the number is known need keepdims=True")
            require(int(count) <= len(shape), f"{count} axes are reduced, there are {len(shape)}")
            return TensorType(x.type.dtype, tuple(unknown() for _ in range(len(shape) - int(count))))
    kept = (1 if i in positions else d for i, d in enumerate(shape))
    dropped = (d for i, d in enumerate(shape) if i not in positions)
    return TensorType(x.type.dtype, tuple(kept if keepdims else dropped))


def known_axes(axes: Value | None, rank: int) -> tuple[int, ...] | None:
    """The non-negative axes that a literal holds, checked against the rank; None where they are not known."""
    array = constant_of(axes)
    if array is None:
        return None
    require(array.dtype.kind in "iu", f"axes are whole numbers, {array.dtype} came")
    positions = tuple(normal_axis(int(a), rank) for a in array.ravel())
    require(len(set(positions)) == len(positions), f"axes {array.ravel().tolist()} name one axis twice")
    return positions


def literal_axes(axes: Value | None, rank: int) -> tuple[int, ...]:
    """The non-negative axes that a literal holds; ShapeError where they are not known."""
    positions = known_axes(axes, rank)
    if positions is None:
        raise ShapeError("the axes must be known when declaring")
    return positions


def normal_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front; ShapeError outside [-rank, rank)."""
    if type(axis) is not int:
        try:
            axis = operator.index(axis)
        except TypeError:
            raise DeclarationError(f"an axis is an int, {shown(axis)} came") from None
    if not -rank <= axis < rank:
        expected = f"{-rank} to {rank - 1} is expected" if rank else "it has none"
        raise ShapeError(f"axis {axis} is out of range for a tensor of rank {rank}; {expected}")
    return axis % rank


def dims_of(content: Content | None) -> Shape | None:
    """A known content as a tuple of dimensions."""
    return content if isinstance(content, tuple) or content is None else (content,)


def elementwise_content(combine: Any) -> Any:
    """The content of an elementwise integer operator, from the contents of two operands."""

    def content(a: Value, b: Value, **_: Any) -> Content | None:
        if a.content is None or b.content is None:
            return None
        if isinstance(a.content, tuple) or isinstance(b.content, tuple):
            left, right = dims_of(a.content), dims_of(b.content)
            assert left is not None and right is not None
            size = max(len(left), len(right)) if left and right else 0
            if len(left) not in (1, size) or len(right) not in (1, size):
                return None
            pairs = zip(
                left * size if len(left) == 1 else left, right * size if len(right) == 1 else right, strict=False
            )
            results = tuple(combine(x, y) for x, y in pairs)
            return None if any(r is None for r in results) else results
        result: Dim | None = combine(a.content, b.content)
        return result

    return content


def subtract_dims(a: Dim, b: Dim) -> Dim:
    """`a - b`."""
    return add_dims(a, multiply_dims(-1, b))


def with_derivative(y: Value, inputs: Sequence[Value], rule: Callable[..., Any]) -> Value:
    """`y` with its derivative by `inputs` replaced: `rule(g, y, *inputs)` gives their cotangents."""

    def pull(g: Value) -> Iterable[Value | None]:
        cotangents = rule(g, result, *inputs)
        listed = cotangents if isinstance(cotangents, tuple) else (cotangents,)
        if len(listed) != len(inputs):
            raise DeclarationError(
                f"a replaced derivative gave {len(listed)} cotangents for {len(inputs)} inputs, declared at "
                f"{result.source} ({source_line()})"
            )
        return tuple(
            g if g is None or isinstance(g, Value) else literal(g, x.type.dtype)
            for g, x in zip(listed, inputs, strict=True)
        )

    result: Value = OPERATORS["Identity"].apply((y,), pullback=Pullback(tuple(inputs), pull, rule)).outputs[0]
    return result


def without_derivative(x: Value) -> Value:
    """`x`, through which no derivative flows."""
    result: Value = OPERATORS["Identity"].apply((x,), pullback=Pullback((), lambda g: ())).outputs[0]
    return result


def in_training(y: Value, inference: Value, updates: Iterable[tuple[Value, Value]] = ()) -> Value:
    """`y`, in whose place evaluation and prediction see `inference`; a training step moves states on by `updates`."""
    entry = OPERATORS["Identity"]
    node = Node(entry, (y,), entry.attributes, (y.type,), training=Training(inference, tuple(updates)))
    return node.outputs[0]


def stored(attribute: float) -> float:
    """The number that an attribute holds in a file, where it is float32."""
    return float(np.float32(attribute))


LARGEST_TABLE = 2**24


def require_table(*sizes: Dim) -> None:
    """Raise ShapeError where a table of these sizes, which is made while compiling, would be huge."""
    count = multiply_dims(*sizes)
    if isinstance(count, int) and count > LARGEST_TABLE:
        raise ShapeError(
            f"a table of {count} numbers would have to be part of the program, at most {LARGEST_TABLE} may; are the "
            "sizes right?"
        )


# Formulas over shapes, for gradient rules.


def shape_of(x: Value) -> Value:
    """The shape of `x` as an int64 tensor: a literal where it is known."""
    shape = x.type.shape
    static = is_static(shape) and not isinstance(x.type, OpaqueType)
    return constant(np.array(shape, np.int64)) if static else OPERATORS["Shape"](x)


def reshape_like(g: Value, x: Value) -> Value:
    """`g` in the shape of `x`; at most one unknown size needs no run-time shape."""
    shape = x.type.shape
    if isinstance(x.type, OpaqueType):
        # Of unknown rank.
        like_x: Value = OPERATORS["Reshape"].apply((g, shape_of(x)), {"allowzero": True}, (x.type,)).outputs[0]
        return like_x
    if g.type.shape == shape and not isinstance(g.type, OpaqueType):
        return g
    dynamic = [i for i, d in enumerate(shape) if not isinstance(d, int)]
    allowzero = False
    if len(dynamic) == 1 and 0 not in shape:
        target = constant(np.array([d if isinstance(d, int) else -1 for d in shape], np.int64))
    else:
        target = shape_of(x)
        # A size of the run can be 0, and means that then.
        allowzero = bool(dynamic) or 0 in shape
    node = OPERATORS["Reshape"].apply((g, target), {"allowzero": allowzero}, (TensorType(g.type.dtype, shape),))
    result: Value = node.outputs[0]
    return result


def zeros_like(x: Value) -> Value:
    """Zeros of the type of `x`."""
    node = OPERATORS["ConstantOfShape"].apply((shape_of(x),), {"value": np.zeros(1, x.type.dtype.numpy)}, (x.type,))
    result: Value = node.outputs[0]
    return result


def full_like(x: Value, number: float) -> Value:
    """A literal of rank 0 with the element type of `x`."""
    return constant(np.array(number, x.type.dtype.numpy))


def ratio_of_sizes(x: Value, y: Value) -> Value | float:
    """How many elements of `x` fall on one of `y`: a number where the shapes tell, else computed at run time.

    Of half precision the ratio is float32, for there are sizes that float16 cannot hold.
    """
    quotient = divide_dims(count_elements(x.type.shape), count_elements(y.type.shape))
    if isinstance(quotient, int):
        return float(quotient)
    size, cast = OPERATORS["Size"], OPERATORS["Cast"]
    dtype = DType.float32 if is_half(x.type.dtype) else x.type.dtype
    ratio: Value = cast(size(x), to=dtype) / cast(size(y), to=dtype)
    return ratio


def is_half(dtype: DType) -> bool:
    """Whether the type has 16 bits: counts and long sums are kept in float32 then."""
    return dtype in (DType.float16, DType.bfloat16)


def divided_by_ratio(g: Value, x: Value, y: Value) -> Value:
    """`g` divided by the elements of `x` that fall on one of `y`, in the element type of `g`."""
    ratio, cast = ratio_of_sizes(x, y), OPERATORS["Cast"]
    if not is_half(g.type.dtype):
        result: Value = g / ratio
        return result
    narrow: Value = cast(cast(g, to=DType.float32) / ratio, to=g.type.dtype)
    return narrow


def transposed(x: Value) -> Value:
    """`x` with its last two axes exchanged."""
    rank = len(x.type.shape)
    result: Value = OPERATORS["Transpose"](x, perm=(*range(rank - 2), rank - 1, rank - 2))
    return result
