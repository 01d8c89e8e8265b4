"""How many requests come in a second, over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DAY_S = 86_400.0
_SPIKE_TIMES = 3.0  # what a mention in the news does
_SPIKE_RISE_S = 60.0
_SPIKE_HOLD_S = 900.0
_SPIKE_FALL_S = 300.0


@dataclass(frozen=True)
class Demand:
    """A rate over time, `rate(second)` in requests per second, for `duration_s`."""

    name: str
    duration_s: float
    rate: Callable[[float], float]


def day(mean_per_s: float) -> Demand:
    """Return a day around a mean: a fifth of it at 4 o'clock, 1.8 times as much at 16."""
    return Demand(
        "day",
        DAY_S,
        lambda at_s: mean_per_s * (1 - 0.8 * math.cos(2 * math.pi * (at_s / DAY_S - 4 / 24))),
    )


def spike(usual_per_s: float) -> Demand:
    """Return an hour in which the rate trebles within a minute, stays a quarter, and falls."""
    begin_s = 900.0
    return ramp(
        "spike",
        [
            (0.0, usual_per_s),
            (begin_s, usual_per_s),
            (begin_s + _SPIKE_RISE_S, _SPIKE_TIMES * usual_per_s),
            (begin_s + _SPIKE_RISE_S + _SPIKE_HOLD_S, _SPIKE_TIMES * usual_per_s),
            (begin_s + _SPIKE_RISE_S + _SPIKE_HOLD_S + _SPIKE_FALL_S, usual_per_s),
            (3600.0, usual_per_s),
        ],
    )


def ramp(name: str, points: Sequence[tuple[float, float]]) -> Demand:
    """Return straight lines between `(second, rate)`."""
    times, rates = np.array(points, dtype=float).T
    return Demand(name, float(times[-1]), lambda at_s: float(np.interp(at_s, times, rates)))
