"""Layers of an exported model put into training: dropout drops, batch normalization uses and learns statistics."""

from __future__ import annotations

from collections.abc import Iterable

from staticgrad import ops
from staticgrad.graph import Leaf, Node, Value, bodies, constant_of, topological
from staticgrad.ops.kinds import in_training
from staticgrad.ops.normalization import along_channels
from staticgrad.rewrite import with_inputs
from staticgrad.tensor.normalization import standardized

LAYERS = ("BatchNormalization", "Dropout")


def in_training_mode(outputs: Iterable[Value]) -> tuple[dict[Value, Value], list[Node]]:
    """What stands for the values behind `outputs` in training, and the layers that were put into it.

    Evaluation and prediction see the layers in inference, and a training step moves the running statistics on as ONNX
    has it, `running * momentum + batch * (1 - momentum)`.
    """
    new: dict[Value, Value] = {}
    layers = []
    for node in topological(outputs):
        inputs = tuple([None if v is None else new.get(v, v) for v in node.inputs])
        here = node
        if inputs != node.inputs:
            here = with_inputs(node, inputs)
            new.update(zip(node.outputs, here.outputs, strict=True))
        trained = _trained(here)
        if trained is not None:
            layers.append(node)
            new[node.outputs[0]] = trained
    return new, layers


def layers_in_bodies(outputs: Iterable[Value]) -> list[Node]:
    """The layers inside loops and branches, which stay as they are."""
    found = []
    stack = [body for node in topological(outputs) for body in bodies(node).values()]
    while stack:
        for node in stack.pop().nodes:
            stack.extend(bodies(node).values())
            if node.op.name in LAYERS:
                found.append(node)
    return found


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
        batch_mean, batch_variance = (ops.reshape(v, [-1]) for v in (batch_mean, batch_variance))
        updates = []
        for running, batch in ((mean, batch_mean), (variance, batch_variance)):
            if isinstance(running.node, Leaf):
                following = running * momentum + batch * (1 - momentum)
                updates.append((running, ops.identity(following)))
        inference = ops.batch_normalization(x, scale, bias, mean, variance, epsilon=epsilon)
        return in_training(y, inference, updates)
    return None
