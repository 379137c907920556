"""Fourier transforms, whole and in frames, and what goes with them: windows and the mel scale."""

from __future__ import annotations

import numpy as np

from staticgrad.errors import DTypeError
from staticgrad.graph import Array, Value
from staticgrad.methods import OPERATORS
from staticgrad.ops.arithmetic import div
from staticgrad.ops.indexing import gather
from staticgrad.ops.kinds import common_dtype, dims_of, floating, normal_axis, require_table, reshape_like
from staticgrad.ops.linear import matmul
from staticgrad.ops.registry import Input, constant, onnx_op, require
from staticgrad.ops.shape import concat, reshape, shape, transpose, unsqueeze
from staticgrad.ops.slicing import pad, slice_
from staticgrad.types import (
    Dim,
    DType,
    TensorType,
    add_dims,
    as_dtype,
    dims_agree,
    dtype_from_onnx,
    multiply_dims,
    unknown,
)

_LONGEST_MATRIX = 1024
"""Up to this many numbers in a transform its derivative is one product with a literal matrix."""


def _known_number(value: Value | None) -> Dim | None:
    """The one integer that a value is known to hold."""
    dims = dims_of(value.content) if value is not None else None
    return dims[0] if dims is not None and len(dims) == 1 else None


def _is_one_integer(value: Value | None, name: str) -> None:
    if value is not None:
        require(value.type.shape in ((), (1,)), f"{name} is one integer, {value.type} came")


def _half(length: Dim) -> Dim:
    """How many frequencies of a real signal of this length are different."""
    return length // 2 + 1 if isinstance(length, int) else unknown()


def _axis_of(x: Value, axis: Value | None) -> int | None:
    """The transformed axis; None where only the run knows it."""
    rank = len(x.type.shape)
    position = -2 if axis is None else _known_number(axis)
    if not isinstance(position, int):
        return None
    found = normal_axis(position, rank)
    require(found != rank - 1, "the last axis holds the real and imaginary parts and cannot be transformed")
    return found


def _length_of(x: Value, dft_length: Value | None, axis: int, onesided_inverse: bool) -> Dim:
    """How many numbers are transformed."""
    if dft_length is not None:
        known = _known_number(dft_length)
        return unknown() if known is None else known
    size = x.type.shape[axis]
    return multiply_dims(2, add_dims(size, -1)) if onesided_inverse else size


def _transformed(x, dft_length=None, axis=None, *, inverse, onesided):
    floating(x)
    dims = list(x.type.shape)
    require(len(dims) > 1, f"a signal and an axis of real and imaginary parts are expected, {x.type} came")
    parts = dims[-1]
    require(not isinstance(parts, int) or parts in (1, 2), f"the last axis holds 1 or 2 parts, not {parts}")
    wanted = 2 if inverse else 1
    fits = not onesided or not isinstance(parts, int) or parts == wanted
    require(fits, f"a one-sided transform takes {wanted} parts, {parts} came")
    _is_one_integer(dft_length, "dft_length")
    _is_one_integer(axis, "axis")
    dims[-1] = 1 if inverse and onesided else 2
    position = _axis_of(x, axis)
    if position is None:
        return TensorType(x.type.dtype, (*(unknown() for _ in dims[:-1]), dims[-1]))
    length = _length_of(x, dft_length, position, bool(inverse and onesided))
    require(not isinstance(length, int) or length > 0, f"a transform of length {length} is none")
    dims[position] = _half(length) if onesided and not inverse else length
    return TensorType(x.type.dtype, tuple(dims))


@onnx_op("DFT", type=_transformed)
def dft(
    x: Input,
    dft_length: Input | None = None,
    axis: Input | None = None,
    *,
    inverse: bool = False,
    onesided: bool = False,
) -> Value:
    """`y_k = sum_n x_n exp(-2 pi i k n / N)` along `axis` (-2), real and imaginary parts on the last axis; ONNX.

    `inverse` has the other sign and divides by N. Forwards, `onesided` gives k up to N / 2 of real `x`; inversely it
    takes them and gives a real result. What is shorter than N = `dft_length` is filled up with zeros, what is longer
    cut off.
    """


