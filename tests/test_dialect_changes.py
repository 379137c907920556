"""No change of an operator between opsets 7 and 26 is forgotten: it has an upgrade, or a reason why it needs none."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from typing import Any

import onnx

from staticgrad.onnx_reader.dialect import UPGRADES
from staticgrad.onnx_reader.rewriting import ALWAYS

OLDEST, DIALECT = 7, 26


def changes() -> list[tuple[onnx.defs.OpSchema, onnx.defs.OpSchema]]:
    """Successive versions of every operator, from the one of the oldest opset on."""
    versions = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= DIALECT:
            versions[schema.name].append(schema)
    pairs = []
    for schemas in versions.values():
        schemas.sort(key=lambda s: s.since_version)
        first = max((i for i, s in enumerate(schemas) if s.since_version <= OLDEST), default=0)
        pairs += list(pairwise(schemas[first:]))
    return pairs


def same_but_for_more_types(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    """Whether all that differs between two versions is which element types they take, and the layout of the text."""

    def formals(schema: onnx.defs.OpSchema) -> list[Any]:
        return [[p.option for p in side] for side in (schema.inputs, schema.outputs)]

    def attributes(schema: onnx.defs.OpSchema) -> dict[str, Any]:
        return {k: (a.type, a.required, a.default_value.SerializeToString()) for k, a in schema.attributes.items()}

    def text(schema: onnx.defs.OpSchema) -> str:
        parts = [*(p.description for p in (*schema.inputs, *schema.outputs))]
        parts += [a.description for _, a in sorted(schema.attributes.items())]
        return re.sub("[^a-z0-9]+", "", " ".join([schema.doc, *parts]).lower())

    widened = all(set(p.types) <= set(q.types) for p, q in zip(old.inputs, new.inputs, strict=False))
    same = formals(old) == formals(new) and attributes(old) == attributes(new) and text(old) == text(new)
    return same and widened and not new.deprecated


REVIEWED = {
    "the text says the same in other words": """
        Abs 13, Add 14, ArgMax 13, ArgMin 13, Cast 13, Clip 13, Conv 11, Div 14, Dropout 10, Dropout 22, EyeLike 22,
        Gather 13, LSTM 22, MaxPool 11, MaxUnpool 11, MeanVarianceNormalization 13, Mul 14, NonMaxSuppression 11,
        Pad 13, ReduceL1 13, ReduceL2 13, ReduceLogSum 13, ReduceLogSumExp 13, ReduceMax 12, ReduceMax 13,
        ReduceMean 13, ReduceMin 12, ReduceMin 13, ReduceProd 13, ReduceSumSquare 13, Slice 13, Squeeze 23, Sub 14,
        Transpose 21, Transpose 25, Unsqueeze 23""",
    "what is said now held before: of whole numbers, of infinities, of sums in float16": """
        BatchNormalization 15, Ceil 13, Floor 13, Mod 13, ReduceMax 20, ReduceMin 20""",
    "axes and indices may be negative now": """
        ArgMax 11, ArgMin 11, Compress 11, Concat 11, Flatten 11, Gather 11, Hardmax 11, LogSoftmax 11, OneHot 11,
        ReduceL1 11, ReduceL2 11, ReduceLogSum 11, ReduceLogSumExp 11, ReduceMax 11, ReduceMean 11, ReduceMin 11,
        ReduceProd 11, ReduceSum 11, ReduceSumSquare 11, Slice 11, Softmax 11, Split 11, Squeeze 11, Unsqueeze 11""",
    "operands of different shapes are broadcast now": "Max 8, Mean 8, Min 8, Sum 8",
    "an input may be left out, or be more than it could": """
        Attention 24, Gemm 11, If 11, Loop 11, Loop 13, OptionalGetElement 18, OptionalHasElement 18, Pad 18,
        Scan 11""",
    "the default of a new attribute is what was so before": """
        ArgMax 12, ArgMin 12, Attention 25, AveragePool 10, AveragePool 19, Cast 19, Cast 24, CastLike 19, CastLike 24,
        DepthToSpace 11, DequantizeLinear 13, DequantizeLinear 21, DequantizeLinear 23, GRU 14, GatherND 12, LSTM 14,
        LpPool 18, MaxPool 8, MaxPool 10, QuantizeLinear 13, QuantizeLinear 19, QuantizeLinear 21, QuantizeLinear 23,
        RNN 14, Reshape 14, Resize 18, ScatterElements 16, ScatterND 16, Shape 15, TopK 11""",
    "an attribute or a type has more values": """
        Cast 9, DequantizeLinear 19, Pad 19, QuantizeLinear 25, Resize 19, ScatterElements 18, ScatterND 18""",
    "the formulas of sizes were wrong in places, the attribute's text was not": """
        AveragePool 11, ConvTranspose 11, LpPool 11, MaxPool 12""",
    "a window that starts behind the last element had no meaning, and no kernel": "AveragePool 22, MaxPool 22",
    "whole numbers, which it no longer takes, had no meaning": "Erf 13",
    "the upgrade of a later version reads this one too": """
        BatchNormalization 9, Constant 11, Constant 12, Split 13, Upsample 9""",
}
"""Changes beyond element types that need no upgrade: why, and the operators with the version that has the change."""


def test_no_change_of_an_operator_is_forgotten() -> None:
    reviewed = [name.strip() for names in REVIEWED.values() for name in names.split(",")]
    upgraded_to = {f"{name} {below}" for name, rules in UPGRADES.items() for below, _ in rules}
    changed = {f"{new.name} {new.since_version}" for old, new in changes() if not same_but_for_more_types(old, new)}
    assert len(reviewed) == len(set(reviewed))
    assert changed - upgraded_to == set(reviewed)
    assert all(u.endswith(f" {ALWAYS}") for u in upgraded_to - changed)
