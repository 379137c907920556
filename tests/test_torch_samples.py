"""PyTorch's own samples as the judge: ours in float32 on onnxruntime, PyTorch in float64, values and gradients."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from evaluation import Array

import staticgrad as sg
from staticgrad.graph import Leaf, Value
from staticgrad.methods import FUNCTIONS

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's samples need it")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

OURS = {"__getitem__": "getitem", "true_divide": "div", "unfold": "unfold_dimension"}
"""Where PyTorch's samples go by another name than our function."""

MEANINGLESS = {"device", "requires_grad", "layout", "memory_format", "pin_memory"}
"""Where and how PyTorch stores numbers."""

outcomes: Counter[str] = Counter()
refusals: list[str] = []


def name_of(info: Any) -> str | None:
    """Our function for the samples, or None."""
    prefix, _, name = info.name.rpartition(".")
    name = OURS.get(info.name, name)
    return name if prefix in ("", "nn.functional") and name in {*FUNCTIONS, "getitem"} - {"to"} else None


JUDGED = [info for info in op_db if name_of(info) and info.supports_dtype(torch.float64, "cpu")]


CALLS: dict[str, Callable[..., Any]] = {
    "getitem": lambda x, index: x[index],
    "einsum": lambda operands, equation: FUNCTIONS["einsum"](equation, *operands),
    "embedding": lambda weight, x, **keywords: FUNCTIONS["embedding"](x, weight, **keywords),
    "embedding_bag": lambda weight, x, *rest, **keywords: FUNCTIONS["embedding_bag"](x, weight, *rest, **keywords),
    # The samples bring a module of PyTorch's that is the default.
    "triplet_margin_with_distance_loss": lambda *xs, distance_function, **keywords: FUNCTIONS[
        "triplet_margin_with_distance_loss"
    ](*xs, **keywords),
    "where": lambda x, condition, other: FUNCTIONS["where"](condition, x, other),
}
"""Where the samples bring the arguments in another order than the function takes them."""