@dft.refuses
def _(x, dft_length, axis, *, inverse, onesided):
    """An axis that is computed; a one-sided inverse of a length that may not fit."""
    position = _axis_of(x, axis)
    if position is None:
        return "its axis must be known when declaring; give it as a number"
    if inverse and onesided and dft_length is not None:
        # onnxruntime takes whatever comes last for the middle of the spectrum, ONNX fills up with zeros.
        length = _known_number(dft_length)
        if not isinstance(length, int) or x.type.shape[position] != length // 2 + 1:
            return (
                "a one-sided inverse must be known to get dft_length // 2 + 1 frequencies; declare the size of the "
                "axis as a number, and cut off or fill up in front of it"
            )
    return None


@dft.vjp
def _(g, y, x, dft_length, axis, *, inverse, onesided):
    position = _axis_of(x, axis)
    assert position is not None
    parts = x.type.shape[-1]
    size = x.type.shape[position]
    length = _length_of(x, dft_length, position, inverse and onesided)
    if isinstance(size, int) and isinstance(length, int) and isinstance(parts, int):
        matrix = _matrix(size, length, parts, inverse, onesided)
        if max(matrix.shape) <= _LONGEST_MATRIX:
            return _multiplied(g, matrix, position, x), None, None
    turns = constant(np.array([1, -1], x.type.dtype.numpy))
    counted = _counted(x, dft_length, position, inverse and onesided)
    where = constant(np.array(position))
    count = OPERATORS["Cast"](counted, to=x.type.dtype)
    if inverse and onesided:
        # All but the first and, of an even number, the middle frequency stand for two.
        spectrum = dft(g, None, where, onesided=True)
        numbers = OPERATORS["Range"](0, div(counted, 2) + 1, 1)
        alone = OPERATORS["Or"](OPERATORS["Equal"](numbers, 0), OPERATORS["Equal"](numbers * 2, counted))
        times = OPERATORS["Where"](alone, constant(np.array(1, x.type.dtype.numpy)), 2) / count
        behind = len(x.type.shape) - position - 1
        return reshape_like(spectrum * reshape(times, [-1, *[1] * behind]), x), None, None
    if inverse:
        back = dft(g, None, where) / count
    else:
        if onesided:
            g = _lengthened(g, position, counted)
        # The adjoint is the inverse times N, which is the transform itself between two conjugations.
        back = dft(g * turns, None, where) * turns
    if parts != 2:
        back = slice_(back, constant(np.zeros(1, np.int64)), shape(x, start=-1), [-1])
    return _fitted(back, x, position), None, None


def _counted(x: Value, dft_length: Value | None, axis: int, onesided_inverse: bool) -> Value:
    """The length of the transform as an int64 of rank 0."""
    if dft_length is not None:
        wide = dft_length if dft_length.type.dtype is DType.int64 else OPERATORS["Cast"](dft_length, to=DType.int64)
        return reshape(wide, [])
    size = reshape(shape(x, start=axis, end=axis + 1), [])
    return (size - 1) * 2 if onesided_inverse else size


def _lengthened(x: Value, axis: int, count: Value, type: TensorType | None = None) -> Value:
    """`x` with zeros behind, so that there are `count` elements along `axis`."""
    rank = len(x.type.shape)
    missing = reshape(count, [1]) - shape(x, start=axis, end=axis + 1)
    nothing = constant(np.zeros(rank + axis, np.int64))
    parts = [nothing, missing, constant(np.zeros(rank - axis - 1, np.int64))]
    types = None if type is None else (type,)
    return pad.apply((x, concat(*parts, axis=0), None, None), types=types).outputs[0]


