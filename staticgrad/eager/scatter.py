"""Writing at positions: copies of a tensor with something else there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.arithmetic import mul, where
from staticgrad.eager.cast import Operand, promote
from staticgrad.eager.dtypes import Array, boolean, is_float, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.gather import check_fits, grid_of, positions_of
from staticgrad.eager.index import getitem, put
from staticgrad.eager.reduce import axis_of
from staticgrad.eager.shape import broadcast_to, reshape
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor


def _places(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor | None) -> tuple[Array, ...]:
    axis = axis_of(dim, input.ndim)
    check_fits(name, input, axis, index)
    if src is not None and (index.ndim != src.ndim or any(n > m for n, m in zip(index.shape, src.shape, strict=True))):
        raise EagerError(f"{name} with an index of shape {list(index.shape)}: src has only {list(src.shape)}")
    if src is not None and src.dtype != input.dtype:
        raise EagerError(f"{name} of {src.dtype} to {input.dtype}: expected one type")
    return grid_of(index.shape, axis, positions_of(name, index, input.shape[axis]))


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Operand | None = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """x with y[i, index[i, j]] = src[i, j] for dim 1 (alike for others); `reduce` "add" or "multiply" instead of =.

    Of several elements for one position the last stays, and only that one gets the gradient.
    """
    if (src is None) == (value is None):
        raise EagerError("scatter: expected either src or value")
    if reduce not in (None, "add", "multiply"):
        raise EagerError(f"scatter with reduce={reduce!r}: expected None, 'add' or 'multiply'")
    if not index.array.size:
        return result(input.array.copy(), (input, lambda g: g), (index, None))
    if not input.ndim:
        lifted: Any = reshape(src, (1,)) if hasattr(src, "memory") else src  # type: ignore[arg-type]
        ranked = scatter(reshape(input, (1,)), 0, reshape(index, (1,)), lifted, value=value, reduce=reduce)
        return reshape(ranked, ())
    given: Any = value if src is None else src
    _, source = promote(input, given, dtype=None if hasattr(src, "memory") else input.dtype)
    whole = source if source.ndim else broadcast_to(source, index.shape)
    if reduce is not None:
        return scatter_reduce(input, dim, index, whole, "sum" if reduce == "add" else "prod")
    places = _places("scatter", input, dim, index, whole)
    return put(input, tuple(np.broadcast_to(p, index.shape) for p in places), _used(whole, index.shape))


def _used(src: Tensor, shape: tuple[int, ...]) -> Tensor:
    return src if src.shape == shape else getitem(src, tuple(slice(n) for n in shape))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with y[i, index[i, j]] += src[i, j] for dim 1 (alike for others); positions may repeat.

    The gradient of `src` is gathered at the index; `src` may be larger than the index, what is beyond it is not read.
    """
    return scatter_reduce(input, dim, index, src, "sum")


@quiet
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The "sum", "prod", "mean", "amax" or "amin" of the elements of `src` that go to one position.

    What stood there counts with `include_self`. Extremes that are equal share the gradient evenly.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise EagerError(f"scatter_reduce with reduce={reduce!r}: expected sum, prod, mean, amax or amin")
    if not index.array.size:
        unread = src.shape
        return result(
            input.array.copy(), (input, lambda g: g), (src, lambda g: np.zeros(unread, g.dtype)), (index, None)
        )
    if not input.ndim:
        vectors = [reshape(x, (1,)) for x in (input, index, src)]
        return reshape(scatter_reduce(vectors[0], 0, vectors[1], vectors[2], reduce, include_self=include_self), ())
    places = _places("scatter_reduce", input, dim, index, src)
    # One list of numbers for each position: what stood there, then what comes, each with where its gradient goes.
    number = np.arange(input.array.size).reshape(input.shape)[places].ravel()
    old, new = input.wide, src.wide[tuple(slice(n) for n in index.shape)].ravel()
    order = np.argsort(number, kind="stable")
    cuts = np.flatnonzero(np.diff(number[order], prepend=-1))
    groups = np.split(order, cuts[1:])
    y = old.copy().ravel()
    weights_old, weights_new = np.ones(y.shape, old.dtype), np.zeros(new.shape, old.dtype)
    for group in groups:
        at = number[group[0]]
        values = np.concatenate([old.ravel()[at : at + 1], new[group]]) if include_self else new[group]
        y[at], weights = _reduced(values, reduce)
        weights_old[at] = weights[0] if include_self else 0
        weights_new[group] = weights[1:] if include_self else weights
    shape, source_shape, part = input.shape, src.shape, tuple(slice(n) for n in index.shape)

    def to_src(g: Array) -> Array:
        z = np.zeros(source_shape, g.dtype)
        z[part] = (g.ravel()[number] * weights_new).reshape(z[part].shape)
        return z

    return result(y.reshape(shape), (input, lambda g: g * weights_old.reshape(shape)), (src, to_src), (index, None))


