"""Join loss, gradient and update into one graph: the training step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from staticgrad import ops
from staticgrad.declare import check_update, leaves, leaves_behind
from staticgrad.differentiate import check_scalar, grad
from staticgrad.errors import DeclarationError, DTypeError, GradientError, shown
from staticgrad.graph import Array, Graph, Leaf, Node, Value, print_graph, topological
from staticgrad.ops.kinds import is_half
from staticgrad.optimise import optimise
from staticgrad.origin import source_line
from staticgrad.substitute import in_inference, substituted
from staticgrad.train.sections import sections
from staticgrad.train.states import naming
from staticgrad.train.transformations import GradientTransformation, State, Updates
from staticgrad.types import DType

if TYPE_CHECKING:
    import onnx

    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters


@dataclass(frozen=True, eq=False)
class TrainStep:
    """A training step and the graphs that go with it; made by `train_step`.

    `graph` maps the user's inputs and every state tensor `S` to the loss, the metrics and every `S.next`. `declared` is
    the same before optimisation, `eval_graph` has loss and metrics only, `predict_graph` the predictions.
    """

    graph: Graph
    declared: Graph
    eval_graph: Graph
    predict_graph: Graph | None
    feeds: tuple[str, ...]
    metrics: tuple[str, ...]
    parameters: tuple[str, ...]
    state: Mapping[str, Array]

    def __str__(self) -> str:
        return print_graph(self.graph, self.sections)

    @property
    def sections(self) -> dict[str, tuple[Node, ...]]:
        """The operators of `graph` as forward, backward and update."""
        return sections(self.graph, ["loss", *self.metrics])

    def model(self) -> onnx.ModelProto:
        """The step as an ONNX model."""
        return exporters.step_model(self.graph, self.state)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the step as one .onnx file."""
        exporters.write_model(self.model(), path)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write a page that draws the step: forward left, backward right, in groups by the names of parameters."""
        exporters.write_page(path, self.graph, self.sections)

    def export_bundle(self, folder: str | os.PathLike[str]) -> None:
        """Write init, train_step, eval and predict models, a manifest and the initial state into a folder."""
        exporters.write_bundle(
            folder, self.graph, self.eval_graph, self.predict_graph, self.state, self.metrics, self.parameters
        )

    @property
    def predictions(self) -> Graph:
        """The graph of the predictions; DeclarationError where there are none."""
        if self.predict_graph is None:
            raise DeclarationError(f"the step has no predictions; pass predictions= to sg.train_step ({source_line()})")
        return self.predict_graph

    def inference_model(self, state: Mapping[str, Array]) -> onnx.ModelProto:
        """The predictions as an ordinary model with this state as initializers."""
        graph = self.predictions
        baked = {name: array for name, array in state.items() if name in graph.inputs}
        model: onnx.ModelProto = exporters.to_model(graph, exporters.metadata_of("inference"), baked)
        return model

    def export_training_info(self, path: str | os.PathLike[str]) -> None:
        """Write the step in ONNX's own form: a model of the predictions, or of the loss, with a TrainingInfoProto."""
        inference = self.eval_graph if self.predict_graph is None else self.predict_graph
        exporters.write_model(exporters.to_training_info(self.graph, inference, self.state), path)


class InitialState(Mapping[str, Array]):
    """Arrays by the names of states, each made when it is asked for."""

    def __init__(self, leaves: Mapping[str, Leaf]) -> None:
        self._leaves = leaves

    def __getitem__(self, name: str) -> Array:
        array = self._leaves[name].initial
        assert array is not None
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)


