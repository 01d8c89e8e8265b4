"""The horizontal autoscaler's algorithm, for an external metric with an average value.

As Kubernetes documents it
(https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/) and as its
controller computes it (kubernetes/kubernetes, pkg/controller/podautoscaler: horizontal.go and
replica_calculator.go). An external metric is not a pod's, so the rules for pods that are not ready
or without a metric do not apply to it: the one missing value is that of the metric itself, and then
nothing changes. The rehearsal lets it act on real servers, the simulation on simulated ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

TOLERANCE = 0.1  # --horizontal-pod-autoscaler-tolerance
SYNC_S = 15.0  # --horizontal-pod-autoscaler-sync-period


@dataclass(frozen=True)
class Limit:
    """By how much the number of pods may change within a period: one entry of `policies`."""

    type: Literal["Percent", "Pods"]
    value: int
    period_s: float

    def highest(self, begin: int) -> int:
        """Return the most pods there may be when the period began with `begin`."""
        grown = begin * (1 + self.value / 100) if self.type == "Percent" else begin + self.value
        return math.ceil(grown - 1e-9)

    def lowest(self, begin: int) -> int:
        """Return the fewest."""
        shrunk = begin * (1 - self.value / 100) if self.type == "Percent" else begin - self.value
        return math.floor(shrunk + 1e-9)


@dataclass(frozen=True)
class Direction:
    """`scaleUp` or `scaleDown`: a window of stabilisation, and limits; the widest holds."""

    window_s: float
    limits: tuple[Limit, ...]

    def faster(self, factor: float) -> Direction:
        """Return the same in a world in which time passes `factor` times as fast."""
        limits = tuple(replace(limit, period_s=limit.period_s / factor) for limit in self.limits)
        return Direction(self.window_s / factor, limits)


@dataclass(frozen=True)
class Rules:
    """What a HorizontalPodAutoscaler says. `load` is the load to keep per pod."""

    load: float
    min_replicas: int
    max_replicas: int
    up: Direction
    down: Direction

    def faster(self, factor: float) -> Rules:
        return replace(self, up=self.up.faster(factor), down=self.down.faster(factor))


@dataclass
class Autoscaler:
    """Its memory: what it recommended, and when it changed the number of pods."""

    rules: Rules
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, now_s: float, replicas: int, load: float | None) -> int:
        """Return the number of pods that there should be.

        `load` is the metric's sum over all pods, None when there is no value: then the number
        stays.
        """
        if load is None:
            return replicas
        self._forget(now_s)
        wanted = self._stabilised(now_s, replicas, self._proposed(replicas, load))
        wanted = self._limited(now_s, replicas, wanted)
        if wanted != replicas:
            self._changes.append((now_s, wanted - replicas))
        return wanted

    def _proposed(self, replicas: int, load: float) -> int:
        """The ratio of load and target, unless it is within the tolerance."""
        ratio = load / (self.rules.load * max(replicas, 1))
        near = abs(1 - ratio) <= TOLERANCE
        return replicas if near else math.ceil(load / self.rules.load - 1e-9)

    def _stabilised(self, now_s: float, replicas: int, proposed: int) -> int:
        """Up to the least, down to the most of what was recommended within the windows."""
        up_s, down_s = self.rules.up.window_s, self.rules.down.window_s
        least = min([proposed, *self._recent(now_s, up_s)])
        most = max([proposed, *self._recent(now_s, down_s)])
        self._recommended.append((now_s, proposed))
        return min(max(replicas, least), most)

    def _recent(self, now_s: float, window_s: float) -> list[int]:
        return [value for at_s, value in self._recommended if now_s - at_s < window_s]

    def _limited(self, now_s: float, replicas: int, wanted: int) -> int:
        """No further than the widest limit from where its period began, and within the bounds."""
        up, down = self.rules.up.limits, self.rules.down.limits
        if wanted > replicas:
            highest = max(limit.highest(self._begin(now_s, replicas, limit)) for limit in up)
            wanted = min(wanted, max(highest, replicas))
        elif wanted < replicas:
            lowest = min(limit.lowest(self._begin(now_s, replicas, limit)) for limit in down)
            wanted = max(wanted, min(lowest, replicas))
        return min(max(wanted, self.rules.min_replicas), self.rules.max_replicas)

    def _begin(self, now_s: float, replicas: int, limit: Limit) -> int:
        """How many pods there were when the limit's period began."""
        changed = sum(by for at_s, by in self._changes if now_s - at_s < limit.period_s)
        return replicas - changed

    def _forget(self, now_s: float) -> None:
        """Drop what is older than every window and period, or a long run would only grow."""
        up, down = self.rules.up, self.rules.down
        limits = (*up.limits, *down.limits)
        longest_s = max(up.window_s, down.window_s, *(limit.period_s for limit in limits))
        self._recommended = [one for one in self._recommended if now_s - one[0] < longest_s]
        self._changes = [one for one in self._changes if now_s - one[0] < longest_s]
