"""Random numbers, and Dropout, which multiplies with some.

Equal applications are different draws: they are never made one, and a derivative reads what the forward node drew.
"""

from __future__ import annotations

from staticgrad.errors import DTypeError
from staticgrad.graph import Value, constant_of
from staticgrad.ops.arithmetic import cast
from staticgrad.ops.kinds import floating, full_like
from staticgrad.ops.logic import where
from staticgrad.ops.registry import Input, onnx_op, require
from staticgrad.ops.shape import reshape
from staticgrad.types import DType, TensorType


def _dropped(x, ratio=None, training_mode=None, *, seed):
    floating(x, ratio)
    for given in (ratio, training_mode):
        require(given is None or given.type.shape in ((), (1,)), "ratio and training_mode are one element each")
    if training_mode is not None and training_mode.type.dtype is not DType.bool:
        raise DTypeError(f"training_mode is one bool, {training_mode.type} came")
    return x.type, TensorType(DType.bool, x.type.shape)


@onnx_op("Dropout", type=_dropped)
def dropout(
    x: Input, ratio: Input | None = None, training_mode: Input | None = None, *, seed: int | None = None
) -> tuple[Value, Value]:
    """`x * mask / (1 - ratio)` in training, else `x`; and the mask, True for each element with chance `1 - ratio`.

    Without `ratio` it is 1/2, without `training_mode` there is no training (Srivastava et al. 2014).
    """


@dropout.vjp
def _(gs, ys, x, ratio, training_mode, *, seed):
    g, mask = gs[0], ys[1]
    training = constant_of(training_mode)
    if training_mode is None or (training is not None and not training.any()):
        return g, None, None
    if ratio is None:
        kept = full_like(g, 0.5)
    else:
        # A number of rank 0, so that it gives no further axis to what it meets.
        kept = 1 - reshape(ratio if ratio.type.dtype is g.type.dtype else cast(ratio, to=g.type.dtype), [])
    if training is None:
        # The ratio may be anything where there is no training, the mask is True then.
        kept = where(reshape(training_mode, []), kept, full_like(g, 1))
    return where(mask, g / kept, 0), None, None


def _drawn(*, dtype, shape, **_):
    require(all(isinstance(d, int) and d >= 0 for d in shape), f"a shape is a list of sizes, {list(shape)} came")
    return floating_of(dtype, tuple(shape))


def floating_of(dtype: DType, shape: tuple[int | str, ...]) -> TensorType:
    """The type of random numbers, which are floating."""
    if not dtype.is_float:
        raise DTypeError(f"random numbers are floating, {dtype} is asked for; cast them")
    return TensorType(dtype, shape)


def _drawn_like(x, *, dtype, **_):
    return floating_of(dtype or x.type.dtype, x.type.shape)


@onnx_op("RandomNormal", type=_drawn, differentiable=False)
def random_normal(
    *,
    shape: tuple[int, ...],
    dtype: DType = DType.float32,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Value:
    """Numbers of the normal distribution with this mean and deviation."""


@onnx_op("RandomUniform", type=_drawn, differentiable=False)
def random_uniform(
    *,
    shape: tuple[int, ...],
    dtype: DType = DType.float32,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Value:
    """Numbers uniform in [low, high)."""


@onnx_op("RandomNormalLike", type=_drawn_like, differentiable=False)
def random_normal_like(
    x: Input, *, dtype: DType | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Value:
    """Numbers of the normal distribution in the shape of `x`."""


@onnx_op("RandomUniformLike", type=_drawn_like, differentiable=False)
def random_uniform_like(
    x: Input, *, dtype: DType | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Value:
    """Numbers uniform in [low, high) in the shape of `x`."""


def _tossed(x, *, dtype, seed):
    floating(x)
    return TensorType(dtype or x.type.dtype, x.type.shape)


@onnx_op("Bernoulli", type=_tossed, differentiable=False)
def bernoulli(x: Input, *, dtype: DType | None = None, seed: float | None = None) -> Value:
    """1 with the chance that each element of `x` gives, else 0."""


def _sampled(x, *, dtype, sample_size, seed):
    floating(x)
    require(len(x.type.shape) == 2, "x is (batch, classes)")
    if dtype not in (DType.int32, DType.int64):
        raise DTypeError(f"classes are int32 or int64, {dtype} is asked for")
    return TensorType(dtype, (x.type.shape[0], sample_size))


@onnx_op("Multinomial", type=_sampled, differentiable=False)
def multinomial(x: Input, *, dtype: DType = DType.int32, sample_size: int = 1, seed: float | None = None) -> Value:
    """Numbers of classes (batch, sample_size), drawn by the logarithms of chances `x` (batch, classes)."""
