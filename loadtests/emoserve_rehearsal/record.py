"""What the rehearsal saw: a row a request, a sample every half second, and the events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BIN_S = 5.0


@dataclass(frozen=True)
class Rows:
    """All requests: when due and how long they took (seconds), sends that failed, and the rest."""

    due_s: Floats
    took_s: Floats
    retried: Floats
    versions: tuple[str, ...]
    errors: tuple[str, ...]

    @staticmethod
    def read(path: Path) -> Rows:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows.sort(key=lambda row: row["due_s"])
        due, took, retried = (
            np.array([row[name] for row in rows], dtype=float)
            for name in ("due_s", "took_s", "retried")
        )
        versions = tuple(row["version"] for row in rows)
        return Rows(due, took, retried, versions, tuple(row["error"] for row in rows))

    @property
    def failures(self) -> list[str]:
        return [error for error in self.errors if error]


@dataclass(frozen=True)
class Sample:
    """One look at everything; `load` and `waiting` are None while Prometheus gives none."""

    at_s: float
    replicas: int
    ready: int
    held: int
    load: float | None
    waiting: float | None


@dataclass
class Record:
    """Times are seconds since the callers began."""

    samples: list[Sample] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)

    def column(self, name: str) -> Floats:
        """Return float64 [samples], NaN where there was no value."""
        values = [getattr(sample, name) for sample in self.samples]
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    def between(self, begin: str, end: str) -> list[Sample]:
        """Return the samples from one event to another."""
        first, last = (next(at for at, name in self.events if name == one) for one in (begin, end))
        return [sample for sample in self.samples if first <= sample.at_s <= last]


def by_bin(times: Floats, values: Floats, seconds: float, share: float) -> tuple[Floats, Floats]:
    """Return the middle of each BIN_S and the quantile of the values in it, NaN where none is."""
    edges = np.arange(0, seconds + BIN_S, BIN_S)
    place = np.digitize(times, edges) - 1
    found = [
        np.quantile(values[place == one], share) if (place == one).any() else np.nan
        for one in range(len(edges) - 1)
    ]
    return edges[:-1] + BIN_S / 2, np.array(found)


def replace_file(path: Path, content: object) -> None:
    """Write so that no reader sees half of it, and only what differs."""
    text = json.dumps(content)
    if not path.exists() or path.read_text() != text:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)
