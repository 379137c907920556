"""Run a training step with its state kept on the device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from ml_dtypes import bfloat16

from staticgrad.errors import CheckpointError, DeclarationError, FeedError, NotFiniteError, shown
from staticgrad.graph import Array, Graph
from staticgrad.optimise import optimise
from staticgrad.origin import source_line
from staticgrad.runtime import checkpoint
from staticgrad.runtime.batches import Batch, as_batch, batches_of, check_counts, count_samples, shapes_of
from staticgrad.runtime.device import CPU, Device, bind_feed, empty_on, resolve_device, to_device, to_numpy
from staticgrad.runtime.feeds import Feeds
from staticgrad.runtime.finite import first_not_finite, with_finite_flags
from staticgrad.runtime.in_place import overwritten
from staticgrad.runtime.many_steps import COUNT, repeated, scanned
from staticgrad.runtime.session import Session, SessionSettings
from staticgrad.train.step import TrainStep
from staticgrad.types import DType, is_static, is_unknown

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

Numbers = dict[str, float]


class StepResult:
    """What one step gave: `float(result)` is the loss, `result["accuracy"]` a metric; read only when asked for."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Array:
        if name not in self._values:
            raise KeyError(f"no result {name!r}; there are {', '.join(self._values)}")
        value = self._values[name]
        return value if isinstance(value, np.ndarray) else to_numpy(value)

    def keys(self) -> Iterable[str]:
        """The loss and the metrics, by name."""
        return self._values.keys()

    @property
    def loss(self) -> float:
        """The loss before this step's update."""
        return float(self["loss"])

    def __float__(self) -> float:
        return self.loss

    def __format__(self, spec: str) -> str:
        return format(self.loss, spec)

    def __repr__(self) -> str:
        return f"<StepResult: {', '.join(f'{name}={self[name]!s}' for name in self._values)}>"


def means_of(results: Iterable[tuple[StepResult, int]]) -> Numbers:
    """Means of results weighted by their numbers of samples; read from the device only at the end."""
    kept = list(results)
    if not kept:
        raise FeedError(f"there is no batch to run on ({source_line()})")
    weights = [count for _, count in kept]
    return {
        name: float(np.average([np.mean(result[name]) for result, _ in kept], weights=weights))
        for name in kept[0][0].keys()
    }


