"""Pods that start and go, Prometheus that looks on, and the autoscaler, as SimPy processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from emoserve_server.scaling._autoscaler import SYNC_S, Autoscaler, Rules
from emoserve_server.scaling.simulation._demand import Demand
from emoserve_server.scaling.simulation._service import Service
from emoserve_server.scaling.simulation._traffic import Traffic

SAMPLE = 8  # pods that are simulated one by one; _traffic.py says why so few do
Events = Generator[simpy.Event, Any, None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds. Defaults are those of the manifests."""

    startup_s: float
    drain_s: float = 30.0  # preStop 20 s, requests in flight, unloading
    scrape_s: float = 15.0
    evaluate_s: float = 15.0
    window_s: float = 60.0
    sync_s: float = SYNC_S


@dataclass(frozen=True)
class Scenario:
    """What is simulated. `in_flight`: how many requests fill a pod; `need_per_s`: at which rate."""

    demand: Demand
    service: Service
    rules: Rules
    timing: Timing
    in_flight: float
    need_per_s: float


@dataclass(frozen=True)
class Trace:
    """What happened: a value a second, and a value a request (or a sample of them)."""

    scenario: Scenario
    rate: Floats  # [seconds] requests per second that come
    ready: Floats  # [seconds] pods that answer
    replicas: Floats  # [seconds] pods that should be
    paid: Floats  # [seconds] pods that hold their resources: starting, ready, going
    load: Floats  # [seconds] what the autoscaler sees
    arrived: Floats  # [requests] seconds
    took: Floats  # [requests] seconds until the answer
    weight: Floats  # [requests] how many such requests each stands for
    refused: float


class _Cluster:
    def __init__(self, scenario: Scenario, seed: int, sample: int) -> None:
        self.scenario, self.env = scenario, simpy.Environment()
        self.phases = np.random.default_rng([seed, 1])
        self.traffic = Traffic(scenario.service, np.random.default_rng([seed, 2]), sample)
        self.scaler = Autoscaler(scenario.rules)
        self.replicas = self.ready = self._first_replicas()
        self.starting: list[simpy.Process] = []
        self.going = 0
        self.load: float | None = None
        self.scrapes: deque[tuple[float, float, float]] = deque()
        self.seconds: list[tuple[float, ...]] = []

    def run(self) -> Trace:
        timing, env = self.scenario.timing, self.env
        env.process(self._traffic())
        for every_s, do in (
            (timing.scrape_s, self._scrape),
            (timing.evaluate_s, self._evaluate),
            (timing.sync_s, self._sync),
        ):
            env.process(self._each(every_s, do))
        env.run(until=self.scenario.demand.duration_s)
        rate, ready, replicas, paid, load = np.array(self.seconds, dtype=float).T
        arrived, took, weight = (np.array(one) for one in self.traffic.columns)
        refused = self.traffic.refused
        return Trace(
            self.scenario, rate, ready, replicas, paid, load, arrived, took, weight, refused
        )

    def _first_replicas(self) -> int:
        """As many as the rate at the beginning needs, as if it had been so for long."""
        rules, demand = self.scenario.rules, self.scenario.demand
        wanted = np.ceil(demand.rate(0.0) / self.scenario.need_per_s / rules.load)
        return int(min(max(wanted, rules.min_replicas), rules.max_replicas))

    def _traffic(self) -> Events:
        while True:
            now = int(self.env.now)
            rate = self.scenario.demand.rate(now)
            self.traffic.resize(self.ready, now)
            self.traffic.second(now, rate)
            paid = self.ready + len(self.starting) + self.going
            load = float("nan") if self.load is None else self.load
            self.seconds.append((rate, self.ready, self.replicas, paid, load))
            yield self.env.timeout(1.0)

    def _each(self, every_s: float, do: Any) -> Events:
        """Periods of different parts of a cluster do not keep step."""
        yield self.env.timeout(float(self.phases.uniform(0, every_s)))
        while True:
            do()
            yield self.env.timeout(every_s)

    def _scrape(self) -> None:
        now = self.env.now
        self.scrapes.append((now, self.traffic.executed_s, self.traffic.waiting))
        while now - self.scrapes[0][0] > self.scenario.timing.window_s:
            self.scrapes.popleft()

    def _evaluate(self) -> None:
        """As k8s/base/monitoring/rules.yaml: executing and waiting, over what fills a pod."""
        if len(self.scrapes) < 2:  # `rate` has no value
            return
        (begin, before, _), (end, after, _) = self.scrapes[0], self.scrapes[-1]
        executing = (after - before) / (end - begin)
        waiting = sum(one[2] for one in self.scrapes) / len(self.scrapes)
        self.load = (executing + waiting) / self.scenario.in_flight

    def _sync(self) -> None:
        wanted = self.scaler.decide(self.env.now, self.replicas, self.load)
        for _ in range(wanted - self.replicas):
            self.starting.append(self.env.process(self._pod()))
        for _ in range(self.replicas - wanted):
            self._remove_one()
        self.replicas = wanted

    def _pod(self) -> Events:
        try:
            yield self.env.timeout(self.scenario.timing.startup_s)
        except simpy.Interrupt:
            return
        del self.starting[0]  # all take the same time, so it is the oldest
        self.ready += 1

    def _remove_one(self) -> None:
        """Pods that are not ready go first, as the ReplicaSet's controller has it."""
        if self.starting:
            self.starting.pop().interrupt()
            return
        self.ready -= 1
        self.going += 1
        self.env.process(self._drain())

    def _drain(self) -> Events:
        yield self.env.timeout(self.scenario.timing.drain_s)
        self.going -= 1


def simulate(scenario: Scenario, seed: int = 0, sample: int = SAMPLE) -> Trace:
    """Return what happens; the same seed gives the same."""
    return _Cluster(scenario, seed, sample).run()
