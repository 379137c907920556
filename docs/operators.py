"""Write docs/operators.md and the facts behind it: `python docs/operators.py [--node-modules FOLDER]`.

ONNX's own tests of its operators are the samples: each that has one node is differentiated, and onnxruntime is asked
whether it has kernels for all that came of it. With Node and a folder of node modules that holds onnxruntime-web, the
same is asked of WebAssembly; without, what was found before stays.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime

import staticgrad as sg
from staticgrad import operator_table
from staticgrad.graph import Leaf
from staticgrad.reverse import backward

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT / "staticgrad" / "operator_table" / "facts.json"
PAGE = ROOT / "docs" / "operators.md"
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
_ASK_THE_WEB = """
import * as ort from "onnxruntime-web";
import fs from "node:fs";
ort.env.wasm.numThreads = 1;
const found = {};
for (const name of fs.readdirSync("models")) {
  const bytes = new Uint8Array(fs.readFileSync(`models/${name}`));
  try {
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    await session.release();
    found[name] = "";
  } catch (error) {
    found[name] = String(error.message ?? error);
  }
}
fs.writeFileSync("found.json", JSON.stringify({ version: ort.env.versions.web, found }));
process.exit(0);
"""


@lru_cache(maxsize=1)
def cases() -> tuple[Any, ...]:
    """ONNX's tests of operators."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(collect_testcases(None))


def gradients() -> dict[str, list[onnx.ModelProto]]:
    """The gradient models of all float32 samples, by operator."""
    return {name: models for name, (_, models) in _derived().items() if models}


def facts() -> dict[str, dict[str, list[str]]]:
    """For every operator that has a sample: inputs with a derivative, operators emitted, and what was refused."""
    return {name: found for name, (found, _) in sorted(_derived().items())}


@lru_cache(maxsize=1)
def _derived() -> dict[str, tuple[dict[str, list[str]], list[onnx.ModelProto]]]:
    found: dict[str, dict[str, set[str]]] = {}
    models: dict[str, list[onnx.ModelProto]] = {}
    for case in cases():
        graph = case.model.graph
        if "_expanded" in case.name:
            base = next((c for c in cases() if c.name == case.name.split("_expanded")[0]), None)
            if base is not None and len(base.model.graph.node) == 1:
                name = _name(base.model.graph.node[0])
                found.setdefault(name, _nothing())["body"] |= set(_operators(graph.node)) - {"Constant"}
            continue
        if len(graph.node) != 1 or not case.data_sets:
            continue
        name = _name(graph.node[0])
        here = found.setdefault(name, _nothing())
        variants = (case.model, _with_literals(case), _narrowed(_with_literals(case)))
        for model in {m.SerializeToString(deterministic=True): m for m in variants}.values():
            gradient = _gradient(model, here)
            if gradient is not None and _elements(model) & _FLOATS == {onnx.TensorProto.FLOAT}:
                models.setdefault(name, []).append(gradient)
    for model in more_samples():
        name = _name(model.graph.node[0])
        gradient = _gradient(model, found.setdefault(name, _nothing()))
        models.setdefault(name, []).extend([] if gradient is None else [gradient])
    return {n: ({k: sorted(v) for k, v in f.items() if v}, models.get(n, [])) for n, f in found.items()}


def more_samples() -> Iterator[onnx.ModelProto]:
    """What ONNX has no test of, or none in which some floating input is one of the graph."""
    yield _sample("BitCast", {"input": [2]}, opset=26, to=onnx.TensorProto.FLOAT)
    yield _sample("Cast", {"input": [2]}, to=onnx.TensorProto.DOUBLE, out=onnx.TensorProto.DOUBLE)
    yield _sample("Conv", {"X": [1, 2, 4, 4], "W": [3, 2, 3, 3], "B": [3]})
    yield _sample("ConvTranspose", {"X": [1, 2, 4, 4], "W": [2, 3, 3, 3], "B": [3]})
    yield _sample(
        "GRU", {"X": [3, 2, 4], "W": [1, 15, 4], "R": [1, 15, 5], "B": [1, 30], "": [], "initial_h": [1, 2, 5]}
    )
    yield _sample("GlobalLpPool", {"X": [1, 2, 4, 4]})
    yield _sample("MaxRoiPool", {"X": [1, 2, 4, 4], "rois": [3, 5]}, pooled_shape=[2, 2])
    yield _sample("RNN", {"X": [3, 2, 4], "W": [1, 5, 4], "R": [1, 5, 5], "B": [1, 10], "": [], "initial_h": [1, 2, 5]})
    yield _sample("Trilu", {"input": [3, 4]})
    yield _sequence_sample("SequenceConstruct", ["x", "x"], "xs")
    yield _sequence_sample("SequenceInsert", ["xs", "x", "position"], "xs")
    yield _sequence_sample("SequenceErase", ["xs", "position"], "xs")
    yield _sequence_sample("SequenceAt", ["xs", "position"], "x")
    yield _sequence_sample("ConcatFromSequence", ["xs"], "x", axis=0, new_axis=1)
    yield _sequence_sample("Optional", ["x"], "perhaps")
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "xy")
    condition = onnx.helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, [])
    branches = [
        onnx.helper.make_graph([onnx.helper.make_node(name, ["x"], ["y"])], name, [], [y]) for name in ("Exp", "Neg")
    ]
    node = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=branches[0], else_branch=branches[1])
    yield _model(onnx.helper.make_graph([node], "sample", [condition, x], [y]))


