"""A session's figures as rows, for the terminal and for the report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from emoserve_peers.rounds import Series, ratio
from emoserve_peers.systems import LIMIT, LIMITS, PROCESSES, SYSTEMS

COLUMNS = (
    "callers",
    "server",
    "x limit",
    "lowest to highest",
    "x processes",
    "answers/s",
    "p50 ms",
    "p95 ms",
)


@dataclass(frozen=True)
class Row:
    """One system at one number of callers.

    Attributes:
        ratio: median over the rounds of its rate over the limit's rate in the same round.
        span: the lowest and the highest round's ratio.
        of_processes: the same ratio to «a process per core».
        rate_hz, p50_ms, p95_ms: medians over the rounds.
    """

    callers: int
    system: str
    ratio: float
    span: tuple[float, float]
    of_processes: float
    rate_hz: float
    p50_ms: float
    p95_ms: float
    errors: int

    @property
    def title(self) -> str:
        return title(self.system)


def title(system: str) -> str:
    """Return a system's name as the tables show it."""
    return LIMITS[system].title if system in LIMITS else SYSTEMS[system].title


def rows(series: Mapping[int, Mapping[str, Series]]) -> Iterator[Row]:
    """Give the rows of one workload, by callers, then in the order of the systems."""
    for callers, systems in series.items():
        for name, own in systems.items():
            ratios = own.ratios(systems[LIMIT])
            yield Row(
                callers,
                name,
                ratio(own, systems[LIMIT]),
                (min(ratios), max(ratios)),
                ratio(own, systems[PROCESSES]),
                own.rate_hz,
                median(own.p50_ms),
                median(own.p95_ms),
                own.errors,
            )


def digits(value: float) -> str:
    """Return a number with at least three digits that count, and no exponent."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as text, as `COLUMNS` names it."""
    low, high = row.span
    return (
        str(row.callers),
        row.title,
        f"{row.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{row.of_processes:.2f}",
        f"{row.rate_hz:.4g}",
        digits(row.p50_ms),
        digits(row.p95_ms),
    )


def terminal(name: str, series: Mapping[int, Mapping[str, Series]]) -> Table:
    """Return a workload's table for the terminal."""
    table = Table(*COLUMNS, title=name)
    for row in rows(series):
        table.add_row(*cells(row), style="" if not row.errors else "red")
    return table
