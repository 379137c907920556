"""Any graph as a callable on onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import onnx

from staticgrad.declare import check_update, leaves_behind
from staticgrad.errors import DeclarationError, shown
from staticgrad.graph import Array, Graph, Leaf, Value
from staticgrad.optimise import optimise
from staticgrad.origin import source_line
from staticgrad.runtime.device import CPU, resolve_device, to_device, to_numpy
from staticgrad.runtime.feeds import Feeds
from staticgrad.runtime.session import Session, SessionSettings

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

Form = Literal["one", "tuple", "dict"]


class Function:
    """A graph compiled for onnxruntime; made by `function`.

    Called with arrays by position (in order of the inputs) or by name. `graph` is what runs; parameters and states
    are held inside.
    """

    def __init__(
        self,
        graph: Graph,
        form: Form,
        updated: tuple[str, ...],
        state: Mapping[str, Array],
        device: str,
        settings: SessionSettings,
    ) -> None:
        self.graph = graph
        self._form = form
        self._updated = updated
        self._initial = dict(state)
        self._device = resolve_device(device)
        model = self.model()
        self._session = Session(model, self._device, settings)
        self._state = {name: to_device(state[name], self._device) for name in updated}
        self._feeds = Feeds({n: v for n, v in graph.inputs.items() if n not in state}, graph)
        self._lock = Lock()
        self._results = [name for name in graph.outputs if name.removesuffix(".next") not in updated]
        # Results are wanted as arrays, next states where the next call needs them.
        self._places = {name: CPU if name in self._results else self._device for name in graph.outputs}

    def model(self) -> onnx.ModelProto:
        """The ONNX model: parameters and states are initializers; those that are updated are inputs with a default."""
        fixed = {name: array for name, array in self._initial.items() if name not in self._updated}
        defaults = {name: self._initial[name] for name in self._updated}
        metadata = exporters.metadata_of("function", self._updated)
        return exporters.to_model(self.graph, metadata, fixed, defaults)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the ONNX model of this function."""
        exporters.write_model(self.model(), path)

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        given = self._feeds.check(self._feeds.positional(arrays, named))
        with self._lock:
            found = self._session.call(given, self._state, self._places)
            self._state = {name: found[f"{name}.next"] for name in self._updated}
        results = {name: to_numpy(found[name]) for name in self._results}
        if self._form == "dict":
            return results
        return next(iter(results.values())) if self._form == "one" else tuple(results.values())

    def __str__(self) -> str:
        return str(self.graph)


def function(
    outputs: Value | Iterable[Value] | Mapping[str, Value],
    inputs: Value | Iterable[Value] | None = None,
    updates: Mapping[Value, Value] | None = None,
    device: str = "auto",
    settings: SessionSettings | None = None,
) -> Function:
    """Compile a graph to a callable on onnxruntime.

    A list of outputs gives a tuple of numpy arrays, a single Value one array, a dict a dict, under whose names the
    outputs are exported too (`output0`, ... otherwise). `inputs` fixes the order of the
    arguments (default: the declared inputs, in order of declaration); inputs that nothing uses are accepted.
    Parameters and states are held inside with their initial values; `updates` maps a state to its next value, taken
    at every call.
    """
    form: Form = "one" if isinstance(outputs, Value) else "dict" if isinstance(outputs, Mapping) else "tuple"
    if isinstance(outputs, Mapping):
        results = _values(outputs.values(), "outputs")
    else:
        results = _values([outputs] if isinstance(outputs, Value) else outputs, "outputs")
    if not results:
        raise DeclarationError(f"outputs is empty: there is nothing to compute ({source_line()})")
    if updates is not None and not isinstance(updates, Mapping):
        raise DeclarationError(f"updates is a dict of states and next values, {shown(updates)} came ({source_line()})")
    following = dict(updates or {})
    for state, value in following.items():
        check_update(state, value)
    reached = leaves_behind([*results, *following.values(), *following])
    needed = {leaf.name: leaf for leaf in reached if leaf.kind == "input"}
    if inputs is None:
        arguments = needed
    else:
        arguments = _arguments([inputs] if isinstance(inputs, Value) else inputs)
        lost = [leaf for name, leaf in needed.items() if arguments.get(name) is not leaf]
        if lost:
            names = ", ".join(f"{leaf.name!r} (declared at {leaf.source})" for leaf in lost)
            raise DeclarationError(f"the outputs depend on {names}, which inputs does not list ({source_line()})")
    held = [leaf for leaf in reached if leaf.kind != "input" and arguments.get(leaf.name) is not leaf]
    states = {leaf.name: leaf.outputs[0] for leaf in held}
    clash = next((name for name in states if name in arguments), None)
    if clash is not None:
        raise DeclarationError(f"the name {clash!r} is declared twice ({source_line()})")
    for value in following:
        if value.name in arguments:
            raise DeclarationError(f"{value.name!r} is fed by the caller and updated too; leave one ({source_line()})")
    given = {name: leaf.outputs[0] for name, leaf in arguments.items()}
    updated = {value.node.name: following[value] for value in following if isinstance(value.node, Leaf)}
    if isinstance(outputs, Mapping):
        named = dict(outputs)
        taken = next((name for name in named if name in given or name in states or name.endswith(".next")), None)
        if taken is not None:
            raise DeclarationError(
                f"an output cannot be called {taken!r}: the name is taken or reserved ({source_line()})"
            )
    else:
        named = {_fresh(f"output{i}", {**given, **states}): value for i, value in enumerate(results)}
    named.update({f"{name}.next": value for name, value in updated.items()})
    graph = optimise(Graph("function", {**given, **states}, named), target=resolve_device(device).target)
    initial = {leaf.name: leaf.initial for leaf in held if leaf.initial is not None}
    return Function(graph, form, tuple(updated), initial, device, settings or SessionSettings())


def _fresh(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name


def _values(values: object, what: str) -> list[Value]:
    if not isinstance(values, Iterable):
        raise DeclarationError(f"{what} must be Values, {shown(values)} came ({source_line()})")
    listed = list(values)
    for value in listed:
        if not isinstance(value, Value):
            raise DeclarationError(f"{what} must be Values, {shown(value)} came ({source_line()})")
    return listed


def _arguments(values: Iterable[Value]) -> dict[str, Leaf]:
    arguments: dict[str, Leaf] = {}
    for value in _values(values, "inputs"):
        if not isinstance(value.node, Leaf):
            raise DeclarationError(f"inputs must be made by sg.input or sg.parameter, {value!r} came ({source_line()})")
        if value.node.name in arguments:
            raise DeclarationError(f"input {value.node.name!r} is listed twice ({source_line()})")
        arguments[value.node.name] = value.node
    return arguments
