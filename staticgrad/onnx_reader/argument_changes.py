"""Operators some of whose attributes became inputs, or were given names or defaults that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from staticgrad.onnx_reader.rewriting import (
    ALWAYS,
    Context,
    Upgrades,
    attributes_of,
    input_of,
    made,
    number_like,
    output_of,
    refusal,
    renewed,
    whole_numbers,
)


def _axes(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """Squeeze, Unsqueeze and reductions, whose axes were an attribute."""
    axes = attributes_of(node).get("axes")
    if axes is None:
        return None
    if not axes and node.op_type != "Unsqueeze":
        return [renewed(node, without=["axes"])]
    return [renewed(node, [node.input[0], whole_numbers(context, axes)], without=["axes"])]


def _clip(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    given = attributes_of(node)
    nodes: list[onnx.NodeProto] = []
    bounds = []
    for name, nothing in (("min", np.finfo(np.float32).min), ("max", np.finfo(np.float32).max)):
        if given.get(name, nothing) == nothing:
            bounds.append("")
        else:
            more, bound = number_like(context, given[name], node.input[0])
            nodes += more
            bounds.append(bound)
    return [*nodes, renewed(node, [node.input[0], *bounds], without=["min", "max"])]


def _pad(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    given = attributes_of(node)
    nodes: list[onnx.NodeProto] = []
    number = ""
    if given.get("value", 0.0) != 0.0:
        nodes, number = number_like(context, given["value"], node.input[0])
    pads = whole_numbers(context, given["pads"])
    return [*nodes, renewed(node, [node.input[0], pads, number], without=["pads", "value"])]


def _slice(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    given = attributes_of(node)
    names = [n for n in ("starts", "ends", "axes") if n in given]
    return [renewed(node, [node.input[0], *(whole_numbers(context, given[n]) for n in names)], without=names)]


def _top_k(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    k = whole_numbers(context, [attributes_of(node)["k"]])
    return [renewed(node, [node.input[0], k], without=["k"])]


def _split(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    sizes = attributes_of(node).get("split")
    if sizes:
        return [renewed(node, [node.input[0], whole_numbers(context, sizes)], without=["split"])]
    if input_of(node, 1):
        return None
    return [renewed(node, [node.input[0]], without=["split"], num_outputs=len(node.output))]


def _dropout(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    """Dropout in inference, which keeps everything; what its mask holds then was first said in opset 12."""
    data, result, mask = node.input[0], node.output[0], output_of(node, 1)
    ratio = context.fresh("ratio")
    number = onnx.numpy_helper.from_array(np.array(attributes_of(node).get("ratio", 0.5), np.float32))
    nodes = [
        made("Constant", [], [ratio], value=number),
        made("Dropout", [data, ratio], [result], name=node.name),
    ]
    if mask:
        sizes = context.fresh("shape")
        kept = mask if opset >= 10 else context.fresh("mask")
        everything = onnx.numpy_helper.from_array(np.ones(1, np.bool_))
        nodes += [made("Shape", [data], [sizes]), made("ConstantOfShape", [sizes], [kept], value=everything)]
        if opset < 10:
            nodes.append(made("CastLike", [kept, data], [mask]))
    return nodes


def _dft(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    axis = context.literal(np.array(attributes_of(node).get("axis", 1), np.int64))
    return [renewed(node, [node.input[0], input_of(node, 1), axis], without=["axis"])]


def _roi_align(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto]:
    return [renewed(node, coordinate_transformation_mode="output_half_pixel")]


def _grid_sample(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    renamed = {b"bilinear": "linear", b"bicubic": "cubic"}
    mode = attributes_of(node).get("mode", b"bilinear")
    return [renewed(node, mode=renamed[mode])] if mode in renamed else None


def _constant(node: onnx.NodeProto, opset: int, context: Context) -> list[onnx.NodeProto] | None:
    """A constant in one of its other forms as a tensor."""
    forms = [(k, v) for k, v in attributes_of(node).items() if k.startswith("value") or k == "sparse_value"]
    if len(forms) != 1:
        raise refusal(node, opset, f"a constant has one value, {len(forms)} came")
    ((name, value),) = forms
    if name == "value":
        return None
    tensor = onnx.numpy_helper.from_array(_array(name, value))
    return [renewed(node, without=[name], value=tensor)]


def _array(form: str, value: Any) -> np.ndarray[Any, Any]:
    if form == "sparse_value":
        return _dense(value)
    kind = form.removeprefix("value_").removesuffix("s")
    if kind == "string":
        texts: Sequence[bytes] = value if form.endswith("s") else [value]
        array = np.array([t.decode() for t in texts], object)
        return array if form.endswith("s") else array.reshape(())
    return np.array(value, {"float": np.float32, "int": np.int64}[kind])


def _dense(sparse: onnx.SparseTensorProto) -> np.ndarray[Any, Any]:
    values, positions = (onnx.numpy_helper.to_array(t) for t in (sparse.values, sparse.indices))
    result = np.zeros(tuple(sparse.dims), values.dtype)
    if positions.ndim == 1:
        result.reshape(-1)[positions] = values
    else:
        result[tuple(positions.T)] = values
    return result


_REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod SumSquare".split()

UPGRADES: Upgrades = {
    **{f"Reduce{name}": ((18, _axes),) for name in _REDUCTIONS},
    "ReduceSum": ((13, _axes),),
    "Squeeze": ((13, _axes),),
    "Unsqueeze": ((13, _axes),),
    "Clip": ((11, _clip),),
    "Pad": ((11, _pad),),
    "Slice": ((10, _slice),),
    "TopK": ((10, _top_k),),
    "Split": ((18, _split),),
    "Dropout": ((12, _dropout),),
    "DFT": ((20, _dft),),
    "RoiAlign": ((16, _roi_align),),
    "GridSample": ((20, _grid_sample),),
    "Constant": ((ALWAYS, _constant),),
}
