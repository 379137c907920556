"""The eager tensors: define-by-run automatic differentiation over numpy, with PyTorch's names.

    x = eager.randn(64, 1000)
    w = eager.randn(1000, 10, requires_grad=True)
    loss = x.mm(w).clamp(min=0).pow(2).sum()
    loss.backward()
    with eager.no_grad():
        w -= 1e-6 * w.grad
        w.grad.zero_()

It imports nothing of the compiler, so that the compiler's gradients can be compared with its own. Gradients of
gradients are not recorded.
"""

from __future__ import annotations

from staticgrad.eager import functions, nn, optim
from staticgrad.eager.activation import (
    celu,
    prelu,
    relu,
    selu,
    threshold,
)
from staticgrad.eager.arithmetic import (
    abs,
    add,
    addcdiv,
    addcmul,
    clamp,
    clamp_max,
    clamp_min,
    div,
    floor_divide,
    fmax,
    fmin,
    fmod,
    lerp,
    masked_fill,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    remainder,
    rsub,
    sign,
    sub,
    true_divide,
    where,
)
from staticgrad.eager.cast import (
    clone,
    detach,
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
    arange,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    manual_seed,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    zeros,
    zeros_like,
)
from staticgrad.eager.cumulative import (
    diff,
    logcumsumexp,
)
from staticgrad.eager.distance import (
    cdist,
    cosine_similarity,
    pairwise_distance,
)
from staticgrad.eager.dtypes import (
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from staticgrad.eager.einsum import (
    einsum,
    tensordot,
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
    frac,
    log,
    log1p,
    log2,
    log10,
    logit,
    nan_to_num,
    positive,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sigmoid,
    sin,
    sinc,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)
from staticgrad.eager.errors import (
    EagerError,
)
from staticgrad.eager.index import (
    gather,
    index_select,
    scatter_add,
)
from staticgrad.eager.linalg import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bilinear,
    bmm,
    dot,
    inner,
    kron,
    matmul,
    mm,
    mv,
    outer,
    trace,
    vdot,
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
    std,
    sum,
    var,
)
from staticgrad.eager.shape import (
    broadcast_to,
    cat,
    chunk,
    flatten,
    flip,
    movedim,
    permute,
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
)
from staticgrad.eager.statistics import (
    aminmax,
    nanmean,
    nansum,
    std_mean,
    var_mean,
)
from staticgrad.eager.tape import (
    enable_grad,
    is_grad_enabled,
    no_grad,
)
from staticgrad.eager.tensor import (
    Tensor,
    tensor,
)
from staticgrad.eager.transcendental import (
    atan2,
    hypot,
    logaddexp,
    logaddexp2,
    xlogy,
)

# fmt: off
__all__ = [
    "EagerError", "Tensor", "abs", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr",
    "all", "amax", "amin", "aminmax", "any", "arange", "argmax", "argmin", "asin", "asinh", "atan", "atan2", "atanh",
    "baddbmm", "bfloat16", "bilinear", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm", "broadcast_to",
    "cat", "cdist", "ceil", "celu", "chunk", "clamp", "clamp_max", "clamp_min", "clone", "cos", "cosh",
    "cosine_similarity", "cumprod", "cumsum", "detach", "diff", "div", "dot", "einsum", "enable_grad", "eq", "erf",
    "exp", "exp2", "expm1", "eye", "flatten", "flip", "float16", "float32", "float64", "floor", "floor_divide", "fmax",
    "fmin", "fmod", "frac", "from_numpy", "full", "full_like", "functions", "gather", "ge", "gt", "hypot",
    "index_select", "inner", "int8", "int16", "int32", "int64", "is_grad_enabled", "isfinite", "isinf", "isnan", "kron",
    "le", "lerp", "linspace", "log", "log1p", "log2", "log10", "log_softmax", "logaddexp", "logaddexp2", "logcumsumexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logspace", "logsumexp", "lt", "manual_seed",
    "masked_fill", "matmul", "max", "maximum", "mean", "min", "minimum", "mm", "movedim", "mul", "mv", "nan_to_num",
    "nanmean", "nansum", "ne", "neg", "nn", "no_grad", "norm", "ones", "ones_like", "optim", "outer",
    "pairwise_distance", "permute", "positive", "pow", "prelu", "prod", "rand", "randint", "randn", "reciprocal",
    "relu", "remainder", "reshape", "round", "rsqrt", "rsub", "scatter_add", "selu", "sgn", "sigmoid", "sign", "sin",
    "sinc", "sinh", "softmax", "split", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "sub", "sum", "t",
    "tan", "tanh", "tensor", "tensordot", "threshold", "trace", "transpose", "tril", "triu", "true_divide", "trunc",
    "uint8", "unbind", "unflatten", "unsqueeze", "var", "var_mean", "vdot", "where", "xlogy", "zeros", "zeros_like",
]
# fmt: on
