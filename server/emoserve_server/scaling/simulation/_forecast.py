"""The scenarios that a forecast is made of, and their outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emoserve_server.scaling._capacity import Pipeline
from emoserve_server.scaling._target import Plan, full
from emoserve_server.scaling.simulation._cluster import SAMPLE, Scenario, Timing, simulate
from emoserve_server.scaling.simulation._demand import Demand, day, spike
from emoserve_server.scaling.simulation._outcome import Outcome, by_minute, outcome
from emoserve_server.scaling.simulation._service import fitted

Floats = NDArray[np.float64]
DEMANDS: tuple[Callable[[float], Demand], ...] = (day, spike)
STARTUPS_S = (15.0, 60.0, 180.0)  # a cached image; a new node; a new node and a large image
LOADS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Question:
    """What the forecast is about: a pipeline on the pods of a plan, and what a pod costs."""

    pipeline: Pipeline
    plan: Plan
    startup_s: float
    price_per_hour: float

    def scenario(self, demand: Demand, load: float = 0.0) -> Scenario:
        """Return the scenario of a demand; `load` to keep instead of the plan's."""
        knee = self.pipeline.knee()
        rules = replace(self.plan.rules, load=load or self.plan.rules.load)
        peak = max(demand.rate(at) for at in np.arange(0, demand.duration_s, 60))
        most = 2 * math.ceil(peak / knee.rate_per_s / rules.load)
        rules = replace(rules, max_replicas=max(most, rules.max_replicas))
        timing = Timing(self.startup_s)
        held = full(self.pipeline, rules.load)
        return Scenario(demand, fitted(self.pipeline), rules, timing, held, knee.rate_per_s)


@dataclass(frozen=True)
class Case:
    """One scenario's outcome, and its course by the minute (float64 [minutes])."""

    demand: str
    rate_per_s: float
    outcome: Outcome
    rate: Floats
    need: Floats
    ready: Floats
    replicas: Floats
    p50_s: Floats
    p99_s: Floats


@dataclass(frozen=True)
class Choice:
    """What a load to keep and a start-up delay lead to in the spike: medians over the seeds."""

    startup_s: float
    load: float
    late: float
    over: float


def case(question: Question, demand: Demand, rate_per_s: float, sample: int = SAMPLE) -> Case:
    """Return one simulated scenario."""
    scenario = question.scenario(demand)
    trace = simulate(scenario, sample=sample)
    found = outcome(trace, question.pipeline.slo_p95_s, question.price_per_hour)
    need = np.maximum(np.ceil(trace.rate / scenario.need_per_s), scenario.rules.min_replicas)
    series = (_minutes(one) for one in (trace.rate, need, trace.ready, trace.replicas))
    quantiles = (by_minute(trace, share) for share in (0.5, 0.99))
    return Case(demand.name, rate_per_s, found, *series, *quantiles)


def cases(question: Question, rates: Sequence[float]) -> Iterator[Case]:
    """Give a day and a spike around each mean rate."""
    for make in DEMANDS:
        for rate_per_s in rates:
            yield case(question, make(rate_per_s), rate_per_s)


def choices(question: Question, rate_per_s: float) -> Iterator[Choice]:
    """Give the spike with every load to keep and start-up delay of the lists above."""
    for startup_s in STARTUPS_S:
        asked = replace(question, startup_s=startup_s)
        for load in LOADS:
            scenario = asked.scenario(spike(rate_per_s), load)
            found = [
                outcome(simulate(scenario, seed), question.pipeline.slo_p95_s, 0.0)
                for seed in SEEDS
            ]
            late, over = np.median([(one.late, one.over) for one in found], axis=0)
            yield Choice(startup_s, load, float(late), float(over))


def _minutes(seconds: Floats) -> Floats:
    """The mean of each whole minute."""
    whole = len(seconds) // 60 * 60
    return np.asarray(seconds[:whole].reshape(-1, 60).mean(axis=1))
