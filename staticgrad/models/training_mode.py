"""Layers of an exported model in training: dropout drops, batch normalization uses and learns statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from staticgrad import ops
from staticgrad.graph import Array, Leaf, Node, Value, bodies, constant_of, topological
from staticgrad.ops.kinds import in_training
from staticgrad.ops.normalization import along_channels
from staticgrad.rewrite import with_inputs
from staticgrad.tensor.normalization import standardized

LAYERS = ("BatchNormalization", "Dropout")
_STATISTICS = (3, 4)


class Statistic(NamedTuple):
    """A running statistic that got a state of its own: where its layer reads it, and under which name."""

    layer: str
    position: int
    name: str


def with_own_statistics(outputs: Mapping[str, Value], taken: Iterable[str]) -> tuple[dict[str, Value], list[Statistic]]:
    """The outputs with a state for every running statistic that the file shares with something else.

    Exporters store equal tensors once: the fresh running mean of a layer and its bias are then one tensor of zeros.
    """
    names = set(taken)
    made: list[Statistic] = []

    def separated(node: Node) -> Value | None:
        if node.op.name != "BatchNormalization":
            return None
        inputs = list(node.inputs)
        for position in _STATISTICS:
            value = inputs[position]
            array = None if value is None else _stored(value)
            if value is None or array is None or (isinstance(value.node, Leaf) and value.node.kind == "state"):
                continue
            name = stem = (value.node.names or ("",))[0] or f"{node.source.label}.{node.op.name}.{position}"
            while name in names:
                name = f"{stem}.{len(names)}"
            names.add(name)
            made.append(Statistic(node.source.label, position, name))
            inputs[position] = Leaf("state", name, value.type, array).outputs[0]
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return None
        return with_inputs(node, tuple(inputs)).outputs[0]

    new = _replaced(outputs.values(), separated)
    return {name: new.get(value, value) for name, value in outputs.items()}, made


def _stored(value: Value) -> Array | None:
    """The array that a value is stored as, be it under another name; None for one that is computed."""
    while value.node.op.name == "Identity" and value.node.inputs[0] is not None:
        value = value.node.inputs[0]
    return value.node.initial if isinstance(value.node, Leaf) else constant_of(value)


def in_training_mode(outputs: Mapping[str, Value]) -> dict[str, Value]:
    """The outputs with their layers in training, as far as they do not stand in loops and branches.

    Evaluation and prediction see the layers in inference, and a training step moves the running statistics on as ONNX
    has it, `running * momentum + batch * (1 - momentum)`.
    """
    new = _replaced(outputs.values(), _trained)
    return {name: new.get(value, value) for name, value in outputs.items()}


def layers(outputs: Iterable[Value]) -> list[tuple[Node, bool]]:
    """The layers that training changes, and whether they stand in the graph itself, not in a loop or a branch."""
    found = []
    stack = [(node, True) for node in topological(outputs)]
    while stack:
        node, outside = stack.pop()
        stack.extend((inner, False) for body in bodies(node).values() for inner in body.nodes)
        if node.op.name in LAYERS:
            found.append((node, outside))
    return found


def _replaced(outputs: Iterable[Value], replacement: Callable[[Node], Value | None]) -> dict[Value, Value]:
    """What stands for values when the first output of some nodes is replaced."""
    new: dict[Value, Value] = {}
    for node in topological(outputs):
        here = node
        if any(v in new for v in node.inputs):
            here = with_inputs(node, tuple([None if v is None else new.get(v, v) for v in node.inputs]))
            new.update(zip(node.outputs, here.outputs, strict=True))
        other = replacement(here)
        if other is not None:
            new[node.outputs[0]] = other
    return new


def _trained(node: Node) -> Value | None:
    """The first output of a layer in training, with what stands for it in inference; None for every other node."""
    if node.op.name == "Dropout":
        x, ratio, _ = node.inputs
        assert x is not None
        number = None if ratio is None else constant_of(ratio)
        if number is not None and not number.any():
            return None
        dropped: Value = ops.dropout(x, ratio, True, seed=node.attributes["seed"])[0]
        return in_training(dropped, x)
    if node.op.name == "BatchNormalization":
        x, scale, bias, mean, variance = node.inputs
        assert x is not None and scale is not None and bias is not None and mean is not None and variance is not None
        epsilon, momentum = node.attributes["epsilon"], node.attributes["momentum"]
        rank = len(x.type.shape)
        y, batch_mean, batch_variance = standardized(x, [0, *range(2, rank)], epsilon)
        y = y * along_channels(scale, rank) + along_channels(bias, rank)
        updates = []
        for running, batch in ((mean, batch_mean), (variance, batch_variance)):
            if isinstance(running.node, Leaf):
                following = running * momentum + ops.reshape(batch, [-1]) * (1 - momentum)
                updates.append((running, ops.identity.apply((following,), None, (running.type,)).outputs[0]))
        inference = ops.batch_normalization(x, scale, bias, mean, variance, epsilon=epsilon)
        inference = inference[0] if isinstance(inference, tuple) else inference
        return in_training(y, inference, updates)
    return None
