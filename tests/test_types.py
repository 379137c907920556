"""Types: element types, dimensions as polynomials over names, broadcasting."""

from __future__ import annotations

import itertools
import random

import ml_dtypes
import numpy as np
import pytest

from staticgrad.errors import DTypeError, ShapeError
from staticgrad.types import (
    COMPUTED,
    DType,
    TensorType,
    add_dims,
    as_dtype,
    broadcast_shapes,
    count_elements,
    declared_shape,
    divide_dims,
    dtype_from_onnx,
    is_unknown,
    multiply_dims,
    unknown,
)


def test_element_types() -> None:
    assert [d.short for d in COMPUTED] == "f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 bool".split()
    assert str(DType.float32) == "float32" and DType.bfloat16.numpy == np.dtype(ml_dtypes.bfloat16)
    for dtype in COMPUTED:
        assert as_dtype(dtype) is as_dtype(str(dtype)) is as_dtype(dtype.numpy) is dtype_from_onnx(dtype.onnx) is dtype
        assert dtype.is_float == (dtype.numpy.kind in "fV") and dtype.is_integer == (dtype.numpy.kind in "iu")
    assert as_dtype(float) is DType.float32 and as_dtype(int) is DType.int64 and as_dtype(bool) is DType.bool
    for wrong in ("complex64", "float", object(), np.complex64, None, [("a", "x")]):
        with pytest.raises(DTypeError):
            as_dtype(wrong)
    with pytest.raises(DTypeError):
        dtype_from_onnx(99)
    for dtype in set(DType) - set(COMPUTED):
        assert dtype_from_onnx(dtype.onnx) is dtype and not dtype.is_float and not dtype.is_integer
        with pytest.raises(DTypeError):
            as_dtype(str(dtype))


def test_types_print_with_names_and_question_marks() -> None:
    assert str(TensorType(DType.float32, ("N", 3, unknown(), "N*2"))) == "f32[N,3,?,N*2]"
    assert str(TensorType(DType.bool, ())) == "bool[]"


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (add_dims("N", 1), "N+1"),
        (add_dims("N", -1), "N-1"),
        (add_dims("N", "N"), "N*2"),
        (add_dims("N", "M"), "M+N"),
        (add_dims("N-1", 1), "N"),
        (add_dims("N", multiply_dims(-1, "N")), 0),
        (add_dims(2, 3), 5),
        (multiply_dims("N", 6), "N*6"),
        (multiply_dims("N", "M", 2), "M*N*2"),
        (multiply_dims("N+1", "N-1"), "N*N-1"),
        (multiply_dims("N", 0), 0),
        (multiply_dims(3, 4), 12),
        (divide_dims("N*6", 3), "N*2"),
        (divide_dims("N*6", "N"), 6),
        (divide_dims("N*6", 4), None),
        (divide_dims("M", "N"), None),
        (divide_dims("N+1", "N+1"), 1),
        (divide_dims("N*M+N", "N"), "M+1"),
        (divide_dims(12, 4), 3),
        (divide_dims(0, 4), 0),
        (divide_dims(4, 0), None),
        (count_elements(()), 1),
        (count_elements(("N", 2, 3)), "N*6"),
        (count_elements(("N", 0)), 0),
    ],
)
def test_arithmetic_of_dimensions(found: object, wanted: object) -> None:
    assert found == wanted


@pytest.mark.parametrize("seed", range(100))
def test_arithmetic_of_dimensions_is_that_of_their_numbers(seed: int) -> None:
    rng = random.Random(seed)
    sizes = {"N": rng.randrange(1, 9), "M": rng.randrange(1, 9)}

    def value(dim: int | str) -> int:
        return dim if isinstance(dim, int) else int(eval(dim, {}, sizes))

    dims: list[int | str] = ["N", "M", 2, 3]
    for _ in range(12):
        a, b = rng.choice(dims), rng.choice(dims)
        total, product = add_dims(a, b), multiply_dims(a, b)
        assert value(total) == value(a) + value(b) and value(product) == value(a) * value(b)
        assert add_dims(a, b) == add_dims(b, a) and multiply_dims(a, b) == multiply_dims(b, a)
        quotient = divide_dims(product, b)
        assert quotient is None or value(quotient) * value(b) == value(product)
        if isinstance(b, int) or b in sizes:
            assert b == 0 or quotient == a
        dims += [d for d in (total, product) if len(str(d)) < 30]


def test_broadcasting() -> None:
    a, b = unknown(), unknown()
    assert broadcast_shapes((3, 1), (1, 4)) == (3, 4) and broadcast_shapes((), ("N", 2)) == ("N", 2)
    assert broadcast_shapes(("N", 1), (4,)) == ("N", 4) and broadcast_shapes((0, 3), (1, 3)) == (0, 3)
    assert broadcast_shapes((a,), (1,)) == (a,) and broadcast_shapes((a,), (a,)) == (a,)
    assert broadcast_shapes((a,), (5,)) == (5,)
    (both,) = broadcast_shapes((a,), (b,))
    assert is_unknown(both) and both not in (a, b)
    assert is_unknown(broadcast_shapes((a,), ("N",))[0])
    for left, right in itertools.permutations(((3,), (4,), ("N",), ("M",), ("N+1",)), 2):
        with pytest.raises(ShapeError, match="do not agree"):
            broadcast_shapes(left, right)


@pytest.mark.parametrize("seed", range(50))
def test_broadcasting_is_that_of_numpy(seed: int) -> None:
    rng = random.Random(seed)
    shapes = [tuple(rng.choice([1, 1, 2, 3]) for _ in range(rng.randrange(4))) for _ in range(3)]
    try:
        wanted = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == wanted


def test_declared_shapes() -> None:
    assert declared_shape(("N", 3)) == ("N", 3) and declared_shape(5) == (5,) and declared_shape("N") == ("N",)
    assert declared_shape(()) == () and declared_shape([np.int64(2)]) == (2,)
    first, second = declared_shape((None, None))
    assert is_unknown(first) and is_unknown(second) and first != second
    for wrong in ((-1,), ("N+1",), ("",), (1.5,), (True,), 2.5):
        with pytest.raises(ShapeError):
            declared_shape(wrong)
