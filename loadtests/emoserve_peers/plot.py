"""The picture of the comparison: throughput of the limit, and the tail, per workload."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from emoserve_peers.records import Record
from emoserve_peers.systems import LIMITS, OURS, TUNED
from emoserve_peers.tables import Row, digits, rows

_OURS, _OTHERS, _BARE = "#c2410c", "#64748b", "#cbd5e1"
_ROW_INCHES, _PANEL_INCHES = 0.27, 0.9


def draw(records: Mapping[str, Record], path: Path) -> None:
    """Write a PNG: a row of two panels per workload, at its largest number of callers."""
    panels = [(record, _busiest(record)) for record in records.values() if record.series]
    heights = [len(rows_) * _ROW_INCHES + _PANEL_INCHES for _, rows_ in panels]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 2, squeeze=False, height_ratios=heights)
        for (record, shown), (left, right) in zip(panels, axes, strict=True):
            _throughput(left, record, shown)
            _tail(right, shown)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)


def _busiest(record: Record) -> list[Row]:
    """Return the rows at the largest number of callers, the fastest last: bars grow upwards."""
    most = max(record.series)
    return sorted(rows({most: record.series[most]}), key=lambda row: row.ratio)


def _throughput(axes: Any, record: Record, shown: Sequence[Row]) -> None:
    bars = axes.barh([row.title for row in shown], [row.ratio for row in shown])
    for bar, row in zip(bars, shown, strict=True):
        bar.set_color(_colour(row))
        low, high = row.span
        middle = bar.get_y() + bar.get_height() / 2
        axes.plot([low, high], [middle, middle], color="black", linewidth=1)
        axes.text(max(high, row.ratio) + 0.01, middle, f" {row.ratio:.2f}", va="center")
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_title(f"{record.workload}, {shown[0].callers} callers", loc="left", weight="bold")
    axes.set_xlabel("answers per second, x the limit (line: lowest to highest round)")
    axes.set_xlim(0, max(row.span[1] for row in shown) * 1.15)


def _tail(axes: Any, shown: Sequence[Row]) -> None:
    served = [row for row in shown if row.system not in LIMITS]
    bars = axes.barh([row.title for row in served], [row.p95_ms for row in served])
    for bar, row in zip(bars, served, strict=True):
        bar.set_color(_colour(row))
        axes.plot([row.p50_ms] * 2, [bar.get_y(), bar.get_y() + bar.get_height()], color="black")
        axes.text(
            row.p95_ms, bar.get_y() + bar.get_height() / 2, f" {digits(row.p95_ms)}", va="center"
        )
    axes.set_xlabel("p95 latency, ms (mark: median)")
    axes.set_xlim(0, max(row.p95_ms for row in served) * 1.15)


def _colour(row: Row) -> str:
    if row.system in LIMITS:
        return _BARE
    return _OURS if row.system in (*OURS, TUNED) else _OTHERS
