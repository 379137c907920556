"""Layers: parameters with a name, and a call on Values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np

from staticgrad.declare import parameter
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Array, Leaf, Value
from staticgrad.nn import functional, init
from staticgrad.origin import source_line


class Module:
    """Something with parameters that is called on Values; a subclass gives `forward`.

    Parameters and layers are found among the attributes, in the order in which they were set.
    """

    training = True

    def forward(self, x: Value) -> Value:
        """The result for `x`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, x: Value) -> Value:
        return self.forward(x)

    def train(self, mode: bool = True) -> Self:
        """Have this layer and those in it declare what they do in training, or in inference; returns the layer."""
        self.training = bool(mode)
        for item in self._held():
            if isinstance(item, Module):
                item.train(mode)
        return self

    def eval(self) -> Self:
        """Have this layer and those in it declare what they do in inference; returns the layer."""
        return self.train(False)

    def parameters(self) -> Iterator[Value]:
        """The parameters of this layer and of the layers in it."""
        for item in self._held():
            if isinstance(item, Module):
                yield from item.parameters()
            elif isinstance(item, Value) and isinstance(item.node, Leaf) and item.node.kind == "parameter":
                yield item

    def _held(self) -> Iterator[object]:
        for attribute in vars(self).values():
            yield from attribute if isinstance(attribute, (list, tuple)) else (attribute,)


class Linear(Module):
    """`x @ weight.T + bias`: (..., in_features) -> (..., out_features).

    The parameters `<name>/weight` (out_features, in_features) and `<name>/bias` start uniform within
    1 / sqrt(in_features) of 0. Layers of one model need different names.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        name: str = "linear",
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        positive(in_features=in_features, out_features=out_features)
        bound = 1 / math.sqrt(in_features)
        shape = (out_features, in_features)
        self.weight = parameter(f"{name}/weight", init.uniform(shape, -bound, bound, dtype, seed))
        self.bias = parameter(f"{name}/bias", init.uniform(shape[:1], -bound, bound, dtype, seed)) if bias else None

    def forward(self, x: Value) -> Value:
        """`x @ weight.T + bias`."""
        return functional.linear(x, self.weight, self.bias)


class Embedding(Module):
    """The rows of a table that integers name: (...) -> (..., embedding_dim).

    The parameter `<name>/weight` (num_embeddings, embedding_dim) starts normal, but for the row `padding_idx`, which is
    0 and gets no derivative.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        name: str = "embedding",
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        table = init.normal((num_embeddings, embedding_dim), dtype=dtype, seed=seed)
        if padding_idx is not None:
            if not isinstance(padding_idx, int) or not -num_embeddings <= padding_idx < num_embeddings:
                raise DeclarationError(
                    f"padding_idx must be one of the {num_embeddings} rows, {shown(padding_idx)} came ({source_line()})"
                )
            table = _with_row_of_zeros(table, padding_idx)
        self.padding_idx = padding_idx
        self.weight = parameter(f"{name}/weight", table)

    def forward(self, x: Value) -> Value:
        """The rows of `weight` at `x`."""
        return functional.embedding(x, self.weight, self.padding_idx)


def _with_row_of_zeros(table: init.Initializer, row: int) -> init.Initializer:
    def fill(random: np.random.Generator, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        rows = table.fill(random, sizes, dtype)
        rows[row] = 0
        return rows

    return replace(table, fill=fill)


class Sequential(Module):
    """Layers, or functions on Values such as `sg.relu`, one after the other."""

    def __init__(self, *layers: Module | Callable[[Value], Value]) -> None:
        for layer in layers:
            if not callable(layer):
                raise DeclarationError(
                    f"Sequential takes layers and functions one by one, {shown(layer)} came ({source_line()})"
                )
        self.layers = layers

    def forward(self, x: Value) -> Value:
        """The last layer's result."""
        for layer in self.layers:
            x = layer(x)
        return x


def positive(**sizes: int) -> None:
    """Refuse a size that is not a positive int, by its name."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise DeclarationError(f"{name} must be a positive int, {size!r} came ({source_line()})")
