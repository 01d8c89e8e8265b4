"""One Locust run in processes of its own, and what it recorded."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from emoserve_loadtests.rows import Rows
from emoserve_loadtests.served import Server

USERS = Path(__file__).with_name("users.py")
_WORKERS_S = 60
_TRIALS = 3
OTHERS_CORES = 0.25  # what other programs may take before a trial counts as disturbed
_USER = {"model": "Tensors"}


@dataclass(frozen=True)
class Trial:
    """A load to put on a server; `levels` are callers, or requests per second in an open loop."""

    pipeline: str
    levels: tuple[float, ...]
    stage_s: float
    loop: str = "closed"
    settle_s: float = 1.0
    protocol: str = "grpc"
    seed: int = 1
    timeout_s: float = 30.0
    media: Path | None = None

    def at(self, level: float, stage_s: float) -> Trial:
        """Return the same at one other level."""
        return replace(self, levels=(level,), stage_s=stage_s)


@dataclass(frozen=True)
class Recording:
    """A trial's report and rows."""

    report: dict[str, Any]
    rows: Rows

    @property
    def cores_of_others(self) -> float:
        """What other programs took of this machine; 0 where the server runs elsewhere."""
        return float(self.report["server"]["cores_of_others"] or 0.0)


def run_quiet(trial: Trial, server: Server, out: Path) -> Recording:
    """Run a trial, again while other programs disturb it, and return the least disturbed."""
    recordings: list[Recording] = []
    while len(recordings) < _TRIALS:
        recordings.append(run_trial(trial, server, out))
        if recordings[-1].cores_of_others <= OTHERS_CORES:
            break
    return min(recordings, key=lambda one: one.cores_of_others)


def run_trial(trial: Trial, server: Server, out: Path) -> Recording:
    """Run one trial and return what it recorded.

    Raises:
        RuntimeError: Locust made no report; the message has the end of what it said.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").unlink(missing_ok=True)
    log, command = out / "locust.log", locust(_arguments(trial, server, out))
    label = f"{trial.pipeline}, {trial.loop} loop at {_levels(trial)}, {trial.stage_s:.0f} s ..."
    with log.open("w") as file, Console(stderr=True).status(label):
        subprocess.run(command, stdout=file, stderr=file, check=False)
    if not (out / "report.json").is_file():
        raise RuntimeError(f"Locust made no report; {log} ends with\n{log.read_text()[-1500:]}")
    with np.load(out / "rows.npz") as stored:
        rows = stored["rows"]
    return Recording(json.loads((out / "report.json").read_text(encoding="utf-8")), rows)


def _arguments(trial: Trial, server: Server, out: Path) -> list[str]:
    options = {
        "--host": server.url(trial.protocol), "--loop": trial.loop, "--levels": _levels(trial),
        "--stage-seconds": trial.stage_s, "--settle-seconds": trial.settle_s, "--seed": trial.seed,
        "--timeout": trial.timeout_s, "--out": out, "--stats-url": server.http,
        "--metrics-url": server.metrics, "--media": trial.media or "",
        "--processes": 1,  # of its own: so the generator is not held up by sampling
    }  # fmt: skip
    user = _USER.get(trial.pipeline, trial.pipeline.capitalize())
    given = [str(part) for pair in options.items() for part in pair]
    return [user, "--headless", "--only-summary", *given, *meeting_point()]


def _levels(trial: Trial) -> str:
    return ",".join(f"{one:g}" for one in trial.levels)


def locust(arguments: Sequence[str]) -> list[str]:
    """Return Locust's command line with our users."""
    return [sys.executable, "-m", "locust", "-f", str(USERS), *arguments]


def meeting_point() -> list[str]:
    """Return options by which a master and its workers on this machine find each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    where = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return [*where, "--expect-workers-max-wait", str(_WORKERS_S)]


def run_locust(arguments: Sequence[str]) -> int:
    """Run Locust in the foreground and return its exit code."""
    return subprocess.run(locust(arguments), check=False).returncode
