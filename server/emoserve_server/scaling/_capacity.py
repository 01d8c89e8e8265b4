"""What one pod was measured to hold: the load test's figures, as `k8s/capacity/*.json` has them.

    {"format": 1,
     "measured": "where, when and by which command",
     "startup_s": 41.0,                      from the pod's start until it is ready
     "pipelines": {"face": {"slo_p95_s": 0.3,
                            "points": [{"rate_per_s": 20, "mean_s": 0.041, "p95_s": 0.06,
                                        "failures": 0}, ...]}}}

A point is one run at a constant rate of arrivals on one pod with the resources that the
manifests give it. `rate_per_s` counts answered requests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


@dataclass(frozen=True)
class Point:
    """One run: answered requests per second, mean and 95th percentile of their time."""

    rate_per_s: float
    mean_s: float
    p95_s: float
    failures: int = 0


@dataclass(frozen=True)
class Pipeline:
    """A public pipeline's runs, and the time within which 95 % of its answers must come."""

    name: str
    slo_p95_s: float
    points: tuple[Point, ...]

    def knee(self) -> Point:
        """Return the run of the highest rate that kept the objective without a failure.

        Raises:
            ValueError: none did.
        """
        kept = [p for p in self.points if p.p95_s <= self.slo_p95_s and not p.failures]
        if not kept:
            raise ValueError(
                f"{self.name}: no run kept p95 within {self.slo_p95_s:g} s without a failure; "
                "measure lower rates, or relax the objective"
            )
        return max(kept, key=lambda point: point.rate_per_s)

    def mean_at(self, rate_per_s: float) -> float:
        """Return the mean time at a rate up to the knee, between the measured ones; seconds."""
        most = self.knee().rate_per_s
        points = sorted((one.rate_per_s, one.mean_s) for one in self.points if not one.failures)
        rates, means = zip(*(one for one in points if one[0] <= most), strict=True)
        return float(np.interp(rate_per_s, rates, means))


@dataclass(frozen=True)
class Capacity:
    """All pipelines of one pod."""

    measured: str
    startup_s: float
    pipelines: tuple[Pipeline, ...]


def read_capacity(path: Path) -> Capacity:
    """Return a capacity file's content.

    Raises:
        ValueError: it is not one; the message says what is missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, accepted is {FORMAT}")
        return Capacity(
            measured=str(content["measured"]),
            startup_s=_positive(content, "startup_s"),
            pipelines=tuple(_pipeline(*item) for item in content["pipelines"].items()),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a capacity file: {error} is missing") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a capacity file: {error}") from error


def _pipeline(name: str, content: dict[str, Any]) -> Pipeline:
    points = tuple(
        Point(
            _positive(point, "rate_per_s"),
            _positive(point, "mean_s"),
            _positive(point, "p95_s"),
            int(point.get("failures", 0)),
        )
        for point in content["points"]
    )
    return Pipeline(name, _positive(content, "slo_p95_s"), points)


def _positive(content: dict[str, Any], key: str) -> float:
    value = float(content[key])
    if not value > 0:
        raise ValueError(f"{key} is {value:g}, but must be positive")
    return value
