"""Pools: the elements of all windows laid on top of each other, then a maximum or a mean over the pile."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from staticgrad.eager.arithmetic import mul, pow
from staticgrad.eager.convolution import Meeting, Sizes, at, meetings, per_axis, with_batch, without_batch
from staticgrad.eager.dtypes import Array, quiet
from staticgrad.eager.errors import EagerError
from staticgrad.eager.tape import result

if TYPE_CHECKING:
    from staticgrad.eager.tensor import Tensor

OutputSize = int | Sequence[int | None] | None


class _Pile:
    """Where the windows of a pool lie in an input that is filled up before and behind."""

    def __init__(
        self,
        name: str,
        sizes: Sequence[int],
        kernel_size: Sizes,
        stride: Sizes | None,
        padding: Sizes,
        dilation: Sizes,
        ceil_mode: bool,
    ) -> None:
        rank = len(sizes)
        self.kernel = per_axis(name, "kernel_size", kernel_size, rank, 1)
        given = stride is not None and not (isinstance(stride, Sequence) and not stride)
        self.strides = per_axis(name, "stride", stride, rank, 1) if given else self.kernel  # type: ignore[arg-type]
        self.pads = per_axis(name, "padding", padding, rank, 0)
        dilations = per_axis(name, "dilation", dilation, rank, 1)
        self.sizes = list(sizes)
        self.counts, self.behind = [], []
        for n, k, s, p, d in zip(sizes, self.kernel, self.strides, self.pads, dilations, strict=True):
            reach = d * (k - 1) + 1
            if 2 * p > reach:
                raise EagerError(f"{name} with padding {self.pads}: expected at most half of the window")
            count = (n + 2 * p - reach) // s + 1
            if ceil_mode and (n + 2 * p - reach) % s and count * s < n + p:
                count += 1
            if count < 1:
                raise EagerError(f"{name} of sizes {list(sizes)}: expected more, a window reaches over {reach}")
            self.counts.append(count)
            self.behind.append(max((count - 1) * s + reach - n - p, p))
        self.places: list[Meeting] = list(meetings(self.kernel, self.counts, self.strides, dilations))

    def grown(self, x: Array, fill: float) -> Array:
        """The array filled up along its last axes."""
        sides = [(0, 0)] * (x.ndim - len(self.pads)) + list(zip(self.pads, self.behind, strict=True))
        return np.pad(x, sides, constant_values=fill)

    def pile(self, x: Array) -> Array:
        """Of a filled up array, all elements of every window along a new first axis, in order."""
        return np.stack([x[at(cut)] for _, cut in self.places])

    def spread(self, pile: Sequence[Array], shape: Sequence[int]) -> Array:
        """Every layer added where it came from."""
        z = np.zeros([*shape[:2], *(n + p + q for n, p, q in zip(self.sizes, self.pads, self.behind, strict=True))])
        for (_, cut), layer in zip(self.places, pile, strict=True):
            z[at(cut)] += layer
        return np.asarray(z[at(slice(p, p + n) for p, n in zip(self.pads, self.sizes, strict=True))])

    def numbers(self, padding_counts: bool) -> Array:
        """How many elements each window holds; with `padding_counts` also of the padding that was asked for."""
        ones = np.ones(self.sizes)
        if padding_counts:
            ones = np.pad(ones, [(p, p) for p in self.pads], constant_values=1)
            excess = [(0, q - p) for p, q in zip(self.pads, self.behind, strict=True)]
            return np.asarray(self.pile(np.pad(ones, excess)).sum(0))
        return np.asarray(self.pile(self.grown(ones, 0)).sum(0))


def _max_pooled(
    rank: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    name = f"max_pool{rank}d"
    x, alone = with_batch(name, input, rank)
    where = _Pile(name, x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    pile = where.pile(where.grown(x.wide, -math.inf))
    first = np.argmax(pile, axis=0)
    shape = x.shape

    def formula(g: Array) -> Array:
        return where.spread([np.where(first == j, g, 0) for j in range(len(where.places))], shape)

    y = without_batch(result(pile.max(0), (x, formula)), alone)
    if not return_indices:
        return y
    inside = where.pile(where.grown(np.arange(math.prod(where.sizes)).reshape(where.sizes), -1))
    inside = np.broadcast_to(inside[:, None, None], pile.shape)
    found = type(y)(np.take_along_axis(inside, first[None], 0)[0].astype(np.int64))
    return y, without_batch(found, alone)


def _average_pooled(
    rank: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    name = f"avg_pool{rank}d"
    x, alone = with_batch(name, input, rank)
    where = _Pile(name, x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override == 0:
        raise EagerError(f"{name} with divisor_override 0: expected another number")
    numbers = where.numbers(count_include_pad) if divisor_override is None else np.asarray(float(divisor_override))
    pile = where.pile(where.grown(x.wide.astype(np.float64), 0))
    y = (pile.sum(0) / numbers).astype(x.wide.dtype)
    shape, depth = x.shape, len(where.places)
    return without_batch(result(y, (x, lambda g: where.spread([g / numbers] * depth, shape))), alone)


def _norm_pooled(
    rank: int, input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None, ceil_mode: bool
) -> Tensor:
    """As PyTorch has it: p-th powers, their mean, times the size of a full window."""
    if not norm_type:
        raise EagerError(f"lp_pool{rank}d with norm_type {norm_type!r}: expected another number than 0")
    mean = _average_pooled(rank, pow(input, norm_type), kernel_size, stride, 0, ceil_mode, True)
    size = math.prod(per_axis(f"lp_pool{rank}d", "kernel_size", kernel_size, rank, 1))
    return pow(mul(mean, size), 1 / norm_type)


def _cells(name: str, sizes: Sequence[int], output_size: OutputSize) -> list[list[slice]]:
    """For each axis the ranges of its cells, of which the i-th of m is from floor(i n / m) to ceil((i + 1) n / m)."""
    asked = list(output_size) if isinstance(output_size, Sequence) else [output_size] * len(sizes)
    asked = asked * len(sizes) if len(asked) == 1 else asked
    if len(asked) != len(sizes) or any(m is not None and m < 1 for m in asked):
        raise EagerError(f"{name} with output_size {output_size!r}: expected one int or {len(sizes)}, 1 or more")
    wanted = [n if m is None else m for n, m in zip(sizes, asked, strict=True)]
    return [
        [slice(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i in range(m)]
        for n, m in zip(sizes, wanted, strict=True)
    ]


def _adaptive_average(rank: int, input: Tensor, output_size: OutputSize) -> Tensor:
    name = f"adaptive_avg_pool{rank}d"
    x, alone = with_batch(name, input, rank)
    cells = _cells(name, x.shape[2:], output_size)
    wide, shape = x.wide, x.shape
    y = np.zeros((*shape[:2], *map(len, cells)), wide.dtype)
    for o in itertools.product(*(range(len(c)) for c in cells)):
        cell = wide[at(c[i] for c, i in zip(cells, o, strict=True))]
        y[at(o)] = cell.mean(tuple(range(2, rank + 2)), dtype=np.float64)

    def formula(g: Array) -> Array:
        z = np.zeros(shape)
        for o in itertools.product(*(range(len(c)) for c in cells)):
            cell = z[at(c[i] for c, i in zip(cells, o, strict=True))]
            cell += np.expand_dims(g[at(o)], tuple(range(2, rank + 2))) / math.prod(cell.shape[2:])
        return z

    return without_batch(result(y, (x, formula)), alone)


def _adaptive_maximum(
    rank: int, input: Tensor, output_size: OutputSize, return_indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    name = f"adaptive_max_pool{rank}d"
    x, alone = with_batch(name, input, rank)
    cells = _cells(name, x.shape[2:], output_size)
    shape = x.shape
    numbers = np.arange(math.prod(shape[2:])).reshape(shape[2:])
    rows = x.wide.reshape(*shape[:2], -1)
    found = np.zeros((*shape[:2], *map(len, cells)), np.int64)
    for o in itertools.product(*(range(len(c)) for c in cells)):
        members = numbers[tuple(c[i] for c, i in zip(cells, o, strict=True))].ravel()
        found[at(o)] = members[rows[..., members].argmax(-1)]
    flat = found.reshape(*shape[:2], -1)

    def formula(g: Array) -> Array:
        z = np.zeros((*shape[:2], math.prod(shape[2:])))
        batch, channel = np.ogrid[: shape[0], : shape[1]]
        np.add.at(z, (batch[..., None], channel[..., None], flat), g.reshape(flat.shape))
        return z.reshape(shape)

    y = np.take_along_axis(rows, flat, 2).reshape(found.shape)
    values = without_batch(result(y, (x, formula)), alone)
    return (values, without_batch(type(values)(found.copy()), alone)) if return_indices else values


@quiet
def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window; the gradient goes to the first one, whose place in its channel is the index."""
    return _max_pooled(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@quiet
def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window; the gradient goes to the first one, whose place in its channel is the index."""
    return _max_pooled(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@quiet
def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window; the gradient goes to the first one, whose place in its channel is the index."""
    return _max_pooled(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@quiet
def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The sum of each window divided by the elements it holds."""
    return _average_pooled(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@quiet
def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The sum of each window divided by the elements it holds, or by `divisor_override`."""
    return _average_pooled(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@quiet
def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The sum of each window divided by the elements it holds, or by `divisor_override`."""
    return _average_pooled(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@quiet
def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p)^(1/p) over each window, p = `norm_type`."""
    return _norm_pooled(1, input, norm_type, kernel_size, stride, ceil_mode)


@quiet
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p)^(1/p) over each window, p = `norm_type`."""
    return _norm_pooled(2, input, norm_type, kernel_size, stride, ceil_mode)


@quiet
def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p)^(1/p) over each window, p = `norm_type`."""
    return _norm_pooled(3, input, norm_type, kernel_size, stride, ceil_mode)


@quiet
def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _adaptive_average(1, input, output_size)


@quiet
def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _adaptive_average(2, input, output_size)


@quiet
def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The means of as many cells as `output_size` asks for; None keeps a size."""
    return _adaptive_average(3, input, output_size)


@quiet
def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of as many cells as `output_size` asks for; the gradient goes to the first one."""
    return _adaptive_maximum(1, input, output_size, return_indices)


@quiet
def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of as many cells as `output_size` asks for; the gradient goes to the first one."""
    return _adaptive_maximum(2, input, output_size, return_indices)


@quiet
def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of as many cells as `output_size` asks for; the gradient goes to the first one."""
    return _adaptive_maximum(3, input, output_size, return_indices)
