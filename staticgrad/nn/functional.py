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
from staticgrad.tensor.attention import scaled_dot_product_attention
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
from staticgrad.tensor.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from staticgrad.tensor.reduction import log_softmax, softmax, softmin

__all__ = [
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "celu",
    "cross_entropy",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "instance_norm",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
]
