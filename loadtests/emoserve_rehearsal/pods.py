"""A pod: one real Triton on an address of its own, started, found ready, drained, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emoserve_rehearsal.throttle import Throttle
from emoserve_rehearsal.timing import FACTOR, PIPELINE, manifest
from emoserve_server import EmbeddedTriton

STARTING, READY, GOING, GONE = "starting", "ready", "going", "gone"
_WATCH_S = 0.2
# What a connection's age is for: new pods get their share (k8s/base/deployment.yaml).
_SCALED_FLAGS = ("--grpc-max-connection-age", "--grpc-max-connection-age-grace")


@dataclass(frozen=True)
class Ports:
    """The same on every pod's address, as in a cluster."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class Drain:
    """The manifest's preStop and exit timeout, in this world's seconds."""

    sleep_s: float
    exit_s: float

    @staticmethod
    def of_manifest() -> Drain:
        (triton,) = manifest("Deployment")["template"]["spec"]["containers"]
        sleep = triton["lifecycle"]["preStop"]["exec"]["command"]
        return Drain(int(sleep[1]) / FACTOR, _flag(triton["args"], "--exit-timeout-secs") / FACTOR)


def _flag(arguments: list[str], name: str) -> int:
    (value,) = (one.partition("=")[2] for one in arguments if one.partition("=")[0] == name)
    return int(value)


def _flags() -> list[str]:
    (triton,) = manifest("Deployment")["template"]["spec"]["containers"]
    return [f"{name}={_flag(triton['args'], name) / FACTOR:.0f}" for name in _SCALED_FLAGS]


class Pod:
    """`state` is one of STARTING, READY, GOING, GONE; all work happens in a thread of its own."""

    def __init__(
        self, name: str, host: str, ports: Ports, repository: Path, throttle: Throttle, logs: Path
    ) -> None:
        self.name, self.host, self.ports, self.repository = name, host, ports, repository
        self.state, self.born_s, self.ready_s, self.restarts = STARTING, time.monotonic(), 0.0, 0
        self._throttle, self._logs, self._drain = throttle, logs, Drain.of_manifest()
        self._leave = threading.Event()
        self._server: EmbeddedTriton | None = None
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    @property
    def metrics_address(self) -> str:
        return f"{self.host}:{self.ports.metrics}"

    def remove(self) -> None:
        """What deleting a pod does: out of the endpoints, preStop, SIGTERM, gone."""
        self.state = GOING
        self._leave.set()

    def kill(self) -> None:
        """SIGKILL to the server: the kubelet starts the container again."""
        assert self._server is not None
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)

    def join(self) -> None:
        self._thread.join()

    def _live(self) -> None:
        try:
            while not self._leave.is_set():
                self._start()
                if self._watch():
                    break
                self.restarts += 1
                self.state = STARTING
            time.sleep(self._drain.sleep_s)  # preStop
        finally:
            if self._server is not None:
                self._server.stop()  # SIGTERM; what is in flight is answered first
            self.state = GONE

    def _start(self) -> None:
        self._server = EmbeddedTriton(
            self.repository,
            host=self.host,
            http_port=self.ports.http,
            grpc_port=self.ports.grpc,
            metrics_port=self.ports.metrics,
            models=(PIPELINE,),
            extra_args=_flags(),
            exit_timeout_s=self._drain.exit_s,
            log_file=self._logs / f"{self.name}.{self.restarts}.log",
        )
        limited = threading.Thread(target=self._limit, args=(self._server,), daemon=True)
        limited.start()
        self._server.start()
        if not self._leave.is_set():
            self.state, self.ready_s = READY, time.monotonic()

    def _limit(self, server: EmbeddedTriton) -> None:
        """The limit holds from the first moment: a start is part of what it slows."""
        _wait_for(lambda: server.pid is not None, 10.0)
        if server.pid is not None:
            self._throttle.add(server.pid)

    def _watch(self) -> bool:
        """Wait until the pod is told to go (True) or its server has ended by itself (False)."""
        assert self._server is not None
        while not self._leave.wait(_WATCH_S):
            with contextlib.suppress(TimeoutError):
                self._server.wait(0.0)
                self._server.stop()
                return False
        return True


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