def _sample(
    operator: str, inputs: dict[str, list[int]], out: int = onnx.TensorProto.FLOAT, opset: int = 22, **attributes: Any
) -> onnx.ModelProto:
    if operator in ("GRU", "RNN"):
        attributes["hidden_size"] = 5
    node = onnx.helper.make_node(operator, list(inputs), ["y"], **attributes)
    formal = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in inputs.items() if n]
    y = onnx.helper.make_tensor_value_info("y", out, None)
    return _model(onnx.helper.make_graph([node], "sample", formal, [y]), opset)


def _sequence_sample(operator: str, inputs: list[str], output: str, **attributes: int) -> onnx.ModelProto:
    """A node on tensors `x` and sequences `xs`, with the first position as a literal."""
    tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [2] if output != "x" or "x" in inputs else None)
    types = {"x": tensor, "xs": onnx.helper.make_sequence_type_proto(tensor)}
    types["perhaps"] = onnx.helper.make_optional_type_proto(tensor)
    node = onnx.helper.make_node(operator, inputs, ["y"], **attributes)
    formal = [onnx.helper.make_value_info(n, types[n]) for n in dict.fromkeys(inputs) if n in types]
    zero = onnx.numpy_helper.from_array(np.zeros((), np.int64), "position")
    literals = [zero] if "position" in inputs else []
    y = onnx.helper.make_value_info("y", types[output])
    return _model(onnx.helper.make_graph([node], "sample", formal, [y], literals))


def _model(graph: onnx.GraphProto, opset: int = 22) -> onnx.ModelProto:
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)


def _narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model that takes float64 in float32."""
    narrow = onnx.ModelProto()
    narrow.CopyFrom(model)
    for info in (*narrow.graph.input, *narrow.graph.output):
        if info.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
            info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return narrow


def _nothing() -> dict[str, set[str]]:
    return {"inputs": set(), "emits": set(), "refused": set(), "body": set()}


def _name(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _elements(model: onnx.ModelProto) -> set[int]:
    return {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}


def _with_literals(case: Any) -> onnx.ModelProto:
    """The model of a case with its whole numbers as initializers."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    arrays = dict(zip([i.name for i in case.model.graph.input], case.data_sets[0][0], strict=False))
    for info in case.model.graph.input:
        array = arrays.get(info.name)
        if isinstance(array, np.ndarray) and array.dtype.kind in "iub":
            model.graph.input.remove(info)
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    return model


def _gradient(model: onnx.ModelProto, found: dict[str, set[str]]) -> onnx.ModelProto | None:
    """The gradient of a model of one node by all its inputs that have one; notes what that took."""
    node = model.graph.node[0]
    try:
        read = sg.from_onnx(model)
    except sg.StaticgradError as error:
        _note(found, error)
        return None
    outputs = [n for n, y in read.outputs.items() if y.type.dtype.is_float]
    inputs = {n: x for n, x in {**read.inputs, **read.parameters}.items() if x.type.dtype.is_float}
    if not outputs or not inputs:
        return None
    try:
        gradient = sg.gradient_model(model, of=outputs, wrt=list(inputs))
        seeds = {read.outputs[n]: Leaf("input", "g", read.outputs[n].type).outputs[0] for n in outputs}
        cotangents = backward(dict(seeds), list(inputs.values()))
    except sg.UnsupportedOperatorError as error:
        if f"::{node.op_type} (" in str(error):
            _note(found, error)
        return None
    except sg.StaticgradError as error:
        _note(found, error)
        return None
    moved = [n for n, x in inputs.items() if x in cotangents]
    found["inputs"] |= {_formal(model, node, n) for n in moved}
    before = Counter(_operators(model.graph.node))
    after = Counter(_operators(gradient.graph.node))
    found["emits"] |= {n for n, count in after.items() if count > before[n]} - {"Constant"}
    return gradient if moved else None