def _reduced(values: Array, reduce: str) -> tuple[Any, Array]:
    """A reduction of a list of numbers and its derivative by each of them."""
    ones = np.ones(values.shape, values.dtype)
    if reduce == "sum":
        return values.sum(), ones
    if reduce == "mean":
        if not is_float(values.dtype):
            return values.sum() // len(values), ones
        return values.sum() / np.asarray(len(values), values.dtype), ones / len(values)
    if reduce == "prod":
        others = [np.prod(np.delete(values, i)) for i in range(len(values))]
        return values.prod(), np.array(others, values.dtype)
    extreme = values.max() if reduce == "amax" else values.min()
    ties = (values == extreme) | ((values != values) & (extreme != extreme))
    return extreme, (ties / ties.sum()).astype(values.dtype) if is_float(values.dtype) else ones


def _along(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> tuple[Tensor, ...]:
    """An index of slices as one of elements, with input and source of the same rank."""
    if index.ndim > 1:
        raise EagerError(f"{name} with an index of shape {list(index.shape)}: expected a vector")
    axis = axis_of(dim, input.ndim)
    ranked, index = reshape(input, input.shape or (1,)), reshape(index, (index.array.size,))
    wanted = (*ranked.shape[:axis], index.shape[0], *ranked.shape[axis + 1 :])
    if source.ndim and source.shape != wanted:
        raise EagerError(f"{name} with a source of shape {list(source.shape)}: expected {list(wanted)}")
    grown = reshape(index, tuple(index.shape[0] if i == axis else 1 for i in range(ranked.ndim)))
    return ranked, broadcast_to(grown, wanted), reshape(source, wanted) if not source.ndim else source


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """x with `alpha` times the slices of `source` added at the positions of a vector along `dim`; they may repeat."""
    ranked, places, source = _along("index_add", input, dim, index, source)
    return reshape(scatter_add(ranked, dim, places, source if alpha == 1 else mul(source, alpha)), input.shape)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """x with the slices of `source` at the positions of a vector along `dim`; of several for one the last stays."""
    ranked, places, source = _along("index_copy", input, dim, index, source)
    return reshape(scatter(ranked, dim, places, source), input.shape)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`scatter_reduce` of whole slices: `source` to the positions of a vector along `dim`."""
    ranked, places, source = _along("index_reduce", input, dim, index, source)
    return reshape(scatter_reduce(ranked, dim, places, source, reduce, include_self=include_self), input.shape)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """x with a number or 0-dim tensor at the positions of a vector along `dim`; negative ones count from the end."""
    axis = axis_of(dim, input.ndim)
    _, filling = promote(input, value, dtype=input.dtype)
    if index.ndim > 1 or filling.ndim:
        raise EagerError("index_fill: expected a vector of positions, and a number or 0-dim tensor")
    size = input.shape[axis] if input.ndim else 1
    hit = np.zeros(size, bool)
    hit[positions_of("index_fill", index, size, -size)] = True
    mask = np.expand_dims(hit, tuple(range(1, input.ndim - axis))) if input.ndim else hit[0]
    return where(type(input)(np.broadcast_to(mask, input.shape).copy()), filling, input)


def index_put(input: Tensor, indices: Sequence[Tensor | Array], values: Operand, accumulate: bool = False) -> Tensor:
    """A copy with `values` in place of what `x[indices]` reads; with `accumulate` they are added to it.

    Without, of several elements for one position the last stays, and only that one gets the gradient.
    """
    if not isinstance(indices, tuple | list) or any(i is None for i in indices):
        raise EagerError(f"index_put with indices {indices!r}: expected a tuple of tensors")
    if not accumulate:
        return put(input, tuple(indices), values)
    numbers = getitem(type(input)(np.arange(input.array.size).reshape(input.shape)), tuple(indices)).array
    _, v = promote(input, values, dtype=input.dtype)
    y = input.wide.copy()
    try:
        added = np.broadcast_to(v.wide, numbers.shape)
    except ValueError:
        raise EagerError(f"index_put of values of shape {list(v.shape)}: expected {list(numbers.shape)}") from None
    np.add.at(y.reshape(-1), numbers, added)
    return result(y, (input, lambda g: g), (v, lambda g: g.reshape(-1)[numbers]))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the elements of `source`, in their order, where the mask holds."""
    if mask.dtype != boolean or source.dtype != input.dtype:
        raise EagerError(
            f"masked_scatter of {source.dtype} to {input.dtype} by {mask.dtype}: expected one type and bool"
        )
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise EagerError(
            f"masked_scatter: {list(input.shape)} and a mask of {list(mask.shape)} do not broadcast"
        ) from None
    holds = np.broadcast_to(mask.array, shape).copy()
    count, size, source_shape = int(holds.sum()), source.array.size, source.shape
    if count > size:
        raise EagerError(f"masked_scatter of {size} elements: the mask holds {count} times")
    y = np.broadcast_to(input.array, shape).copy()
    y[holds] = source.array.reshape(-1)[:count]

    def to_source(g: Array) -> Array:
        z = np.zeros(size, g.dtype)
        z[:count] = g[holds]
        return z.reshape(source_shape)

    return result(y, (input, lambda g: np.where(holds, 0, g)), (source, to_source), (mask, None))
