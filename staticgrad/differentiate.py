"""Derivatives by source-to-source transformation: standard operators in, standard operators out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from staticgrad import ops
from staticgrad.errors import DeclarationError, DTypeError, GradientError, ShapeError, shown
from staticgrad.graph import Leaf, Value, collection_paused, topological
from staticgrad.ops.kinds import shape_of, with_derivative, without_derivative
from staticgrad.ops.registry import constant, literal, plain
from staticgrad.ops.sequence import added, zeros_of
from staticgrad.origin import source_line
from staticgrad.reverse import Cotangents, backward, differentiable_inputs
from staticgrad.types import OpaqueType, TensorType, dims_agree


def _aligned(values: Value | Iterable[Value], what: str) -> tuple[list[Value], bool]:
    """A list of Values and whether a single one came."""
    if isinstance(values, Value):
        return [values], True
    listed = list(values)
    for value in listed:
        if not isinstance(value, Value):
            raise DeclarationError(f"{what} must be Values, {shown(value)} came ({source_line()})")
    return listed, False


def _float_only(values: Iterable[Value], what: str) -> None:
    for value in values:
        if not value.type.dtype.is_float:
            name = f" {value.name!r}" if value.name else ""
            raise DTypeError(
                f"{what}{name} is {value.type}, declared at {value.source}; only floating values have derivatives; "
                f"cast it before use ({source_line()})"
            )


def _seeds(values: Sequence[Value], given: Any, single: bool, what: str) -> list[Value]:
    """Cotangents or tangents as Values, checked against the types of their primals."""
    listed = [given] if single else list(given) if isinstance(given, Iterable) else []
    if len(listed) != len(values):
        raise DeclarationError(f"{len(values)} {what}s are expected, {len(listed)} came ({source_line()})")
    seeds = []
    for value, seed in zip(values, listed, strict=True):
        seed = seed if isinstance(seed, Value) else literal(seed, value.type.dtype)
        if seed.type.dtype is not value.type.dtype:
            raise DTypeError(f"{what} is {seed.type}, its value {value.type}; cast the {what} ({source_line()})")
        opaque = isinstance(seed.type, OpaqueType) or isinstance(value.type, OpaqueType)
        if opaque and seed.type != value.type:
            raise DTypeError(f"{what} is {seed.type}, its value {value.type}; the types must agree ({source_line()})")
        if len(seed.type.shape) != len(value.type.shape) or any(
            not dims_agree(a, b) for a, b in zip(seed.type.shape, value.type.shape, strict=True)
        ):
            raise ShapeError(f"{what} is {seed.type}, its value {value.type}; the shapes must agree ({source_line()})")
        seeds.append(seed)
    return seeds


def _pulled_back(outputs: Sequence[Value], inputs: Sequence[Value], seeds: Sequence[Value]) -> list[Value | None]:
    with collection_paused():
        cotangents: Cotangents = {}
        for output, seed in zip(outputs, seeds, strict=True):
            cotangents[output] = added(cotangents[output], seed) if output in cotangents else seed
        backward(cotangents, inputs)
        return [cotangents.get(x) for x in inputs]


def vjp(outputs: Any, inputs: Any, cotangents: Any) -> Any:
    """The product of `cotangents` with the Jacobian of `outputs` by `inputs`: `sum_i cotangent_i d output_i / d input`.

    Cotangents are Values or arrays of the types of the outputs. Gives a tuple aligned with `inputs`, or one Value for
    one Value; zeros for an input that no output depends on.
    """
    values, single = _aligned(outputs, "outputs")
    wrt, alone = _aligned(inputs, "inputs")
    _float_only(values, "output")
    _float_only(wrt, "input")
    found = _pulled_back(values, wrt, _seeds(values, cotangents, single, "cotangent"))
    results = tuple(zeros_of(x) if g is None else g for x, g in zip(wrt, found, strict=True))
    return results[0] if alone else results


def check_scalar(loss: object, remedy: str = "") -> None:
    """Refuse what is no Value of rank 0 as a loss; `remedy` says what else there is to do."""
    if not isinstance(loss, Value):
        raise DeclarationError(f"the loss must be a Value, {shown(loss)} came ({source_line()})")
    if loss.type.shape != () or isinstance(loss.type, OpaqueType):
        came = f"it is {loss.type}" if isinstance(loss.type, OpaqueType) else f"its shape is {list(loss.shape)}"
        raise GradientError(
            f"the loss must be one number, {came}; reduce it with .sum() or .mean(){remedy}; "
            f"loss declared at {loss.source} ({source_line()})"
        )


def grad(loss: Value, wrt: Any, unused: str = "error") -> Any:
    """The gradients of a scalar `loss` by `wrt`, as Values of the types of `wrt`.

    A value that the loss reaches only through operators of zero derivative gets zeros. For one that it does not reach
    at all, `unused` decides: "error" (GradientError naming it), "zero" or "none".
    """
    if unused not in ("error", "zero", "none"):
        raise DeclarationError(f"unused={shown(unused)} is not one of 'error', 'zero', 'none' ({source_line()})")
    check_scalar(loss, ", or use sg.vjp")
    values, alone = _aligned(wrt, "wrt")
    _float_only([loss], "loss")
    _float_only(values, "wrt")
    one = constant(np.ones((), loss.type.dtype.numpy))
    found = _pulled_back([loss], values, [one])
    reached: set[Value] = set()
    if any(g is None for g in found):
        reached = {
            v for node in topological([loss], derivative=True) for v in (*node.outputs, *node.inputs) if v is not None
        }
    lost = [x for x, g in zip(values, found, strict=True) if g is None and x not in reached]
    if lost and unused == "error":
        names = ", ".join(f"{x.name or x.type} (declared at {x.source})" for x in lost)
        raise GradientError(
            f"the loss does not depend on {names}; leave it out, or pass unused='zero' or 'none' ({source_line()})"
        )
    gradients = tuple(
        g if g is not None else None if unused == "none" and x not in reached else zeros_of(x)
        for x, g in zip(values, found, strict=True)
    )
    return gradients[0] if alone else gradients


def jvp(outputs: Any, inputs: Any, tangents: Any) -> Any:
    """The product of the Jacobian of `outputs` by `inputs` with `tangents`: `sum_j d output / d input_j tangent_j`.

    A vjp is linear in its cotangent, and its transpose by that cotangent is the jvp: no rules of its own. Gives a
    tuple aligned with `outputs`, or one Value for one Value.
    """
    values, alone = _aligned(outputs, "outputs")
    wrt, single = _aligned(inputs, "inputs")
    _float_only(values, "output")
    _float_only(wrt, "input")
    seeds = _seeds(wrt, tangents, single, "tangent")
    # Any value of the right type serves as the cotangent: the result does not depend on it.
    dummies = [ops.identity(y) for y in values]
    pulled = _pulled_back(values, wrt, dummies)
    reached = [(g, t) for g, t in zip(pulled, seeds, strict=True) if g is not None]
    transposed = _pulled_back([g for g, _ in reached], dummies, [t for _, t in reached])
    results = tuple(zeros_of(y) if t is None else t for y, t in zip(values, transposed, strict=True))
    return results[0] if alone else results


def hvp(loss: Value, wrt: Any, vectors: Any) -> Any:
    """The Hessian of a scalar `loss` by `wrt`, times `vectors`: the vjp of the gradient, for it is symmetric."""
    values, alone = _aligned(wrt, "wrt")
    first = grad(loss, values, unused="zero")
    found = _pulled_back(first, values, _seeds(first, [vectors] if alone else vectors, False, "vector"))
    results = tuple(zeros_of(x) if g is None else g for x, g in zip(values, found, strict=True))
    return results[0] if alone else results


def jacobian(y: Value, x: Any) -> Any:
    """All derivatives of the elements of `y` by those of `x`, of shape `y.shape + x.shape`.

    One reverse sweep for each element of `y`, so its size must be known when declaring. `x` is one Value or several.
    """
    values, alone = _aligned(x, "x")
    _float_only([y], "y")
    _float_only(values, "x")
    for value in (y, *values):
        if isinstance(value.type, OpaqueType):
            raise DTypeError(f"a Jacobian is of tensors of known rank, {value.type} came ({source_line()})")
    shape = y.type.shape
    if not all(isinstance(d, int) for d in shape):
        raise ShapeError(
            f"the Jacobian needs sizes of y that are known, they are {list(y.shape)}; use sg.vjp or sg.jvp, or declare "
            f"the sizes as numbers ({source_line()})"
        )
    count = int(np.prod([int(d) for d in shape]))
    units = np.eye(count, dtype=y.type.dtype.numpy).reshape(count, *[int(d) for d in shape])
    rows = [vjp(y, values, unit) for unit in units]
    results = []
    for position, value in enumerate(values):
        if not rows:
            results.append(ops.constant(np.zeros((*shape, *value.type.shape), y.type.dtype.numpy)))  # type: ignore[arg-type]
            continue
        stacked = ops.concat(*[ops.unsqueeze(row[position], [0]) for row in rows], axis=0)
        full = TensorType(value.type.dtype, (*shape, *value.type.shape))
        if len(shape) != 1:
            extent = ops.concat(constant(np.array(shape, np.int64)), shape_of(value), axis=0)
            stacked = ops.reshape.apply((stacked, extent), {"allowzero": 0 in full.shape}, (full,)).outputs[0]
        results.append(stacked)
    return results[0] if alone else tuple(results)


def hessian(loss: Value, x: Value) -> Value:
    """All second derivatives of a scalar `loss` by the elements of `x`, of shape `x.shape + x.shape`."""
    result: Value = jacobian(grad(loss, x, unused="zero"), x)
    return result


def stop_gradient(x: Value) -> Value:
    """`x`, through which no derivative flows."""
    return without_derivative(x if isinstance(x, Value) else literal(plain(x)))


def custom_vjp(function: Callable[..., Value], rule: Callable[..., Any]) -> Callable[..., Value]:
    """`function` with its derivative replaced: `rule(g, y, *inputs)` gives the cotangents of the inputs.

    `function` takes Values and gives one Value; `rule` gives a Value (or None) for each input, a tuple if there are
    several. A rule made of Values is differentiated in turn for higher derivatives. What `function` depends on must
    be among its arguments (GradientError otherwise).
    """

    def wrapped(*inputs: Value) -> Value:
        given = [x if isinstance(x, Value) else literal(plain(x)) for x in inputs]
        result = function(*given)
        if not isinstance(result, Value):
            raise DeclarationError(
                f"a function with custom_vjp gives one Value, {shown(result)} came ({source_line()})"
            )
        captured = _captured(result, given)
        if captured is not None:
            raise GradientError(
                f"a function with custom_vjp uses {captured.name} ({captured.source}), which is not an argument, "
                f"so its derivative would be lost; pass it, or sg.stop_gradient({captured.name}) ({source_line()})"
            )
        return with_derivative(result, given, rule)

    return wrapped


def _captured(result: Value, given: Iterable[Value]) -> Leaf | None:
    """An input, parameter or state that `result` depends on differentiably and not through `given`."""
    seen = set(given)
    stack = [result] if result not in seen else []
    while stack:
        value = stack.pop()
        if isinstance(value.node, Leaf) and value.type.dtype.is_float:
            return value.node
        for x in differentiable_inputs(value.node):
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return None
