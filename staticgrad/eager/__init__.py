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
    relu,
    selu,
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
    manual_seed,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    zeros,
    zeros_like,
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
from staticgrad.eager.errors import (
    EagerError,
)
from staticgrad.eager.index import (
    gather,
    index_select,
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
from staticgrad.eager.resampling import (
    channel_shuffle,
    pixel_shuffle,
    pixel_unshuffle,
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
from staticgrad.eager.tape import (
    enable_grad,
    is_grad_enabled,
    no_grad,
)
from staticgrad.eager.tensor import (
    Tensor,
    tensor,
)

# fmt: off
__all__ = [
    "EagerError", "Tensor", "abs", "acos", "acosh", "add", "addmm", "all", "amax", "amin", "any", "arange", "argmax",
    "argmin", "asin", "asinh", "atan", "atanh", "baddbmm", "bfloat16", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "bmm", "broadcast_to", "cat", "ceil", "celu", "channel_shuffle", "chunk", "clamp", "clone", "cos",
    "cosh", "cumprod", "cumsum", "detach", "div", "dot", "enable_grad", "eq", "erf", "exp", "exp2", "expm1", "eye",
    "flatten", "flip", "float16", "float32", "float64", "floor", "floor_divide", "fmod", "from_numpy", "full",
    "full_like", "functions", "gather", "ge", "gt", "index_select", "int8", "int16", "int32", "int64",
    "is_grad_enabled", "isfinite", "isinf", "isnan", "le", "lerp", "linspace", "log", "log1p", "log2", "log10",
    "log_softmax", "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp", "lt", "manual_seed",
    "masked_fill", "matmul", "max", "maximum", "mean", "min", "minimum", "mm", "movedim", "mul", "mv", "ne", "neg",
    "nn", "no_grad", "norm", "ones", "ones_like", "optim", "outer", "permute", "pixel_shuffle", "pixel_unshuffle",
    "pow", "prod", "rand", "randint", "randn", "reciprocal", "relu", "remainder", "reshape", "round", "rsqrt",
    "scatter_add", "selu", "sigmoid", "sign", "sin", "sinh", "softmax", "split", "sqrt", "square", "squeeze", "stack",
    "std", "sub", "sum", "t", "tan", "tanh", "tensor", "transpose", "tril", "triu", "trunc", "uint8", "unbind",
    "unflatten", "unsqueeze", "var", "where", "zeros", "zeros_like",
]
# fmt: on
