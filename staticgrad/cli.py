"""The command `staticgrad`: look at exported models and at this installation."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import metadata
from pathlib import Path

import onnx

from staticgrad.runtime.device import cuda_missing
from staticgrad.types import TensorType, dtype_from_onnx


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="staticgrad", description="Look at exported models and at this installation.")
    parser.add_argument("--version", action="version", version=f"staticgrad {metadata.version('staticgrad')}")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser(
        "show", help="what goes into a model, what comes out, and which output feeds which input"
    )
    show.add_argument("model", type=Path, help="an .onnx file")
    commands.add_parser("devices", help="where a training step can run here")
    given = parser.parse_args(arguments)
    return _show(given.model) if given.command == "show" else _devices()


def _show(path: Path) -> int:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        print(f"staticgrad: cannot read {path}: {error}", file=sys.stderr)
        return 1
    properties = {p.key: p.value for p in model.metadata_props}
    state: dict[str, str] = json.loads(properties.get("staticgrad.state", "{}"))
    opset = next((o.version for o in model.opset_import if not o.domain), 0)
    kind = properties.get("staticgrad.kind", "model")
    print(f"{path.name}: {kind}, opset {opset}, IR version {model.ir_version}, {len(model.graph.node)} nodes")
    for title, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        print(f"{title}:")
        for value in values:
            note = f"  (then fed {state[value.name]})" if title == "inputs" and value.name in state else ""
            print(f"  {value.name}: {_type(value)}{note}")
    return 0


def _type(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return str(TensorType(dtype_from_onnx(tensor.elem_type), dims))


def _devices() -> int:
    reason = cuda_missing(0)
    print("cpu: yes")
    print(f"cuda: {'yes' if reason is None else f'no, {reason}'}")
    return 0