def _fitted(back: Value, x: Value, axis: int) -> Value:
    """`back` cut off or filled up along `axis` to the size of `x`."""
    size = shape(x, start=axis, end=axis + 1)
    if back.type.shape == x.type.shape:
        return back
    cut = slice_(back, constant(np.zeros(1, np.int64)), size, [axis])
    return _lengthened(cut, axis, size, x.type)


def _matrix(size: int, length: int, parts: int, inverse: bool, onesided: bool) -> Array:
    """The transform of `size` numbers of 1 or 2 parts as a matrix, whose rows are the results of unit vectors."""
    require_table(parts, size, max(size, length))
    unit = np.eye(size, dtype=np.complex128)
    rows = unit if parts == 1 else np.stack([unit, 1j * unit], axis=1).reshape(2 * size, size)
    if inverse and onesided:
        return np.fft.irfft(rows, length, axis=1)
    result = (np.fft.ifft if inverse else np.fft.fft)(rows, length, axis=1)
    if onesided:
        result = result[:, : length // 2 + 1]
    return np.stack([result.real, result.imag], axis=-1).reshape(len(rows), -1)


def _multiplied(g: Value, matrix: Array, axis: int, x: Value) -> Value:
    """The matrix applied to the numbers along `axis` with their parts, in the shape of `x`."""
    rank = len(x.type.shape)
    order = (*(i for i in range(rank - 1) if i != axis), axis, rank - 1)
    back = tuple(int(i) for i in np.argsort(order))
    leading = [0] * (rank - 2)
    rows = reshape(transpose(g, perm=order), [*leading, matrix.shape[1]])
    product = matmul(rows, constant(matrix.T.astype(x.type.dtype.numpy)))
    return transpose(reshape(product, [*leading, x.type.shape[axis], x.type.shape[-1]]), perm=back)


def _frame_length(signal: Value, window: Value | None, frame_length: Value | None) -> Dim:
    if frame_length is not None:
        known = _known_number(frame_length)
        if known is not None:
            return known
        return unknown() if window is None else window.type.shape[0]
    return signal.type.shape[1] if window is None else window.type.shape[0]


def _framed(signal, frame_step, window=None, frame_length=None, *, onesided):
    floating(signal)
    common_dtype(signal, window)
    dims = signal.type.shape
    require(len(dims) in (2, 3), f"signals [batch, length, parts] are expected, {signal.type} came")
    parts = dims[2] if len(dims) == 3 else 1
    require(not isinstance(parts, int) or parts in (1, 2), f"the last axis holds 1 or 2 parts, not {parts}")
    require(window is None or len(window.type.shape) == 1, "the window has one axis")
    _is_one_integer(frame_step, "frame_step")
    _is_one_integer(frame_length, "frame_length")
    length = _frame_length(signal, window, frame_length)
    fits = window is None or dims_agree(window.type.shape[0], length)
    require(fits, f"a window of the length of a frame, {length}, is expected")
    step = _known_number(frame_step)
    if isinstance(dims[1], int) and isinstance(length, int) and isinstance(step, int):
        require(step > 0 and 0 < length <= dims[1], f"frames of {length} each {step} of {dims[1]} are none")
        count: Dim = (dims[1] - length) // step + 1
    else:
        count = unknown()
    return TensorType(signal.type.dtype, (dims[0], count, _half(length) if onesided else length, 2))


@onnx_op("STFT", type=_framed)
def stft(
    signal: Input,
    frame_step: Input,
    window: Input | None = None,
    frame_length: Input | None = None,
    *,
    onesided: bool = True,
) -> Value:
    """Fourier transforms of frames of a signal, `y_tk = sum_n window_n signal_(step t + n) exp(-2 pi i k n / N)`; ONNX.

    Signals `[batch, length, 1 or 2]` give `[batch, frames, N, 2]`, or N // 2 + 1 frequencies with `onesided`.
    """


@stft.as_body
def _(signal, frame_step, window, frame_length, *, onesided):
    if len(signal.type.shape) == 2:
        signal = unsqueeze(signal, [2])
    count = _framed(signal, frame_step, window, frame_length, onesided=onesided).shape[1]
    length = _frame_length(signal, window, frame_length)
    step = _known_number(frame_step)
    if isinstance(count, int) and isinstance(length, int) and isinstance(step, int):
        places = constant(np.arange(count)[:, None] * step + np.arange(length))
    else:
        places = _places(signal, frame_step, window, frame_length)
    frames = gather(signal, places, axis=1)
    if window is not None:
        frames = frames * unsqueeze(window, [1])
    axis = constant(np.array(2))
    if not onesided or signal.type.shape[2] == 1:
        return dft(frames, None, axis, onesided=bool(onesided))
    whole = dft(frames, None, axis)
    return slice_(whole, [0], div(shape(whole, start=2, end=3), 2) + 1, [2])


def _places(signal: Value, frame_step: Value, window: Value | None, frame_length: Value | None) -> Value:
    """Where the elements of each frame stand, computed at the run."""
    cast = OPERATORS["Cast"]
    size = reshape(shape(signal, start=1, end=2), [])
    if frame_length is not None:
        length = reshape(cast(frame_length, to=DType.int64), [])
    else:
        length = size if window is None else reshape(shape(window), [])
    step = reshape(cast(frame_step, to=DType.int64), [])
    starts = OPERATORS["Range"](0, div(size - length, step) + 1, 1) * step
    result: Value = unsqueeze(starts, [1]) + OPERATORS["Range"](0, length, 1)
    return result


def _made_type(output_datatype: int | DType) -> DType:
    return dtype_from_onnx(output_datatype) if type(output_datatype) is int else as_dtype(output_datatype)


def _window(size, *, output_datatype, periodic):
    _is_one_integer(size, "size")
    length = _known_number(size)
    return TensorType(_made_type(output_datatype), (unknown() if length is None else length,))


@onnx_op("HannWindow", type=_window, differentiable=False)
def hann_window(size: Input, *, output_datatype: int | DType = 1, periodic: bool = True) -> Value:
    """`0.5 - 0.5 cos(2 pi n / N)` with N = `size`, or size - 1 where it is not `periodic`; ONNX."""


@onnx_op("HammingWindow", type=_window, differentiable=False)
def hamming_window(size: Input, *, output_datatype: int | DType = 1, periodic: bool = True) -> Value:
    """`25/46 - 21/46 cos(2 pi n / N)` with N = `size`, or size - 1 where it is not `periodic`; ONNX."""


@onnx_op("BlackmanWindow", type=_window, differentiable=False)
def blackman_window(size: Input, *, output_datatype: int | DType = 1, periodic: bool = True) -> Value:
    """`0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)` with N = `size`, or size - 1 if not `periodic`; ONNX."""


def _mel_weights(num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz, *, output_datatype):
    for value in (num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz):
        require(value.type.shape in ((), (1,)), f"one number is expected, {value.type} came")
    if not lower_edge_hertz.type.dtype.is_float or not upper_edge_hertz.type.dtype.is_float:
        raise DTypeError("the edges are floating numbers; cast them with x.float()")
    bins, length = _known_number(num_mel_bins), _known_number(dft_length)
    frequencies = unknown() if length is None else _half(length)
    return TensorType(_made_type(output_datatype), (frequencies, unknown() if bins is None else bins))


@onnx_op("MelWeightMatrix", type=_mel_weights, differentiable=False)
def mel_weight_matrix(
    num_mel_bins: Input,
    dft_length: Input,
    sample_rate: Input,
    lower_edge_hertz: Input,
    upper_edge_hertz: Input,
    *,
    output_datatype: int | DType = 1,
) -> Value:
    """The matrix [dft_length // 2 + 1, num_mel_bins] from frequencies to bins that are even on the mel scale; ONNX.

    No derivative by the edges, between which the matrix has steps.
    """
