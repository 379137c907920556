"""Models that PyTorch exported, differentiated and trained as files, against PyTorch's own autograd.

A gradient is right where its distance from PyTorch's in float64 is at most 1e-5 of that one's norm, tensor by tensor.
Where float32 is the limit it may be four times that of PyTorch's own in float32; and 1e-6 of the largest gradient, for
some are zero but for rounding, as that of a bias before a batch normalization.
"""

from __future__ import annotations

import copy
import functools
import importlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import Array

import staticgrad as sg
from staticgrad.graph import Value

torch = pytest.importorskip("torch")

from torch_architectures import ARCHITECTURES, built  # noqa: E402

SIZES = (3, 5)
RATE = 0.05
TOLERANCE = 1e-5


def exported(name: str, model: Any, exporter: str, **options: Any) -> onnx.ModelProto:
    """The file that PyTorch makes of a model."""
    architecture = ARCHITECTURES[name]
    torch.manual_seed(1)
    inputs = architecture.inputs(SIZES[0] + 1)
    names = [f"x{i}" for i in range(len(inputs))]
    model = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            pytest.importorskip("onnxscript", reason="PyTorch's newer exporter needs it")
            shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in axes} or None for axes in architecture.axes)
            program = torch.onnx.export(
                model, inputs, input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False, **options
            )
            return program.model_proto
        file = io.BytesIO()
        torch.onnx.export(
            torch.jit.script(model) if architecture.scripted else model,
            inputs,
            file,
            input_names=names,
            dynamic_axes=dict(zip(names, architecture.axes, strict=True)),
            dynamo=False,
            **options,
        )
        return onnx.load_from_string(file.getvalue())


class Origins:
    """Where the numbers of a file's initializers come from.

    Exporters rename, transpose, reorder and join weights. All numbers of the models here are different, so that each
    number of an initializer tells its place. Where an exporter computed new weights, `folded` says how.
    """

    def __init__(self, name: str, model: Any, proto: onnx.ModelProto) -> None:
        self.folded = ARCHITECTURES[name].folded
        self.names = [key for key, _ in model.named_parameters()]
        self.buffers = dict(model.named_buffers())
        numbers = self.flat(dict(model.named_parameters())).detach().numpy()
        order = np.argsort(numbers, kind="stable")
        self.found: dict[str, Array] = {}
        for tensor in proto.graph.initializer:
            array = onnx.numpy_helper.to_array(tensor)
            if array.dtype != np.float32 or not np.isfinite(array).all() or not array.size:
                continue
            near = np.searchsorted(numbers[order], array).clip(1, len(numbers) - 1)
            left, right = (np.abs(numbers[order[i]] - array) for i in (near - 1, near))
            distance = np.minimum(left, right)
            if (distance <= 1e-6 * np.abs(array) + 3e-7 * np.abs(array).max()).all():
                self.found[tensor.name] = order[np.where(left < right, near - 1, near)]

    def flat(self, parameters: Mapping[str, Any]) -> Any:
        """All numbers of the parameters, and then those folded from them."""
        own = [parameters[name] for name in self.names]
        made = self.folded({**parameters, **self.buffers}) if self.folded else []
        return torch.cat([x.flatten() for x in [*own, *made]])

    def pulled(self, parameters: Mapping[str, Any], gradients: Mapping[str, Array]) -> list[Array]:
        """The gradients by the parameters, from those by initializers."""
        flat = self.flat(parameters)
        total = np.zeros(flat.shape)
        for name, places in self.found.items():
            np.add.at(total, places, gradients[name])
        found = torch.autograd.grad(flat, list(parameters.values()), torch.tensor(total))
        return [g.numpy() for g in found]

    def parameters(self, parameters: Mapping[str, Any], state: Mapping[str, Array]) -> list[Array]:
        """The parameters whose numbers stand in initializers."""
        flat = np.full(self.flat(parameters).shape, np.nan)
        for name, places in self.found.items():
            flat[places] = state[name]
        sizes = [x.numel() for x in parameters.values()]
        parts = np.split(flat, np.cumsum(sizes))[: len(sizes)]
        return [part.reshape(x.shape) for part, x in zip(parts, parameters.values(), strict=True)]


