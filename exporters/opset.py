"""The lowest opset and IR version that a model's nodes allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import onnx
from onnx import helper

from staticgrad.errors import UnsupportedOperatorError
from staticgrad.ops.registry import DIALECT
from staticgrad.types import DType

FLOOR = 13
_IR_FLOOR = 10

# Newer schemas that changed what the same node means: nothing older says the same.
_NEW_MEANING = {
    "AveragePool": 19,
    "GroupNormalization": 21,
    "BatchNormalization": 14,
    # The default axis of 17 is another one.
    "DFT": 20,
    "GridSample": 20,
    "Resize": 19,
    "RoiAlign": 16,
}
# Attribute values that came later than their attribute.
_NEW_VALUES: dict[tuple[str, str], dict[Any, int]] = {
    ("ScatterElements", "reduction"): {"max": 18, "min": 18},
    ("ScatterND", "reduction"): {"max": 18, "min": 18},
    ("Pad", "mode"): {"wrap": 19},
    # Before, a last window that begins in the padding counted.
    **{(pool, "ceil_mode"): {True: 22} for pool in ("AveragePool", "LpPool", "MaxPool")},
}

_TYPE_NAMES = {
    DType.float16: "tensor(float16)",
    DType.bfloat16: "tensor(bfloat16)",
    DType.float32: "tensor(float)",
    DType.float64: "tensor(double)",
} | {dtype: f"tensor({dtype})" for dtype in DType if not dtype.is_float}


def lowest_opset(
    name: str,
    inputs: Iterable[DType | None],
    outputs: Iterable[DType],
    attributes: Mapping[str, Any],
) -> int:
    """The first opset from 13 on from which every schema takes this node, with the meaning it has in the dialect."""
    given = frozenset(
        (k, v if isinstance(v, (str, int, float)) and (name, k) in _NEW_VALUES else None)
        for k, v in attributes.items()
        if v is not None
    )
    return _lowest(name, tuple(inputs), tuple(outputs), given)


@lru_cache(maxsize=4096)
def _lowest(
    name: str,
    inputs: tuple[DType | None, ...],
    outputs: tuple[DType, ...],
    attributes: frozenset[tuple[str, Any]],
) -> int:
    newest = onnx.defs.get_schema(name, DIALECT)
    floor = max([FLOOR, _NEW_MEANING.get(name, 0), *(_NEW_VALUES.get((name, k), {}).get(v, 0) for k, v in attributes)])
    names = {k for k, _ in attributes}
    lowest = DIALECT
    schema = newest
    while _accepts(schema, newest, inputs, outputs, names):
        lowest = max(schema.since_version, floor)
        if lowest <= floor or schema.since_version == 1:
            break
        try:
            schema = onnx.defs.get_schema(name, schema.since_version - 1)
        except onnx.defs.SchemaError:
            break
    return lowest


def _accepts(
    schema: Any, newest: Any, inputs: tuple[DType | None, ...], outputs: tuple[DType, ...], attributes: set[str]
) -> bool:
    """Whether a schema takes a node of these types and attributes, the others at the defaults of the newest schema."""
    if not attributes <= set(schema.attributes):
        return False
    for key, attribute in newest.attributes.items():
        older = schema.attributes.get(key)
        if key not in attributes and older is not None and older.default_value != attribute.default_value:
            return False
    allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    for given, formal in ((inputs, schema.inputs), (outputs, schema.outputs)):
        for position, dtype in enumerate(given):
            if position >= len(formal) and not (
                formal and formal[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
            ):
                return False
            if dtype is None:
                continue
            parameter = formal[min(position, len(formal) - 1)]
            if _TYPE_NAMES[dtype] not in allowed.get(parameter.type_str, {parameter.type_str}):
                return False
    return all(p.option == onnx.defs.OpSchema.FormalParameterOption.Optional for p in schema.inputs[len(inputs) :])


class MixedOpsetsError(UnsupportedOperatorError):
    """Functions are written for opsets in which their operators, or the nodes beside them, mean something else."""


def opset_beside(functions: Iterable[onnx.FunctionProto], opset: int) -> int:
    """The first opset from `opset` on in which the operators of functions are the ones of the functions' own opsets.

    Runtimes read a function in the opset of the model, whatever its own is.
    """
    used = set()
    for function in functions:
        own = next((o.version for o in function.opset_import if o.domain in ("", "ai.onnx")), None)
        stack = list(function.node)
        while stack:
            node = stack.pop()
            if own is not None and node.domain in ("", "ai.onnx"):
                used.add((node.op_type, own))
            for attribute in node.attribute:
                stack.extend(attribute.g.node)
    for candidate in range(opset, DIALECT + 1):
        if all(_since(name, own) == _since(name, candidate) for name, own in used):
            return candidate
    raise MixedOpsetsError("functions of the model belong to opsets that cannot stand in one model with its gradient")


@lru_cache(maxsize=4096)
def _since(name: str, opset: int) -> int:
    try:
        since: int = onnx.defs.get_schema(name, opset).since_version
        return since
    except onnx.defs.SchemaError:
        return -opset


def stamp(model: onnx.ModelProto, opset: int, domains: Mapping[str, int] = MappingProxyType({})) -> None:
    """Write the opset, those of other domains, and the lowest IR version from 10 on that goes with it, into a model."""
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    model.ir_version = max(_IR_FLOOR, helper.find_min_ir_version_for(list(model.opset_import)))
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(domains.items()))