def train_step(
    loss: Value,
    optimizer: GradientTransformation,
    params: Iterable[Value] | None = None,
    metrics: Mapping[str, Value] | None = None,
    predictions: Mapping[str, Value] | None = None,
    updates: Mapping[Value, Value] | None = None,
) -> TrainStep:
    """The training step of a scalar `loss`: gradients of `params`, the optimizer's update, all in one graph.

    `params` defaults to every parameter with `requires_grad` that the loss depends on. `metrics` are further outputs,
    `predictions` the outputs of the inference model, `updates` next values of states that no optimizer handles. Where
    layers behave differently in training, as batch normalization does, the step trains them and moves their statistics
    on; evaluation and predictions see them in inference.
    """
    check_scalar(loss)
    if not isinstance(optimizer, GradientTransformation):
        raise DeclarationError(f"the optimizer must come from sg.optim, {shown(optimizer)} came ({source_line()})")
    reported = _named(metrics, "metric")
    predicted = _named(predictions, "prediction")
    chosen = _parameters(loss, params)
    gradients = dict(zip(chosen, grad(loss, list(chosen.values()), unused="none"), strict=True))
    lost = [p for name, p in chosen.items() if gradients[name] is None]
    if lost:
        names = ", ".join(f"{p.name!r} (declared at {p.source})" for p in lost)
        raise GradientError(f"the loss does not depend on {names}; leave it out of params ({source_line()})")
    declared_values = [loss, *reported.values(), *predicted.values(), *chosen.values(), *_both(updates)]
    taken = {leaf.name for leaf in _leaves(declared_values)} | {*reported, *predicted}
    following = _update(optimizer, gradients, chosen, taken)
    for state, value in _moved([loss, *reported.values()], updates or {}).items():
        check_update(state, value)
        if state in following:
            raise DeclarationError(f"{state.name!r} is updated by the optimizer already ({source_line()})")
        following[state] = value

    results = [loss, *reported.values(), *following.values()]
    evaluated = {name: _evaluated(value) for name, value in {"loss": loss, **reported}.items()}
    predicted = {name: _predicted(name, value) for name, value in predicted.items()}
    reached = leaves_behind([*results, *evaluated.values(), *predicted.values(), *following])
    inputs = [leaf for leaf in reached if leaf.kind == "input"]
    kept = [leaf for leaf in reached if leaf.kind != "input"]
    needed = set(topological(results))
    feeds = {leaf.name: leaf.outputs[0] for leaf in inputs if leaf in needed}
    state_inputs = {leaf.name: leaf.outputs[0] for leaf in kept}
    _check_names(feeds, state_inputs, reported, predicted)
    outputs = {"loss": loss, **reported}
    outputs.update({f"{name}.next": following.get(value, value) for name, value in state_inputs.items()})
    _check_reserved(outputs, {**feeds, **state_inputs})
    declared = Graph("step", {**feeds, **state_inputs}, outputs)
    return TrainStep(
        graph=optimise(declared),
        declared=declared,
        eval_graph=_subgraph("eval", evaluated),
        predict_graph=_subgraph("predict", predicted) if predicted else None,
        feeds=tuple(feeds),
        metrics=tuple(reported),
        parameters=tuple(chosen),
        state=InitialState({leaf.name: leaf for leaf in kept if leaf.has_initial}),
    )


def _update(
    optimizer: GradientTransformation, gradients: Updates, params: Mapping[str, Value], taken: set[str]
) -> dict[Value, Value]:
    """The next value of every parameter and of every state of the optimizer.

    Parameters of 16 bits are seen by the optimizer in float32, as are their gradients, and so are its states: an eps
    of 1e-8 is 0 in float16. The sum of parameter and update is rounded to 16 bits once, at the end.
    """
    wide = {name: _widened(p) for name, p in params.items()}
    steps = {name: _widened(g) for name, g in gradients.items()}
    while True:
        with naming(taken) as names:
            states = optimizer.init(wide)
            changes, next_states = optimizer.update(steps, states, wide)
        _check_changes(changes, wide)
        following = {p: _cast(_moved_by(wide[name], changes[name]), p.type.dtype) for name, p in params.items()}
        for state, value in _pairs(states, next_states):
            check_update(state, value)
            if following.setdefault(state, value) is not value:
                raise DeclarationError(f"the optimizer gives {state.name!r} two next values ({source_line()})")
        # What else the optimizer brought, such as an input for the learning rate, keeps its name; ours give way.
        others = {leaf.name for leaf in _leaves(_both(following)) if leaf.outputs[0] not in names.made}
        if others.isdisjoint(state.name for state in names.made):
            return following
        taken = taken | others


def _moved_by(p: Value, change: Value) -> Value:
    """`p + change`; of a change `u + k p` it is `(1 + k) p + u`, one pass less."""
    if change.node.op.name == "Add":
        u, decay = change.node.inputs
        if u is not None and decay is not None and decay.node.op.name == "Mul" and decay.node.inputs[0] is p:
            k = decay.node.inputs[1]
            if k is not None and k.type.shape == ():
                return p * (k + 1) + u
    return p + change


def _widened(x: Value) -> Value:
    return _cast(x, DType.float32) if is_half(x.type.dtype) else x


def _cast(x: Value, dtype: DType) -> Value:
    return x if x.type.dtype is dtype else ops.cast(x, to=dtype)


def _pairs(state: State, following: State) -> Iterator[tuple[Value, Value]]:
    """Every state with its next value, from two structures that must agree."""
    if isinstance(state, Value) and isinstance(following, Value):
        yield state, following
    elif isinstance(state, Mapping) and isinstance(following, Mapping) and state.keys() == following.keys():
        for key in state:
            yield from _pairs(state[key], following[key])
    elif isinstance(state, (tuple, list)) and isinstance(following, (tuple, list)) and len(state) == len(following):
        for one, other in zip(state, following, strict=True):
            yield from _pairs(one, other)
    elif state is not None or following is not None:
        raise DeclarationError(
            f"an optimizer's next state must have the structure of its state: {shown(state)} was followed by "
            f"{shown(following)} ({source_line()})"
        )


def _check_changes(changes: Any, params: Mapping[str, Value]) -> None:
    if not isinstance(changes, Mapping) or changes.keys() != params.keys():
        given = ", ".join(map(str, changes)) if isinstance(changes, Mapping) else shown(changes)
        raise DeclarationError(
            f"an optimizer must give one update for each of {', '.join(params)}; it gave {given} ({source_line()})"
        )
    for name, p in params.items():
        change = changes[name]
        if not isinstance(change, Value) or change.type != p.type:
            came = change.type if isinstance(change, Value) else shown(change)
            raise DeclarationError(f"the update of {name!r} must be {p.type}, {came} came ({source_line()})")


