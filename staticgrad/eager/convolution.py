"""Convolutions: for every position in the kernel one product of the elements that it meets, added up."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from staticgrad.eager.arithmetic import add
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.shape import reshape, squeeze, unsqueeze
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

Sizes = int | Sequence[int]
Meeting = tuple[tuple[int, ...], tuple[slice, ...]]


def per_axis(name: str, what: str, given: Sizes, rank: int, least: int) -> list[int]:
    """One number for every spatial axis."""
    listed = [given] if isinstance(given, int) else list(given)
    found = listed * rank if len(listed) == 1 else listed
    if len(found) != rank or not all(isinstance(n, int | np.integer) and n >= least for n in found):
        raise EagerError(f"{name} with {what} {given!r}: expected one int or {rank}, {least} or more")
    return [int(n) for n in found]


def meetings(
    kernel: Sequence[int], counts: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Iterator[Meeting]:
    """For every position in the kernel the elements that it meets, one for each window."""
    for k in itertools.product(*map(range, kernel)):
        firsts = [i * d for i, d in zip(k, dilations, strict=True)]
        yield (
            k,
            tuple(slice(f, f + s * (n - 1) + 1, s) for f, s, n in zip(firsts, strides, counts, strict=True)),
        )


def at(place: Iterable[int | slice]) -> Any:
    """An index into the last axes."""
    return (..., *place)


def with_batch(name: str, x: Tensor, rank: int) -> tuple[Tensor, bool]:
    """The tensor with a batch dimension, and whether it came without one."""
    if x.ndim not in (rank + 1, rank + 2):
        raise EagerError(
            f"{name} of shape {list(x.shape)}: expected batch, channels and {rank} more, or the same without the batch"
        )
    return (unsqueeze(x, 0), True) if x.ndim == rank + 1 else (x, False)


def without_batch(y: Tensor, alone: bool) -> Tensor:
    """The result of what came without a batch dimension, without it."""
    return squeeze(y, 0) if alone else y


def _exact(x: Array) -> Array:
    """Sums of float32 are taken in float64: a witness should bring no rounding of its own."""
    return x.astype(np.float64)


def _product(subscripts: str, a: Array, b: Array) -> Array:
    return np.asarray(np.einsum(subscripts, a, b, optimize=True))


def _flat(x: Array) -> Array:
    """All spatial axes behind (batch, group, channel) as one."""
    return x.reshape(*x.shape[:3], -1)


def _checked(name: str, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, rank: int) -> None:
    if weight.ndim != rank + 2:
        raise EagerError(f"{name} with a weight of shape {list(weight.shape)}: expected {rank + 2} dimensions")
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != input.dtype):
        raise EagerError(f"{name} of {input.dtype} and {weight.dtype}: expected one type, cast one of them")
    if not isinstance(groups, int) or groups < 1 or weight.shape[0] % groups:
        raise EagerError(f"{name} of {weight.shape[0]} channels in groups of {groups!r}: expected a divisor")


def _with_bias(y: Tensor, bias: Tensor | None, alone: bool, name: str) -> Tensor:
    if bias is not None:
        if bias.shape != (y.shape[1],):
            raise EagerError(f"{name} with a bias of shape {list(bias.shape)}: expected [{y.shape[1]}]")
        y = add(y, reshape(bias, (-1,) + (1,) * (y.ndim - 2)))
    return without_batch(y, alone)


def _convolved(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    name = f"conv{rank}d"
    x, alone = with_batch(name, input, rank)
    _checked(name, input, weight, bias, groups, rank)
    strides, dilations = per_axis(name, "stride", stride, rank, 1), per_axis(name, "dilation", dilation, rank, 1)
    kernel = weight.shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if isinstance(padding, str):
        if padding not in ("same", "valid") or (padding == "same" and set(strides) != {1}):
            raise EagerError(f"{name} with padding {padding!r}: expected 'valid', or 'same' with stride 1")
        sides = [((r - 1) // 2, r // 2) if padding == "same" else (0, 0) for r in reach]
    else:
        sides = [(p, p) for p in per_axis(name, "padding", padding, rank, 0)]
    batch, channels, *sizes = x.shape
    if channels != weight.shape[1] * groups:
        raise EagerError(f"{name} of {channels} channels: expected {weight.shape[1] * groups}, as the weight takes")
    counts = [(n + p + q - r) // s + 1 for n, (p, q), r, s in zip(sizes, sides, reach, strides, strict=True)]
    if min(counts) < 1:
        raise EagerError(f"{name} of shape {list(input.shape)}: the kernel is larger, it reaches over {reach}")
    wide = np.pad(_exact(x.wide), [(0, 0), (0, 0), *sides])
    parts = wide.reshape(batch, groups, channels // groups, *wide.shape[2:])
    w = _exact(weight.wide).reshape(groups, -1, *weight.shape[1:])
    places = list(meetings(kernel, counts, strides, dilations))
    y = np.zeros((batch, groups, w.shape[1], *counts))
    for k, cut in places:
        seen = _flat(parts[at(cut)])
        y += _product("ngcp,gmc->ngmp", seen, w[at(k)]).reshape(y.shape)
    kept = tuple(slice(p, p + n) for (p, _), n in zip(sides, sizes, strict=True))

    def to_input(g: Array) -> Array:
        z, rows = np.zeros_like(parts), _flat(_exact(g).reshape(y.shape))
        for k, cut in places:
            z[at(cut)] += _product("ngmp,gmc->ngcp", rows, w[at(k)]).reshape(*z.shape[:3], *counts)
        return np.asarray(z.reshape(wide.shape)[at(kept)])

    def to_weight(g: Array) -> Array:
        z, rows = np.zeros_like(w), _flat(_exact(g).reshape(y.shape))
        for k, cut in places:
            z[at(k)] = _product("ngmp,ngcp->gmc", rows, _flat(parts[at(cut)]))
        return z.reshape(weight.shape)

    found = result(y.reshape(batch, -1, *counts).astype(x.wide.dtype), (x, to_input), (weight, to_weight))
    return _with_bias(found, bias, alone, name)


def _transposed(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    name = f"conv_transpose{rank}d"
    x, alone = with_batch(name, input, rank)
    _checked(name, input, weight, bias, groups, rank)
    strides, dilations = per_axis(name, "stride", stride, rank, 1), per_axis(name, "dilation", dilation, rank, 1)
    pads = per_axis(name, "padding", padding, rank, 0)
    further = per_axis(name, "output_padding", output_padding, rank, 0)
    if any(f >= max(s, d) for f, s, d in zip(further, strides, dilations, strict=True)):
        raise EagerError(f"{name} with output_padding {further}: expected less than the stride or the dilation")
    batch, channels, *sizes = x.shape
    if channels != weight.shape[0]:
        raise EagerError(f"{name} of {channels} channels: expected {weight.shape[0]}, as the weight takes")
    kernel = weight.shape[2:]
    whole = [
        s * (n - 1) + d * (k - 1) + 1 + f
        for s, n, d, k, f in zip(strides, sizes, dilations, kernel, further, strict=True)
    ]
    kept = tuple(slice(p, n - p) for p, n in zip(pads, whole, strict=True))
    if any(n <= 2 * p for p, n in zip(pads, whole, strict=True)):
        raise EagerError(f"{name} with padding {pads}: expected less, nothing is left of {whole}")
    parts = _exact(x.wide).reshape(batch, groups, channels // groups, *sizes)
    w = _exact(weight.wide).reshape(groups, -1, *weight.shape[1:])
    rows = _flat(parts)
    places = list(meetings(kernel, sizes, strides, dilations))
    full = np.zeros((batch, groups, w.shape[2], *whole))
    for k, cut in places:
        full[at(cut)] += _product("ngcp,gcm->ngmp", rows, w[at(k)]).reshape(*full.shape[:3], *sizes)
    y = full[at(kept)]

    def spread(g: Array) -> Array:
        z = np.zeros_like(full)
        z[at(kept)] = g.reshape(y.shape)
        return z

    def to_input(g: Array) -> Array:
        wide, z = spread(g), np.zeros_like(rows)
        for k, cut in places:
            z += _product("ngmp,gcm->ngcp", _flat(wide[at(cut)]), w[at(k)])
        return z.reshape(x.shape)

    def to_weight(g: Array) -> Array:
        wide, z = spread(g), np.zeros_like(w)
        for k, cut in places:
            z[at(k)] = _product("ngcp,ngmp->gcm", rows, _flat(wide[at(cut)]))
        return z.reshape(weight.shape)

    shaped = y.reshape(batch, -1, *y.shape[3:]).astype(x.wide.dtype)
    return _with_bias(result(shaped, (x, to_input), (weight, to_weight)), bias, alone, name)


@quiet
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The sum over c, k of w[m, c, k] x[n, c, stride o + dilation k - padding], for x (N, C, L) or without N."""
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


@quiet
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The sum over c, k of w[m, c, k] x[n, c, stride o + dilation k - padding], for x (N, C, H, W) or without N."""
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


@quiet
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The sum over c, k of w[m, c, k] x[n, c, stride o + dilation k - padding], for x (N, C, D, H, W) or without N."""
    return _convolved(3, input, weight, bias, stride, padding, dilation, groups)


@quiet
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv1d` as a function: every element times the kernel; of (N, C, L) or without N."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@quiet
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv2d` as a function: every element times the kernel; of (N, C, H, W) or without N."""
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@quiet
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv3d` as a function: every element times the kernel; of (N, C, D, H, W) or without N."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
