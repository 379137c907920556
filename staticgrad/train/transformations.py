"""Transformations of gradients into updates: pairs of `init` and `update`, joined by `chain`.

Everything here computes in the element type of the updates it gets; the training step gives it no halves (see there).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import inf, log
from typing import Any, NamedTuple

from staticgrad import ops
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Value
from staticgrad.origin import source_line
from staticgrad.train.schedules import in_graph, number, rate_value
from staticgrad.train.states import after, counter, moments, naming
from staticgrad.types import DType

Params = Mapping[str, Value]
Updates = Mapping[str, Value]
State = Any
"""None, a Value made by `sg.state`, or a dict or tuple of states."""

Rate = float | Value | Callable[[Any], Any]
"""A number, a Value of rank 0 (an input, a state), or a schedule: a function of the step counter."""


class GradientTransformation(NamedTuple):
    """One stage between a gradient and the change of a parameter; `params` and `updates` are dicts by name.

    `init(params)` gives the state before the first step, `update(updates, state, params)` the updates that go on and
    the next state, in the structure of the state. What comes out at the end is added to the parameters.
    """

    init: Callable[[Params], State]
    update: Callable[[Updates, State, Params], tuple[Updates, State]]


def scaled(x: Value, factor: float | Value) -> Value:
    """`x` times a number; (y s) t is y (s t) where s is a number too, which saves a pass over a tensor."""
    if x.node.op.name == "Mul":
        a, b = x.node.inputs
        assert a is not None and b is not None
        if a.type.shape == ():
            a, b = b, a
        if b.type.shape == ():
            return a * (b * factor)
    return x * factor


class Rates:
    """The product of rates, one number a step; a fixed number where no schedule or Value is among them."""

    def __init__(self, *named: tuple[str, Rate], least: float = -inf, sign: float = 1.0) -> None:
        self.fixed = sign
        self.varying: list[tuple[str, Value | Callable[[Any], Any]]] = []
        self.source = source_line()
        for name, rate in named:
            if isinstance(rate, Value):
                rate_value(rate, name, rate.type.dtype)
                self.varying.append((name, rate))
            elif callable(rate):
                self.varying.append((name, rate))
            else:
                self.fixed *= number(rate, name, least)
        self.counts = any(not isinstance(rate, Value) for _, rate in self.varying)

    def init(self, params: Params) -> State:
        """The step counter, if a schedule needs it."""
        return counter() if self.counts else None

    def next(self, state: State) -> State:
        """The state after this step."""
        return None if state is None else after(state)

    def at(self, state: State, values: Mapping[str, Value]) -> dict[DType, float | Value]:
        """The product of this step, computed once for every element type among `values`."""
        return {dtype: self._product(state, dtype) for dtype in dict.fromkeys(v.type.dtype for v in values.values())}

    def _product(self, state: State, dtype: DType) -> float | Value:
        product: float | Value = self.fixed
        for name, rate in self.varying:
            if isinstance(rate, Value):
                factor = rate_value(rate, name, dtype)
            else:
                factor = in_graph(rate, state, dtype, self.source)
            product = factor * product
        return product


def identity() -> GradientTransformation:
    """Updates as they come."""
    return GradientTransformation(lambda params: None, lambda updates, state, params: (updates, state))


def chain(*transformations: GradientTransformation) -> GradientTransformation:
    """Transformations one after another; the state is the tuple of their states."""
    for stage in transformations:
        if not isinstance(stage, GradientTransformation):
            raise DeclarationError(f"chain takes GradientTransformations, {shown(stage)} came ({source_line()})")

    def init(params: Params) -> State:
        with naming():
            return tuple(stage.init(params) for stage in transformations)

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        following = []
        for stage, own in zip(transformations, state, strict=True):
            updates, next_state = stage.update(updates, own, params)
            following.append(next_state)
        return updates, tuple(following)

    return GradientTransformation(init, update)


def _scaling(rates: Rates) -> GradientTransformation:
    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        factors = rates.at(state, updates)
        return {name: scaled(u, factors[u.type.dtype]) for name, u in updates.items()}, rates.next(state)

    return GradientTransformation(rates.init, update)


def scale(step_size: float | Value) -> GradientTransformation:
    """s u, with a number or a Value of rank 0."""
    if not isinstance(step_size, Value):
        number(step_size, "step_size")
    return _scaling(Rates(("step_size", step_size)))


def scale_by_schedule(step_size_fn: Callable[[Any], Any]) -> GradientTransformation:
    """s(t) u, with a function of the step counter."""
    if not callable(step_size_fn):
        raise DeclarationError(f"a schedule is a function of the step, {shown(step_size_fn)} came ({source_line()})")
    return _scaling(Rates(("step_size_fn", step_size_fn)))


def scale_by_learning_rate(learning_rate: Rate, *, flip_sign: bool = True) -> GradientTransformation:
    """-lr u, or lr u without `flip_sign`."""
    return _scaling(Rates(("learning_rate", learning_rate), least=0, sign=-1.0 if flip_sign else 1.0))


def trace(decay: float, nesterov: bool = False) -> GradientTransformation:
    """Momentum: tr <- decay tr + u, which goes on; u + decay tr does with `nesterov` (Sutskever et al. 2013)."""
    decay = number(decay, "decay", 0)

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        traces = {name: state[name] * decay + u for name, u in updates.items()}
        return ({name: u + traces[name] * decay for name, u in updates.items()} if nesterov else traces), traces

    return GradientTransformation(lambda params: moments(params, "trace"), update)


class MomentsState(NamedTuple):
    """Running means of the updates (`mu`) and of their squares (`nu`), by parameter, with what goes with them."""

    steps: Value | None
    mu: dict[str, Value] | None
    nu: dict[str, Value]


def _averaged(decay: float, old: Mapping[str, Value], new: Updates) -> dict[str, Value]:
    """decay old + (1 - decay) new, for every parameter."""
    return {name: old[name] * decay + x * (1 - decay) for name, x in new.items()}


def _squares(updates: Updates) -> dict[str, Value]:
    return {name: u * u for name, u in updates.items()}


def _corrections(decay: float, count: Value, values: Mapping[str, Value]) -> dict[DType, Value]:
    """1 - decay^t, the weight that a running mean of t steps has, for every element type among `values`.

    As -(e^x - 1) = -tanh(x / 2) (e^x + 1) with x = t log(decay): the plain difference would leave three digits of
    float32 where decay is 0.999 and t is small.
    """
    result = {}
    for dtype in dict.fromkeys(v.type.dtype for v in values.values()):
        t = ops.cast(count, to=dtype)
        result[dtype] = (
            ops.tanh(t * (-log(decay) / 2)) * (ops.exp(t * log(decay)) + 1) if decay else ops.literal(1.0, dtype)
        )
    return result


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """m / (sqrt(v + eps_root) + eps), where m and v are running means of u and u^2 (Kingma and Ba 2015, Adam).

    mu <- b1 mu + (1 - b1) u, nu <- b2 nu + (1 - b2) u^2; m = mu / (1 - b1^t), v = nu / (1 - b2^t)
    """
    b1, b2 = number(b1, "b1", 0, 1), number(b2, "b2", 0, 1)
    eps, eps_root = number(eps, "eps", 0), number(eps_root, "eps_root", 0)

    def init(params: Params) -> MomentsState:
        return MomentsState(counter(), moments(params, "mu"), moments(params, "nu"))

    def update(updates: Updates, state: MomentsState, params: Params) -> tuple[Updates, MomentsState]:
        assert state.steps is not None and state.mu is not None
        count = after(state.steps)
        # Both means take (1 - b1) u, which a matrix product gives as it stands: nobody needs u itself. Its square must
        # not come near the smallest number.
        share = 1 - b1 if b1 <= 0.9999 else 1.0
        shares = {name: scaled(u, share) for name, u in updates.items()}
        mu = {name: state.mu[name] * b1 + u * ((1 - b1) / share) for name, u in shares.items()}
        weight = (1 - b2) / share**2
        nu = {name: state.nu[name] * b2 + square * weight for name, square in _squares(shares).items()}
        first, second = _corrections(b1, count, updates), _corrections(b2, count, updates)
        # With r^2 = 1 - b2^t the direction is mu / (sqrt(nu + eps_root r^2) + eps r) times r / (1 - b1^t): the
        # corrections meet numbers only, and what scales the update later joins the last of them.
        roots = {dtype: ops.sqrt(correction) for dtype, correction in second.items()}
        directions = {}
        for name, m in mu.items():
            dtype = m.type.dtype
            v = nu[name] + second[dtype] * eps_root if eps_root else nu[name]
            size = ops.sqrt(v) + roots[dtype] * eps if eps else ops.sqrt(v)
            directions[name] = ops.div(m, size) * ops.div(roots[dtype], first[dtype])
        return directions, MomentsState(count, mu, nu)

    return GradientTransformation(init, update)


def _scale_by_root(
    decay: float, eps: float, initial_scale: float, eps_in_sqrt: bool, bias_correction: bool, centered: bool
) -> GradientTransformation:
    decay = number(decay, "decay", 0, 1) if bias_correction else number(decay, "decay", 0)
    eps, initial_scale = number(eps, "eps", 0), number(initial_scale, "initial_scale", 0)

    def init(params: Params) -> MomentsState:
        count = counter() if bias_correction else None
        mu = moments(params, "mu") if centered else None
        return MomentsState(count, mu, moments(params, "nu", initial_scale))

    def update(updates: Updates, state: MomentsState, params: Params) -> tuple[Updates, MomentsState]:
        count = None if state.steps is None else after(state.steps)
        mu = None if state.mu is None else _averaged(decay, state.mu, updates)
        nu = _averaged(decay, state.nu, _squares(updates))
        weights = None if count is None else _corrections(decay, count, updates)
        result = {}
        for name, u in updates.items():
            m, v = None if mu is None else mu[name], nu[name]
            if weights is not None:
                weight = weights[u.type.dtype]
                m, v = None if m is None else ops.div(m, weight), ops.div(v, weight)
            if m is not None:
                # The difference of two equal means may round below 0.
                v = ops.max(v - m * m, 0)
            result[name] = ops.div(u, ops.sqrt(v + eps) if eps_in_sqrt else ops.sqrt(v) + eps)
        return result, MomentsState(count, mu, nu)

    return GradientTransformation(init, update)


def scale_by_rms(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """u / sqrt(nu + eps), or u / (sqrt(nu) + eps) without `eps_in_sqrt` (Tieleman and Hinton 2012, lecture 6.5).

    nu <- decay nu + (1 - decay) u^2, from `initial_scale` on; with `bias_correction` divided by 1 - decay^t
    """
    return _scale_by_root(decay, eps, initial_scale, eps_in_sqrt, bias_correction, False)


def scale_by_stddev(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """`scale_by_rms` with the variance nu - mu^2 in place of nu, where mu <- decay mu + (1 - decay) u."""
    return _scale_by_root(decay, eps, initial_scale, eps_in_sqrt, bias_correction, True)


def scale_by_rss(initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> GradientTransformation:
    """u / sqrt(sum + eps), where the sum of all u^2 so far is not 0 (Duchi, Hazan and Singer 2011, Adagrad)."""
    initial, eps = number(initial_accumulator_value, "initial_accumulator_value", 0), number(eps, "eps", 0)

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        sums = {name: state[name] + square for name, square in _squares(updates).items()}
        result = {}
        for name, u in updates.items():
            total = sums[name] + eps
            if initial == eps == 0:
                total = ops.where(ops.greater(total, 0), total, 1)
            result[name] = ops.div(u, ops.sqrt(total))
        return result, sums

    return GradientTransformation(lambda params: moments(params, "sum", initial), update)


Mask = Callable[[str], bool] | Mapping[str, bool] | Collection[str]


def _chosen(mask: Mask | None, params: Params) -> set[str]:
    """The names that a mask lets through."""
    if mask is None:
        return set(params)
    if callable(mask):
        return {name for name in params if mask(name)}
    if isinstance(mask, str) or not isinstance(mask, Collection):
        raise DeclarationError(
            f"mask must be a function of a parameter's name or a list of names, {shown(mask)} came ({source_line()})"
        )
    strangers = [name for name in mask if name not in params]
    if strangers:
        raise DeclarationError(
            f"mask names {', '.join(map(repr, strangers))}, which is not trained; there are {', '.join(params)} "
            f"({source_line()})"
        )
    return {name for name in mask if mask[name]} if isinstance(mask, Mapping) else set(mask)


def decaying(rates: Rates, mask: Mask | None) -> GradientTransformation:
    """u + r p with the product r of the rates, for the parameters that `mask` chooses."""

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        factors = rates.at(state, updates)
        decayed = _chosen(mask, params)
        return {
            name: u + params[name] * factors[u.type.dtype] if name in decayed else u for name, u in updates.items()
        }, rates.next(state)

    return GradientTransformation(rates.init, update)


def add_decayed_weights(weight_decay: Rate = 0.0, mask: Mask | None = None) -> GradientTransformation:
    """u + weight_decay p, for the parameters that `mask` chooses.

    `mask` is a function of a parameter's name, a collection of names, or a dict of names and bools; default: all.
    """
    return decaying(Rates(("weight_decay", weight_decay), least=0), mask)


def clip(max_delta: float) -> GradientTransformation:
    """Every element of u limited to [-max_delta, max_delta]."""
    bound = number(max_delta, "max_delta", 0)

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        return {name: ops.clip(u, -bound, bound) for name, u in updates.items()}, state

    return GradientTransformation(lambda params: None, update)


def clip_by_global_norm(max_norm: float) -> GradientTransformation:
    """u max_norm / max(n, max_norm), with the norm n of all updates together (Pascanu, Mikolov and Bengio 2013)."""
    limit = number(max_norm, "max_norm", 0)
    if limit == 0:
        raise DeclarationError(f"max_norm must be positive, {max_norm} came ({source_line()})")

    def update(updates: Updates, state: State, params: Params) -> tuple[Updates, State]:
        dtypes = dict.fromkeys(u.type.dtype for u in updates.values())
        widest = max(dtypes, key=lambda dtype: dtype.rank)
        norms = [ops.cast(ops.reduce_l2(u, keepdims=False), to=widest) for u in updates.values()]
        total = norms[0] * norms[0]
        for norm in norms[1:]:
            total = total + norm * norm
        # The larger of the two is never 0, so zero gradients stay zero.
        factor = ops.div(limit, ops.max(ops.sqrt(total), limit))
        factors = {dtype: ops.cast(factor, to=dtype) for dtype in dtypes}
        return {name: scaled(u, factors[u.type.dtype]) for name, u in updates.items()}, state

    return GradientTransformation(lambda params: None, update)
