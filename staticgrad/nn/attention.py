"""Attention with its projections."""

from __future__ import annotations

import math

import numpy as np

from staticgrad.declare import parameter
from staticgrad.errors import DeclarationError, ShapeError, shown
from staticgrad.graph import Value
from staticgrad.nn import functional, init
from staticgrad.nn.layers import Module, positive
from staticgrad.ops.registry import element_type
from staticgrad.origin import source_line
from staticgrad.types import DType


class MultiheadAttention(Module):
    """Attention of several heads: (L, N, embed_dim) -> (L, N, embed_dim) (Vaswani et al. 2017).

    With `batch_first` (N, L, embed_dim); without a batch (L, embed_dim). The parameters `<name>/in_proj_weight`
    (3 embed_dim, embed_dim), `<name>/in_proj_bias`, `<name>/out_proj/weight` and `<name>/out_proj/bias` are laid out
    and start as PyTorch's; it gives the result only, not the weights of the keys.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
        name: str = "attention",
        dtype: object = "float32",
        seed: int = 0,
    ) -> None:
        positive(embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise DeclarationError(
                f"num_heads must be a number that divides embed_dim, {num_heads} and {embed_dim} came ({source_line()})"
            )
        if dropout != 0:
            raise DeclarationError(
                f"MultiheadAttention has no dropout, dropout={shown(dropout)} came ({source_line()})"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.batch_first = batch_first
        bound, inner = math.sqrt(6 / (4 * embed_dim)), 1 / math.sqrt(embed_dim)
        shape = (3 * embed_dim, embed_dim)
        self.in_proj_weight = parameter(f"{name}/in_proj_weight", init.uniform(shape, -bound, bound, dtype, seed))
        zeros = np.zeros(3 * embed_dim, element_type(dtype).numpy)
        self.in_proj_bias = parameter(f"{name}/in_proj_bias", zeros) if bias else None
        self.out_proj_weight = parameter(
            f"{name}/out_proj/weight", init.uniform((embed_dim, embed_dim), -inner, inner, dtype, seed)
        )
        self.out_proj_bias = parameter(f"{name}/out_proj/bias", zeros[:embed_dim]) if bias else None

    def __call__(
        self,
        x: Value,
        key: Value | None = None,
        value: Value | None = None,
        *,
        attn_mask: Value | None = None,
        is_causal: bool = False,
    ) -> Value:
        return self.forward(x, key, value, attn_mask=attn_mask, is_causal=is_causal)

    def forward(
        self,
        x: Value,
        key: Value | None = None,
        value: Value | None = None,
        *,
        attn_mask: Value | None = None,
        is_causal: bool = False,
    ) -> Value:
        """The attention of `x` to `key` (`x` if not given) and `value` (`key` if not given).

        A bool `attn_mask` (L, S) is True where a key takes no part, a floating one is added: so has PyTorch's layer it,
        while in `functional.scaled_dot_product_attention` a key takes part where it is True.
        """
        if attn_mask is not None and len(attn_mask.type.shape) != 2:
            raise ShapeError(f"attn_mask is (L, S), {attn_mask.type} came ({source_line()})")
        if attn_mask is not None and attn_mask.type.dtype is DType.bool:
            attn_mask = attn_mask.logical_not()
        if key is None and value is None:
            joint = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
            parts = joint.split(self.embed_dim, -1)
        else:
            key = x if key is None else key
            operands = (x, key, key if value is None else value)
            weights = self.in_proj_weight.split(self.embed_dim, 0)
            biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.split(self.embed_dim, 0)
            parts = tuple(functional.linear(*group) for group in zip(operands, weights, biases, strict=True))
        # Heads before positions, and behind the batch.
        length = 0 if not self.batch_first and len(x.type.shape) == 3 else -3
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).movedim(length, -2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask, is_causal=is_causal)
        return functional.linear(y.movedim(-2, length).flatten(-2), self.out_proj_weight, self.out_proj_bias)
