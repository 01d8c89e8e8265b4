"""The server that is loaded: the user's, or one that is started for the time of a test."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_READY = re.compile(r"Ready after ([\d.]+) s")
_ADDRESS = re.compile(r"^\s+(gRPC|HTTP|metrics)\s+(\S+)$")
_STOP_S = 30.0


@dataclass(frozen=True)
class Server:
    """Where it answers; `startup_s` is None for one that ran already."""

    grpc: str
    http: str
    metrics: str
    startup_s: float | None = None

    def url(self, protocol: str) -> str:
        """Return its address for `grpc` or `http`."""
        return self.http if protocol == "http" else self.grpc


def at_host(host: str) -> Server:
    """Return a running server by its name or address, on Triton's usual ports."""
    return Server(f"grpc://{host}:8001", f"http://{host}:8000", f"http://{host}:8002/metrics")


@contextmanager
def embedded(repository: Path) -> Iterator[Server]:
    """A server of this machine, on free ports, by `emoserve serve`.

    Raises:
        RuntimeError: it did not start; what it said is on standard error.
    """
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    command = [
        sys.executable,
        "-m",
        "emoserve_client.cli",
        "serve",
        "--repository",
        str(repository),
    ]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _announced(process)
        finally:
            process.terminate()
            process.wait(_STOP_S)


def _announced(process: subprocess.Popen[str]) -> Server:
    found: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        if ready := _READY.search(line):
            found["startup"] = ready[1]
        if address := _ADDRESS.match(line):
            found[address[1]] = address[2]
        if line.startswith("Stop with"):
            return Server(found["gRPC"], found["HTTP"], found["metrics"], float(found["startup"]))
    raise RuntimeError("the server did not start: `emoserve serve` says why, `emoserve doctor` too")