def called(name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    return (CALLS.get(name) or FUNCTIONS[name])(*arguments, **keywords)


class Sample:
    """One call, with its tensors rounded to float32, so that both sides get the same numbers."""

    def __init__(self, info: Any, sample: Any) -> None:
        self.info = info
        self.sample = sample
        self.tensors: list[Any] = []

    def arguments(self, convert: Callable[[Any], Any]) -> tuple[list[Any], dict[str, Any]]:
        self.tensors = []
        given = [self.sample.input, *self.sample.args]
        keywords = {k: x for k, x in self.sample.kwargs.items() if k not in MEANINGLESS}
        return [mapped(x, convert) for x in given], {k: mapped(x, convert) for k, x in keywords.items()}

    def torch_results(self, dtype: Any = torch.float64) -> tuple[list[Any], list[Array], list[Array]]:
        """The results, the cotangents of the differentiable ones and the gradients of the leaves."""
        leaves: list[Any] = []

        def convert(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return x
            if not x.is_floating_point():
                return x.detach().clone()
            exact = x.detach().to(torch.float32).to(dtype, copy=True).requires_grad_(x.requires_grad)
            if x.requires_grad:
                leaves.append(exact)
            return exact

        arguments, keywords = self.arguments(convert)
        outputs = list(flat(self.info.op(*arguments, **keywords)))
        cotangents = [
            np.random.default_rng(i).uniform(0.5, 1.5, tuple(y.shape)).astype(np.float32)
            for i, y in enumerate(outputs)
            if y.requires_grad
        ]
        gradients = [np.zeros(tuple(x.shape)) for x in leaves]
        followed = [y for y in outputs if y.requires_grad]
        if followed and leaves:
            seeds = [torch.tensor(c, dtype=y.dtype) for c, y in zip(cotangents, followed, strict=True)]
            found = torch.autograd.grad(followed, leaves, seeds, allow_unused=True)
            gradients = [
                z if g is None else g.detach().numpy(force=True) for z, g in zip(gradients, found, strict=True)
            ]
        self.followed = [y.requires_grad for y in outputs]
        return [y.detach() for y in outputs], cotangents, gradients

    def our_function(self, cotangents: list[Array]) -> Callable[[], tuple[list[Array], list[Array]]]:
        """What gives the same by onnxruntime; raises a StaticgradError where the sample is refused."""
        inputs: list[Value] = []
        wanted: list[Value] = []
        feeds: dict[str, Array] = {}

        def convert(x: Any) -> Any:
            if isinstance(x, torch.dtype):
                return str(x).removeprefix("torch.").replace("float64", "float32")
            if isinstance(x, torch.Size):
                return tuple(x)
            if not isinstance(x, torch.Tensor):
                return x
            array = x.detach().to(torch.float32).numpy() if x.is_floating_point() else x.detach().numpy()
            name = f"x{len(inputs)}"
            inputs.append(sg.input(name, array.shape, str(array.dtype)))
            feeds[name] = np.ascontiguousarray(array).reshape(array.shape)
            if x.requires_grad:
                wanted.append(inputs[-1])
            return inputs[-1]

        arguments, keywords = self.arguments(convert)
        outputs = list(flat(called(name_of(self.info) or "", arguments, keywords)))
        followed = [y for y, follow in zip(outputs, self.followed, strict=True) if follow]
        seeds = [Leaf("input", f"g{i}", y.type).outputs[0] for i, y in enumerate(followed)]
        gradients = list(sg.vjp(followed, wanted, seeds)) if followed and wanted else []
        run = sg.function([*outputs, *gradients], [*inputs, *seeds])
        feeds |= {
            f"g{i}": c.astype(y.type.dtype.numpy) for i, (c, y) in enumerate(zip(cotangents, followed, strict=True))
        }

        def results() -> tuple[list[Array], list[Array]]:
            found = run(**feeds)
            return list(found[: len(outputs)]), list(found[len(outputs) :])

        return results


def mapped(x: Any, convert: Callable[[Any], Any]) -> Any:
    """An argument with every tensor in it converted."""
    if isinstance(x, list | tuple) and not isinstance(x, torch.Size):
        return type(x)(mapped(y, convert) for y in x)
    if isinstance(x, slice):
        return slice(*(mapped(y, convert) for y in (x.start, x.stop, x.step)))
    return convert(x)


def flat(results: Any) -> Iterator[Any]:
    """All tensors of nested results."""
    if isinstance(results, list | tuple):
        for result in results:
            yield from flat(result)
    else:
        yield results


def difference(found: Array, expected: Array) -> str | None:
    """What is wrong with a float32 result, or None: relative to the largest number beside it."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind != "f":
        return None if np.array_equal(found, expected) else f"{found}, expected {expected}"
    expected = expected.astype(found.dtype).astype(np.float64)
    finite = np.isfinite(expected)
    scale = float(np.abs(expected[finite]).max(initial=0))
    unit = max(float(ml_dtypes.finfo(found.dtype).eps), 2.0**-23)
    close = np.isclose(
        found.astype(np.float64), expected, rtol=2e3 * unit, atol=(100 * scale + 10) * unit, equal_nan=True
    )
    if close.all():
        return None
    i = tuple(int(k[0]) for k in np.nonzero(np.atleast_1d(~close)))
    return f"{np.atleast_1d(found)[i]}, expected {np.atleast_1d(expected)[i]} at {i} of {expected.shape}"


def as_near_as_torch(sample: Sample, kind: str, i: int, found: Array, exact: Array) -> bool:
    """Whether PyTorch itself errs as much in float32, as where a softmax of one large number saturates."""
    if found.shape != exact.shape or exact.dtype.kind != "f" or not np.isfinite([*found.flat, *exact.flat]).all():
        return False
    values, _, gradients = sample.torch_results(torch.float32)
    theirs = gradients[i] if kind == "gradient" else values[i].numpy()
    return float(np.abs(found - exact).max()) <= 2 * float(np.abs(theirs - exact).max())


def judged(info: Any, sample: Any) -> str | None:
    """None where a sample is right, else what is wrong; a refusal is counted and raises nothing."""
    ours = Sample(info, sample)
    values, cotangents, gradients = ours.torch_results()
    try:
        run = ours.our_function(cotangents)
    except sg.StaticgradError as error:
        outcomes["refused"] += 1
        refusals.append(f"{info.name}: {error}")
        return None
    found, pulled = run()
    expected = [v.double().numpy() if v.is_floating_point() else v.numpy() for v in values]
    for kind, ys, zs in (("value", found, expected), ("gradient", pulled, gradients if pulled else [])):
        for i, (y, z) in enumerate(zip(ys, zs, strict=True)):
            wrong = difference(y, z)
            if wrong and not as_near_as_torch(ours, kind, i, y, z):
                return f"{kind} {i}: {wrong}"
    outcomes["right"] += 1
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("info", JUDGED, ids=lambda info: f"{info.name}-{info.variant_test_name}")
def test_samples(info: Any) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    requires_grad = bool(info.supports_autograd)
    wrong = []
    for position, sample in enumerate(info.sample_inputs("cpu", torch.float64, requires_grad=requires_grad)):
        try:
            verdict = judged(info, sample)
        except Exception as error:
            verdict = f"{type(error).__name__}: {error}"
        if verdict:
            outcomes["wrong"] += 1
            wrong.append(f"sample {position} {sample.summary()}: {verdict}")
    assert not wrong, f"{len(wrong)} samples are wrong:\n" + "\n".join(wrong[:5])


def summary() -> str:
    """How many samples are right, refused and wrong."""
    total = sum(outcomes.values())
    return f"{total} samples: {outcomes['right']} right, {outcomes['refused']} refused, {outcomes['wrong']} wrong"


def test_hardly_any_sample_is_refused() -> None:
    assert outcomes["refused"] < 0.03 * sum(outcomes.values()), summary() + "\n" + "\n".join(refusals)
