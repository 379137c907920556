"""The table of operators, from the entries, from ONNX's schemas, and from facts that were found by asking."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import onnx

from staticgrad.methods import OPERATORS
from staticgrad.onnx_reader.loading import OLDEST_OPSET
from staticgrad.operator_table.providers import CUDA

OWN_RULE, BODY, FUNCTION, SUCCESSOR = "own rule", "body", "function body", "successor"
ZERO, NOTHING, REFUSED = "zero", "nothing", "refused"
KINDS = {
    OWN_RULE: "a formula of its own",
    BODY: "that of other operators which compute the same",
    FUNCTION: "that of ONNX's function body, which takes the operator's place",
    SUCCESSOR: "that of the operator which took its place in ONNX",
    ZERO: "zero wherever it exists",
    NOTHING: "no floating input or no floating output, so there is nothing to differentiate",
    REFUSED: "an error says why",
}
_FLOATS = {"tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"}


@dataclass(frozen=True)
class Row:
    """An operator: how its derivative comes about, by which inputs there is one, and where that has kernels.

    `emits` are the operators in its gradient; `cpu`, `cuda`, `web` (WebAssembly) and `webgpu` say where these and the
    operator itself have float32 kernels: "yes", "no", "unknown", or "but" and those that have none in some case. None
    where there is no gradient.
    """

    name: str
    domain: str
    opsets: str
    derivative: str
    by: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    cpu: str | None = None
    cuda: str | None = None
    web: str | None = None
    webgpu: str | None = None


@lru_cache(maxsize=1)
def known_facts() -> Mapping[str, Any]:
    """What `docs/operators.py` found."""
    found: Mapping[str, Any] = json.loads(resources.files(__package__).joinpath("facts.json").read_text())
    return found


def rows() -> list[Row]:
    """All operators of ONNX, its own domain first, each by name."""
    newest: dict[tuple[str, str], Any] = {}
    oldest: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = (schema.domain, schema.name)
        if key not in newest or schema.since_version > newest[key].since_version:
            newest[key] = schema
        oldest[key] = min(oldest.get(key, schema.since_version), schema.since_version)
    return [_row(schema, oldest[key]) for key, schema in sorted(newest.items(), key=lambda item: item[0])]


def _row(schema: Any, first: int) -> Row:
    name, domain = schema.name, schema.domain
    whole = f"{domain}.{name}" if domain else name
    facts = known_facts()["operators"].get(whole, {})
    refused = tuple(facts.get("refused", ()))
    derivative = _derivative(schema, facts)
    entry = OPERATORS.get(name) if not domain else None
    if entry is not None and entry.refusal is not None and derivative in (OWN_RULE, BODY):
        refused = (*refused, *_as_words(entry.refusal.__doc__))
    if derivative == REFUSED and not refused:
        refused = (
            f"nothing is known of operators of the domain {domain!r}" if domain else "there is no gradient rule for it",
        )
    opsets = f"{max(first, OLDEST_OPSET) if not domain else first}+"
    if schema.deprecated:
        opsets = f"{max(first, OLDEST_OPSET)} to {schema.since_version - 1}"
    if derivative not in (OWN_RULE, BODY, FUNCTION, SUCCESSOR):
        return Row(name, domain, opsets, derivative, refused=() if derivative == NOTHING else refused)
    emits = tuple(facts.get("emits", ()))
    places = {formal.name: place for place, formal in enumerate(schema.inputs)}
    on_cards = {*emits, name} if derivative in (OWN_RULE, BODY) else set(emits)
    return Row(
        name,
        domain,
        opsets,
        derivative,
        tuple(sorted(facts.get("inputs", ()), key=lambda name: places.get(name, len(places)))),
        refused,
        emits,
        _asked("cpu", whole),
        _listed(on_cards, CUDA),
        _asked("web", whole),
        _listed(on_cards, known_facts()["webgpu"]),
    )


def _as_words(text: str | None) -> Iterable[str]:
    words = " ".join((text or "").split()).rstrip(".")
    return [words[0].lower() + words[1:] if words[1].islower() or words[1] == " " else words] if words else []


def _derivative(schema: Any, facts: Mapping[str, Any]) -> str:
    entry = OPERATORS.get(schema.name) if not schema.domain else None
    floats = all(any(_FLOATS & set(formal.types) for formal in formals) for formals in (schema.inputs, schema.outputs))
    if not floats and not schema.deprecated and not _holds_floats(schema) and not facts.get("inputs"):
        return NOTHING
    if entry is not None:
        if entry.rule is not None:
            return OWN_RULE
        if entry.body is not None:
            return BODY
        return ZERO if not entry.differentiable else REFUSED
    if facts.get("inputs"):
        return SUCCESSOR if schema.deprecated else FUNCTION
    return REFUSED


def _holds_floats(schema: Any) -> bool:
    """Whether floating numbers go in and come out, in sequences and optionals at least."""

    def any_float(formals: Iterable[Any]) -> bool:
        return any("tensor(float)" in t for formal in formals for t in formal.types)

    return any_float(schema.inputs) and any_float(schema.outputs)


def _asked(provider: str, name: str) -> str:
    """What asking for kernels gave."""
    answers = known_facts()[provider]
    if not answers or name not in answers:
        return "unknown"
    number, of, lacks = answers[name]
    return "yes" if number == of else "no" if not number else f"but {', '.join(lacks)}"


def _listed(names: Iterable[str], kernels: Iterable[str]) -> str:
    """Which of some operators have no kernel by a list; those that ONNX makes of others count as these."""
    if not kernels:
        return "unknown"
    has = set(kernels)
    lacking = sorted(name for name in names if name not in has and not _as_others(name, has))
    return f"but {', '.join(lacking)}" if lacking else "yes"


def _as_others(name: str, has: set[str]) -> bool:
    """Whether an operator is made of others that have kernels, where it has none."""
    body = known_facts()["operators"].get(name, {}).get("body", ())
    return bool(body) and all(inner in has or (inner != name and _as_others(inner, has)) for inner in body)
