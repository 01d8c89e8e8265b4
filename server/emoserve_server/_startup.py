"""Waiting for a started server: until every model is ready, it ended, or time ran out."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from emoserve_server import _health
from emoserve_server._command import Listeners
from emoserve_server._errors import StartError
from emoserve_server._log import LogReader, hints, telling_lines

Progress = Callable[[int, int], None]
_POLL_S = 0.1


def wait_until_ready(
    process: subprocess.Popen[str],
    log_file: Path,
    names: Sequence[str],
    listeners: Listeners,
    timeout_s: float,
    on_progress: Progress | None,
) -> None:
    """Return once the server answers that it is ready with all models of `names`.

    Triton opens its ports only after all models are loaded, so until then progress is read from
    its log; at the end `/v2/health/ready`, the repository index and `/metrics`, the port that
    is opened last, decide.

    Raises:
        StartError: it ended, or was not ready in time.
    """
    until = time.monotonic() + timeout_s
    reader = LogReader(log_file)
    shown = -1
    try:
        while True:
            ended = process.poll() is not None
            reader.new_lines()
            loaded = len(reader.loaded.intersection(names))
            if on_progress is not None and loaded != shown:
                on_progress(loaded, len(names))
                shown = loaded
            if ended:
                raise _failure("Triton ended before it was ready", log_file)
            if loaded == len(names) and _all_ready(names, listeners):
                return
            if time.monotonic() > until:
                waiting = ", ".join(sorted(set(names) - reader.loaded)) or "the ports"
                raise _failure(
                    f"Triton was not ready after {timeout_s:g} s (waiting for: {waiting})", log_file
                )
            time.sleep(_POLL_S)
    finally:
        reader.close()


def _all_ready(names: Sequence[str], listeners: Listeners) -> bool:
    if not _health.is_ready(listeners.host, listeners.http_port):
        return False
    states = _health.index(listeners.host, listeners.http_port)
    ready = {state.name for state in states if state.state == "READY"}
    return ready.issuperset(names) and _health.has_metrics(listeners.host, listeners.metrics_port)


def _failure(what: str, log_file: Path) -> StartError:
    lines = telling_lines(log_file)
    parts = [what, *(f"  {line}" for line in lines), *hints(log_file), f"The whole log: {log_file}"]
    return StartError("\n".join(parts), log_file, lines)
