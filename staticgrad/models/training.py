"""The training step of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace

import onnx

from staticgrad import ops
from staticgrad.declare import leaves_behind
from staticgrad.errors import DeclarationError, GradientError, UnsupportedOperatorError, shown
from staticgrad.graph import Array, Graph, Leaf, Value, bodies
from staticgrad.models.losses import check_name, named_loss, target_for
from staticgrad.models.model import Model, ModelLike, from_onnx, joined_model
from staticgrad.models.names import Patterns, exact, listed, matching, old_names
from staticgrad.models.training_mode import OwnStatistics, refuse_layers_in_bodies, replaced, trained
from staticgrad.models.weights import Statistic, put_into_inference, write_statistics
from staticgrad.onnx_reader import understood
from staticgrad.ops.foreign import Foreign
from staticgrad.origin import source_line
from staticgrad.reverse import differentiable_inputs, differentiated
from staticgrad.substitute import in_inference
from staticgrad.train.step import TrainStep, train_step
from staticgrad.train.transformations import GradientTransformation
from staticgrad.types import OpaqueType


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model made ready to train: its outputs, all leaves that hold its weights, and statistics of their own."""

    outputs: Mapping[str, Value]
    weights: frozenset[Value]
    statistics: tuple[Statistic, ...]
    training: bool


@dataclass(frozen=True, eq=False)
class ModelStep(TrainStep):
    """The training step of a model; made by `train_step_model`."""

    model_trained: Model
    prepared: Prepared

    def inference_model(self, state: Mapping[str, Array]) -> onnx.ModelProto:
        """The model as it came, with other weights: same inputs, outputs, names, metadata and opset.

        Layers that were put into training are in inference.
        """
        model, prepared = self.model_trained, self.prepared
        # The optimizer's state may have a name that something else has in the file.
        held = {n: state[n] for n, v in self.graph.inputs.items() if n in state and v in prepared.weights}
        if model.heads:
            return joined_model(model, prepared.outputs, held)
        own = {statistic.name for statistic in prepared.statistics}
        proto = model.with_parameters({name: array for name, array in held.items() if name not in own})
        write_statistics(proto.graph, prepared.statistics, held)
        if prepared.training:
            put_into_inference(proto)
        return proto


def train_step_model(
    model: ModelLike | Model,
    loss: str | Callable[..., Value],
    optimizer: GradientTransformation,
    params: Patterns = None,
    freeze: Patterns = None,
    *,
    output: str | None = None,
    target: str = "target",
    training: bool = False,
    metrics: Mapping[str, Callable[..., Value]] | None = None,
) -> ModelStep:
    """The training step of an ONNX model: loss, gradients of its parameters and the optimizer's update in one graph.

    `loss` is the name of a scalar output; or a loss by name (`"cross_entropy"`, `"mse"`, `"bce_with_logits"`, ...),
    and then `output` (default: the only floating one) is compared with a new input called `target`; or a function of
    the model's outputs, in order, that gives the loss as a Value and may declare inputs and parameters of its own.
    `metrics` are such functions too, which get the target after the outputs where there is one. Predictions are the
    model's outputs that are tensors, without one that is the loss.

    `params` are the parameters that are trained, by name, as Values or by a pattern such as `"encoder.*"` (default: all
    floating initializers with a way to the loss; running statistics are states, never parameters), without those that
    `freeze` names. An initializer that is an input too is trained if `params` has its name, or if there are no others.

    With `training`, dropout drops and batch normalization uses the batch and learns its statistics; evaluation,
    predictions and the exported inference model have these layers in inference. Without, layers are as the file has
    them.
    """
    imported = model if isinstance(model, Model) else from_onnx(model)
    wanted, frozen = listed(params, "params"), listed(freeze, "freeze")
    with understood(imported.name):
        prepared = _prepared(imported, training, _fed_weights(imported, wanted))
    outputs = prepared.outputs
    name, expected = _compared(imported, outputs, loss, output, target)
    arguments = [*outputs.values(), *([] if expected is None else [expected])]
    if callable(loss):
        scalar = _result("loss", loss, list(outputs.values()))
    elif expected is not None:
        scalar = named_loss(loss, outputs[name], expected)
    else:
        scalar = _scalar(imported, name, outputs[name])
    measured = {key: _result(f"metric {key!r}", function, arguments) for key, function in (metrics or {}).items()}
    chosen = _parameters(imported, scalar, wanted, frozen)
    tensors = {n: y for n, y in outputs.items() if _is_tensor(y)}
    predicted = {n: y for n, y in tensors.items() if n != name or expected is not None} or tensors
    # Predictions have a graph of their own, where "loss" and the like are names as good as others.
    plain = {f"prediction:{number}": y for number, y in enumerate(predicted.values())}
    with understood(imported.name):
        step = train_step(scalar, optimizer, chosen, metrics=measured, predictions=plain)
    _refuse_foreign(imported, step.graph)
    step = replace(step, predict_graph=_renamed(step.predictions, list(predicted)))
    return ModelStep(
        **{f.name: getattr(step, f.name) for f in fields(TrainStep)}, model_trained=imported, prepared=prepared
    )