def _leaves(values: Iterable[Value]) -> list[Leaf]:
    return [node for node in topological(values) if isinstance(node, Leaf)]


def _both(updates: Mapping[Value, Value] | None) -> list[Value]:
    """States and their next values, as far as they are Values: they are checked later."""
    return [v for pair in (updates or {}).items() for v in pair if isinstance(v, Value)]


def _moved(values: Iterable[Value], updates: Mapping[Value, Value]) -> dict[Value, Value]:
    """The given updates, and those that values of training bring with them, one after the other where they meet."""
    moved: dict[Value, Value] = {}
    for node in topological(values):
        for state, following in () if node.training is None else node.training.updates:
            moved[state] = substituted(following, {state: moved[state]}) if state in moved else following
    return moved | dict(updates)


def _derives_training(value: Value) -> bool:
    """Whether a derivative of values of training is in it: it has no form in inference."""
    derivations = {id(n.origin.derivation): n.origin.derivation for n in topological([value]) if n.origin is not None}
    return any(
        node.training is not None for d in derivations.values() for node in topological(d.outputs, derivative=True)
    )


def _evaluated(value: Value) -> Value:
    return value if _derives_training(value) else in_inference(value)


def _predicted(name: str, value: Value) -> Value:
    if _derives_training(value):
        raise GradientError(
            f"prediction {name!r} has a derivative of layers in training in it; declare the prediction with layers in "
            f"inference, as in model.eval()(x); declared at {value.source} ({source_line()})"
        )
    return in_inference(value)


def _subgraph(name: str, outputs: Mapping[str, Value]) -> Graph:
    """The graph of some outputs: inputs that are fed first, then the states they need."""
    reached = leaves_behind(outputs.values())
    ordered = sorted(reached, key=lambda leaf: leaf.kind != "input")
    return optimise(Graph(name, {leaf.name: leaf.outputs[0] for leaf in ordered}, outputs))


def _parameters(loss: Value, params: Iterable[Value] | None) -> dict[str, Value]:
    if params is None:
        reached = leaves_behind([loss], derivative=True)
        found = [leaf.outputs[0] for leaf in reached if leaf.kind == "parameter" and leaf.requires_grad]
        if not found:
            raise GradientError(f"the loss depends on no parameter with requires_grad=True ({source_line()})")
    else:
        found = [params] if isinstance(params, Value) else list(params)
        for value in found:
            if not (isinstance(value, Value) and isinstance(value.node, Leaf) and value.node.kind == "parameter"):
                raise DeclarationError(
                    f"params must be made by sg.parameter, {shown(value)} came; a training step updates nothing else "
                    f"({source_line()})"
                )
            if not value.type.dtype.is_float:
                raise DTypeError(
                    f"parameter {value.name!r} is {value.type}, which has no gradient; leave it out ({source_line()})"
                )
        if not found:
            raise DeclarationError(f"params is empty: nothing is left to train ({source_line()})")
    return {leaf.name: leaf.outputs[0] for leaf in leaves(found)}


def _named(values: Mapping[str, Value] | None, what: str) -> dict[str, Value]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise DeclarationError(f"{what}s are a dict of names and Values, {shown(values)} came ({source_line()})")
    for name, value in values.items():
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"{name!r} is not a name for a {what} ({source_line()})")
        if name == "loss" or name.endswith(".next"):
            raise DeclarationError(f"{what} {name!r} has a name that is reserved for the step ({source_line()})")
        if not isinstance(value, Value):
            raise DeclarationError(f"{what} {name!r} must be a Value, {shown(value)} came ({source_line()})")
    return dict(values)


def _check_reserved(outputs: Iterable[str], inputs: Mapping[str, Value]) -> None:
    """Whether the names of a model leave the step those of its outputs; `sg.input` and the like see to theirs."""
    for name in outputs:
        if name in inputs:
            kind = inputs[name].node.kind  # type: ignore[attr-defined]
            remedy = "give all values of the model other names, as onnx.compose.add_prefix(model, 'model/') does"
            if name != "loss":
                remedy = "give it another name in the file, there and in the inputs of the nodes that read it"
            raise DeclarationError(
                f"the {kind} {name!r} of the model has a name that the training step needs for an output; {remedy} "
                f"({source_line()})"
            )


def _check_names(feeds: Mapping[str, Value], states: Mapping[str, Value], *outputs: Mapping[str, Value]) -> None:
    for named in outputs:
        for name, value in named.items():
            other = feeds.get(name, states.get(name))
            if other is not None:
                raise DeclarationError(
                    f"the name {name!r} is taken by the {other.node.kind} declared at {other.source}; name the output "  # type: ignore[attr-defined]
                    f"declared at {value.source} otherwise ({source_line()})"
                )
