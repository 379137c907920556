"""Layers of an exported model in training: dropout drops, batch normalization uses and learns statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from staticgrad import ops
from staticgrad.errors import DeclarationError
from staticgrad.graph import Array, Leaf, Node, Value, bodies, constant_of, topological
from staticgrad.models.weights import Statistic
from staticgrad.ops.kinds import in_training, is_half
from staticgrad.ops.normalization import along_channels, one_kernel_normalizes
from staticgrad.origin import rewriting, source_line
from staticgrad.substitute import with_inputs
from staticgrad.tensor.normalization import by_batch, standardized
from staticgrad.types import DType

_STATISTICS = (3, 4)

Replacement = Callable[[Node], Sequence[Value] | None]
"""What stands for the outputs of a node, or None where it stays."""


def replaced(
    values: Iterable[Value], replacement: Replacement, given: Mapping[Value, Value] | None = None
) -> dict[Value, Value]:
    """What stands for values of a model as it was read where some nodes are replaced, and some values `given`."""
    new = dict(given or {})
    for node in topological(values):
        here = node
        if any(v in new for v in node.inputs):
            # A replaced derivative may look at any value; what is read from a file has none.
            assert node.pullback is None and node.training is None
            here = with_inputs(node, tuple([None if v is None else new.get(v, v) for v in node.inputs]))
            new.update(zip(node.outputs, here.outputs, strict=True))
        with rewriting(node):
            others = replacement(here)
        if others is not None:
            new.update(zip(node.outputs, others, strict=True))
    return new


class OwnStatistics:
    """A state for every running statistic that the file shares with something else; `made` lists them.

    Exporters store equal tensors once: the fresh running mean of a layer and its bias are then one tensor of zeros.
    Layers that share their scale too are one layer that is used again, and keep one statistic.
    """

    def __init__(self, taken: Iterable[str], training: bool) -> None:
        self.taken = set(taken)
        self.training = training
        self.made: list[Statistic] = []
        self.states: dict[tuple[object, int, object], Value] = {}

    def __call__(self, node: Node) -> Sequence[Value] | None:
        """The layer on statistics of its own; None where it is none or has them."""
        if node.op.name != "BatchNormalization":
            return None
        inputs = list(node.inputs)
        for position in _STATISTICS:
            value = inputs[position]
            assert value is not None
            inputs[position] = self._own(node, position, value)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return None
        return with_inputs(node, tuple(inputs)).outputs

    def _own(self, node: Node, position: int, value: Value) -> Value:
        store = _stored(value)
        array = _array(store)
        if array is None:
            return value
        leaf = store.node if isinstance(store.node, Leaf) else None
        if not self.training and (leaf is None or leaf.kind == "state"):
            return value
        scale = node.inputs[1]
        key = (store, position, None if scale is None else _stored(scale))
        if key in self.states:
            own = self.states[key]
        elif leaf is not None and leaf.kind == "state" and store not in {s for s, *_ in self.states}:
            own = self.states[key] = store
        else:
            own = self.states[key] = self._state(node, position, value, array)
        if own is not store:
            if not node.names or not node.names[0]:
                raise DeclarationError(
                    f"the batch normalization {node.source.label!r} stands in a function and shares its running "
                    f"statistics with something else; expand functions first, with "
                    f"onnx.inliner.inline_local_functions(model) ({source_line()})"
                )
            self.made.append(Statistic(node.names[0], position, own.name or ""))
        return own

    def _state(self, node: Node, position: int, value: Value, array: Array) -> Value:
        stem = value.node.name if isinstance(value.node, Leaf) else (value.node.names or ("",))[0]
        # A copy, or a Constant, is no name that a state could take the place of.
        name = stem = stem or f"{node.source.label}.{('mean', 'variance')[position - 3]}"
        number = 1
        while name in self.taken and (number > 1 or isinstance(value.node, Leaf)):
            number += 1
            name = f"{stem}.{number}"
        self.taken.add(name)
        return Leaf("state", name, value.type, array).outputs[0]


def _stored(value: Value) -> Value:
    """Behind copies, the value that holds the numbers."""
    while value.node.op.name == "Identity" and value.node.inputs[0] is not None:
        value = value.node.inputs[0]
    return value


def _array(store: Value) -> Array | None:
    """The numbers that a model holds for a value; None for one that is computed or fed."""
    if isinstance(store.node, Leaf):
        return None if store.node.kind == "input" else store.node.initial
    return constant_of(store)


def layers(outputs: Iterable[Value]) -> list[tuple[Node, bool]]:
    """The layers that training changes, and whether they stand in the graph itself, not in a loop or a branch."""
    found = []
    stack = [(node, True) for node in topological(outputs)]
    while stack:
        node, outside = stack.pop()
        stack.extend((inner, False) for body in bodies(node).values() for inner in body.nodes)
        if node.op.name == "BatchNormalization" or (node.op.name == "Dropout" and not _drops_nothing(node)):
            found.append((node, outside))
    return found


def refuse_layers_in_bodies(outputs: Iterable[Value]) -> None:
    """Refuse layers that would be in training but stand in loops and branches."""
    found = {f"{node.op.name} ({node.source})" for node, outside in layers(outputs) if not outside}
    if found:
        raise DeclarationError(
            f"training=True does not reach into loops and branches, where {', '.join(sorted(found))} stands; leave "
            f"training=True out, which takes all layers as the file has them ({source_line()})"
        )


def trained(node: Node) -> Sequence[Value] | None:
    """The outputs of a layer in training, with what stands for them in inference; None for every other node.

    Evaluation and prediction see the layers in inference, and a training step moves the running statistics on as ONNX
    has it, `running * momentum + batch * (1 - momentum)` with the variance over all elements of the batch.
    """
    if node.op.name == "Dropout" and not _drops_nothing(node):
        return _dropped(node)
    if node.op.name == "BatchNormalization":
        return _normalized(node)
    return None


def _drops_nothing(node: Node) -> bool:
    ratio = (*node.inputs, None)[1]
    number = None if ratio is None else constant_of(ratio)
    return number is not None and not number.any()


def _dropped(node: Node) -> Sequence[Value]:
    x, ratio = (*node.inputs, None)[:2]
    assert x is not None
    seed = node.attributes["seed"]
    y, mask = ops.dropout(x, ratio, True, seed=seed)
    _, everything = ops.dropout(x, ratio, seed=seed)
    return in_training(y, x), in_training(mask, everything)


def _normalized(node: Node) -> Sequence[Value]:
    x, scale, bias, mean, variance = (v for v in node.inputs if v is not None)
    for running in (mean, variance):
        if not isinstance(running.node, Leaf) or running.node.kind != "state":
            what = "an input" if isinstance(running.node, Leaf) else "computed"
            raise DeclarationError(
                f"the running statistics of the batch normalization {node.source} are {what}, so training cannot move "
                f"them on; make them initializers, or leave training=True out ({source_line()})"
            )
    epsilon, momentum = node.attributes["epsilon"], node.attributes["momentum"]
    rank = len(x.type.shape)
    wide = DType.float32 if is_half(x.type.dtype) else x.type.dtype
    if one_kernel_normalizes(x) and scale.type.dtype is wide:
        y, batch_mean, batch_variance = by_batch(x, scale, bias, epsilon)
    else:
        z, batch_mean, batch_variance = standardized(_cast(x, wide), [0, *range(2, rank)], epsilon)
        y = z * along_channels(_cast(scale, wide), rank) + along_channels(_cast(bias, wide), rank)
    following = []
    for running, batch in ((mean, batch_mean), (variance, batch_variance)):
        # In float32 at least: what a batch adds may be too little for 16 bits.
        kept = DType.float32 if is_half(running.type.dtype) else running.type.dtype
        moved = _cast(running, kept) * momentum + _cast(ops.reshape(batch, [-1]), kept) * (1 - momentum)
        moved = _cast(moved, running.type.dtype)
        following.append(ops.identity.apply((moved,), None, (running.type,)).outputs[0])
    inference = ops.batch_normalization(x, scale, bias, mean, variance, epsilon=epsilon, momentum=momentum)
    result = in_training(_cast(y, x.type.dtype), inference, list(zip((mean, variance), following, strict=True)))
    if len(node.outputs) == 1:
        return (result,)
    return result, in_training(following[0], mean), in_training(following[1], variance)


def _cast(x: Value, dtype: DType) -> Value:
    return x if x.type.dtype is dtype else ops.cast(x, to=dtype)