def _fed_weights(model: Model, params: list[str] | None) -> list[str]:
    """The floating initializers that are inputs too, and are trained all the same."""
    candidates = [
        name
        for name, value in model.inputs.items()
        if isinstance(value.node, Leaf) and value.node.has_initial and value.type.dtype.is_float
    ]
    if not any(isinstance(p.node, Leaf) and p.node.kind == "parameter" for p in model.reading.parameters.values()):
        return candidates
    named = exact(params)
    return [name for name in candidates if name in named]


def _prepared(model: Model, training: bool, fed: Iterable[str]) -> Prepared:
    """The model with running statistics of their own, its layers in training if they are to be."""
    stands_for = {}
    for name in fed:
        value = model.inputs[name]
        assert isinstance(value.node, Leaf)
        running = name in model.reading.running
        leaf = Leaf("state" if running else "parameter", name, value.type, value.node.initial, not running)
        stands_for[value] = leaf.outputs[0]
    ends = dict(model.reading.outputs)
    behind = {head.at: model.values[head.at] for head in model.heads if head.at is not None}
    for head in reversed(model.heads):
        if head.at is not None:
            ends.pop(head.output, None)
    own = OwnStatistics({*model.values, *model.inputs, *model.parameters}, training)
    values = [*ends.values(), *behind.values()]
    if training:
        refuse_layers_in_bodies(values)
    new = replaced(values, own, stands_for)
    if training:
        first = new
        second = replaced([first.get(v, v) for v in values], trained)
        new = {v: second.get(first.get(v, v), first.get(v, v)) for v in values}
    if new:
        there = {name: new.get(value, value) for name, value in model.reading.outputs.items()}
        outputs = model.with_heads(there, {**model.values, **{n: new.get(v, v) for n, v in behind.items()}})
    else:
        outputs = dict(model.outputs)
    reached = [leaf.outputs[0] for leaf in leaves_behind(outputs.values(), derivative=True) if leaf.kind != "input"]
    return Prepared(outputs, frozenset([*reached, *_states_behind(outputs)]), tuple(own.made), training)


def _states_behind(outputs: Mapping[str, Value]) -> list[Value]:
    """The states that outputs read in inference only."""
    behind = leaves_behind([in_inference(value) for value in outputs.values()])
    return [leaf.outputs[0] for leaf in behind if leaf.kind != "input"]


def _compared(
    model: Model, outputs: Mapping[str, Value], loss: object, output: str | None, target: str
) -> tuple[str, Value | None]:
    """The output that the loss is or is of, and the target that it is compared with; none for a function."""
    if callable(loss):
        if output is not None:
            raise DeclarationError(
                f"output={shown(output)} is for losses by name; a function gets all outputs ({source_line()})"
            )
        return "", None
    if not isinstance(loss, str):
        raise DeclarationError(
            f"the loss is a name or a function of the model's outputs, {shown(loss)} came ({source_line()})"
        )
    if loss in outputs and output is None:
        return loss, None
    check_name(loss, list(outputs))
    if output is None:
        floats = [name for name, value in outputs.items() if value.type.dtype.is_float and _is_tensor(value)]
        if len(floats) != 1:
            raise DeclarationError(
                f"{model.name} has {len(floats)} floating outputs ({', '.join(floats)}); say which one the loss "
                f"{loss!r} is of, with output=... ({source_line()})"
            )
        output = floats[0]
    if output not in outputs:
        raise DeclarationError(
            f"{model.name} has no output {shown(output)}; it has {', '.join(outputs)} ({source_line()})"
        )
    if not isinstance(target, str) or not target or target == "loss" or target.endswith(".next"):
        raise DeclarationError(f"target={shown(target)} is no name for an input of the step ({source_line()})")
    if target in model.inputs or target in model.parameters or target in outputs:
        raise DeclarationError(
            f"{model.name} has a value called {target!r} already; give the target another name, as in "
            f"target={target + '_expected'!r} ({source_line()})"
        )
    return output, target_for(loss, outputs[output], target)


def _is_tensor(value: Value) -> bool:
    """Whether it is no sequence or the like, which no array can hold."""
    return not isinstance(value.type, OpaqueType) or value.type.rankless


