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
from staticgrad.eager.attention import (
    rotary_embedding,
    scaled_dot_product_attention,
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
    linear,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from staticgrad.eager.margin_loss import (
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from staticgrad.eager.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from staticgrad.eager.reduce import (
    log_softmax,
    softmax,
    softmin,
)

# fmt: off
__all__ = [
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "cosine_embedding_loss",
    "cross_entropy", "elu", "embedding", "gaussian_nll_loss", "gelu", "group_norm", "hardshrink", "hardsigmoid",
    "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss", "instance_norm", "kl_div", "l1_loss",
    "layer_norm", "leaky_relu", "linear", "local_response_norm", "log_softmax", "logsigmoid", "margin_ranking_loss",
    "mish", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "one_hot", "poisson_nll_loss", "relu", "relu6", "rms_norm", "rotary_embedding", "scaled_dot_product_attention",
    "selu", "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink",
    "softsign", "tanh", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]
# fmt: on