class Trainer:
    """A training step on onnxruntime; the state stays on the device from step to step.

    `device`: "auto" (CUDA where it is), "cpu", "cuda" or "cuda:1". `check_finite` names the first value of a step that
    is not finite, and keeps the state from before that step. The other arguments are those of `SessionSettings`.
    """

    def __init__(
        self,
        step: TrainStep,
        device: str = "auto",
        *,
        check_finite: bool = False,
        threads: int | None = None,
        optimization: str = "all",
        provider_options: Mapping[str, Any] | None = None,
        profile: str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(step, TrainStep):
            raise DeclarationError(f"a Trainer needs what sg.train_step gives, {shown(step)} came ({source_line()})")
        self._step = step
        self._device = resolve_device(device)
        self._settings = SessionSettings(threads, optimization, dict(provider_options or {}), profile, cache)
        # Formulations are chosen for a device.
        target = self._device.target
        graph = step.graph if target == "cpu" else optimise(step.declared, target=target)
        self._graph = graph
        self._flags: str | None = None
        if check_finite:
            graph, self._flags = with_finite_flags(graph)
        self._session = Session(exporters.step_model(graph, step.state), self._device, self._settings)
        self._feeds = Feeds({name: step.graph.inputs[name] for name in step.feeds}, step.graph)
        self._results = ["loss", *step.metrics]
        # A state that its step does not change needs no second buffer, nor a copy.
        outputs, inputs = step.graph.outputs, step.graph.inputs
        self._changing = [name for name in step.state if outputs[f"{name}.next"] is not inputs[name]]
        # Where the state from before a step may be wanted, or the order on a device is not known, nothing is.
        safe = self._device.kind == "cpu" and not check_finite
        self._overwritten = overwritten(step.graph, self._changing, self._results) if safe else set()
        self._others: dict[str, _Pass] = {}
        self._many: dict[str, Session] = {}
        self._epochs = 0
        # Buffers and bindings belong to one step at a time.
        self._lock = RLock()
        self._place(step.state)

    @property
    def device(self) -> str:
        """Where the step runs: "cpu" or "cuda"."""
        return str(self._device)

    @property
    def session(self) -> Any:
        """The onnxruntime session of the training step."""
        return self._session.onnxruntime

    def __repr__(self) -> str:
        return f"<Trainer on {self.device}: {', '.join(self._step.parameters)}>"

    def _place(self, state: Mapping[str, Array]) -> None:
        """Put the state on the device, with a second buffer for what a step may not overwrite."""
        # By its type: initial values are made whenever they are asked for.
        types = {name: self._step.graph.inputs[name].type for name in self._changing if name not in self._overwritten}
        spare = {name: empty_on(self._device, t.dtype, tuple(int(d) for d in t.shape)) for name, t in types.items()}
        self._bind({name: to_device(array, self._device) for name, array in state.items()}, spare)

    def _bind(self, values: Mapping[str, Any], spare: Mapping[str, Any]) -> None:
        """Bind the state to steps, and what has two buffers to them in turn."""
        self._buffers = [dict(values)]
        if spare:
            self._buffers.append({**values, **spare})
        self._bindings = []
        for now in range(len(self._buffers)):
            after = (now + 1) % len(self._buffers)
            binding = self._session.onnxruntime.io_binding()
            for name, value in self._buffers[now].items():
                binding.bind_ortvalue_input(name, value)
            for name in self._changing:
                binding.bind_ortvalue_output(f"{name}.next", self._buffers[after][name])
            self._bindings.append(binding)
        self._current = 0
        # On the CPU, results of fixed size land in one array each, and are copied from there.
        types = {name: self._step.graph.outputs[name].type for name in self._results}
        self._landing = {
            name: np.empty([int(d) for d in type.shape], type.dtype.numpy)
            for name, type in types.items()
            if self._device.kind == "cpu" and is_static(type.shape) and type.dtype is not DType.bfloat16
        }
        for binding in self._bindings:
            for name, array in self._landing.items():
                binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self._allocated = [name for name in self._results if name not in self._landing]

    def step(self, feeds: Batch | None = None, /, **named: Any) -> StepResult:
        """One step on a batch, given by input name, or as a dict for names that are no identifiers."""
        if feeds is not None:
            named = {**as_batch(feeds), **named} if named else as_batch(feeds)  # type: ignore[assignment]
        given = self._feeds.check(named)
        with self._lock:
            binding = self._bindings[self._current]
            for name, array in given.items():
                bind_feed(binding, name, array)
            if self._allocated or self._flags is not None:
                values = self._run_allocating(binding)
            else:
                self._session.run(binding)
                values = {name: array.copy() for name, array in self._landing.items()}
            self._current = (self._current + 1) % len(self._buffers)
        return StepResult(values)

    def steps(self, data: Batch | Iterable[Batch], count: int | None = None) -> list[StepResult]:
        """A step on each of some batches, or `count` steps on one, in as few calls as their shapes allow.

        The same as so many calls of `step`, without what a call costs; batches of equal shapes are copied into one
        array, which has to fit into memory.
        """
        if isinstance(data, Mapping):
            check_counts(count=1 if count is None else count)
            return self._repeat(as_batch(data), count or 1)
        if count is not None:
            raise FeedError(f"count is for one batch, which is a dict; batches have their own ({source_line()})")
        if not isinstance(data, Iterable):
            raise FeedError(f"data is a dict of arrays, or batches of those, {shown(data)} came ({source_line()})")
        results: list[StepResult] = []
        for batches in groupby(map(self._feeds.check, map(as_batch, data)), key=shapes_of):
            results += self._scan(list(batches[1]))
        return results

    def _repeat(self, batch: Batch, count: int) -> list[StepResult]:
        if count == 1 or self._flags is not None:
            return [self.step(batch) for _ in range(count)]
        feeds = {**self._feeds.check(batch), COUNT: np.array(count)}
        return self._run_many("repeated", repeated, feeds, count)

    def _scan(self, batches: list[dict[str, Any]]) -> list[StepResult]:
        arrays = all(isinstance(a, np.ndarray) and a.dtype != bfloat16 for a in batches[0].values())
        if len(batches) == 1 or not batches[0] or not arrays or self._flags is not None:
            return [self.step(batch) for batch in batches]
        feeds = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
        return self._run_many("scanned", scanned, feeds, len(batches))

    def _run_many(
        self, name: str, graph_of: Callable[..., Graph], feeds: Mapping[str, Any], count: int
    ) -> list[StepResult]:
        with self._lock:
            if name not in self._many:
                graph = graph_of(self._graph, self._step.feeds, self._changing, self._results)
                self._many[name] = Session(exporters.to_model(graph), self._device, self._settings)
            following = [f"{state}.next" for state in self._changing]
            places = dict.fromkeys(following, self._device) | dict.fromkeys(self._results, CPU)
            before = self._buffers[self._current]
            found = self._many[name].call(feeds, before, places)
            # What was read is what may be written next.
            spare = {state: before[state] for state in self._changing if state not in self._overwritten}
            after = {state: found.pop(f"{state}.next") for state in self._changing}
            self._bind({**before, **after}, spare)
        results = {key: to_numpy(value) for key, value in found.items()}
        return [StepResult({key: array[i, ...] for key, array in results.items()}) for i in range(count)]

    def _run_allocating(self, binding: Any) -> dict[str, Any]:
        """Run where onnxruntime has to make room for some results: on another device, or of sizes not known before."""
        for name in self._allocated:
            binding.bind_output(name, self._device.kind, self._device.number)
        names = list(self._allocated)
        if self._flags is not None:
            binding.bind_output(self._flags, "cpu", 0)
            names.append(self._flags)
        self._session.run(binding)
        bound = [f"{name}.next" for name in self._changing] + list(self._landing) + names
        found = dict(zip(bound, binding.get_outputs(), strict=True))
        if self._flags is not None:
            bad = first_not_finite(self._graph, to_numpy(found.pop(self._flags)))
            if bad is not None:
                raise NotFiniteError(f"{bad}; the state is that before this step ({source_line()})")
        return {name: self._landing[name].copy() if name in self._landing else found[name] for name in self._results}

    def fit(
        self,
        data: Batch | Iterable[Batch],
        epochs: int = 1,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
        callback: Callable[[int, Numbers], object] | None = None,
    ) -> list[Numbers]:
        """Train on arrays by input name, cut along their first dimension, or on an iterable of batches (once an epoch).

        The last batch of an epoch may be smaller. Returns, for each epoch, the means of loss and metrics over the
        samples; `callback(epoch, means)` is called after each.
        """
        check_counts(epochs=epochs)
        if isinstance(data, Iterator) and epochs > 1:
            raise FeedError(
                f"an iterator is used up after one epoch; give a list of batches, or arrays ({source_line()})"
            )
        history = []
        for epoch in range(epochs):
            random = np.random.default_rng([seed, self._epochs]) if shuffle else None
            batches = batches_of(data, batch_size, self._feeds, random)
            means = means_of((self.step(batch), count_samples(batch, self._feeds)) for batch in batches)
            self._epochs += 1
            history.append(means)
            if callback is not None:
                callback(epoch, means)
        return history

    def evaluate(self, data: Batch | Iterable[Batch], batch_size: int | None = None) -> Numbers:
        """The means of loss and metrics over the samples of `data`, without an update."""
        run = self._pass("eval", self._step.eval_graph)
        batches = batches_of(data, batch_size, self._feeds, None)
        return means_of((StepResult(run(batch, self)), count_samples(batch, self._feeds)) for batch in batches)

    def predict(self, data: Batch | None = None, /, batch_size: int | None = None, **named: Any) -> dict[str, Array]:
        """The predictions for arrays by input name; with `batch_size`, in batches, joined along the first dimension."""
        run = self._pass("predict", self._step.predictions)
        given = {**as_batch(data if data is not None else {}), **named}
        batches = list(batches_of(given, batch_size, run.feeds, None)) or [given]
        if len(batches) > 1:
            run.check_rows()
        parts = [run(batch, self) for batch in batches]
        results = {name: [to_numpy(part[name]) for part in parts] for name in run.graph.outputs}
        return {name: arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for name, arrays in results.items()}

    def _pass(self, name: str, graph: Graph) -> _Pass:
        if name not in self._others:
            self._others[name] = _Pass(graph, set(self._step.state), self._device, self._settings)
        return self._others[name]

    def state(self) -> dict[str, Array]:
        """Copies of all state tensors, by name: parameters, other state, and that of the optimizer."""
        with self._lock:
            return {name: to_numpy(value) for name, value in self._buffers[self._current].items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Replace all state tensors; CheckpointError lists what does not fit."""
        if not isinstance(state, Mapping):
            raise CheckpointError(f"state is a dict of arrays by name, {shown(state)} came ({source_line()})")
        arrays = {name: np.asarray(array) for name, array in state.items()}
        types = {name: self._step.graph.inputs[name].type for name in self._step.state}
        differences = checkpoint.differences(arrays, types)
        if differences:
            raise CheckpointError(f"the state is of another model: {'; '.join(differences)} ({source_line()})")
        with self._lock:
            self._place({name: arrays[name] for name in self._step.state})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all state to a safetensors file in one step: it is there whole, or as it was before."""
        exporters.write_tensors(path, self.state(), {"staticgrad.kind": "checkpoint"})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take all state from a file that `save` wrote; training goes on as if it had never stopped."""
        arrays, _ = exporters.read_tensors(path)
        try:
            self.set_state(arrays)
        except CheckpointError as error:
            raise CheckpointError(f"{os.fspath(path)!r}: {error}") from None

    def export_inference(self, path: str | os.PathLike[str]) -> None:
        """Write the predictions as an ordinary ONNX model with the present state as initializers."""
        exporters.write_model(self._step.inference_model(self.state()), path)


class _Pass:
    """A graph that reads the trainer's state and changes none of it."""

    def __init__(self, graph: Graph, state: set[str], device: Device, settings: SessionSettings) -> None:
        self.graph = graph
        self.places = dict.fromkeys(graph.outputs, device)
        self.session = Session(exporters.to_model(graph), device, settings)
        self.state = [name for name in graph.inputs if name in state]
        self.feeds = Feeds({name: value for name, value in graph.inputs.items() if name not in state}, graph)

    def __call__(self, batch: Batch, trainer: Trainer) -> dict[str, Any]:
        given = self.feeds.check({name: array for name, array in batch.items() if name in self.feeds.types})
        with trainer._lock:
            state = trainer._buffers[trainer._current]
            return self.session.call(given, {name: state[name] for name in self.state}, self.places)

    def check_rows(self) -> None:
        """Whether every output has a row for each sample, so that those of several batches can be joined."""
        firsts = {type.shape[0] for type in self.feeds.types.values() if type.shape}
        for name, value in self.graph.outputs.items():
            shape = value.type.shape
            if not shape or (shape[0] not in firsts and not is_unknown(shape[0])):
                raise FeedError(
                    f"prediction {name!r} is {value.type}, which has no row for each sample; call predict without "
                    f"batch_size ({source_line()})"
                )
