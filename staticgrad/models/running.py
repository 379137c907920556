"""A model run for differences of what it computes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime

from staticgrad.errors import RunError
from staticgrad.graph import Array
from staticgrad.onnx_reader import Source


class Runner:
    """A model on onnxruntime, or in Python where onnxruntime has no kernel; RunError where neither runs it.

    It runs as it is written, unless onnxruntime may make it `faster`, which takes out some layers of training. An
    `approximate` model need be no valid one: then Python runs all that onnxruntime does not.
    """

    def __init__(self, model: onnx.ModelProto, faster: bool = False, approximate: bool = False) -> None:
        self.names = [i.name for i in model.graph.input]
        self._session: Any = None
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        if not faster:
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
        except Exception as refused:
            missing = onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented
            if not approximate and not isinstance(refused, missing):
                raise RunError(_short(refused)) from refused
            try:
                self._evaluator = onnx.reference.ReferenceEvaluator(model)
            except Exception as error:
                raise RunError(_short(error)) from error

    def __call__(self, feeds: Mapping[str, Array]) -> list[Array]:
        given = {name: feeds[name] for name in self.names if name in feeds}
        try:
            if self._session is not None:
                return [np.asarray(y) for y in self._session.run(None, given)]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return [np.asarray(y) for y in self._evaluator.run(None, given)]
        except Exception as error:
            raise RunError(_short(error)) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def opened_at(source: Source, names: Iterable[str]) -> onnx.ModelProto:
    """The model with some of its initializers as inputs, and all its numbers inside."""
    opened = onnx.ModelProto()
    opened.CopyFrom(source.proto)
    formal = {i.name for i in opened.graph.input}
    wanted = set(names)
    kept = []
    for tensor in opened.graph.initializer:
        if tensor.name not in wanted:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.CopyFrom(onnx.numpy_helper.from_array(source.array(tensor), tensor.name))
            kept.append(tensor)
        elif tensor.name not in formal:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            opened.graph.input.append(info)
    for position in reversed(range(len(opened.graph.sparse_initializer))):
        sparse = opened.graph.sparse_initializer[position]
        name = sparse.values.name
        if name in wanted:
            if name not in formal:
                info = onnx.helper.make_tensor_value_info(name, sparse.values.data_type, list(sparse.dims))
                opened.graph.input.append(info)
            del opened.graph.sparse_initializer[position]
    copies = [onnx.TensorProto.FromString(t.SerializeToString()) for t in kept]
    del opened.graph.initializer[:]
    opened.graph.initializer.extend(copies)
    return opened
