"""The play: a ramp up, a rollout, a kill, an outage of the metrics, a ramp down."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from emoserve_rehearsal.calibration import calibrated
from emoserve_rehearsal.callers import Locust, World
from emoserve_rehearsal.deployment import Deployment
from emoserve_rehearsal.monitoring import Prometheus, autoscaler_query
from emoserve_rehearsal.pods import Pod, Ports
from emoserve_rehearsal.record import Record, Rows, Sample
from emoserve_rehearsal.throttle import Throttle
from emoserve_rehearsal.timing import CORES, FACTOR, NETWORK
from emoserve_server.scaling import (
    SYNC_S,
    Autoscaler,
    Capacity,
    Plan,
    Policy,
    plan,
    read_configs,
)

POLICY = Policy(min_replicas=2, max_replicas=6)
_LOW, _HIGH = 0.8, 3.0  # rates, as multiples of what one pod holds
_SAMPLE_S = 0.5
_WAITING = "sum(nv_inference_pending_request_count)"
ROLLOUT, KILL, OUTAGE, BACK = "new models", "kill -9", "Prometheus stops", "Prometheus is back"


@dataclass(frozen=True)
class Result:
    """All that was seen and decided."""

    capacity: Capacity
    plan: Plan
    world: World
    record: Record
    rows: Rows
    began_s: float
    locust_status: int
    restarts: int


def stages(hold_per_s: float) -> list[tuple[float, float, float]]:
    """Return (seconds, first rate, last rate) of the ramp for pods that hold this rate."""
    low, high = _LOW * hold_per_s, _HIGH * hold_per_s
    return [(30, low, low), (40, low, high), (100, high, high), (30, high, low), (115, low, low)]


SCRIPT = ((90.0, ROLLOUT), (140.0, KILL), (155.0, OUTAGE), (180.0, BACK))


class Rehearsal:
    """Sets the stage in a folder; `run` plays."""

    def __init__(self, repository: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder, self._tell = folder, tell
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._first, self._second = _revisions(repository, folder)
        # An address of 127/8 for each pod, and the same ports on all of them.
        self._network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
        self._ports = Ports(*_free_ports(3))
        (self._prometheus_port,) = _free_ports(1)
        self._endpoints = folder / "endpoints.json"

    def run(self) -> Result:
        with ExitStack() as stack:
            self._throttle = stack.enter_context(Throttle(CORES))
            world = World(str(self._endpoints), self._ports.grpc, seed=1)
            capacity = self._calibrate(world)
            made = plan(read_configs(self._first), capacity, POLICY)
            hold = capacity.pipelines[0].knee()
            self._tell(
                f"one pod holds {hold.rate_per_s:.1f} requests/s (p95 {hold.p95_s * 1000:.0f} ms); "
                f"load to keep {made.rules.load:g}; ready after {capacity.startup_s / FACTOR:.1f} s"
            )
            targets = self._folder / "targets.json"
            targets.write_text("[]")
            prometheus = stack.enter_context(
                Prometheus(self._folder / "prometheus", targets, made, self._prometheus_port)
            )
            deployment = stack.enter_context(
                Deployment(POLICY.min_replicas, self._first, self._pod, self._endpoints, targets)
            )
            while not deployment.settled:
                time.sleep(0.1)
            world = world.with_stages(stages(hold.rate_per_s), self._folder)
            return self._play(world, capacity, made, prometheus, deployment)

    def _calibrate(self, world: World) -> Capacity:
        self._tell("measuring what one pod holds")
        pod = self._pod("calibration", 254, self._first)
        try:
            return calibrated(pod, world, self._folder / "calibration")
        finally:
            pod.remove()
            pod.join()

    def _play(
        self,
        world: World,
        capacity: Capacity,
        made: Plan,
        prometheus: Prometheus,
        deployment: Deployment,
    ) -> Result:
        with Locust(world) as locust:
            loop = _Loop(deployment, prometheus, made, locust.began_s)
            restarts = 0
            with loop:
                for at_s, name in SCRIPT:
                    loop.sleep_until(at_s)
                    loop.note(name)
                    self._tell(f"{at_s:.0f} s: {name}, {len(deployment.ready)} pods ready")
                    if name == ROLLOUT:
                        deployment.repository = self._second
                    elif name == KILL:
                        victim = deployment.ready[0]
                        victim.kill()
                    elif name == OUTAGE:
                        prometheus.stop()
                    else:
                        prometheus.start()
                loop.sleep_until(world.seconds)
                restarts = victim.restarts
            status = locust.join()
        rows = world.read_rows()
        return Result(capacity, made, world, loop.record, rows, locust.began_s, status, restarts)

    def _pod(self, name: str, number: int, repository: Path) -> Pod:
        host = f"{self._network}.{number}"
        return Pod(name, host, self._ports, repository, self._throttle, self._folder)


class _Loop:
    """The autoscaler's control loop and the record, each in a thread, inside a `with` block."""

    def __init__(
        self, deployment: Deployment, prometheus: Prometheus, made: Plan, began_s: float
    ) -> None:
        self.record = Record()
        self._deployment, self._prometheus = deployment, prometheus
        self._scaler = Autoscaler(made.rules.faster(FACTOR))
        self._query = autoscaler_query()
        self._load: float | None = None
        self._began_s, self._ended = began_s, threading.Event()
        self._threads = [
            threading.Thread(target=self._each, args=(SYNC_S / FACTOR, self._sync)),
            threading.Thread(target=self._each, args=(_SAMPLE_S, self._sample)),
        ]

    @property
    def at_s(self) -> float:
        return time.time() - self._began_s

    def note(self, name: str) -> None:
        self.record.events.append((self.at_s, name))

    def sleep_until(self, at_s: float) -> None:
        time.sleep(max(0.0, at_s - self.at_s))

    def _each(self, every_s: float, do: Callable[[], None]) -> None:
        while not self._ended.wait(every_s):
            do()

    def _sync(self) -> None:
        self._load = self._prometheus.value(self._query)
        replicas = self._deployment.replicas
        self._deployment.replicas = self._scaler.decide(time.monotonic(), replicas, self._load)

    def _sample(self) -> None:
        deployment = self._deployment
        waiting = self._prometheus.value(_WAITING)
        ready, held = len(deployment.ready), len(deployment.pods)
        self.record.samples.append(
            Sample(self.at_s, deployment.replicas, ready, held, self._load, waiting)
        )

    def __enter__(self) -> _Loop:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def _revisions(repository: Path, folder: Path) -> tuple[Path, Path]:
    """Two repositories of the same weights; the second calls the network version 2."""
    first, second = folder / "models-1", folder / "models-2"
    for target in (first, second):
        shutil.copytree(repository, target, copy_function=_link)
    (second / NETWORK / "1").rename(second / NETWORK / "2")
    return first, second


def _link(source: str, target: str) -> None:
    """The same file under another name, a copy where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _free_ports(count: int) -> list[int]:
    """Ports that are free on all addresses of this machine now."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("0.0.0.0", 0))
        return [int(one.getsockname()[1]) for one in sockets]
