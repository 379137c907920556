"""The table of operators as a page."""

from __future__ import annotations

from collections import Counter

import onnx

from staticgrad.operator_table.providers import CUDA_SOURCE
from staticgrad.operator_table.rows import KINDS, NOTHING, REFUSED, ZERO, known_facts, rows


def markdown() -> str:
    """`docs/operators.md`."""
    facts = known_facts()
    table = rows()
    own = [row for row in table if not row.domain]
    counted = Counter(row.derivative for row in own)
    differentiated = [row for row in own if row.derivative not in (ZERO, NOTHING, REFUSED)]
    lines = [
        "# Operators",
        "",
        f"All operators of ONNX {facts['onnx']} (opset {onnx.defs.onnx_opset_version()}); written by "
        "`python docs/operators.py`, and shown by `staticgrad ops`. Models of opset 7 and newer are read.",
        "",
        "| derivative | operators | |",
        "|---|---|---|",
        *(f"| {kind} | {counted[kind]} | {meaning} |" for kind, meaning in KINDS.items()),
        "",
        "## With a derivative",
        "",
        "The inputs are those that the derivative is by, the operators those that its gradient is made of. Kernels are "
        "for float32, for the operator together with its gradient: `yes`, or `but` and what has none in some case. An "
        "operator that a graphics card has no kernel for runs on the CPU, and its tensors are copied there and back.",
        "",
        f"- CPU: asked of onnxruntime {facts['onnxruntime']}, with ONNX's tests of operators as samples.",
        f"- Web (WebAssembly): asked of onnxruntime-web {facts['onnxruntime-web'] or '(not asked)'} in the same way.",
        f"- CUDA: by the list in {CUDA_SOURCE}; not run on a card.",
        f"- WebGPU: by the list in docs/webgpu-operators.md of onnxruntime-web {facts['onnxruntime-web'] or ''}; not "
        "run on a card.",
        "",
        "| operator | opsets | derivative | by | refused | CPU | CUDA | Web | WebGPU | its gradient |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            _line(
                row.name,
                row.opsets,
                row.derivative,
                ", ".join(row.by),
                "; ".join(row.refused),
                row.cpu,
                row.cuda,
                row.web,
                row.webgpu,
                ", ".join(row.emits),
            )
            for row in differentiated
        ),
        "",
        "## Without",
        "",
        "| operator | opsets | derivative | why |",
        "|---|---|---|---|",
        *(
            _line(row.name, row.opsets, row.derivative, "; ".join(row.refused))
            for row in own
            if row not in differentiated
        ),
        "",
        "## Other domains",
        "",
        "Models with such operators are read and run; a derivative through one is refused.",
        "",
        "| operator | domain | derivative | why |",
        "|---|---|---|---|",
        *(_line(row.name, row.domain, row.derivative, "; ".join(row.refused)) for row in table if row.domain),
    ]
    return "\n".join(lines) + "\n"


def _line(*cells: str | None) -> str:
    return "| " + " | ".join((cell or "").replace("|", "\\|") for cell in cells) + " |"
