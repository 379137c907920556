"""Sums of products over named dimensions. The gradient to an operand is such a sum, too: of the others and g."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.tape import Formula, result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _subscripts(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """One letter for every dimension of every operand and of the result: letters also where dots stood."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(operands):
        raise EagerError(f"einsum {equation!r}: {len(texts)} operands are written, {len(operands)} came")
    free = [c for c in string.ascii_letters[::-1] if c not in equation]
    hidden = [x.ndim - len(t.replace("...", "")) if "..." in t else 0 for t, x in zip(texts, operands, strict=True)]
    most = max(hidden)
    dots = "".join(free[:most])
    full = [t.replace("...", dots[most - h :]) for t, h in zip(texts, hidden, strict=True)]
    for text, x in zip(full, operands, strict=True):
        if len(text) != x.ndim or min(hidden) < 0 or not all(c in string.ascii_letters for c in text):
            raise EagerError(f"einsum {equation!r}: {text!r} does not name the {x.ndim} dimensions of {list(x.shape)}")
    letters = [c for t in texts for c in t.replace("...", "")]
    once = sorted(c for c in set(letters) if letters.count(c) == 1)
    out = right.replace("...", dots) if arrow else dots + "".join(once)
    if len(set(out)) < len(out) or not set(out) <= set("".join(full)):
        raise EagerError(f"einsum {equation!r}: the result must name dimensions of the operands, each once")
    return full, out


def _summed(terms: Sequence[tuple[Array, str]], out: str) -> Array:
    """numpy's einsum, with sums of float32 in float64."""
    kind = terms[0][0].dtype
    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x, _ in terms]
    return np.asarray(np.einsum(",".join(t for _, t in terms) + "->" + out, *wide)).astype(kind)


@quiet
def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products over all letters that the result does not have; a letter that an operand has twice takes
    its diagonal, dots stand for dimensions that broadcast, sizes of 1 broadcast."""
    tensors: list[Tensor] = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], list | tuple) else []
    tensors = tensors or list(operands)
    if len({x.dtype for x in tensors}) > 1:
        raise EagerError(f"einsum of {', '.join(str(x.dtype) for x in tensors)}: expected one type, cast them")
    texts, out = _subscripts(equation, tensors)
    return _contraction([(x, t) for x, t in zip(tensors, texts, strict=True)], out)


def _contraction(pairs: Sequence[tuple[Tensor, str]], out: str) -> Tensor:
    terms = [(x.wide, t) for x, t in pairs]
    sizes: dict[str, int] = {}
    for a, text in terms:
        own = dict(zip(text, a.shape, strict=True))
        if any(own[letter] != n for letter, n in zip(text, a.shape, strict=True)):
            raise EagerError(f"einsum: {text!r} names sizes of {list(a.shape)} alike that differ")
        for letter, n in zip(text, a.shape, strict=True):
            if sizes.get(letter, 1) != 1 and n not in (1, sizes[letter]):
                raise EagerError(f"einsum: {letter} has the sizes {sizes[letter]} and {n}")
            sizes[letter] = n if n != 1 else sizes.get(letter, 1)

    def formula(k: int) -> Formula:
        array, text = terms[k]
        others = terms[:k] + terms[k + 1 :]
        own = "".join(dict.fromkeys(text))  # a diagonal has its letter once

        def back(g: Array) -> Array:
            known = {*out, *(c for _, t in others for c in t)}
            found = "".join(c for c in own if c in known)
            part = _summed([(g, out), *others], found) if others else np.einsum(f"{out}->{found}", g)
            part = np.reshape(part, [part.shape[found.index(c)] if c in found else 1 for c in own])
            narrow = tuple(i for i, c in enumerate(own) if array.shape[text.index(c)] == 1 and part.shape[i] != 1)
            part = part.sum(axis=narrow, keepdims=True)
            part = np.broadcast_to(part, [array.shape[text.index(c)] for c in own])
            z = np.zeros(array.shape, part.dtype)
            where = np.ix_(*(np.arange(n) for n in part.shape))
            z[tuple(where[own.index(c)] for c in text)] = part
            return z

        return back

    return result(_summed(terms, out), *((x, formula(k)) for k, (x, _) in enumerate(pairs)))


@quiet
def tensordot(input: Tensor, other: Tensor, dims: int | Sequence[Any] = 2) -> Tensor:
    """The sum of products over the last `dims` dimensions of a and the first of b, or over two lists of them."""
    if isinstance(dims, int):
        left, right = list(range(input.ndim - dims, input.ndim)), list(range(dims))
    else:
        lists = [[d] if isinstance(d, int) else list(d) for d in dims]
        left, right = [axis_of(d, input.ndim) for d in lists[0]], [axis_of(d, other.ndim) for d in lists[1]]
    if len(left) != len(right) or min(left, default=0) < 0:
        raise EagerError(f"tensordot over {dims} of {list(input.shape)} and {list(other.shape)}: expected pairs")
    if input.dtype != other.dtype:
        raise EagerError(f"tensordot of {input.dtype} and {other.dtype}: expected one type, cast one of them")
    first = string.ascii_lowercase[: input.ndim]
    second = list(string.ascii_uppercase[: other.ndim])
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    out = [c for i, c in enumerate(first) if i not in left] + [c for j, c in enumerate(second) if j not in right]
    return _contraction([(input, first), (other, "".join(second))], "".join(out))
