"""Join loss, gradient and update into one graph: the training step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from staticgrad.train.transformations import GradientTransformation, declare_state

from staticgrad.declare import leaves
from staticgrad.differentiate import grad
from staticgrad.errors import DeclarationError, DTypeError, GradientError, ShapeError
from staticgrad.graph import Array, Graph, Leaf, Value, source_line, topological
from staticgrad.optimise import optimise

if TYPE_CHECKING:
    import onnx


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
        return str(self.graph)

    def model(self) -> onnx.ModelProto:
        """The step as an ONNX model."""
        from staticgrad.exporters.bundle import step_model

        return step_model(self)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the step as one .onnx file."""
        from staticgrad.exporters.files import write_model

        write_model(self.model(), path)

    def export_bundle(self, folder: str | os.PathLike[str]) -> None:
        """Write init, train_step, eval and predict models, a manifest and the initial state into a folder."""
        from staticgrad.exporters.bundle import export_bundle

        export_bundle(self, folder)

    def training_info(self) -> onnx.ModelProto:
        """The step in ONNX's own training form: an inference model with a TrainingInfoProto."""
        from staticgrad.exporters.training_info import to_training_info

        return to_training_info(self)


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
    `predictions` the outputs of the inference model, `updates` next values of states that no optimizer handles.
    """
    _check_loss(loss)
    if not isinstance(optimizer, GradientTransformation):
        raise DeclarationError(f"the optimizer must come from sg.optim, {optimizer!r:.60} came ({source_line()})")
    shown = _named(metrics, "metric")
    predicted = _named(predictions, "prediction")
    chosen = _parameters(loss, params)
    gradients = dict(zip(chosen, grad(loss, list(chosen.values())), strict=True))
    with declare_state(chosen):
        states = optimizer.init(chosen)
        changes, next_states = optimizer.update(gradients, states, chosen)
    following: dict[Value, Value] = {p: p + changes[name] for name, p in chosen.items()}
    following.update(next_states)
    for state, value in (updates or {}).items():
        _check_update(state, value, following)
        following[state] = value

    results = [loss, *shown.values(), *following.values()]
    reached = leaves(v for node in topological([*results, *predicted.values(), *following]) for v in node.outputs)
    inputs = [leaf for leaf in reached if leaf.kind == "input"]
    kept = [leaf for leaf in reached if leaf.kind != "input"]
    needed = {node for node in topological(results)}
    feeds = {leaf.name: leaf.outputs[0] for leaf in inputs if leaf in needed}
    state_inputs = {leaf.name: leaf.outputs[0] for leaf in kept}
    _check_names(feeds, state_inputs, shown, predicted)
    outputs = {"loss": loss, **shown}
    outputs.update({f"{name}.next": following.get(value, value) for name, value in state_inputs.items()})
    declared = Graph("step", {**feeds, **state_inputs}, outputs)
    return TrainStep(
        graph=optimise(declared),
        declared=declared,
        eval_graph=_subgraph("eval", {"loss": loss, **shown}),
        predict_graph=_subgraph("predict", predicted) if predicted else None,
        feeds=tuple(feeds),
        metrics=tuple(shown),
        parameters=tuple(chosen),
        state={leaf.name: leaf.initial for leaf in kept if leaf.initial is not None},
    )


def _subgraph(name: str, outputs: Mapping[str, Value]) -> Graph:
    """The graph of some outputs: inputs that are fed first, then the states they need."""
    reached = leaves(v for node in topological(outputs.values()) for v in node.outputs)
    ordered = sorted(reached, key=lambda leaf: leaf.kind != "input")
    return optimise(Graph(name, {leaf.name: leaf.outputs[0] for leaf in ordered}, outputs))


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Value):
        raise DeclarationError(f"the loss must be a Value, {loss!r:.60} came ({source_line()})")
    if loss.type.shape != ():
        raise GradientError(
            f"the loss must be one number, its shape is {list(loss.shape)}; reduce it with .sum() or .mean(); loss "
            f"declared at {loss.source} ({source_line()})"
        )


def _parameters(loss: Value, params: Iterable[Value] | None) -> dict[str, Value]:
    if params is None:
        reached = leaves(v for node in topological([loss], derivative=True) for v in node.outputs)
        found = [leaf.outputs[0] for leaf in reached if leaf.kind == "parameter" and leaf.requires_grad]
        if not found:
            raise GradientError(f"the loss depends on no parameter with requires_grad=True ({source_line()})")
    else:
        found = [params] if isinstance(params, Value) else list(params)
        for value in found:
            if not (isinstance(value, Value) and isinstance(value.node, Leaf) and value.node.kind == "parameter"):
                raise DeclarationError(
                    f"params must be made by sg.parameter, {value!r:.60} came; a training step updates nothing else "
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
        raise DeclarationError(f"{what}s are a dict of names and Values, {values!r:.60} came ({source_line()})")
    for name, value in values.items():
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"{name!r} is not a name for a {what} ({source_line()})")
        if name == "loss" or name.endswith(".next"):
            raise DeclarationError(f"{what} {name!r} has a name that is reserved for the step ({source_line()})")
        if not isinstance(value, Value):
            raise DeclarationError(f"{what} {name!r} must be a Value, {value!r:.60} came ({source_line()})")
    return dict(values)


def _check_names(feeds: Mapping[str, Value], states: Mapping[str, Value], *outputs: Mapping[str, Value]) -> None:
    for named in outputs:
        for name, value in named.items():
            other = feeds.get(name, states.get(name))
            if other is not None:
                raise DeclarationError(
                    f"the name {name!r} is taken by the {other.node.kind} declared at {other.source}; name the output "  # type: ignore[attr-defined]
                    f"declared at {value.source} otherwise ({source_line()})"
                )


def _check_update(state: Any, value: Any, following: Mapping[Value, Value]) -> None:
    if not (isinstance(state, Value) and isinstance(state.node, Leaf) and state.node.kind != "input"):
        raise DeclarationError(f"updates map states to their next values, {state!r:.60} is no state ({source_line()})")
    if state in following:
        raise DeclarationError(f"{state.name!r} is updated by the optimizer already ({source_line()})")
    if not isinstance(value, Value):
        raise DeclarationError(
            f"the next value of {state.name!r} must be a Value, {value!r:.60} came ({source_line()})"
        )
    if value.type.dtype is not state.type.dtype:
        raise DTypeError(
            f"the next value of {state.name!r} is {value.type}, the state {state.type}; cast it ({source_line()})"
        )
    if value.type.shape != state.type.shape:
        raise ShapeError(
            f"the next value of {state.name!r} is {value.type}, the state {state.type}; shapes must agree "
            f"({source_line()})"
        )
