"""The limit as the benchmark measures it: processes with the work and nothing around it."""

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoserve_peers import environments, servers
from emoserve_peers.errors import ServerFailedError
from emoserve_peers.generator import Load
from emoserve_peers.systems import CORES, Server

_APP = Server("", ())


class Limit:
    """One pipeline in `processes` processes; the calls wait for orders and cost nothing meanwhile.

    Args:
        per_process: threads of each process.
    """

    def __init__(self, running: Sequence["subprocess.Popen[str]"], per_process: int) -> None:
        self._running = running
        self._per_process = per_process

    def answers(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Return the answers' JSON, asked one by one."""
        (process, *_) = self._running
        return [self._ask(process, {"bodies": _text([body])})[0].encode() for body in bodies]

    def measure(
        self, bodies: Sequence[bytes], callers: int, warmup_s: float, window_s: float
    ) -> Load:
        """Return the rate and latencies of as many threads as there are callers and cores."""
        threads = min(callers, len(self._running) * self._per_process)
        order = {"bodies": _text(bodies), "seconds": warmup_s + window_s}
        active = self._running[: max(1, threads // self._per_process)]
        for process in active:
            _send(process, order | {"threads": threads // len(active)})
        spans = np.array([span for process in active for span in _receive(process)])
        inside = spans[(spans[:, 1] >= warmup_s) & (spans[:, 1] < warmup_s + window_s)]
        return Load(len(inside) / window_s, inside[:, 1] - inside[:, 0], 0)

    def _ask(self, process: "subprocess.Popen[str]", order: dict[str, Any]) -> Any:
        _send(process, order)
        return _receive(process)

    @property
    def root(self) -> int:
        return self._running[0].pid


@contextlib.contextmanager
def limit(
    pipeline: str, repository: Path, processes: int = 1, per_process: int = CORES
) -> Iterator[Limit]:
    """Give the limit of a pipeline, loaded."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(_process(pipeline, repository)) for _ in range(processes)]
        yield Limit(running, per_process)


@contextlib.contextmanager
def _process(pipeline: str, repository: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-m", "emoserve_peers.apps.limit"],
        cwd=environments.ROOT,
        env=servers.environment(_APP, pipeline, repository, {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _text(bodies: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(body).decode() for body in bodies]


def _send(process: "subprocess.Popen[str]", order: dict[str, Any]) -> None:
    assert process.stdin is not None
    print(json.dumps(order), file=process.stdin, flush=True)


def _receive(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ServerFailedError("the limit's process ended; its reason is above")
    return json.loads(line)
