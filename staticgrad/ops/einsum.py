"""Sums of products over named axes, lowered to batched matrix products, permutations and sums."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from staticgrad.errors import ShapeError, shown
from staticgrad.graph import Value
from staticgrad.ops.arithmetic import mul
from staticgrad.ops.kinds import common_dtype
from staticgrad.ops.layout import numbers_along
from staticgrad.ops.linear import matmul
from staticgrad.ops.logic import equal, where
from staticgrad.ops.reduction import reduce_sum
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, expand, reshape, shape, squeeze, transpose, unsqueeze
from staticgrad.types import Dim, TensorType, broadcast_shapes, dims_agree, is_unknown

Labels = tuple[str, ...]


class Term:
    """A tensor whose axes bear labels, each once."""

    def __init__(self, value: Value, labels: Labels) -> None:
        self.value = value
        self.labels = labels

    def size(self, label: str) -> Value:
        """The size of an axis, as a list of one."""
        axis = self.labels.index(label)
        dim = self.value.type.shape[axis]
        return constant(np.array([dim])) if isinstance(dim, int) else shape(self.value, start=axis, end=axis + 1)

    def summed(self, labels: Sequence[str]) -> Term:
        """Without these axes, over which it is summed."""
        if not labels:
            return self
        axes = [self.labels.index(label) for label in labels]
        rest = tuple(label for label in self.labels if label not in labels)
        return Term(reduce_sum(self.value, axes, keepdims=False), rest)

    def without(self, labels: Sequence[str]) -> Term:
        """Without these axes, which have size 1."""
        if not labels:
            return self
        rest = tuple(label for label in self.labels if label not in labels)
        return Term(squeeze(self.value, [self.labels.index(label) for label in labels]), rest)

    def ordered(self, labels: Sequence[str]) -> Value:
        """The value with its axes in the order of `labels`, and size 1 where it does not have one."""
        perm = tuple(self.labels.index(label) for label in labels if label in self.labels)
        value = self.value if perm == tuple(range(len(perm))) else transpose(self.value, perm=perm)
        missing = [i for i, label in enumerate(labels) if label not in self.labels]
        return unsqueeze(value, missing) if missing else value


def _summed_type(*operands, equation):
    dtype = common_dtype(*operands)
    left, arrow, right = equation.partition("->")
    try:
        terms, result = parsed(equation, operands)
    except ValueError as error:
        raise ShapeError(f"einsum {shown(equation)}: {error}") from None
    broadcast = any(len(x.type.shape) > len(_letters(t)) for t, x in zip(_texts(left), operands, strict=True))
    # numpy and onnxruntime do not sum over axes that have no letter.
    require(not arrow or "..." in right or not broadcast, f"'...' is missing in the result of {shown(equation)}")
    sizes = [dict(zip(t.labels, t.value.type.shape, strict=True)) for t in terms]
    for label in {label for t in terms for label in t.labels if label.isalpha()}:
        found = {s[label] for s in sizes if label in s and not is_unknown(s[label])}
        # Other than PyTorch's, ONNX's letters do not broadcast.
        require(len(found) < 2, f"{label} has the sizes {' and '.join(sorted(map(str, found)))}")
    columns = [tuple((s[label],) for s in sizes if label in s) for label in result]
    return TensorType(dtype, tuple(broadcast_shapes(*column)[0] for column in columns))


@onnx_op("Einsum", type=_summed_type)
def einsum(*operands: Input, equation: str) -> Value:
    """The sum of products that an equation such as "ij,jk->ik" says: over all labels that are not in its result; ONNX.

    A label that stands twice at one operand takes its diagonal, `...` stands for axes that broadcast, and without `->`
    the labels that stand once come in alphabetical order.
    """


@einsum.as_body
def _(*operands, equation):
    return contracted(*parsed(equation, operands))


def _texts(left: str) -> list[str]:
    return left.replace(" ", "").split(",")


def parsed(equation: str, values: Sequence[Value]) -> tuple[list[Term], Labels]:
    """The operands with their labels and the labels of the result; ValueError where they contradict each other."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = _texts(left)
    if len(texts) != len(values) or not values:
        raise ValueError(f"{len(texts)} operands are written, {len(values)} came")
    ranks = [
        len(v.type.shape) - len(_letters(text)) if "..." in text else 0 for text, v in zip(texts, values, strict=True)
    ]
    if min(ranks) < 0:
        raise ValueError("an operand has fewer axes than labels")
    dots = tuple(f"...{i}" for i in range(max(ranks)))
    terms = []
    for text, value, rank in zip(texts, values, ranks, strict=True):
        labels = _spread(text, dots[len(dots) - rank :])
        if len(labels) != len(value.type.shape):
            raise ValueError(f"{text!r} has {len(labels)} labels for {len(value.type.shape)} axes")
        terms.append(_diagonal(value, labels))
    letters = [letter for text in texts for letter in _letters(text)]
    if arrow:
        result = _spread(right, dots)
    else:
        result = (*dots, *sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    if len(set(result)) != len(result):
        raise ValueError("a label stands twice in the result")
    unknown = set(result) - {label for term in terms for label in term.labels}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} of the result stands at no operand")
    check_sizes(terms)
    return terms, result


def _letters(text: str) -> str:
    if text.count("...") > 1 or set(text.replace("...", "", 1)) - set(string.ascii_letters):
        raise ValueError(f"{text!r} must be letters with at most one '...'")
    return text.replace("...", "")


def _spread(text: str, dots: Labels) -> Labels:
    _letters(text)
    before, _, after = text.partition("...")
    return (*before, *dots, *after) if "..." in text else tuple(text)


