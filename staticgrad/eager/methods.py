"""The operators and methods of a tensor that are simply functions with the tensor as their first argument."""

from __future__ import annotations

from staticgrad.eager import (
    activation,
    arithmetic,
    cast,
    compare,
    cumulative,
    elementwise,
    index,
    linalg,
    order,
    reduce,
    shape,
    statistics,
    transcendental,
    window,
)
from staticgrad.eager import (
    gather as gathering,
)
from staticgrad.eager import (
    scatter as scattering,
)


class Methods:
    """PyTorch's methods, each by the function that it is."""

    __slots__ = ()

    # - operators -

    __add__ = arithmetic.add
    __sub__ = arithmetic.sub
    __mul__ = arithmetic.mul
    __truediv__ = arithmetic.div
    __floordiv__ = arithmetic.floor_divide
    __mod__ = arithmetic.remainder
    __pow__ = arithmetic.pow
    __matmul__ = linalg.matmul
    __neg__ = arithmetic.neg
    __abs__ = arithmetic.abs
    __and__ = compare.bitwise_and
    __or__ = compare.bitwise_or
    __xor__ = compare.bitwise_xor
    __rand__ = compare.bitwise_and
    __ror__ = compare.bitwise_or
    __rxor__ = compare.bitwise_xor
    __invert__ = compare.bitwise_not
    __lt__ = compare.lt
    __le__ = compare.le
    __gt__ = compare.gt
    __ge__ = compare.ge
    __getitem__ = index.getitem
    __radd__ = arithmetic.add
    __rmul__ = arithmetic.mul

    # - PyTorch's methods: the functions, with the tensor as their first argument -

    abs = arithmetic.abs
    neg = arithmetic.neg
    sign = arithmetic.sign
    add = arithmetic.add
    sub = arithmetic.sub
    mul = arithmetic.mul
    div = arithmetic.div
    floor_divide = arithmetic.floor_divide
    remainder = arithmetic.remainder
    fmod = arithmetic.fmod
    pow = arithmetic.pow
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    clamp = arithmetic.clamp
    lerp = arithmetic.lerp
    masked_fill = arithmetic.masked_fill

    exp = elementwise.exp
    exp2 = elementwise.exp2
    expm1 = elementwise.expm1
    log = elementwise.log
    log2 = elementwise.log2
    log10 = elementwise.log10
    log1p = elementwise.log1p
    sqrt = elementwise.sqrt
    rsqrt = elementwise.rsqrt
    reciprocal = elementwise.reciprocal
    square = elementwise.square
    sin = elementwise.sin
    cos = elementwise.cos
    tan = elementwise.tan
    asin = elementwise.asin
    acos = elementwise.acos
    atan = elementwise.atan
    sinh = elementwise.sinh
    cosh = elementwise.cosh
    tanh = elementwise.tanh
    asinh = elementwise.asinh
    acosh = elementwise.acosh
    atanh = elementwise.atanh
    erf = elementwise.erf
    sigmoid = elementwise.sigmoid
    floor = elementwise.floor
    ceil = elementwise.ceil
    trunc = elementwise.trunc
    round = elementwise.round

    prelu = activation.prelu

    true_divide = arithmetic.true_divide
    fmax = arithmetic.fmax
    fmin = arithmetic.fmin
    clamp_min = arithmetic.clamp_min
    clamp_max = arithmetic.clamp_max
    addcmul = arithmetic.addcmul
    addcdiv = arithmetic.addcdiv

    frac = elementwise.frac
    positive = elementwise.positive
    sgn = elementwise.sgn
    sinc = elementwise.sinc
    logit = elementwise.logit
    nan_to_num = elementwise.nan_to_num

    atan2 = transcendental.atan2
    hypot = transcendental.hypot
    logaddexp = transcendental.logaddexp
    logaddexp2 = transcendental.logaddexp2
    xlogy = transcendental.xlogy

    aminmax = statistics.aminmax
    nansum = statistics.nansum
    nanmean = statistics.nanmean

    logcumsumexp = cumulative.logcumsumexp
    diff = cumulative.diff

    vdot = linalg.vdot
    inner = linalg.inner
    trace = linalg.trace
    kron = linalg.kron
    addmv = linalg.addmv
    addr = linalg.addr
    addbmm = linalg.addbmm

    relu = activation.relu
    hardshrink = activation.hardshrink

    eq = compare.eq
    ne = compare.ne
    lt = compare.lt
    le = compare.le
    gt = compare.gt
    ge = compare.ge
    logical_and = compare.logical_and
    logical_or = compare.logical_or
    logical_xor = compare.logical_xor
    logical_not = compare.logical_not
    isnan = compare.isnan
    isinf = compare.isinf
    isfinite = compare.isfinite
    bitwise_and = compare.bitwise_and
    bitwise_or = compare.bitwise_or
    bitwise_xor = compare.bitwise_xor
    bitwise_not = compare.bitwise_not

    sum = reduce.sum
    mean = reduce.mean
    prod = reduce.prod
    amax = reduce.amax
    amin = reduce.amin
    max = reduce.max
    min = reduce.min
    argmax = reduce.argmax
    argmin = reduce.argmin
    all = reduce.all
    any = reduce.any
    var = reduce.var
    std = reduce.std
    norm = reduce.norm
    cumsum = reduce.cumsum
    cumprod = reduce.cumprod
    logsumexp = reduce.logsumexp
    softmax = reduce.softmax
    log_softmax = reduce.log_softmax

    reshape = shape.reshape
    view = shape.view
    flatten = shape.flatten
    unflatten = shape.unflatten
    permute = shape.permute
    transpose = shape.transpose
    t = shape.t
    movedim = shape.movedim
    squeeze = shape.squeeze
    unsqueeze = shape.unsqueeze
    expand = shape.expand
    expand_as = shape.expand_as
    broadcast_to = shape.broadcast_to
    repeat = shape.repeat
    split = shape.split
    chunk = shape.chunk
    unbind = shape.unbind
    flip = shape.flip
    tril = shape.tril
    triu = shape.triu

    matmul = linalg.matmul
    mm = linalg.mm
    bmm = linalg.bmm
    dot = linalg.dot
    mv = linalg.mv
    outer = linalg.outer
    addmm = linalg.addmm
    baddbmm = linalg.baddbmm

    gather = gathering.gather
    index_select = gathering.index_select
    masked_select = gathering.masked_select
    take = gathering.take
    take_along_dim = gathering.take_along_dim
    index_add = scattering.index_add
    index_copy = scattering.index_copy
    index_fill = scattering.index_fill
    index_put = scattering.index_put
    index_reduce = scattering.index_reduce
    masked_scatter = scattering.masked_scatter
    scatter = scattering.scatter
    scatter_add = scattering.scatter_add
    scatter_reduce = scattering.scatter_reduce
    argsort = order.argsort
    kthvalue = order.kthvalue
    msort = order.msort
    sort = order.sort
    topk = order.topk
    diag = window.diag
    diag_embed = window.diag_embed
    diagonal = window.diagonal
    moveaxis = window.moveaxis
    narrow = window.narrow
    repeat_interleave = window.repeat_interleave
    reshape_as = window.reshape_as
    roll = window.roll
    select = window.select
    split_with_sizes = window.split_with_sizes
    swapaxes = window.swapaxes
    swapdims = window.swapdims
    tile = window.tile
    view_as = window.view_as
    unfold = window.unfold_dimension

    to = cast.to
    double = cast.double
    half = cast.half
    long = cast.long
    clone = cast.clone
    detach = cast.detach
    contiguous = cast.contiguous
    type = cast.type_
    float = cast.float_
    bfloat16 = cast.bfloat16_
    int = cast.int_
    bool = cast.bool_