def with_dtype(model: Any, dtype: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A copy of a model, its parameters as leaves, its buffers."""
    model = copy.deepcopy(model).to(dtype)
    return model, dict(model.named_parameters()), dict(model.named_buffers())


def flat(results: Any) -> list[Any]:
    return [y for part in results for y in flat(part)] if isinstance(results, list | tuple) else [results]


def torch_gradients(
    model: Any, inputs: Sequence[Any], cotangents: Sequence[Array] | None, dtype: Any
) -> tuple[list[Array], list[Array]]:
    """The outputs, and the gradients by floating inputs and by parameters."""
    model, parameters, _ = with_dtype(model, dtype)
    given = [x.to(dtype).requires_grad_() if x.is_floating_point() else x for x in inputs]
    outputs = flat(model(*given))
    leaves = [x for x in given if x.requires_grad] + list(parameters.values())
    if cotangents is None:
        return [y.detach().numpy() for y in outputs], []
    seeds = [torch.tensor(c, dtype=dtype) for c in cotangents]
    found = torch.autograd.grad(outputs, leaves, seeds, allow_unused=True)
    zeros = [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]
    return [y.detach().numpy() for y in outputs], [g.numpy() for g in zeros]


def distance(found: Array, exact: Array) -> float:
    assert found.shape == exact.shape
    return float(np.linalg.norm((found.astype(np.float64) - exact).ravel()))


def check_standard(model: onnx.ModelProto) -> None:
    """Nothing but valid standard operators."""
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""} and not model.functions
    assert {node.domain for node in nodes(model.graph)} == {""}


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


def check_gradients(name: str, model: Any, proto: onnx.ModelProto, origins: Origins) -> float:
    """Values and gradients by all floating inputs and initializers at once; gives the worst relative error."""
    held = {tensor.name for tensor in proto.graph.initializer}
    inputs = [x for x in proto.graph.input if x.name not in held]
    floating = [x.name for x in inputs if x.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    gradient = sg.gradient_model(proto, wrt=[*floating, *origins.found])
    check_standard(gradient)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(gradient.SerializeToString(), settings, ["CPUExecutionProvider"])
    outputs = [y.name for y in proto.graph.output]
    worst = 0.0
    for size in SIZES:
        torch.manual_seed(size)
        given = ARCHITECTURES[name].inputs(size)
        values, _ = torch_gradients(model, given, None, torch.float64)
        random = np.random.default_rng(size)
        cotangents = [random.standard_normal(y.shape).astype(np.float32) for y in values]
        feeds = {x.name: array.numpy() for x, array in zip(inputs, given, strict=True)}
        feeds |= {f"cotangent.{y}": c for y, c in zip(outputs, cotangents, strict=True)}
        taken = {x.name for x in session.get_inputs()}
        if taken & {f"cotangent.{y}" for y in outputs} == set():
            cotangents = [np.ones((), np.float32)]
        names = [y.name for y in session.get_outputs()]
        results = dict(zip(names, session.run(None, {n: a for n, a in feeds.items() if n in taken}), strict=True))
        values, exact = torch_gradients(model, given, cotangents, torch.float64)
        theirs = torch_gradients(model, given, cotangents, torch.float32)
        parameters = with_dtype(model, torch.float64)[1]
        found = [results[f"grad.{n}"] for n in floating]
        found += origins.pulled(parameters, {n: results[f"grad.{n}"] for n in origins.found})
        labels = [*outputs, *floating, *parameters]
        everything = zip(
            labels, [*map(results.get, outputs), *found], [*values, *exact], [*theirs[0], *theirs[1]], strict=True
        )
        largest = max(float(np.linalg.norm(g)) for g in exact)
        for label, ours, right, torchs in everything:
            error = distance(ours, right)
            scale = float(np.linalg.norm(right))
            limit = max(TOLERANCE * scale, 4 * distance(torchs, right))
            limit = max(limit, 1e-6 * largest)
            assert error <= limit, f"{label} at {size}: {error:.2e} off, {scale:.2e} large, allowed {limit:.2e}"
            if 0 < limit == TOLERANCE * scale:
                worst = max(worst, error / scale)
    return worst


def squares(*outputs: Value) -> Value:
    """A loss of any outputs."""
    total = sum((y * y).mean() for y in outputs)
    assert isinstance(total, Value)
    return total


def check_training(
    name: str, model: Any, proto: onnx.ModelProto, origins: Origins, training: bool = False
) -> dict[str, Array]:
    """Two steps of SGD: the parameters are PyTorch's; gives the last state."""
    step = sg.train_step_model(proto, squares, sg.optim.sgd(RATE), params=list(origins.found), training=training)
    check_standard(step.model())
    trainer = sg.Trainer(step, device="cpu", threads=1)
    ends = []
    for dtype in (torch.float64, torch.float32):
        theirs, parameters, _ = with_dtype(model, dtype)
        optimizer = torch.optim.SGD(parameters.values(), RATE)
        for size in SIZES:
            torch.manual_seed(size)
            given = ARCHITECTURES[name].inputs(size)
            if dtype == torch.float64:
                held = [x.name for x in proto.graph.input]
                trainer.step({n: x.numpy() for n, x in zip(held, given, strict=True)})
            optimizer.zero_grad()
            outputs = flat(theirs(*[x.to(dtype) if x.is_floating_point() else x for x in given]))
            sum((y * y).mean() for y in outputs).backward()
            optimizer.step()
        ends.append([x.detach().numpy() for x in parameters.values()])
    starts = dict(model.named_parameters())
    state = trainer.state()
    for key, found, exact, theirs in zip(starts, origins.parameters(starts, state), *ends, strict=True):
        change = distance(starts[key].detach().numpy(), exact)
        limit = max(TOLERANCE * change, 4 * distance(theirs, exact), 1e-7 * float(np.linalg.norm(exact)))
        assert distance(found, exact) <= limit, f"{key}: {distance(found, exact):.2e} off, moved by {change:.2e}"
    return state


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """One thread, and PyTorch's newer exporter parses its operators once, not for every model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        try:
            registry = importlib.import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
            patch.setattr(registry, "from_torchlib", staticmethod(functools.cache(registry.from_torchlib)))
        except (ImportError, AttributeError):
            pass
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("exporter", ["old", "dynamo"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_models(name: str, exporter: str) -> None:
    if exporter == "dynamo" and ARCHITECTURES[name].scripted:
        pytest.skip("the newer exporter takes no scripts")
    model = built(name).eval()
    # With folding the older exporter makes a constant of the norm of a weight.
    options = {"do_constant_folding": False} if (name, exporter) == ("temporal", "old") else {}
    proto = exported(name, model, exporter, **options)
    origins = Origins(name, model, proto)
    worst = check_gradients(name, model, proto, origins)
    assert 0 < worst < TOLERANCE
    # Of weights that an exporter folded together no parameters can be told.
    own = sum(x.numel() for x in model.parameters())
    whole = {int(i) for places in origins.found.values() for i in places.ravel()} == {*range(own)}
    assert whole or ARCHITECTURES[name].folded
    if whole:
        check_training(name, model, proto, origins)


@pytest.mark.parametrize("name", ["cnn", "residual"])
@pytest.mark.parametrize("mode", ["TRAINING", "PRESERVE"])
def test_batch_normalization_in_training(name: str, mode: str) -> None:
    model = built(name).train()
    training = getattr(torch.onnx.TrainingMode, mode)
    proto = exported(name, model, "old", training=training, do_constant_folding=False)
    layers = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    assert layers and all(a.i == 1 for node in layers for a in node.attribute if a.name == "training_mode")
    origins = Origins(name, model, proto)
    check_gradients(name, model, proto, origins)
    check_training(name, model, proto, origins)


@pytest.mark.parametrize("name", ["cnn", "residual"])
def test_an_inference_model_is_put_into_training(name: str) -> None:
    model = built(name).eval()
    training = torch.onnx.TrainingMode.PRESERVE
    proto = exported(name, model, "old", training=training, do_constant_folding=False)
    assert any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    origins = Origins(name, model, proto)
    check_gradients(name, model, proto, origins)
    check_training(name, model, proto, origins)
    state = check_training(name, model.train(), proto, origins, training=True)
    # PyTorch's running variances are those of samples, ONNX's of the batch as it is: compared are the means.
    means = {key: x for key, x in model.named_buffers() if key.endswith("running_mean")}
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for size in SIZES:
        torch.manual_seed(size)
        optimizer.zero_grad()
        (model(*ARCHITECTURES[name].inputs(size)) ** 2).mean().backward()
        optimizer.step()
    for key, mean in means.items():
        np.testing.assert_allclose(state[key], mean.numpy(), rtol=1e-4, atol=1e-6)
