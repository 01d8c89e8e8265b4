"""Requests through pods, each pod an exact queue of its own.

Callers take turns over all pods and there are many of them, so what reaches one pod is a random
share of what comes. Shares of a Poisson stream are Poisson streams that do not depend on each
other: of a thousand pods, a few say what all of them do. Above `sample` pods only so many are
simulated, and each stands for as many as there are more; the same queues, request by request.
"""

from __future__ import annotations

from array import array
from collections import defaultdict

import numpy as np

from emoserve_server.scaling.simulation._service import Service


class Traffic:
    """All requests of a run. `executed_s` and `waiting` are what Triton's metrics would say."""

    def __init__(self, service: Service, rng: np.random.Generator, sample: int) -> None:
        self._service, self._rng, self._sample = service, rng, sample
        self._pods: list[float] = []  # until when each has work
        self._stands_for = 1.0
        self._full_s = service.queue / service.limit_per_s  # what a full queue makes wait
        self._executed: defaultdict[int, float] = defaultdict(float)  # by the second it ends in
        self._started: defaultdict[int, float] = defaultdict(float)
        self.executed_s = 0.0  # a counter: it moves when a request has ended
        self.waiting = 0.0  # a gauge
        self._arrived, self._took, self._weight = array("d"), array("d"), array("d")
        self.refused = 0.0

    @property
    def columns(self) -> tuple[array[float], array[float], array[float]]:
        """When each answered request arrived, how long it took, how many it stands for."""
        return self._arrived, self._took, self._weight

    def resize(self, pods: int, now_s: float) -> None:
        """Let `pods` take requests. What is in flight in one that goes is answered all the same."""
        before = len(self._pods) * self._stands_for
        size = min(pods, self._sample)
        if pods > before:
            # As many old ones in the sample as in all, on average.
            stays = self._rng.random(len(self._pods)) < size * self._stands_for / pods
            old = [busy_s for busy_s, one in zip(self._pods, stays.tolist(), strict=True) if one]
            self._pods = old + [now_s] * (size - len(old))
        else:
            self._pods = self._pods[:size]
        self._stands_for = pods / size if size else 1.0

    def second(self, begin: int, rate_per_s: float) -> None:
        """Take what comes in the second from `begin` on."""
        pods = len(self._pods)
        if pods:
            counts = self._rng.poisson(rate_per_s / (pods * self._stands_for), pods)
            offsets = self._rng.random(int(counts.sum()))
            sizes = self._service.sizes(self._rng, int(counts.sum())).tolist()
            first = 0
            for pod, count in enumerate(counts.tolist()):
                last = first + count
                arrivals = np.sort(offsets[first:last]) + begin
                self._pods[pod] = self._take(self._pods[pod], arrivals.tolist(), sizes[first:last])
                first = last
        self.executed_s += self._executed.pop(begin, 0.0)
        self.waiting -= self._started.pop(begin, 0.0)

    def _take(self, busy_s: float, arrivals: list[float], sizes: list[float]) -> float:
        """Answer what comes to one pod and return until when it then has work."""
        service, weight = self._service, self._stands_for
        slack_s, mean_s, work_s = service.slack_s, service.mean_s, 1 / service.limit_per_s
        for arrival, size in zip(arrivals, sizes, strict=True):
            wait = busy_s - arrival - slack_s
            if wait < 0:
                wait = 0.0
            elif wait > self._full_s:
                self.refused += weight
                continue
            busy_s = (busy_s if busy_s > arrival else arrival) + size * work_s
            start = arrival + wait
            end = start + size * mean_s
            self._executed[int(end)] += size * mean_s * weight
            self._started[int(start)] += weight
            self.waiting += weight
            self._arrived.append(arrival)
            self._took.append(end - arrival)
            self._weight.append(weight)
        return busy_s
