"""PyTorch's `torch.nn.functional`: activations, losses, layers without state."""

from __future__ import annotations

from staticgrad.eager.activation import (
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
    silu,
    softplus,
    softshrink,
    softsign,
)
from staticgrad.eager.elementwise import (
    sigmoid,
    tanh,
)
from staticgrad.eager.index import (
    embedding,
    one_hot,
)
from staticgrad.eager.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    layer_norm,
    linear,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from staticgrad.eager.padding import (
    pad,
)
from staticgrad.eager.patches import (
    fold,
    unfold,
)
from staticgrad.eager.reduce import (
    log_softmax,
    softmax,
    softmin,
)
from staticgrad.eager.resampling import (
    channel_shuffle,
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
)
from staticgrad.eager.sampling import (
    affine_grid,
    grid_sample,
)

# fmt: off
__all__ = [
    "affine_grid", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "channel_shuffle",
    "cross_entropy", "elu", "embedding", "fold", "gelu", "grid_sample", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "huber_loss", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax",
    "logsigmoid", "mish", "mse_loss", "nll_loss", "one_hot", "pad", "pixel_shuffle", "pixel_unshuffle", "relu", "relu6",
    "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "unfold",
]
# fmt: on
