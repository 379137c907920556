"""Measure workloads: every peer in its own process, the same first losses, then rounds in which each has its turn."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.suite.processes import WorkerError, WorkerProcess
from benchmarks.suite.registry import OURS, PEERS, Peer, interpreter_of
from benchmarks.suite.workloads import WORKLOADS, Workload

Record = dict[str, Any]
"""What is known of one peer on one workload; `status` is "measured", "unable", "failed", "other losses" or "not
installed", and `reason` says why."""

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Settings:
    """How much is measured: `seconds` is the length of a turn, `pause` the quiet before it."""

    device: str = "cpu"
    threads: int = 2
    rounds: int = 7
    seconds: float = 0.7
    pause: float = 0.2
    timeout: float = 900.0
    sizes: dict[str, int] | None = None


def same_losses(ours: Iterable[float], theirs: Iterable[float], tolerance: float = TOLERANCE) -> bool:
    """Whether the first losses agree; one that is not a number agrees with nothing."""
    pairs = list(zip(ours, theirs, strict=True))
    return all(abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-12) for a, b in pairs)


def steps_of_a_turn(seconds_per_step: float, turn: float, in_one_call: int) -> int:
    """As many steps as fill a turn, and whole calls."""
    calls = max(1, round(turn / max(seconds_per_step * in_one_call, 1e-7)))
    return calls * in_one_call


def measure(
    workload: Workload, peers: Iterable[str], settings: Settings, say: Callable[[str], object] = print
) -> dict[str, Record]:
    """All peers on one workload; ours is the first and gives the losses that the others are to have."""
    from benchmarks.suite.inputs import write_inputs

    records: dict[str, Record] = {}
    workers: dict[str, WorkerProcess] = {}
    if settings.sizes:
        workload = replace(workload, sizes={**workload.sizes, **settings.sizes})
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(workload, Path(folder))
        try:
            for name in [OURS, *(p for p in peers if p != OURS)]:
                records[name] = _started(PEERS[name], workload, folder, settings, workers)
                ours, record = records[OURS], records[name]
                if record["status"] == "measured" and "losses" in ours:
                    if not same_losses(ours["losses"], record["losses"]):
                        record |= {"status": "other losses", "reason": f"{record['losses']}, ours {ours['losses']}"}
                        workers.pop(name).close()
                say(f"  {name}: {record['status']}{', ' + record['reason'] if 'reason' in record else ''}")
            _rounds(workload, records, workers, settings)
            for name in list(workers):
                _asked(records, workers, name, "memory", settings)
        finally:
            for worker in workers.values():
                worker.close()
    return records


def _started(
    peer: Peer, workload: Workload, folder: str, settings: Settings, workers: dict[str, WorkerProcess]
) -> Record:
    """Start a peer's worker and let it build; where it did, the worker is kept in `workers`."""
    python = interpreter_of(peer)
    if python is None:
        return {"status": "not installed", "reason": f"python -m benchmarks.install_peers {peer.environment}"}
    worker = WorkerProcess(python, settings.threads)
    try:
        reply = worker.ask(
            "build",
            timeout=settings.timeout,
            module=peer.module,
            libraries=list(peer.libraries),
            workload=workload.name,
            folder=folder,
            arguments={"device": settings.device, "threads": settings.threads, **peer.arguments},
            sizes=settings.sizes,
        )
    except WorkerError as error:
        reply = {"failed": str(error)}
    for status in ("failed", "unable"):
        if status in reply:
            worker.close()
            return {"status": status, "reason": reply[status]}
    workers[peer.name] = worker
    return {
        "status": "measured",
        "losses": reply["losses"],
        "first_step_seconds": reply["seconds"],
        "resident_before": reply["resident_before"],
        "versions": reply["versions"],
        "rounds": [],
    }


def _asked(
    records: dict[str, Record],
    workers: dict[str, WorkerProcess],
    name: str,
    do: str,
    settings: Settings,
    **request: Any,
) -> Record | None:
    """The reply of a worker that is to be there; one that fails is taken out."""
    try:
        reply = workers[name].ask(do, timeout=settings.timeout, **request)
    except WorkerError as error:
        reply = {"failed": str(error)}
    if "failed" in reply:
        records[name] |= {"status": "failed", "reason": reply["failed"]}
        workers.pop(name).close()
        return None
    if do == "memory":
        records[name] |= reply
    return reply


def _rounds(
    workload: Workload, records: dict[str, Record], workers: dict[str, WorkerProcess], settings: Settings
) -> None:
    """Warm every worker up, and let each run for a turn in every round; who begins changes from round to round."""
    each = workload.in_one_call
    steps: dict[str, int] = {}
    for name in list(workers):
        count = each
        while (reply := _asked(records, workers, name, "run", settings, steps=count, in_one_call=each)) is not None:
            if reply["seconds"] >= settings.seconds / 2:
                steps[name] = steps_of_a_turn(reply["seconds"] / reply["steps"], settings.seconds, each)
                break
            count = min(count * 8, max(2 * count, steps_of_a_turn(reply["seconds"] / count, settings.seconds, each)))
    for turn in range(settings.rounds):
        order = list(workers)
        order = order[turn % len(order) :] + order[: turn % len(order)] if order else []
        for name in order:
            # Threads of the one before, which wait for more work for a moment, fall asleep.
            time.sleep(settings.pause)
            request = {"steps": steps[name], "in_one_call": each}
            reply = _asked(records, workers, name, "run", settings, **request)
            if reply is not None:
                records[name]["rounds"].append(reply["seconds"] / reply["steps"])
                records[name] |= {"steps": reply["steps"], "last_loss": reply["loss"]}


def run_suite(
    names: Iterable[str],
    peers: Iterable[str],
    settings: Settings,
    say: Callable[[str], object] = print,
    keep: Callable[[Record], object] = lambda _: None,
) -> Record:
    """Every workload in turn; the whole record, of which `keep` is given what there is after each."""
    from benchmarks.suite.machine import machine

    chosen = list(peers)
    result: Record = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "settings": {key: value for key, value in vars(settings).items() if value is not None},
        "peers": {name: PEERS[name].title for name in [OURS, *(p for p in chosen if p != OURS)]},
        "workloads": {},
    }
    for name in names:
        workload = WORKLOADS[name]
        say(f"{name}: {workload.title}")
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        records = measure(workload, chosen, settings, say)
        result["workloads"][name] = {"title": workload.title, "load_before": load, "peers": records}
        ours = records[OURS]
        if ours.get("rounds"):
            say(f"  staticgrad {1e3 * statistics.median(ours['rounds']):.3f} ms a step")
        keep(result)
    return result
