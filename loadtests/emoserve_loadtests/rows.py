"""What is kept of each request: one row, never rounded, merged from all workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Times are seconds since 1970. `scheduled_s` is when an open-loop request was due, and when a
# closed-loop caller sent it; latency counts from there, `offset_s` since the run began. `stage` is
# -1 while a stage settles. `item` is the payload's index, `answer` the emotion that came, `error` a
# word or two, or nothing.
ROW = np.dtype(
    [
        ("scheduled_s", "f8"), ("sent_s", "f8"), ("ended_s", "f8"), ("stage", "i2"),
        ("offset_s", "f8"), ("pipeline", "S8"), ("modality", "S18"), ("bytes", "i8"),
        ("item", "i4"), ("answer", "S10"), ("error", "S24"),
    ]
)  # fmt: skip
Rows = npt.NDArray[np.void]


class Recorder:
    """Collects rows; `drain` hands over those since the last time."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)

    def drain(self) -> Rows:
        rows, self._rows = self._rows, []
        return np.array(rows, dtype=ROW)


def latency_s(rows: Rows) -> npt.NDArray[np.float64]:
    """Return the latency of each row in seconds, float64 [rows], from when it was due.

    A request that failed is slower than any: infinity. Else a server could win by refusing.
    """
    return np.where(rows["error"] == b"", rows["ended_s"] - rows["scheduled_s"], np.inf)


def merged(parts: list[Rows]) -> Rows:
    """Return all rows in the order in which they were due."""
    rows = np.concatenate(parts) if parts else np.empty(0, ROW)
    return rows[np.argsort(rows["scheduled_s"], kind="stable")]
