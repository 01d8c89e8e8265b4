"""Interleaved rounds, and what they say: medians of ratios taken within one round."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeAlias

from emoserve_peers.generator import Load
from emoserve_peers.processes import Others

QUIET_CORES = 0.1  # more than this of others' programs spoils a measurement
TRIES = 2

Measure: TypeAlias = Callable[[int], Load]  # of a round's number


@dataclass
class Series:
    """What the rounds saw of one system at one number of callers; one value per round.

    Attributes:
        rates_hz: answers per second.
        p50_ms, p95_ms: percentiles of the latency.
        errors: in all rounds.
        generator_us: processor time of the generator per answer.
        others_cores: cores that programs of others kept busy.
    """

    rates_hz: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p95_ms: list[float] = field(default_factory=list)
    errors: int = 0
    generator_us: list[float] = field(default_factory=list)
    others_cores: list[float] = field(default_factory=list)

    def add(self, load: Load) -> None:
        self.rates_hz.append(load.rate_hz)
        self.p50_ms.append(load.percentile_ms(50))
        self.p95_ms.append(load.percentile_ms(95))
        self.errors += load.errors
        self.generator_us.append(load.generator_s * 1e6)
        self.others_cores.append(load.others_cores)

    @property
    def rate_hz(self) -> float:
        """The median of the rounds' rates."""
        return median(self.rates_hz)

    def ratios(self, reference: "Series") -> list[float]:
        """Return each round's rate over the reference's rate in the same round."""
        pairs = zip(self.rates_hz, reference.rates_hz, strict=True)
        return [own / other for own, other in pairs]


def undisturbed(measure: Measure) -> Measure:
    """Return a measure that tries again where others' programs took part of the machine.

    Of `TRIES` the least disturbed counts.
    """

    def measured(number: int) -> Load:
        tries: list[Load] = []
        while not tries or (len(tries) < TRIES and tries[-1].others_cores > QUIET_CORES):
            others = Others()
            load = measure(number)
            tries.append(replace(load, others_cores=others.cores))
        return min(tries, key=lambda load: load.others_cores)

    return measured


def interleaved(
    measures: Mapping[str, Measure], rounds: int, done: Callable[[], None] = lambda: None
) -> dict[str, Series]:
    """Return every system's series; each round measures all, beginning with another one.

    Args:
        done: called after each measurement.
    """
    seen = {name: Series() for name in measures}
    for number in range(rounds):
        for name in turned(list(measures), number):
            seen[name].add(measures[name](number))
            done()
    return seen


def turned(names: Sequence[str], by: int) -> Iterator[str]:
    """Yield all names, the one at `by` first."""
    for index in range(len(names)):
        yield names[(index + by) % len(names)]


def ratio(series: Series, reference: Series) -> float:
    """Return the median of `Series.ratios`."""
    return median(series.ratios(reference))
