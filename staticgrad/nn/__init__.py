"""Layers, losses and initializers in ordinary Values."""

from staticgrad.nn import (
    functional,
    init,
)
from staticgrad.nn.attention import (
    MultiheadAttention,
)
from staticgrad.nn.layers import (
    Embedding,
    Linear,
    Module,
    Sequential,
)
from staticgrad.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    LayerNorm,
    RMSNorm,
)

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Embedding",
    "GroupNorm",
    "LayerNorm",
    "Linear",
    "Module",
    "MultiheadAttention",
    "RMSNorm",
    "Sequential",
    "functional",
    "init",
]
