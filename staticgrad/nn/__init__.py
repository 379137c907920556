"""Layers, losses and initializers in ordinary Values."""

from staticgrad.nn import (
    functional,
    init,
)
from staticgrad.nn.attention import (
    MultiheadAttention,
)
from staticgrad.nn.convolution import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Flatten,
    MaxPool2d,
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
from staticgrad.nn.recurrent import (
    GRU,
    LSTM,
    RNN,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "MultiheadAttention",
    "RMSNorm",
    "Sequential",
    "functional",
    "init",
]
