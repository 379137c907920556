"""A model in float64, in which differences say more."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx


def doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float64: its inputs, initializers and literals, and what it casts to.

    Not all that it holds has a form in float64, so it may be no valid model.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type in floats:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))

    def retype(type: Any) -> None:
        kind = type.WhichOneof("value")
        if kind == "tensor_type" and type.tensor_type.elem_type in floats:
            type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
        elif kind in ("sequence_type", "optional_type"):
            retype(getattr(type, kind).elem_type)

    def nodes(listed: Any) -> None:
        for node in listed:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in floats:
                    attribute.i = onnx.TensorProto.DOUBLE
                if attribute.name in ("stash_type", "softmax_precision") and attribute.i in floats:
                    attribute.i = onnx.TensorProto.DOUBLE
                widen(attribute.t)
                if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                    value = np.array(onnx.helper.get_attribute_value(attribute), np.float64)
                    name = attribute.name
                    attribute.CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(value, name)))
                if attribute.HasField("g"):
                    graph(attribute.g)

    def graph(g: onnx.GraphProto) -> None:
        for info in (*g.input, *g.output):
            retype(info.type)
        del g.value_info[:]
        for tensor in g.initializer:
            widen(tensor)
        nodes(g.node)

    graph(wide.graph)
    for function in wide.functions:
        nodes(function.node)
    return wide
