"""MLPerf's early stopping: how many requests prove that a percentile holds.

Source: MLCommons, «MLPerf Inference Rules», appendix «Early Stopping Criterion», and LoadGen's
`early_stopping.cc`. With h requests within the bound and t over it, the claim «a share p of all
requests is within the bound» is accepted with confidence c when so few over it would be unlikely
if the share were only p: P(X <= t) <= 1 - c for X ~ Binomial(h + t, 1 - p), which is the
regularised incomplete beta function I_p(h, t + 1) (tolerance 0, as LoadGen has it).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emoserve_loadtests.quantiles import binomial_cdf

CONFIDENCE = 0.99  # LoadGen's


@dataclass(frozen=True)
class Verdict:
    """Whether enough requests were within the bound: `needed` of them for so many over it."""

    within: int
    over: int
    needed: int

    @property
    def passed(self) -> bool:
        """Whether the percentile is proved to be within the bound."""
        return self.within >= self.needed


def chance_of(within: int, over: int, p: float) -> float:
    """Return P(at most `over` of all are over the bound) if each were so with chance 1 - p."""
    return float(binomial_cdf(within + over, 1 - p)[over])


def needed_within(over: int, p: float, confidence: float = CONFIDENCE) -> int:
    """Return how many requests must be within the bound when `over` are not."""
    low, high = 0, math.ceil(math.log(1 - confidence) / math.log(p))
    while chance_of(high, over, p) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if chance_of(middle, over, p) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high


def judge(latencies_s: npt.NDArray[np.float64], bound_s: float, p: float) -> Verdict:
    """Return whether the p-percentile of these latencies is proved to be within the bound."""
    over = int(np.count_nonzero(latencies_s > bound_s))
    return Verdict(len(latencies_s) - over, over, needed_within(over, p))


def requests_to_decide(verdict: Verdict, p: float, most: int) -> int | None:
    """Return how many requests would prove it if as large a share of them is over the bound.

    None where they would not, or where it takes more than `most`.
    """
    count = verdict.within + verdict.over
    share = (verdict.over + 1) / count  # one more: the share is not known better
    while count <= most:
        over = math.ceil(share * count)
        if count - over >= needed_within(over, p):
            return count
        count = math.ceil(1.2 * count)
    return None


def proved_percentile(latencies_s: npt.NDArray[np.float64], p: float) -> float | None:
    """Return the smallest latency that is proved to hold the p-percentile, None if too few.

    LoadGen's single-stream estimate: leave out as many of the slowest as n requests allow, but at
    least one, and take the slowest of the rest.
    """
    count = len(latencies_s)
    enough = range(1, count)
    over = bisect_right(enough, count, key=lambda t: needed_within(t, p) + t)
    return float(np.sort(latencies_s)[count - over - 1]) if over else None
