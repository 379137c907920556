"""Sums of products over named axes, as PyTorch names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad.errors import DeclarationError, DTypeError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.einsum import Term, check_sizes, contracted, parsed
from staticgrad.ops.registry import literal
from staticgrad.origin import source_line
from staticgrad.tensor.dispatch import function
from staticgrad.tensor.shape import axis_of


@function
def einsum(equation: str, *operands: Any) -> Value:
    """The sum of products that an equation such as "ij,jk->ik" says: over all labels that are not in its result.

    A label that stands twice at one operand takes its diagonal, `...` stands for axes that broadcast, and without `->`
    the labels that stand once come in alphabetical order. Operands are multiplied from left to right, two at a time.
    """
    given: Sequence[Any] = operands
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        given = given[0]
    if not isinstance(equation, str):
        raise DeclarationError(
            f"einsum takes an equation such as 'ij,jk->ik' first, {shown(equation)} came; lists of axes are not "
            f"supported ({source_line()})"
        )
    values = [v if isinstance(v, Value) else literal(v) for v in given]
    if len({v.type.dtype for v in values}) > 1:
        types = " and ".join(str(v.type.dtype) for v in values)
        raise DTypeError(f"element types {types} do not agree; cast one with x.to(dtype); in einsum ({source_line()})")
    try:
        terms, result = parsed(equation, values)
    except ValueError as error:
        raise ShapeError(f"einsum {equation!r} of {_types(values)}: {error} ({source_line()})") from None
    return contracted(terms, result)


def _types(values: Sequence[Value]) -> str:
    return ", ".join(str(v.type) for v in values)


@function
def tensordot(x: Value, other: Value, dims: int | Sequence[Any] = 2) -> Value:
    """The sum of products over the last `dims` axes of `x` and the first of `other`, or over two lists of axes."""
    rank, other_rank = len(x.type.shape), len(other.type.shape)
    if isinstance(dims, (int, np.integer)):
        if not 0 <= dims <= min(rank, other_rank):
            raise ShapeError(f"tensordot over {dims} axes of {x.type} and {other.type} ({source_line()})")
        left, right = list(range(rank - dims, rank)), list(range(dims))
    else:
        try:
            left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
        except (TypeError, ValueError):
            raise DeclarationError(
                f"tensordot takes an int or two lists of axes, {shown(dims)} came ({source_line()})"
            ) from None
        left, right = [axis_of(x, d) for d in left], [axis_of(other, d) for d in right]
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ShapeError(f"tensordot needs as many axes of both, each once, {shown(dims)} came ({source_line()})")
    labels = [f"x{i}" for i in range(rank)]
    names = dict(zip(right, (labels[i] for i in left), strict=True))
    others = [names.get(i, f"y{i}") for i in range(other_rank)]
    if x.type.dtype is not other.type.dtype:
        raise DTypeError(f"element types {x.type.dtype} and {other.type.dtype} do not agree ({source_line()})")
    terms = [Term(x, tuple(labels)), Term(other, tuple(others))]
    try:
        check_sizes(terms)
    except ValueError as error:
        raise ShapeError(f"tensordot of {x.type} and {other.type}: {error} ({source_line()})") from None
    kept = [i for i in labels if i not in names.values()] + [i for i in others if i.startswith("y")]
    return contracted(terms, tuple(kept))
