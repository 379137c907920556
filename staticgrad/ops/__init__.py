"""Raw operators: ONNX's, under their names in snake_case, one entry each."""

from staticgrad.ops.activation import (
    celu,
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    selu,
    sigmoid,
    softmax,
    softplus,
    softsign,
)
from staticgrad.ops.arithmetic import (
    abs,
    add,
    cast,
    ceil,
    clip,
    div,
    floor,
    max,
    min,
    mod,
    mul,
    neg,
    pow,
    reciprocal,
    round,
    sign,
    sqrt,
    sub,
)
from staticgrad.ops.creation import constant_of_shape, eye_like, nonzero, range_, trilu
from staticgrad.ops.indexing import (
    gather,
    gather_elements,
    gather_nd,
    one_hot,
    scatter_elements,
    scatter_nd,
)
from staticgrad.ops.linear import gemm, matmul
from staticgrad.ops.logic import (
    equal,
    greater,
    greater_or_equal,
    isinf,
    isnan,
    less,
    less_or_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    where,
)
from staticgrad.ops.math import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    erf,
    exp,
    log,
    sin,
    sinh,
    tan,
    tanh,
)
from staticgrad.ops.reduction import (
    arg_max,
    arg_min,
    cumsum,
    reduce_l1,
    reduce_l2,
    reduce_log_sum_exp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_sum,
)
from staticgrad.ops.registry import OPERATORS, Operator, constant, literal, onnx_op
from staticgrad.ops.shape import (
    concat,
    expand,
    identity,
    pad,
    reshape,
    shape,
    size,
    slice_,
    split,
    squeeze,
    tile,
    transpose,
    unsqueeze,
)

__all__ = [name for name in dir() if not name.startswith("_")]
