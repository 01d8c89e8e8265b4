"""What one replica holds, and how many replicas a traffic needs.

`measure` runs each pipeline alone on one server, at rates up to and past what it can do, and writes
the file that `emoserve k8s target` reads. Two points of each curve matter:

- the limit: the highest rate whose p95 kept the objective without a failure; a replica is full.
- the knee: the measured rate with the most power, answers per second over mean latency (Kleinrock,
  «Power and deterministic rules of thumb», ICC 1979); beyond it latency grows by a larger factor
  than throughput.

A mix of pipelines fills a replica by the sum of each one's rate over its limit, as the autoscaler
counts it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoserve_loadtests import mix
from emoserve_loadtests.served import Server
from emoserve_loadtests.trial import Trial, run_quiet

FORMAT = 1
# Shares of the closed-loop throughput at which open-loop points are taken.
SHARES = (0.3, 0.5, 0.7, 0.85, 1.0)
_BROKEN = 2
_FEWEST = 30  # requests in a stage at the full rate, however slow the pipeline
_CALLERS = 8  # enough to keep two cores busy
_DAY_S, _MONTH_H = 86_400, 730.0


@dataclass(frozen=True)
class Point:
    """One measured rate: answered requests per second and their times."""

    rate_per_s: float
    mean_s: float
    p95_s: float
    failures: int


@dataclass(frozen=True)
class Curve:
    """A pipeline's points, and the time within which 95 % of its answers must come."""

    pipeline: str
    slo_p95_s: float
    points: tuple[Point, ...]

    def limit(self) -> Point:
        """Return the highest rate that kept the objective without a failure.

        Raises:
            ValueError: none did.
        """
        kept = [p for p in self.points if p.p95_s <= self.slo_p95_s and not p.failures]
        if not kept:
            raise ValueError(f"{self.pipeline}: no rate kept p95 within {self.slo_p95_s:g} s")
        return max(kept, key=lambda point: point.rate_per_s)

    def knee(self) -> Point:
        """Return the point of most power."""
        return max(self.points, key=lambda point: point.rate_per_s / point.mean_s)


def measure(pipeline: str, slo_p95_s: float, stage_s: float, server: Server, out: Path) -> Curve:
    """Return a pipeline's curve, measured on a server that does nothing else.

    One trial for each rate, so that no backlog is handed on; over when two rates broke the
    objective.
    """
    closed = Trial(pipeline, (_CALLERS,), stage_s)
    total = run_quiet(closed, server, out / f"{pipeline}-closed").report["total"]
    most = total["throughput_per_s"]
    opened = Trial(pipeline, (), max(stage_s, _FEWEST / most), loop="open")
    points: list[Point] = []
    for share in SHARES:
        load = opened.at(round(share * most, 3), opened.stage_s)
        point = _point(run_quiet(load, server, out / f"{pipeline}-{share:g}").report)
        points += [point] if point else []
        kept = [one for one in points if one.p95_s <= slo_p95_s and not one.failures]
        if len(points) - len(kept) >= _BROKEN:
            break
    return Curve(pipeline, slo_p95_s, tuple(points))


def _point(report: Mapping[str, Any]) -> Point | None:
    """A trial's point; None where nothing came, or too few to have a 95th percentile."""
    total = report["total"]
    p95_ms = total["latency_ms"].get("p95", {}).get("value")
    if p95_ms is None:
        return None
    failures = sum(total["errors"].values())
    rate = total["throughput_per_s"]
    return Point(round(rate, 3), total["mean_ms"] / 1000, p95_ms / 1000, failures)


def write_capacity(curves: Sequence[Curve], measured: str, startup_s: float, path: Path) -> None:
    """Write what `emoserve k8s target` reads; its points are one a line."""
    pipelines = {
        curve.pipeline: {
            "slo_p95_s": curve.slo_p95_s,
            "knee_per_s": curve.knee().rate_per_s,
            "points": [
                {
                    "rate_per_s": round(point.rate_per_s, 3),
                    "mean_s": round(point.mean_s, 4),
                    "p95_s": round(point.p95_s, 4),
                    "failures": point.failures,
                }
                for point in curve.points
            ],
        }
        for curve in curves
    }
    content = {
        "format": FORMAT,
        "measured": measured,
        "startup_s": startup_s,
        "pipelines": pipelines,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_curves(path: Path) -> tuple[Curve, ...]:
    """Return the curves of a capacity file.

    Raises:
        ValueError: it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Curve(name, float(one["slo_p95_s"]), tuple(Point(**point) for point in one["points"]))
            for name, one in content["pipelines"].items()
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a capacity file: {error}") from error


@dataclass(frozen=True)
class Prices:
    """What a replica costs and how full it is kept."""

    per_unit_hour: float  # of a core or a GPU
    units: float  # cores or GPUs of a replica
    load: float  # the share of its limit at which the autoscaler keeps a replica
    min_replicas: int


@dataclass(frozen=True)
class Need:
    """What a traffic needs: at its peak, and on average over the day when replicas follow it."""

    requests_per_day: float
    peak_per_s: float
    peak_replicas: int
    mean_replicas: float
    month_at_peak: float
    month_scaled: float


def need(
    curves: Sequence[Curve], requests_per_day: float, peak_factor: float, prices: Prices,
    shares: Mapping[str, float] = mix.SHARES,
) -> Need:  # fmt: skip
    """Return replicas and cost for a traffic with the given shares of pipelines.

    Raises:
        ValueError: a pipeline of the mix was not measured.
    """
    limits = {curve.pipeline: curve.limit().rate_per_s for curve in curves}
    if missing := set(shares) - set(limits):
        raise ValueError(f"not measured: {', '.join(sorted(missing))}")
    per_request = sum(share / limits[name] for name, share in shares.items()) / sum(shares.values())
    mean_per_s = requests_per_day / _DAY_S
    full = mean_per_s * per_request / prices.load  # replicas at the mean rate, not rounded
    peak = max(prices.min_replicas, math.ceil(full * peak_factor))
    mean = max(float(prices.min_replicas), full)
    month = prices.per_unit_hour * prices.units * _MONTH_H
    return Need(requests_per_day, mean_per_s * peak_factor, peak, mean, peak * month, mean * month)