def check_sizes(terms: Sequence[Term]) -> None:
    """ValueError where a label has two sizes."""
    sizes: dict[str, set[Any]] = {}
    for term in terms:
        for label, dim in zip(term.labels, term.value.type.shape, strict=True):
            if dim != 1 and not is_unknown(dim):
                sizes.setdefault(label, set()).add(dim)
    for label, found in sizes.items():
        if len(found) > 1:
            raise ValueError(f"{label} has the sizes {' and '.join(sorted(map(str, found)))}")


def _diagonal(value: Value, labels: Labels) -> Term:
    """The term of an operand; of axes with one label only the places with equal positions count."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            a, b = value.type.shape[first], value.type.shape[second]
            if not dims_agree(a, b):
                raise ValueError(f"{label} has the sizes {a} and {b} at one operand")
            value = diagonal(value, first, second)
            labels = (*labels[:second], *labels[second + 1 :])
    return Term(value, labels)


def diagonal(x: Value, first: int, second: int) -> Value:
    """The elements whose positions on two axes are equal, on the first of them."""
    rank = len(x.type.shape)

    def positions(axis: int) -> Value:
        return reshape(numbers_along(x, axis), [1] * axis + [-1] + [1] * (rank - axis - 1))

    same = equal(positions(first), positions(second))
    return reduce_sum(where(same, x, 0), [second], keepdims=False)


def contracted(terms: Sequence[Term], result: Labels) -> Value:
    """The sum of the product of all terms over the labels that are not in the result."""
    waiting = list(terms)
    product = waiting.pop(0)
    while True:
        needed = {*result, *(label for term in waiting for label in term.labels)}
        product = product.summed([label for label in product.labels if label not in needed])
        if not waiting:
            break
        product = _multiplied(product, waiting.pop(0), {*result, *(i for t in waiting for i in t.labels)})
    return product.ordered(result)


def _multiplied(a: Term, b: Term, needed: set[str]) -> Term:
    """The product of two terms, summed over the labels of both that nobody needs."""
    a, b = _without_repeated(a, b), _without_repeated(b, a)
    a = a.summed([i for i in a.labels if i not in b.labels and i not in needed])
    b = b.summed([i for i in b.labels if i not in a.labels and i not in needed])
    shared = [i for i in a.labels if i in b.labels]
    inner = [i for i in shared if i not in needed]
    batch = [i for i in shared if i in needed]
    rows = [i for i in a.labels if i not in shared]
    columns = [i for i in b.labels if i not in shared]
    if len(inner) > 1:
        # Made one axis, sizes of 1 that only the run knows would not be repeated.
        a, b = _repeated(a, b, inner), _repeated(b, a, inner)
    if not inner or (batch and not rows and not columns):
        labels = (*batch, *rows, *columns, *inner)
        return Term(mul(a.ordered(labels), b.ordered(labels)), labels).summed(inner)
    if batch or len(columns) > 1 or len(inner) > 1:
        left = _merged(_merged(a, rows, [*batch, *rows, *inner]), inner)
    else:
        # A matrix on the right multiplies all leading axes of the left at once.
        left = Term(a.ordered([*rows, *inner]), (*rows, *inner))
    right = _merged(_merged(b, columns, [*batch, *inner, *columns]), inner)
    one_row = not left.labels[: len(left.labels) - 1][len(batch) :]
    one_column = len(right.labels) == len(batch) + 1
    x = unsqueeze(left.value, [-2]) if one_row else left.value
    y = unsqueeze(right.value, [-1]) if one_column else right.value
    value = matmul(x, y)
    axes = [-2] * one_row + [-1] * one_column
    if axes:
        value = squeeze(value, axes)
    merged_rows = left.labels[len(batch) : -1] != tuple(rows)
    merged_columns = len(columns) > 1
    if merged_rows or merged_columns:
        sizes = [a.size(i) for i in (*batch, *rows)] + [b.size(i) for i in columns]
        value = reshape(value, concat(*sizes, axis=0), allowzero=True)
    return Term(value, (*batch, *rows, *columns))


def _repeated(a: Term, b: Term, labels: Sequence[str]) -> Term:
    """With axes of unknown size repeated to those of the other."""
    sizes: dict[str, tuple[Dim, Dim]] = {
        i: (a.value.type.shape[a.labels.index(i)], b.value.type.shape[b.labels.index(i)]) for i in labels
    }
    doubtful = [i for i, (own, other) in sizes.items() if own != other and is_unknown(own)]
    if not doubtful:
        return a
    one = constant(np.ones(1, np.int64))
    return Term(expand(a.value, concat(*[b.size(i) if i in doubtful else one for i in a.labels], axis=0)), a.labels)


def _without_repeated(a: Term, b: Term) -> Term:
    """Without axes of size 1 that only broadcast against those of the other."""
    ones = [
        i
        for i, dim in zip(a.labels, a.value.type.shape, strict=True)
        if dim == 1 and i in b.labels and b.value.type.shape[b.labels.index(i)] != 1
    ]
    return a.without(ones)


def _merged(term: Term, labels: Sequence[str], order: Sequence[str] | None = None) -> Term:
    """With the axes of several labels, which stand side by side in this order, made one."""
    if order is not None:
        term = Term(term.ordered(order), tuple(order))
    if len(labels) < 2:
        return term
    start = term.labels.index(labels[0])
    outer = [*term.labels[:start], "+".join(labels), *term.labels[start + len(labels) :]]
    sizes = [term.size(i) if i in term.labels else _count(term, labels) for i in outer]
    value = reshape(term.value, sizes[0] if len(sizes) == 1 else concat(*sizes, axis=0), allowzero=True)
    return Term(value, tuple(outer))


def _count(term: Term, labels: Sequence[str]) -> Value:
    total = term.size(labels[0])
    for label in labels[1:]:
        total = mul(total, term.size(label))
    return total
