"""Commands that print what is so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

import numpy as np
import onnx

from staticgrad.errors import DeclarationError, FeedError, ModelError
from staticgrad.models import check_gradient, inspect_model
from staticgrad.models.columns import aligned
from staticgrad.operator_table import KINDS, Row, markdown, rows
from staticgrad.runtime.device import cuda_missing
from staticgrad.types import TensorType, dtype_from_onnx

PROVIDERS = ("cpu", "cuda", "web", "webgpu")


def check(given: argparse.Namespace) -> int:
    """`staticgrad check`."""
    feeds = None
    if given.feeds is not None:
        try:
            with np.load(given.feeds, allow_pickle=False) as file:
                feeds = dict(file)
        except ValueError as error:
            raise FeedError(f"cannot read {given.feeds}: {error}") from error
    found = check_gradient(given.model, given.of, given.wrt, feeds=feeds, sizes=dict(given.size), seed=given.seed)
    _print(found.to_json() if given.json else str(found))
    return 0 if found.right else 1


def inspect(given: argparse.Namespace) -> int:
    """`staticgrad inspect`."""
    found = inspect_model(given.model)
    _print(found.to_json() if given.json else str(found))
    return 0


def ops(given: argparse.Namespace) -> int:
    """`staticgrad ops`."""
    if given.markdown:
        print(markdown(), end="")
        return 0
    chosen = _chosen(rows(), given.names)
    if given.refused:
        chosen = [row for row in chosen if row.refused]
    if given.derivative is not None:
        chosen = [row for row in chosen if row.derivative == given.derivative]
    if given.lacking is not None:
        chosen = [row for row in chosen if getattr(row, given.lacking) not in (None, "yes")]
    if given.json:
        _print([asdict(row) for row in chosen])
    elif given.names:
        _print("\n\n".join(map(_described, chosen)))
    else:
        heads = ("operator", "opsets", "derivative", "by", "CPU", "CUDA", "web", "WebGPU", "refused")
        _print(aligned([heads, *map(_cells, chosen)]))
    return 0


def _chosen(table: list[Row], names: Sequence[str]) -> list[Row]:
    """The rows of operators by name, with or without their domain, in any case."""
    found: list[Row] = []
    for name in names:
        hits = [row for row in table if name.lower() in (row.name.lower(), f"{row.domain}.{row.name}".lower())]
        if not hits:
            close = get_close_matches(name, [row.name for row in table], 3)
            hint = f"; is {' or '.join(close)} meant?" if close else ""
            raise DeclarationError(f"ONNX has no operator {name!r}{hint}")
        found += hits
    return found if names else table


def _cells(row: Row) -> tuple[str, ...]:
    name = f"{row.domain}.{row.name}" if row.domain else row.name
    answers = [{None: "", "yes": "yes", "no": "no", "unknown": "?"}.get(a, "partly") for a in _answers(row)]
    return (name, row.opsets, row.derivative, ", ".join(row.by), *answers, "; ".join(row.refused))


def _answers(row: Row) -> list[str | None]:
    return [getattr(row, provider) for provider in PROVIDERS]


def _described(row: Row) -> str:
    lines = [
        f"{row.domain}.{row.name}" if row.domain else row.name,
        f"  opsets      {row.opsets}",
        f"  derivative  {row.derivative}: {KINDS[row.derivative]}",
    ]
    lines += [f"  by          {', '.join(row.by)}"] * bool(row.by)
    lines += [f"  refused     {reason}" for reason in row.refused]
    lines += [f"  emits       {', '.join(row.emits)}"] * bool(row.emits)
    lines += [
        f"  {provider:<11} {answer}"
        for provider, answer in zip(PROVIDERS, _answers(row), strict=True)
        if answer is not None
    ]
    return "\n".join(lines)


def show(given: argparse.Namespace) -> int:
    """`staticgrad show`."""
    path = given.model
    try:
        model = onnx.load(path, load_external_data=False)
        properties = {p.key: p.value for p in model.metadata_props}
        state: dict[str, str] = json.loads(properties.get("staticgrad.state", "{}"))
        sides = {
            "inputs": [(v.name, _type(v)) for v in model.graph.input],
            "outputs": [(v.name, _type(v)) for v in model.graph.output],
        }
    except Exception as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    opset = next((o.version for o in model.opset_import if not o.domain), 0)
    kind = properties.get("staticgrad.kind", "model")
    if given.json:
        about = {"name": path.name, "kind": kind, "opset": opset, "ir_version": model.ir_version}
        values = {side: [{"name": n, "type": t} for n, t in listed] for side, listed in sides.items()}
        _print({**about, "nodes": len(model.graph.node), **values, "state": state})
        return 0
    print(f"{path.name}: {kind}, opset {opset}, IR version {model.ir_version}, {len(model.graph.node)} nodes")
    for title, listed in sides.items():
        print(f"{title}:")
        for name, type in listed:
            note = f"  (then fed {state[name]})" if title == "inputs" and name in state else ""
            print(f"  {name}: {type}{note}")
    return 0


def _type(value: onnx.ValueInfoProto) -> str:
    if not value.type.HasField("tensor_type"):
        return str(value.type.WhichOneof("value") or "?").removesuffix("_type")
    tensor = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return str(TensorType(dtype_from_onnx(tensor.elem_type), dims))


def devices(given: argparse.Namespace) -> int:
    """`staticgrad devices`."""
    reason = cuda_missing(0)
    if given.json:
        _print({"cpu": True, "cuda": reason is None, "missing": reason})
        return 0
    print("cpu: yes")
    print(f"cuda: {'yes' if reason is None else f'no, {reason}'}")
    return 0


def _print(found: Any) -> None:
    print(found if isinstance(found, str) else json.dumps(found, indent=2))
