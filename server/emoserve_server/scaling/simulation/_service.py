"""One pod as a queue, fitted to what the load test measured on it.

A request is answered in a time of a log-normal distribution, whose mean and 95th percentile are
those of the lowest measured rate, where next to nothing waits. It also brings work, of which a pod
does so much a second that `limit_per_s` requests are the most it can answer. What comes while there
is more work in hand than `slack_s` waits for the excess. With one core the slack is 0 and this is
the queue M/G/1; with c cores it is the work of c - 1 requests; a CPU quota allows a burst. Limit
and slack are those with which the queue comes closest to the means and percentiles at all rates.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoserve_server.scaling._capacity import Pipeline, Point

Floats = NDArray[np.float64]
_Z95 = 1.6449  # the 95th percentile of a standard normal distribution
_FIT_REQUESTS = 20_000
_LIMITS = np.geomspace(1.02, 4.0, 24)  # candidates, as multiples of the knee's rate
_SLACKS = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16])  # of the mean time


@dataclass(frozen=True)
class Service:
    """Times in seconds; `sigma` is the shape of their log-normal distribution."""

    limit_per_s: float
    slack_s: float
    mean_s: float
    sigma: float
    queue: int = 256  # `emoserve export --max-queue-size`, as docs/operations.md advises

    def sizes(self, rng: np.random.Generator, count: int) -> Floats:
        """Return float64 [count]: how large requests are, 1 on average."""
        return rng.lognormal(-(self.sigma**2) / 2, self.sigma, count)

    def answered(self, rate_per_s: float, rng: np.random.Generator) -> Floats:
        """Return float64 [requests], seconds until the answer at a constant rate of arrivals."""
        gaps = rng.exponential(1 / rate_per_s, _FIT_REQUESTS)
        sizes = self.sizes(rng, _FIT_REQUESTS)
        limits, slacks = np.array([self.limit_per_s]), np.array([self.slack_s])
        return _waited(gaps, sizes, limits, slacks)[:, 0] + _settled(self.mean_s * sizes)


@functools.cache
def fitted(pipeline: Pipeline) -> Service:
    """Return the pod that answers like the measured one.

    Raises:
        ValueError: no run kept the objective.
    """
    knee = pipeline.knee()
    kept = [p for p in pipeline.points if not p.failures and p.rate_per_s <= knee.rate_per_s]
    first = min(kept, key=lambda point: point.rate_per_s)
    shape = Service(knee.rate_per_s, 0.0, first.mean_s, _sigma(first.p95_s / first.mean_s))
    limits, slacks = (
        one.ravel() for one in np.meshgrid(_LIMITS * knee.rate_per_s, _SLACKS * first.mean_s)
    )
    distance = sum(_distances(shape, point, limits, slacks) for point in kept)
    best = int(np.argmin(distance))
    return Service(float(limits[best]), float(slacks[best]), shape.mean_s, shape.sigma)


def _sigma(ratio: float) -> float:
    """The shape with which a log-normal 95th percentile is `ratio` times the mean."""
    within = max(_Z95**2 - 2 * math.log(max(ratio, 1.0)), 0.0)
    return _Z95 - math.sqrt(within)


def _distances(shape: Service, point: Point, limits: Floats, slacks: Floats) -> Floats:
    """How far each candidate is from a measured point, float64 [candidates]."""
    rng = np.random.default_rng(1)
    gaps = rng.exponential(1 / point.rate_per_s, _FIT_REQUESTS)
    sizes = shape.sizes(rng, _FIT_REQUESTS)
    took = _waited(gaps, sizes, limits, slacks) + _settled(shape.mean_s * sizes)[:, None]
    mean, p95 = took.mean(axis=0), np.quantile(took, 0.95, axis=0)
    return np.asarray(np.log(mean / point.mean_s) ** 2 + np.log(p95 / point.p95_s) ** 2)


def _waited(gaps: Floats, sizes: Floats, limits: Floats, slacks: Floats) -> Floats:
    """Seconds that requests wait in each of several pods, float64 [requests, pods] (Lindley)."""
    work = np.zeros(len(limits))
    waits = np.empty((len(gaps), len(limits)))
    for index, (gap, size) in enumerate(zip(gaps.tolist(), sizes.tolist(), strict=True)):
        np.maximum(work - gap, 0.0, out=work)
        np.maximum(work - slacks, 0.0, out=waits[index])
        work += size / limits
    return np.asarray(_settled(waits))


def _settled(requests: Floats) -> Floats:
    """Without the tenth in which the queue forms."""
    return requests[_FIT_REQUESTS // 10 :]
