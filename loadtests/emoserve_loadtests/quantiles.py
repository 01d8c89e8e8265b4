"""Percentiles of latencies with confidence intervals that assume no distribution.

Order statistics (H. A. David and H. N. Nagaraja, «Order Statistics», 3rd edition, 7.1): how many of
n independent latencies lie below the true p-quantile is Binomial(n, p). Latencies of neighbouring
requests are not quite independent, so the true intervals are somewhat wider: repeat a run to see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Quantile:
    """A quantile and its interval in seconds; a bound is None where there are too few requests."""

    value_s: float
    low_s: float | None
    high_s: float | None


def binomial_cdf(count: int, probability: float) -> Floats:
    """Return P(X <= k) for k = 0 ... count, X ~ Binomial(count, probability), [count + 1]."""
    k = np.arange(count)
    steps = np.log((count - k) / (k + 1)) + math.log(probability) - math.log1p(-probability)
    logs = count * math.log1p(-probability) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.minimum(np.cumsum(np.exp(logs)), 1.0))


def interval_ranks(count: int, p: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Return the ranks, from 1, of the two order statistics that bound the p-quantile.

    Rank 0 and rank count + 1 mean that `count` values cannot give that bound.
    """
    below = binomial_cdf(count, p)
    tail = (1 - confidence) / 2
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return low, high


def quantile(ordered_s: Floats, p: float, confidence: float = CONFIDENCE) -> Quantile:
    """Return the p-quantile of ascending latencies by nearest rank, with its interval.

    Args:
        ordered_s: float64 [requests], ascending, seconds; infinity for a request that failed.

    Raises:
        ValueError: there are no latencies.
    """
    count = len(ordered_s)
    if not count:
        raise ValueError("no request ended in this time: there is no quantile")
    low, high = interval_ranks(count, p, confidence)
    return Quantile(
        value_s=float(ordered_s[max(1, math.ceil(count * p)) - 1]),
        low_s=float(ordered_s[low - 1]) if low >= 1 else None,
        high_s=float(ordered_s[high - 1]) if high <= count else None,
    )
