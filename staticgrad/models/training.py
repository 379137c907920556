"""The training step of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import onnx

from staticgrad.errors import DeclarationError, GradientError, shown
from staticgrad.graph import Array, Leaf, Value, topological
from staticgrad.models.losses import check_name, named_loss
from staticgrad.models.model import Model, ModelLike, from_onnx
from staticgrad.models.names import Patterns, known_as, matching, uses
from staticgrad.models.training_mode import Statistic, in_training_mode, with_own_statistics
from staticgrad.onnx_reader import understood
from staticgrad.origin import source_line
from staticgrad.train.step import TrainStep, train_step
from staticgrad.train.transformations import GradientTransformation

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters


@dataclass(frozen=True, eq=False)
class ModelStep(TrainStep):
    """The training step of a model; made by `train_step_model`."""

    model_trained: Model
    statistics: tuple[Statistic, ...]

    def inference_model(self, state: Mapping[str, Array]) -> onnx.ModelProto:
        """The model as it came, with other weights: same inputs, outputs, names, metadata and opset."""
        proto = self.model_trained.with_parameters(state)
        _write_statistics(proto.graph, self.statistics, state)
        return proto


def _write_statistics(graph: onnx.GraphProto, statistics: Iterable[Statistic], state: Mapping[str, Array]) -> None:
    """Have layers read statistics of their own, which the file shared with something else."""
    for layer, position, name in statistics:
        if name not in state:
            continue
        for node in graph.node:
            if node.op_type == "BatchNormalization" and layer in (node.name, node.output[0]):
                node.input[position] = name
        giving = next((i for i, node in enumerate(graph.node) if name in node.output), None)
        if giving is not None:
            del graph.node[giving]
        exporters.write_tensor(graph.initializer.add(), name, state[name])


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
    the model's outputs, in order, that gives the loss as a Value and may declare inputs of its own. `metrics` are such
    functions too.

    `params` are the parameters that are trained, by name or by a pattern such as `"encoder.*"` (default: all floating
    initializers that the loss depends on; running statistics are states, never parameters), without those that
    `freeze` names. With `training`, dropout drops and batch normalization uses the batch and learns its statistics;
    evaluation, predictions and the exported inference model have these layers in inference again.
    """
    imported = model if isinstance(model, Model) else from_onnx(model)
    with understood(imported.name):
        outputs, statistics = with_own_statistics(imported.outputs, imported.parameters)
        if training:
            outputs = in_training_mode(outputs)
    scalar = _loss(imported, outputs, loss, output, target)
    measured = {}
    for name, function in (metrics or {}).items():
        if not callable(function):
            raise DeclarationError(
                f"the metric {name!r} is a function of outputs, {shown(function)} came ({source_line()})"
            )
        measured[name] = function(*outputs.values())
    chosen = _parameters(imported, scalar, params, freeze)
    predictions = {f"{name}.prediction" if name in _reserved(imported) else name: y for name, y in outputs.items()}
    with understood(imported.name):
        step = train_step(scalar, optimizer, chosen, metrics=measured, predictions=predictions)
    return ModelStep(
        **{f.name: getattr(step, f.name) for f in fields(TrainStep)},
        model_trained=imported,
        statistics=tuple(statistics),
    )


def _reserved(model: Model) -> set[str]:
    return {"loss", *model.inputs, *model.parameters}


def _loss(
    model: Model, outputs: Mapping[str, Value], loss: str | Callable[..., Value], output: str | None, target: str
) -> Value:
    """The loss of a model whose outputs are these."""
    if callable(loss):
        result = loss(*outputs.values())
        if not isinstance(result, Value):
            raise DeclarationError(f"the loss function gave {shown(result)}, not a Value ({source_line()})")
        return result
    if not isinstance(loss, str):
        raise DeclarationError(f"the loss is a name or a function, {shown(loss)} came ({source_line()})")
    if loss in outputs and output is None:
        return outputs[loss]
    check_name(loss, list(outputs))
    floats = [name for name, value in outputs.items() if value.type.dtype.is_float]
    if output is None:
        if len(floats) != 1:
            raise DeclarationError(
                f"{model.name} has {len(floats)} floating outputs ({', '.join(floats)}); say which one the loss "
                f"{loss!r} is of, with output=... ({source_line()})"
            )
        output = floats[0]
    if output not in outputs:
        raise DeclarationError(f"{model.name} has no output {output!r}; it has {', '.join(outputs)} ({source_line()})")
    if target in model.inputs or target in model.parameters or target in outputs:
        raise DeclarationError(
            f"{model.name} has a value called {target!r} already; give target=... another name ({source_line()})"
        )
    return named_loss(loss, outputs[output], target)


def _parameters(model: Model, loss: Value, params: Patterns, freeze: Patterns) -> list[Value]:
    """The parameters to train."""
    reached = {node for node in topological([loss], derivative=True) if isinstance(node, Leaf)}
    found = {n: p for n, p in model.parameters.items() if isinstance(p.node, Leaf) and p.node.kind == "parameter"}
    added = {v.node.name: v for v in _added(model, reached)}
    readers = uses(model.graph)
    names = {n: known_as(n, readers.get(p, [])) for n, p in found.items()} | dict.fromkeys(added)
    everything = {**found, **added}
    if params is None:
        wanted = [n for n, p in everything.items() if p.node in reached]
    else:
        wanted = matching(params, names, "params", model.name)
        lost = [n for n in wanted if everything[n].node not in reached]
        if lost and not any(n for n in wanted if n not in lost):
            raise GradientError(f"the loss does not depend on {', '.join(lost)} ({source_line()})")
        wanted = [n for n in wanted if n not in lost]
    frozen = set(matching(freeze, names, "freeze", model.name))
    kept = [n for n in wanted if n not in frozen]
    if not kept:
        raise DeclarationError(f"no parameter of {model.name} is left to train ({source_line()})")
    return [everything[n] for n in kept]


def _added(model: Model, reached: set[Leaf]) -> list[Any]:
    """Parameters that a new head or the loss function brought."""
    known = {p.node for p in model.parameters.values()}
    return [leaf.outputs[0] for leaf in reached if leaf.kind == "parameter" and leaf not in known]
