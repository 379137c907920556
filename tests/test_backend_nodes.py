"""Gradients of ONNX's own tests of its operators: none is wrong, and what is refused is on a list."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase

import backend
import pytest
from backend_exceptions import REFUSED, WITHOUT_DERIVATIVE

PARTS = 40
SHARE = 0.98
_found: dict[int, Counter[str]] = {}


def is_in(name: str, patterns: object) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", range(PARTS))
def test_gradients_of_the_node_tests(part: int) -> None:
    counts: Counter[str] = Counter()
    wrong, surprising = [], []
    for case in backend.cases()[part::PARTS]:
        verdict = backend.judge(case)
        if verdict.kind == "right":
            verdict = backend.adjoint(case)
        kind = verdict.kind
        if kind == "refused" and is_in(case.name, WITHOUT_DERIVATIVE):
            kind = "none"
        counts[kind] += 1
        if verdict.kind == "wrong":
            wrong.append(f"{case.name}: {verdict.detail}")
        if (verdict.kind == "refused") != (verdict.kind != "none" and is_in(case.name, REFUSED)):
            surprising.append(f"{case.name}: {verdict.kind} {verdict.detail}")
    _found[part] = counts
    assert not wrong, "\n".join(wrong)
    assert not surprising, "not as on the list of refusals:\n" + "\n".join(surprising)


def test_enough_of_the_node_tests_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    if len(_found) < PARTS:
        pytest.skip("only some of the parts were run")
    total = sum(_found.values(), Counter())
    judged = total["right"] + total["refused"] + total["wrong"]
    with capsys.disabled():
        print(
            f"\nONNX node tests with a derivative: {judged}; right {total['right']}, refused {total['refused']}, "
            f"wrong {total['wrong']}"
        )
    assert total["wrong"] == 0
    assert total["right"] >= SHARE * judged
