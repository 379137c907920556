"""PyTorch's `torch.nn.functional`: activations, losses, layers without state."""

from __future__ import (
    annotations,
)

from staticgrad.eager.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    swiglu,
    tanhshrink,
    threshold,
)
from staticgrad.eager.attention import (
    scaled_dot_product_attention,
)
from staticgrad.eager.distance import (
    cosine_similarity,
    normalize,
    pairwise_distance,
)
from staticgrad.eager.elementwise import (
    sigmoid,
    tanh,
)
from staticgrad.eager.embed import (
    embedding,
    embedding_bag,
    one_hot,
)
from staticgrad.eager.linalg import (
    bilinear,
)
from staticgrad.eager.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    linear,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from staticgrad.eager.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from staticgrad.eager.padding import (
    pad,
)
from staticgrad.eager.reduce import (
    log_softmax,
    softmax,
    softmin,
)
from staticgrad.eager.resampling import (
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
)
from staticgrad.eager.sampling import (
    affine_grid,
    grid_sample,
)

__all__ = [
    "affine_grid",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "cosine_similarity",
    "cross_entropy",
    "elu",
    "embedding",
    "embedding_bag",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "swiglu",
    "tanh",
    "tanhshrink",
    "threshold",
]
