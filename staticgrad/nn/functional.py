"""PyTorch's `torch.nn.functional`: activations, losses and layers without state, for Values and eager tensors."""

from staticgrad.tensor.activation import (
    celu,
    elu,
    gelu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    softshrink,
    softsign,
)
from staticgrad.tensor.elementwise import tanh
from staticgrad.tensor.indexing import embedding, one_hot
from staticgrad.tensor.linear import linear
from staticgrad.tensor.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from staticgrad.tensor.padding import pad
from staticgrad.tensor.patches import (
    fold,
    unfold,
)
from staticgrad.tensor.pixels import channel_shuffle, pixel_shuffle, pixel_unshuffle
from staticgrad.tensor.reduction import log_softmax, softmax, softmin
from staticgrad.tensor.resampling import interpolate
from staticgrad.tensor.sampling import (
    affine_grid,
    grid_sample,
)

__all__ = [
    "affine_grid",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "cross_entropy",
    "elu",
    "embedding",
    "fold",
    "gelu",
    "grid_sample",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "interpolate",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "unfold",
]
