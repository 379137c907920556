"""The runner's side of a worker: start it, ask it, end it."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerError(Exception):
    """A worker died or did not answer in time; the text says what it last printed."""


def processors(threads: int) -> set[int] | None:
    """The first processors of this process, as many as threads; None where processes cannot be held to some."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return set(sorted(os.sched_getaffinity(0))[:threads])


class WorkerProcess:
    """A worker under a peer's interpreter, held to as many processors as threads: XLA takes as many as it may use."""

    def __init__(self, python: Path, threads: int) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": str(ROOT)}
        # What a compiler kept of an earlier run would hide what its first step costs.
        self._cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        environment["TORCHINDUCTOR_CACHE_DIR"] = self._cache.name
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.suite.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment,
            text=True,
        )
        allowed = processors(threads)
        if allowed is not None:
            os.sched_setaffinity(self._process.pid, allowed)
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def ask(self, do: str, *, timeout: float = 900, **request: Any) -> dict[str, Any]:
        """The reply to one request."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"the worker died: {self._last_words()}") from None
        if not self._selector.select(timeout):
            self._process.kill()
            raise WorkerError(f"no answer to {do!r} within {timeout:g} seconds")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker died: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        code = self._process.wait(10)
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        killed = "killed, for want of memory if nobody did it" if code == -9 else f"exit status {code}"
        return f"{killed}; {' | '.join(lines[-2:])}"[:400].removesuffix("; ")

    def close(self) -> None:
        """Let it go."""
        if self._process.poll() is None:
            try:
                self.tell_to_quit()
                self._process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        self._cache.cleanup()

    def tell_to_quit(self) -> None:
        """Ask it to end."""
        assert self._process.stdin is not None
        self._process.stdin.write('{"do": "quit"}\n')
        self._process.stdin.flush()
