"""The arrows of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

GROUND = {"errors", "types", "methods", "origin", "graph"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    # Only for type checkers: what arithmetic on values gives.
    "methods": {"graph", "tensor"},
    # Only for type checkers: nodes and values that an origin names.
    "origin": {"graph"},
    "graph": {"errors", "types", "methods", "origin"},
    "ops": GROUND,
    "pruning": GROUND | {"ops"},
    "substitute": GROUND,
    "rewrite": GROUND | {"ops", "pruning", "substitute"},
    "reverse": GROUND | {"ops"},
    "differentiate": GROUND | {"ops", "reverse"},
    "control_flow": GROUND | {"ops", "reverse", "rewrite"},
    "explain": GROUND | {"ops", "reverse"},
    "declare": GROUND | {"ops"},
    "exporters": GROUND | {"ops"},
    "onnx_reader": GROUND | {"ops"},
    "optimise": GROUND | {"ops", "rewrite", "substitute"},
    "tensor": GROUND | {"ops", "eager"},
    "nn": GROUND | {"ops", "tensor", "declare"},
    "train": GROUND | {"ops", "declare", "differentiate", "substitute", "optimise", "exporters"},
    "runtime": GROUND | {"ops", "declare", "optimise", "exporters", "train"},
    "models": GROUND
    | {
        "ops",
        "onnx_reader",
        "declare",
        "differentiate",
        "reverse",
        "substitute",
        "optimise",
        "exporters",
        "tensor",
        "nn",
        "train",
    },
    "operator_table": {"methods", "onnx_reader"},
    "cli": GROUND | {"ops", "runtime", "train", "exporters", "models", "operator_table", "onnx_reader"},
    "eager": set(),
}
FILES = [*sorted((ROOT / "staticgrad").rglob("*.py")), *sorted((ROOT / "exporters").rglob("*.py"))]


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "exporters" else parts[1]


def imported(path: Path) -> set[str]:
    """The rooms that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            whole = node.module == "staticgrad"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if whole else [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "exporters":
                found.add("exporters")
            elif parts[0] == "staticgrad" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", [f for f in FILES if f != ROOT / "staticgrad" / "__init__.py"], ids=str)
def test_arrows_point_downward_only(path: Path) -> None:
    own = room(path)
    if own == "optim":
        own = "train"
    assert imported(path) - {own} <= ALLOWED[own]


def test_no_room_without_a_purpose() -> None:
    names = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "helpers", "common", "core", "base", "misc"}
