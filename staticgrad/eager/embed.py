"""Tables of vectors that are looked up by number, and numbers as vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.dtypes import Array, boolean, int64, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.gather import positions_of
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _table(name: str, weight: Tensor, padding_idx: int | None, max_norm: float | None) -> int | None:
    """The row without gradient, counted from the start."""
    if max_norm is not None:
        raise EagerError(f"{name} with max_norm: not supported, it would change the weight")
    if weight.ndim != 2:
        raise EagerError(f"{name} with a weight of shape {list(weight.shape)}: expected two dimensions")
    rows = weight.shape[0]
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise EagerError(f"{name} with padding_idx {padding_idx}: expected one of {rows} rows")
    return padding_idx % rows


def _frequency(rows: Array, count: int) -> Array:
    """How often each row is looked up, 1 for those that are not."""
    return np.maximum(np.bincount(rows.ravel(), minlength=count), 1)[:, None]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` at the integers of `input`; the row `padding_idx` gets no gradient.

    With `scale_grad_by_freq` the gradient of a row is divided by how often it is looked up.
    """
    padding, shape = _table("embedding", weight, padding_idx, max_norm), weight.shape
    rows = positions_of("embedding", input, shape[0])

    def back(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        np.add.at(z, rows, g)
        if padding is not None:
            z[padding] = 0
        return z / _frequency(rows, shape[0]) if scale_grad_by_freq else z

    return result(weight.array[rows], (weight, back), (input, None))


@quiet
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The "sum", "mean" or "max" of the rows of each bag: a row of `input`, or what lies between two `offsets`.

    An empty bag gives zeros; the row `padding_idx` is left out; of equal rows the first gets the gradient of "max".
    """
    padding, shape = _table("embedding_bag", weight, padding_idx, max_norm), weight.shape
    if mode not in ("sum", "mean", "max"):
        raise EagerError(f"embedding_bag with mode={mode!r}: expected sum, mean or max")
    if input.ndim != (2 if offsets is None else 1):
        raise EagerError(f"embedding_bag of shape {list(input.shape)}: expected a matrix, or a vector with offsets")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise EagerError("embedding_bag with per_sample_weights: expected mode='sum' and the shape of input")
    if scale_grad_by_freq and mode == "max":
        raise EagerError("embedding_bag with scale_grad_by_freq: expected another mode than 'max'")
    rows = positions_of("embedding_bag", input, shape[0]).ravel()
    if offsets is None:
        begins = np.arange(input.shape[0]) * input.shape[1]
        ends = begins + input.shape[1]
    else:
        starts = offsets.array.astype(np.int64)
        if len(starts) and starts[0] != 0:
            raise EagerError(f"embedding_bag with a first offset of {starts[0]}: expected 0")
        begins = starts[:-1] if include_last_offset else starts
        ends = np.append(begins[1:], len(rows))[: len(begins)]
    factors = np.ones(len(rows), weight.wide.dtype)
    if per_sample_weights is not None:
        factors = per_sample_weights.wide.ravel()
    y = np.zeros((len(begins), shape[1]), weight.wide.dtype)
    # How much of each looked up row goes into each bag, for every column.
    shares = []
    for bag, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        inside = np.array([i for i in range(begin, end) if rows[i] != padding], np.int64)
        values = weight.wide[rows[inside]]
        share = np.ones(values.shape, values.dtype)
        if len(inside) and mode == "max":
            share = (np.arange(len(inside))[:, None] == values.argmax(0)).astype(values.dtype)
        if len(inside) and mode == "mean":
            share = share / np.asarray(len(inside), values.dtype)
        shares.append((inside, share))
        y[bag] = (factors[inside, None] * share * values).sum(0)

    def to_weight(g: Array) -> Array:
        z = np.zeros(shape, g.dtype)
        for bag, (inside, share) in enumerate(shares):
            np.add.at(z, rows[inside], factors[inside, None] * share * g[bag])
        return z / _frequency(rows, shape[0]) if scale_grad_by_freq else z

    edges = [(weight, to_weight), (input, None)]
    if per_sample_weights is not None:
        table, sample_shape = weight.wide, per_sample_weights.shape

        def to_samples(g: Array) -> Array:
            z = np.zeros(len(rows), g.dtype)
            for bag, (inside, _) in enumerate(shares):
                z[inside] = (table[rows[inside]] * g[bag]).sum(1)
            return z.reshape(sample_shape)

        edges.append((per_sample_weights, to_samples))
    if offsets is not None:
        edges.append((offsets, None))
    return result(y, *edges)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 with a new last dimension: 1 at the class, 0 elsewhere. -1 classes: as many as the largest needs."""
    if tensor.dtype == boolean or is_float(tensor.dtype):
        raise EagerError(f"one_hot of {tensor.dtype}: expected integers")
    if num_classes == -1:
        if not tensor.array.size:
            raise EagerError("one_hot of no elements: pass num_classes")
        num_classes = int(tensor.array.max()) + 1
    classes = positions_of("one_hot", tensor, num_classes)
    return result((classes[..., None] == np.arange(num_classes)).astype(np.int64), (tensor, None), dtype=int64)
