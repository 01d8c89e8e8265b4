"""How the load changes over time, and when open-loop requests arrive.

A level is a number of callers in a closed loop and a rate of arrivals, in requests per second, in
an open one; both loops read the same schedule.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHAPES = ("steps", "ramp", "spike", "soak")


@dataclass(frozen=True)
class Stage:
    """A stretch of time in which the level goes from `first` to `last` in a straight line."""

    seconds: float
    first: float
    last: float

    def level(self, at_s: float) -> float:
        """Return the level `at_s` seconds after the stage began."""
        return self.first + (self.last - self.first) * min(max(at_s / self.seconds, 0.0), 1.0)


@dataclass(frozen=True)
class Schedule:
    """Stages in a row."""

    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return sum(stage.seconds for stage in self.stages)

    def find(self, at_s: float) -> tuple[int, float]:
        """Return the stage's index at a time, and the seconds since it began; -1 after the end."""
        for index, stage in enumerate(self.stages):
            if at_s < stage.seconds:
                return index, at_s
            at_s -= stage.seconds
        return -1, at_s

    def level(self, at_s: float) -> float:
        """Return the level at a time; 0 after the end."""
        index, since_s = self.find(at_s)
        return 0.0 if index < 0 else self.stages[index].level(since_s)


def make_schedule(shape: str, levels: Sequence[float], stage_s: float) -> Schedule:
    """Return the schedule of a named shape; each of its stages lasts `stage_s` seconds.

    steps: each level in turn. ramp: in straight lines from level to level. spike: the first level,
    the last, the first again. soak: the last level alone, for hours.

    Raises:
        ValueError: no level, a negative one, or no such shape.
    """
    if not levels or min(levels) < 0 or max(levels) <= 0 or stage_s <= 0:
        raise ValueError("a schedule needs levels and a length above 0, such as --levels 10,20,40")
    low, high = levels[0], levels[-1]
    if shape == "steps":
        pairs = [(level, level) for level in levels]
    elif shape == "ramp":
        corners = levels if len(levels) > 1 else [0.0, *levels]
        pairs = list(itertools.pairwise(corners))
    elif shape == "spike":
        base = low if len(levels) > 1 else high / 10
        pairs = [(base, base), (high, high), (base, base)]
    elif shape == "soak":
        pairs = [(high, high)]
    else:
        raise ValueError(f"no shape '{shape}'; there are: {', '.join(SHAPES)}")
    return Schedule(tuple(Stage(stage_s, *pair) for pair in pairs))


def arrivals(schedule: Schedule, seed: int, stream: int = 0, streams: int = 1) -> Floats:
    """Return when requests arrive: float64 [requests], seconds from the start, in order.

    A Poisson process whose rate follows the schedule. Each of `streams` processes has its share of
    the rate and its own seed; together they are a Poisson process of the whole rate (the
    superposition theorem; Kingman, «Poisson Processes», 1993, 2.2). Made by inversion of the
    integrated rate (Cinlar, «Introduction to Stochastic Processes», 1975, 4.7).
    """
    chance = np.random.default_rng([seed, stream])
    masses = [stage.seconds * (stage.first + stage.last) / 2 / streams for stage in schedule.stages]
    marks = _unit_arrivals(chance, sum(masses))  # [requests], in units of expected requests
    times, began_s, before = [], 0.0, 0.0
    for stage, mass in zip(schedule.stages, masses, strict=True):
        inside = marks[(marks >= before) & (marks < before + mass)] - before
        times.append(began_s + _invert(stage, inside * streams))
        began_s, before = began_s + stage.seconds, before + mass
    return np.concatenate(times)


def _unit_arrivals(chance: np.random.Generator, total: float) -> Floats:
    """A Poisson process of rate 1 up to `total`, float64 [arrivals]."""
    count = int(total + 10 * np.sqrt(total) + 20)
    marks = np.cumsum(chance.exponential(size=count))
    while marks[-1] < total:
        marks = np.append(marks, marks[-1] + np.cumsum(chance.exponential(size=count)))
    return np.asarray(marks[marks < total])


def _invert(stage: Stage, mass: Floats) -> Floats:
    """The time since the stage began at which its integrated level reaches `mass`, [requests]."""
    slope = (stage.last - stage.first) / stage.seconds
    root = np.sqrt(np.maximum(stage.first**2 + 2 * slope * mass, 0.0))
    speed = stage.first + root  # twice the mean level until then
    return np.asarray(np.divide(2 * mass, speed, out=np.zeros_like(mass), where=speed > 0))
