"""One pod as a queue, fitted to what the load test measured on it.

A pod answers `slots` requests at a time in the order in which they came; each takes a time of a
log-normal distribution (M/G/c). Its mean and 95th percentile are those of the lowest measured rate,
where next to nothing waits. `slots` is the number with which the queue comes closest to the means
and percentiles at all measured rates; cores that share, batches and hops are all in it.
"""

from __future__ import annotations

import functools
import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoserve_server.scaling._capacity import Pipeline, Point

Floats = NDArray[np.float64]
_Z95 = 1.6449  # the 95th percentile of a standard normal distribution
_MOST_SLOTS = 32
_FIT_REQUESTS = 20_000


@dataclass(frozen=True)
class Service:
    """`slots` at a time; log-normal times of this mean (seconds) and shape; the queue's length."""

    slots: int
    mean_s: float
    sigma: float
    queue: int = 256  # max_queue_size of the generated configs

    @property
    def limit_per_s(self) -> float:
        """The rate above which the queue only grows."""
        return self.slots / self.mean_s

    def times(self, rng: np.random.Generator, count: int) -> Floats:
        """Return float64 [count], seconds of computing."""
        mu = math.log(self.mean_s) - self.sigma**2 / 2
        return rng.lognormal(mu, self.sigma, count)

    def answered(self, rate_per_s: float, rng: np.random.Generator) -> Floats:
        """Return float64 [requests], seconds until the answer at a constant rate of arrivals."""
        arrivals = np.cumsum(rng.exponential(1 / rate_per_s, _FIT_REQUESTS))
        free = [0.0] * self.slots
        took = []
        for arrival, time_s in zip(
            arrivals.tolist(), self.times(rng, _FIT_REQUESTS).tolist(), strict=True
        ):
            end = max(arrival, free[0]) + time_s
            heapq.heapreplace(free, end)
            took.append(end - arrival)
        return np.array(took[_FIT_REQUESTS // 10 :])  # without the time in which the queue forms


@functools.cache
def fitted(pipeline: Pipeline) -> Service:
    """Return the pod that answers like the measured one.

    Raises:
        ValueError: nothing without a failure was measured.
    """
    points = sorted((p for p in pipeline.points if not p.failures), key=lambda p: p.rate_per_s)
    if not points:
        raise ValueError(f"{pipeline.name}: every run failed; measure lower rates")
    first = points[0]
    sigma = _sigma(first.p95_s / first.mean_s)
    fits = [Service(slots, first.mean_s, sigma) for slots in range(1, _MOST_SLOTS + 1)]
    # Runs beyond the knee have no stationary answer to compare with.
    kept = [p for p in points if p.rate_per_s <= pipeline.knee().rate_per_s]
    able = [fit for fit in fits if fit.limit_per_s > kept[-1].rate_per_s]
    if not able:
        fastest = kept[-1].rate_per_s
        raise ValueError(f"{pipeline.name}: {fastest:g}/s needs more than {_MOST_SLOTS} slots")
    return min(able, key=lambda fit: sum(_distance(fit, point) for point in kept))


def _sigma(ratio: float) -> float:
    """The shape with which a log-normal 95th percentile is `ratio` times the mean."""
    within = max(_Z95**2 - 2 * math.log(max(ratio, 1.0)), 0.0)
    return _Z95 - math.sqrt(within)


def _distance(fit: Service, point: Point) -> float:
    took = fit.answered(point.rate_per_s, np.random.default_rng(1))
    return (
        math.log(float(took.mean()) / point.mean_s) ** 2
        + math.log(float(np.quantile(took, 0.95)) / point.p95_s) ** 2
    )
