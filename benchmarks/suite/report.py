"""Tables of what the suite measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.suite.registry import OURS

Result = dict[str, Any]


def geometric_mean(values: Iterable[float]) -> float | None:
    """The root of the product; None of nothing."""
    given = list(values)
    return math.exp(math.fsum(math.log(v) for v in given) / len(given)) if given else None


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratios(records: dict[str, Result]) -> dict[str, float]:
    """Each peer's time by ours, above 1 where we are the faster: the median of the ratios within a round.

    The turns of a round are close in time, so that a machine that is slow for some rounds is so for all.
    """
    times = {name: record.get("rounds") or [] for name, record in records.items() if record["status"] == "measured"}
    ours = times.pop(OURS, [])
    by_round = {name: [a / b for a, b in zip(rounds, ours, strict=False)] for name, rounds in times.items()}
    return {name: statistics.median(found) for name, found in by_round.items() if found}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown with columns of one width; all but the first are set to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    shown = [
        "| "
        + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join(":" + "-" * (w + 1) if not i else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])


def _others(result: Result) -> list[str]:
    return [name for name in result["peers"] if name != OURS]


def _word(record: Result | None) -> str:
    return "-" if record is None else {"measured": "?", "not installed": "none"}.get(record["status"], record["status"])


def ratio_table(result: Result) -> str:
    """Milliseconds of our step with its quartiles, the ratio of every peer, and the fastest of them."""
    others = _others(result)
    head = ["workload", "ours ms", "quartiles", *(result["peers"][p] for p in others), "fastest peer", "its ratio"]
    rows, found = [], []
    for name, workload in result["workloads"].items():
        records = workload["peers"]
        ratio = ratios(records)
        found.append(ratio)
        ours = records[OURS]
        low, middle, high = quartiles(ours["rounds"]) if ours.get("rounds") else (math.nan,) * 3
        fastest = min(ratio, key=lambda p: ratio[p]) if ratio else None
        rows.append(
            [
                name,
                f"{1e3 * middle:.3f}",
                f"{1e3 * low:.3f}-{1e3 * high:.3f}",
                *(f"{ratio[p]:.2f}" if p in ratio else _word(records.get(p)) for p in others),
                result["peers"][fastest] if fastest else "-",
                f"{ratio[fastest]:.2f}" if fastest else "-",
            ]
        )
    means = [geometric_mean(r[p] for r in found if p in r) for p in others]
    least = geometric_mean(min(r.values()) for r in found if r)
    last = ["geometric mean", "", "", *("-" if m is None else f"{m:.2f}" for m in means)]
    return table(head, [*rows, [*last, "", "-" if least is None else f"{least:.2f}"]])


def _plain_table(result: Result, what: str, show: Any) -> str:
    names = list(result["peers"])
    rows = []
    for name, workload in result["workloads"].items():
        records = [workload["peers"].get(p) for p in names]
        rows.append([name, *(show(r) if r and r.get(what) is not None else _word(r) for r in records)])
    return table(["workload", *(result["peers"][p] for p in names)], rows)


def first_step_table(result: Result) -> str:
    """Seconds from the start of the declaration to the first loss."""
    return _plain_table(result, "first_step_seconds", lambda r: f"{r['first_step_seconds']:.2f}")


def memory_table(result: Result) -> str:
    """Most MiB ever resident, and in brackets how much of it came after imports and data."""

    def show(record: Result) -> str:
        before = record.get("resident_before")
        added = f" ({(record['peak'] - before) / 2**20:.0f})" if before is not None else ""
        return f"{record['peak'] / 2**20:.0f}{added}"

    return _plain_table(result, "peak", show)


def reasons(result: Result) -> str:
    """Why a peer was not measured, a line each."""
    lines = []
    for name, workload in result["workloads"].items():
        for peer, record in workload["peers"].items():
            if record["status"] != "measured":
                lines.append(f"- {name}, {result['peers'][peer]}: {record['status']}: {record['reason']}")
    return "\n".join(lines)


def versions_of(result: Result) -> dict[str, dict[str, str]]:
    """The versions of libraries that each peer ran with."""
    found: dict[str, dict[str, str]] = {}
    for workload in result["workloads"].values():
        for peer, record in workload["peers"].items():
            if "versions" in record:
                found.setdefault(peer, record["versions"])
    return found


def report(result: Result) -> str:
    """Everything as text."""
    machine = result["machine"]
    parts = [
        f"{result['date']}; {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"{result['settings']['threads']} threads, {result['settings']['device']}",
        "Time of a peer's step by ours (above 1: ours is faster); medians of the ratios within rounds",
        ratio_table(result),
        "Seconds from the start of the declaration to the first loss",
        first_step_table(result),
        "Most memory resident, MiB (in brackets: what came after imports and data)",
        memory_table(result),
    ]
    if why := reasons(result):
        parts += ["Not measured", why]
    parts += ["Versions", "\n".join(f"- {peer}: {named(v)}" for peer, v in versions_of(result).items())]
    return "\n\n".join(parts)


def named(versions: dict[str, str]) -> str:
    """Names and versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
