"""The Deployment's and the endpoints' controllers, as far as a rehearsal needs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from emoserve_rehearsal.pods import GONE, READY, STARTING, Pod
from emoserve_rehearsal.record import replace_file
from emoserve_rehearsal.timing import FACTOR, manifest

_RECONCILE_S = 0.1
Make = Callable[[str, int, Path], Pod]


class Deployment:
    """Keeps `replicas` pods of `repository`, in a thread; writes addresses as pods come and go.

    `endpoints` gets the addresses of the pods that are ready, as the name server has them for a
    headless service; `targets` the pods that Prometheus scrapes, those that go included.
    """

    def __init__(
        self, replicas: int, repository: Path, make: Make, endpoints: Path, targets: Path
    ) -> None:
        self.replicas, self.repository = replicas, repository
        spec = manifest("Deployment")
        rolling = spec["strategy"]["rollingUpdate"]
        self._surge: int = rolling["maxSurge"]
        self._unavailable: int = rolling["maxUnavailable"]
        self._min_ready_s = spec["minReadySeconds"] / FACTOR
        self._make, self._endpoints, self._targets = make, endpoints, targets
        self._pods: list[Pod] = []
        self._made = 0
        self._written: tuple[str, ...] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deployment", daemon=True)

    @property
    def pods(self) -> list[Pod]:
        """All that hold resources."""
        return [pod for pod in self._pods if pod.state != GONE]

    @property
    def ready(self) -> list[Pod]:
        return [pod for pod in self._pods if pod.state == READY]

    @property
    def settled(self) -> bool:
        """As many ready pods of this revision as there should be, and no others."""
        new = [pod for pod in self.ready if pod.repository == self.repository]
        return len(new) == self.replicas == len(self.pods)

    def _run(self) -> None:
        while not self._ended.wait(_RECONCILE_S):
            self._reconcile()
            self._write()

    def _reconcile(self) -> None:
        mine = [pod for pod in self._pods if pod.state in (STARTING, READY)]
        new = [pod for pod in mine if pod.repository == self.repository]
        old = [pod for pod in mine if pod.repository != self.repository]
        room = self.replicas + (self._surge if old else 0) - len(mine)
        for _ in range(min(room, self.replicas - len(new))):
            self._add()
        spare = len(self._available(mine)) - (self.replicas - self._unavailable)
        for pod in old[: max(spare, 0)]:
            pod.remove()
        surplus = len(new) - self.replicas
        for pod in sorted(new, key=_goes_first)[: max(surplus, 0)]:
            pod.remove()

    def _available(self, pods: list[Pod]) -> list[Pod]:
        now = time.monotonic()
        return [
            pod for pod in pods if pod.state == READY and now - pod.ready_s >= self._min_ready_s
        ]

    def _add(self) -> None:
        self._made += 1
        taken = {pod.host.rsplit(".", 1)[1] for pod in self.pods}
        number = next(one for one in range(1, 255) if str(one) not in taken)
        self._pods.append(self._make(f"emoserve-{self._made}", number, self.repository))

    def _write(self) -> None:
        self._pods = self.pods
        ready = tuple(pod.host for pod in self.ready)
        if ready != self._written:
            self._written = ready
            replace_file(self._endpoints, ready)
        scraped = [
            {
                "targets": [pod.metrics_address],
                "labels": {"namespace": "emoserve", "pod": pod.name},
            }
            for pod in self._pods
        ]
        replace_file(self._targets, scraped)

    def __enter__(self) -> Deployment:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for pod in self.pods:
            pod.remove()
        for pod in self._pods:
            pod.join()


def _goes_first(pod: Pod) -> tuple[bool, float]:
    """Not ready before ready, young before old: the ReplicaSet's order."""
    return pod.state == READY, -pod.born_s