def _note(found: dict[str, set[str]], error: Exception) -> None:
    reason = _reason(str(error))
    if reason is not None:
        found["refused"].add(reason)


def _formal(model: onnx.ModelProto, node: onnx.NodeProto, name: str) -> str:
    if name not in node.input:
        return "what its bodies capture"
    position = list(node.input).index(name)
    opset = next(o.version for o in model.opset_import if o.domain == node.domain)
    formal = onnx.defs.get_schema(node.op_type, opset, node.domain).inputs
    return str(formal[min(position, len(formal) - 1)].name)


def _reason(text: str) -> str | None:
    """Why, without what belongs to the sample alone; None where that is the fault of the sample."""
    if re.search(r"has opset \d+; \d+ and newer|is no valid", text):
        return None
    text = re.sub(r"^no derivative of \S+ \(.*?\): ", "", text)
    text = re.split(r"; use sg\.custom_vjp|; in \w+\(| \(\w+\.py:\d+\)$|; node '|; in test_", text)[0]
    text = re.sub(r"element types \w+ and \w+ do not agree", "element types that do not agree", text)
    text = re.sub(r"its input '\w+' is .*", "sequences and optionals have none", text)
    return re.sub(r"\(test_[^)]*\) ", "", text)


def _operators(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.op_type
        for attribute in node.attribute:
            yield from _operators(attribute.g.node)


class Runs(NamedTuple):
    """In how many of the samples everything has a kernel, and what has none in the others."""

    number: int
    of: int
    lacks: list[str]


def on_cpu(models: Sequence[onnx.ModelProto]) -> Runs:
    """Ask onnxruntime's CPU provider."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    errors = []
    for model in models:
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
        except Exception as error:
            errors.append(str(error))
    return _runs(len(models), errors)


def _runs(number: int, errors: Sequence[str]) -> Runs:
    return Runs(number - len(errors), number, sorted({_lacking(error) for error in errors}))


def _lacking(text: str) -> str:
    """The operator that an error of onnxruntime is about."""
    match = re.search(r"implementation for (\w+)\(|In Node, \(\"[^\"]*\", (\w+),|for operator (\w+)", text)
    if match is not None:
        return next(name for name in match.groups() if name)
    if "unsupported data type" in text:
        return "its element type"
    raise SystemExit(f"an error that nobody has met yet: {text}")


def on_web(modules: Path) -> tuple[str, dict[str, Runs]]:
    """Ask WebAssembly: the version of onnxruntime-web, and for each operator how many samples run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "models").mkdir()
        (folder / "node_modules").symlink_to(modules.resolve())
        for name, models in gradients().items():
            for number, model in enumerate(models):
                (folder / "models" / f"{name}-{number}").write_bytes(model.SerializeToString())
        (folder / "ask.mjs").write_text(_ASK_THE_WEB)
        subprocess.run(["node", "ask.mjs"], cwd=folder, check=True, capture_output=True)
        answer = json.loads((folder / "found.json").read_text())
    errors: dict[str, list[str]] = {name: [] for name in gradients()}
    for key, error in answer["found"].items():
        errors[key.rpartition("-")[0]] += [error] if error else []
    return answer["version"], {name: _runs(len(gradients()[name]), found) for name, found in errors.items()}


def webgpu(modules: Path) -> list[str]:
    """The operators of ONNX's own domain that onnxruntime-web's documentation lists for WebGPU."""
    text = (modules / "onnxruntime-web" / "docs" / "webgpu-operators.md").read_text()
    return sorted(re.findall(r"^\| (\w+) \| ai\.onnx\(", text, re.M))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-modules", type=Path, metavar="FOLDER", help="a folder that holds onnxruntime-web")
    modules = parser.parse_args().node_modules
    known = json.loads(FACTS.read_text()) if FACTS.exists() else {}
    new = {
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "operators": facts(),
        "cpu": {name: on_cpu(models) for name, models in gradients().items()},
    }
    if modules is None:
        new |= {key: known.get(key) for key in ("onnxruntime-web", "web", "webgpu")}
    else:
        new["onnxruntime-web"], new["web"] = on_web(modules)
        new["webgpu"] = webgpu(modules)
    FACTS.write_text(written(new))
    operator_table.known_facts.cache_clear()
    PAGE.write_text(operator_table.markdown())


def written(found: dict[str, Any]) -> str:
    """Facts as JSON, a line for each operator."""
    lines = []
    for key, value in sorted(found.items()):
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(value.items()))
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
