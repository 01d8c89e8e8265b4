"""Requests through pods, each pod an exact queue of its own.

Callers take turns over all pods and there are many of them, so what reaches one pod is a random
share of what comes. Shares of a Poisson stream are Poisson streams that do not depend on each
other: of a thousand pods, a few say what all of them do. Above `sample` pods only so many are
simulated, and each stands for as many as there are more; the same queues, request by request.
"""

from __future__ import annotations

import heapq
from array import array
from collections import defaultdict

import numpy as np

from emoserve_server.scaling.simulation._service import Service


class Traffic:
    """All requests of a run. `executed_s` and `waiting` are what Triton's metrics would say."""

    def __init__(self, service: Service, rng: np.random.Generator, sample: int) -> None:
        self._service, self._rng, self._sample = service, rng, sample
        self._pods: list[list[float]] = []  # when each slot is free again, a heap
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
            # As many old ones in the sample as in all.
            kept = round(size * before / pods)
            fresh = [[now_s] * self._service.slots for _ in range(size - kept)]
            self._pods = self._pods[:kept] + fresh
        else:
            self._pods = self._pods[:size]
        self._stands_for = pods / size if size else 1.0

    def second(self, begin: int, rate_per_s: float) -> None:
        """Take what comes in the second from `begin` on."""
        pods = len(self._pods)
        if pods:
            counts = self._rng.poisson(rate_per_s / (pods * self._stands_for), pods)
            offsets = self._rng.random(int(counts.sum()))
            times = self._service.times(self._rng, int(counts.sum())).tolist()
            first = 0
            for pod, count in zip(self._pods, counts.tolist(), strict=True):
                last = first + count
                arrivals = np.sort(offsets[first:last]) + begin
                self._take(pod, arrivals.tolist(), times[first:last])
                first = last
        self.executed_s += self._executed.pop(begin, 0.0)
        self.waiting -= self._started.pop(begin, 0.0)

    def _take(self, free: list[float], arrivals: list[float], times: list[float]) -> None:
        weight = self._stands_for
        for arrival, time_s in zip(arrivals, times, strict=True):
            start = free[0] if free[0] > arrival else arrival
            if start - arrival > self._full_s:
                self.refused += weight
                continue
            end = start + time_s
            heapq.heapreplace(free, end)
            self._executed[int(end)] += time_s * weight
            self._started[int(start)] += weight
            self.waiting += weight
            self._arrived.append(arrival)
            self._took.append(end - arrival)
            self._weight.append(weight)