def _scalar(model: Model, name: str, value: Value) -> Value:
    """An output as the loss: one number."""
    if isinstance(value.type, OpaqueType) or not value.type.dtype.is_float or any(d != 1 for d in value.type.shape):
        raise GradientError(
            f"the output {name!r} of {model.name} is {value.type}, no single number that can be a loss; give a "
            f"function of the outputs, such as lambda {', '.join(_identifiers(model.outputs))}: "
            f"{_identifiers([name])[0]}.mean() ({source_line()})"
        )
    return ops.reshape(value, []) if value.type.shape else value


def _identifiers(names: Iterable[str]) -> list[str]:
    return ["".join(c if c.isalnum() else "_" for c in name) or "y" for name in names]


def _result(what: str, function: object, arguments: Iterable[Value]) -> Value:
    """What a user's function of outputs gives."""
    if not callable(function):
        raise DeclarationError(f"the {what} is a function of outputs, {shown(function)} came ({source_line()})")
    result = function(*arguments)
    if not isinstance(result, Value):
        raise DeclarationError(f"the function of the {what} gave {shown(result)}, not a Value ({source_line()})")
    return result


def _parameters(model: Model, loss: Value, params: list[str] | None, freeze: list[str] | None) -> list[Value]:
    """The parameters to train."""
    reached = {leaf: None for leaf in leaves_behind([loss], derivative=True) if leaf.kind == "parameter"}
    found = {name: p for name, p in model.parameters.items() if isinstance(p.node, Leaf) and p.node.kind == "parameter"}
    found.update({leaf.name: leaf.outputs[0] for leaf in reached})
    known_as = old_names(model.source.proto)
    names = {name: known_as.get(name, []) for name in found}
    # Numbers that steer a forward computation, such as the scales of a Resize, have no derivative.
    candidates = [p for p in found.values() if p.node in reached]
    learning = _with_derivative(loss, candidates)
    if params is None:
        wanted = [name for name, p in found.items() if name in learning and _is_free(p)]
    else:
        _explain_states(model, params)
        wanted = matching(params, names, "params", model.name)
        lost = [name for name in wanted if name not in learning]
        spelled = [name for name in lost if {name, *names[name]} & exact(params)]
        if spelled or (lost and len(lost) == len(wanted)):
            raise GradientError(
                f"the loss does not depend on {', '.join(spelled or lost)}, or has no derivative by it; leave it out "
                f"of params ({source_line()})"
            )
        wanted = [name for name in wanted if name in learning]
    frozen = set(matching(freeze, names, "freeze", model.name))
    kept = [name for name in wanted if name not in frozen]
    if not kept:
        why = "freeze names them all" if wanted else "the loss has a derivative by no floating initializer"
        if params == []:
            why = "params is empty"
        raise DeclarationError(f"no parameter of {model.name} is left to train: {why} ({source_line()})")
    return [found[name] for name in kept]


def _with_derivative(loss: Value, candidates: list[Value]) -> set[str]:
    """The names of those that have a way to the loss over operators with a derivative."""
    nodes, _ = differentiated([loss], candidates)
    needed = {loss}
    for node in reversed(nodes):
        if any(y in needed for y in node.outputs):
            needed.update(differentiable_inputs(node))
    return {p.name for p in candidates if p in needed and p.name is not None}


def _is_free(parameter: Value) -> bool:
    """Whether it was declared to be trained; those of a file are."""
    return isinstance(parameter.node, Leaf) and parameter.node.requires_grad


def _explain_states(model: Model, params: list[str]) -> None:
    """Refuse running statistics that are asked for by name."""
    states = {n for n, p in model.parameters.items() if isinstance(p.node, Leaf) and p.node.kind == "state"}
    for name in exact(params):
        if name in states:
            raise DeclarationError(
                f"params names {name!r}, a running statistic, which has no gradient to learn by; training=True moves "
                f"it on ({source_line()})"
            )


def _refuse_foreign(model: Model, graph: Graph) -> None:
    """Refuse operators that stock runtimes need not know."""
    found: dict[str, None] = {}
    stack = list(graph.nodes)
    while stack:
        node = stack.pop()
        stack.extend(inner for body in bodies(node).values() for inner in body.nodes)
        if isinstance(node.op, Foreign) and node.op.domain:
            found[f"{node.op.domain}.{node.op.operator} ({node.source})"] = None
    if found:
        raise UnsupportedOperatorError(
            f"{model.name} has operators that are none of ONNX's own, which a training step must do without: "
            f"{', '.join(sorted(found))}; cut the model behind them with onnx.utils.extract_model, and feed what they "
            f"give ({source_line()})"
        )


def _renamed(graph: Graph, names: list[str]) -> Graph:
    """The graph of predictions under the names of the model's outputs."""
    outputs = {}
    for name, value in zip(names, graph.outputs.values(), strict=True):
        while name in graph.inputs or name in outputs:
            # An input that is an output as it stands.
            name += ".prediction"
        outputs[name] = value
    return Graph(graph.name, graph.inputs, outputs, graph.nodes, graph.became)
