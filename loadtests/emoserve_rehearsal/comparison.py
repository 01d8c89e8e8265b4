"""The simulation of the same hour beside what was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoserve_rehearsal.pods import Drain
from emoserve_rehearsal.record import Floats, by_bin
from emoserve_rehearsal.rehearsal import SCRIPT, Result
from emoserve_rehearsal.timing import FACTOR, PIPELINE
from emoserve_server.scaling import SYNC_S
from emoserve_server.scaling.simulation import Scenario, Timing, fitted, ramp, simulate

SEEDS = range(5)
_SCRAPE_S, _WINDOW_S = 15.0 / FACTOR, 60.0 / FACTOR  # pod-monitor.yaml, rules.yaml


@dataclass(frozen=True)
class Simulated:
    """Each [seeds, seconds] or [seeds, bins]; seconds since the callers began."""

    replicas: Floats
    p95_s: Floats


def simulated(result: Result) -> Simulated:
    """Return what the simulation makes of the same callers, pods and rules."""
    pipeline = result.capacity.pipelines[0]
    points, at_s = [(0.0, result.world.stages[0][1])], 0.0
    for seconds, _, last in result.world.stages:
        at_s += seconds
        points.append((at_s, last))
    timing = Timing(
        startup_s=result.capacity.startup_s / FACTOR,
        drain_s=Drain.of_manifest().sleep_s,
        scrape_s=_SCRAPE_S,
        evaluate_s=_SCRAPE_S,
        window_s=_WINDOW_S,
        sync_s=SYNC_S / FACTOR,
    )
    scenario = Scenario(
        ramp("rehearsal", points),
        fitted(pipeline),
        result.plan.rules.faster(FACTOR),
        timing,
        result.plan.in_flight[PIPELINE],
        pipeline.knee().rate_per_s,
    )
    traces = [simulate(scenario, seed, sample=100) for seed in SEEDS]
    p95 = [by_bin(trace.arrived, trace.took, result.world.seconds, 0.95)[1] for trace in traces]
    return Simulated(np.array([trace.replicas for trace in traces]), np.array(p95))


@dataclass(frozen=True)
class Agreement:
    """How far the simulation is off: pods at the same time, and 95th percentiles as a ratio."""

    replicas_mean_difference: float
    replicas_most: tuple[int, int]  # seen, simulated (median)
    p95_ratio: float  # simulated by seen, median over bins in which nothing was broken


def agreement(result: Result, found: Simulated) -> Agreement:
    seconds = np.arange(found.replicas.shape[1])
    seen = np.interp(seconds, result.record.column("at_s"), result.record.column("replicas"))
    simulated_replicas = np.median(found.replicas, axis=0)
    due = result.rows.due_s - result.began_s
    middle, p95 = by_bin(due, result.rows.took_s, result.world.seconds, 0.95)
    whole = (middle < SCRIPT[0][0]) & np.isfinite(p95)
    ratio = np.median(found.p95_s, axis=0)[whole] / p95[whole]
    return Agreement(
        float(np.abs(seen - simulated_replicas).mean()),
        (int(seen.max()), int(np.median(found.replicas.max(axis=1)))),
        float(np.median(ratio)),
    )
