"""A run in a few figures."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoserve_server.scaling.simulation._cluster import Trace

Floats = NDArray[np.float64]
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """Shares are of 1. Ideal are, at each second, just the pods that the rate fills."""

    requests: float
    least: int  # replicas
    mean: float
    most: int
    pod_hours: float
    over: float  # paid pod-hours beyond the ideal, as a share of the ideal
    under: float  # requests that came while pods were too few for the rate
    late: float  # requests answered after the objective, or refused
    refused: float
    p50_s: float
    p99_s: float
    worst_p99_s: float  # of the worst minute
    cost: float  # of the pod-hours
    cost_per_million: float
    saved: float  # against as many pods as the peak needs, all the time


def outcome(trace: Trace, slo_s: float, price_per_hour: float) -> Outcome:
    """Return the figures of a run for an objective (seconds) and a pod's price for an hour."""
    scenario = trace.scenario
    need = np.ceil(trace.rate / scenario.need_per_s)
    need = np.maximum(need, scenario.rules.min_replicas)
    hours, ideal = trace.paid.sum() / _HOUR_S, need.sum() / _HOUR_S
    static = np.ceil(need.max() / scenario.rules.load) * len(need) / _HOUR_S
    few = trace.ready < trace.rate / scenario.need_per_s
    total = float(trace.weight.sum()) + trace.refused
    late = float(trace.weight[trace.took > slo_s].sum()) + trace.refused
    return Outcome(
        requests=total,
        least=int(trace.ready.min()),
        mean=float(trace.replicas.mean()),
        most=int(trace.replicas.max()),
        pod_hours=float(hours),
        over=float(hours / ideal - 1),
        under=float(trace.rate[few].sum() / trace.rate.sum()),
        late=late / total,
        refused=trace.refused / total,
        p50_s=quantile(trace.took, trace.weight, 0.5),
        p99_s=quantile(trace.took, trace.weight, 0.99),
        worst_p99_s=float(np.nanmax(by_minute(trace, 0.99))),
        cost=float(hours * price_per_hour),
        cost_per_million=float(hours * price_per_hour / total * 1e6),
        saved=float(1 - hours / static),
    )


def quantile(values: Floats, weights: Floats, share: float) -> float:
    """Return the value below which `share` of the weight lies."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    place = int(np.searchsorted(cumulated, share * cumulated[-1]))
    return float(values[order][min(place, len(values) - 1)])


def by_minute(trace: Trace, share: float) -> Floats:
    """Return float64 [minutes], the quantile of what arrived in each; NaN where nothing did."""
    minutes = (trace.arrived // 60).astype(int)
    found = np.full(int(trace.scenario.demand.duration_s // 60) + 1, np.nan)
    order = np.argsort(minutes, kind="stable")
    edges = np.searchsorted(minutes[order], np.arange(len(found) + 1))
    for minute, (first, last) in enumerate(itertools.pairwise(edges)):
        if last > first:
            one = order[first:last]
            found[minute] = quantile(trace.took[one], trace.weight[one], share)
    return found
