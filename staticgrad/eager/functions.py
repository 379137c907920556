"""Every function by its PyTorch name, in one flat place: those of `torch` and those of `torch.nn.functional`."""

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
from staticgrad.eager.arithmetic import (
    abs,
    add,
    clamp,
    div,
    floor_divide,
    fmod,
    lerp,
    masked_fill,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    remainder,
    sign,
    sub,
    where,
)
from staticgrad.eager.cast import (
    bfloat16_ as bfloat16,
)
from staticgrad.eager.cast import (
    bool_ as bool,
)
from staticgrad.eager.cast import (
    clone,
    contiguous,
    detach,
    double,
    half,
    long,
    to,
)
from staticgrad.eager.cast import (
    float_ as float,
)
from staticgrad.eager.cast import (
    int_ as int,
)
from staticgrad.eager.cast import (
    type_ as type,
)
from staticgrad.eager.compare import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from staticgrad.eager.creation import (
    full_like,
    ones_like,
    zeros_like,
)
from staticgrad.eager.elementwise import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    reciprocal,
    round,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)
from staticgrad.eager.index import (
    embedding,
    gather,
    index_select,
    one_hot,
    scatter_add,
)
from staticgrad.eager.linalg import (
    addmm,
    baddbmm,
    bmm,
    dot,
    matmul,
    mm,
    mv,
    outer,
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
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumprod,
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    softmin,
    std,
    sum,
    var,
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
from staticgrad.eager.shape import (
    broadcast_to,
    cat,
    chunk,
    expand,
    expand_as,
    flatten,
    flip,
    movedim,
    permute,
    repeat,
    reshape,
    split,
    squeeze,
    stack,
    t,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    view,
)

# fmt: off
__all__ = [
    "abs", "acos", "acosh", "add", "addmm", "affine_grid", "all", "amax", "amin", "any", "argmax", "argmin", "asin",
    "asinh", "atan", "atanh", "baddbmm", "bfloat16", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm", "bool", "broadcast_to", "cat", "ceil", "celu",
    "channel_shuffle", "chunk", "clamp", "clone", "contiguous", "cos", "cosh", "cross_entropy", "cumprod", "cumsum",
    "detach", "div", "dot", "double", "elu", "embedding", "eq", "erf", "exp", "exp2", "expand", "expand_as", "expm1",
    "flatten", "flip", "float", "floor", "floor_divide", "fmod", "fold", "full_like", "gather", "ge", "gelu",
    "grid_sample", "gt", "half", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "huber_loss", "index_select",
    "int", "interpolate", "isfinite", "isinf", "isnan", "kl_div", "l1_loss", "layer_norm", "le", "leaky_relu", "lerp",
    "linear", "log", "log1p", "log2", "log10", "log_softmax", "logical_and", "logical_not", "logical_or", "logical_xor",
    "logsigmoid", "logsumexp", "long", "lt", "masked_fill", "matmul", "max", "maximum", "mean", "min", "minimum",
    "mish", "mm", "movedim", "mse_loss", "mul", "mv", "ne", "neg", "nll_loss", "norm", "one_hot", "ones_like", "outer",
    "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "pow", "prod", "reciprocal", "relu", "relu6", "remainder",
    "repeat", "reshape", "round", "rsqrt", "scatter_add", "selu", "sigmoid", "sign", "silu", "sin", "sinh",
    "smooth_l1_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "split", "sqrt", "square", "squeeze",
    "stack", "std", "sub", "sum", "t", "tan", "tanh", "to", "transpose", "tril", "triu", "trunc", "type", "unbind",
    "unflatten", "unfold", "unsqueeze", "var", "view", "where", "zeros_like",
]
# fmt: on
