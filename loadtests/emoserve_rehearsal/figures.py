"""The rehearsal as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoserve_rehearsal.calibration import SLO_P95_S
from emoserve_rehearsal.comparison import Simulated
from emoserve_rehearsal.record import BIN_S, by_bin
from emoserve_rehearsal.rehearsal import BACK, OUTAGE, Result
from emoserve_rehearsal.timing import FACTOR

_BLUE, _GREY, _RED, _GREEN, _ORANGE = "#1d4ed8", "#94a3b8", "#b91c1c", "#15803d", "#ea580c"


def draw(result: Result, simulated: Simulated, path: Path) -> None:
    """Write rate, pods, queue and time to answer over time, with the events marked."""
    figure = Figure(figsize=(11, 11), layout="constrained")
    rate, pods, queue, times = figure.subplots(4, 1, sharex=True, height_ratios=(2, 3, 2, 3))
    _rate(rate, result)
    _pods(pods, result, simulated)
    _queue(queue, result)
    _times(times, result, simulated)
    at = {name: at_s for at_s, name in result.record.events}
    for axes in (rate, pods, queue, times):
        for at_s, name in result.record.events:
            axes.axvline(at_s, color=_GREY, linestyle=":")
            if axes is rate:
                axes.annotate(f" {name}", (at_s, 1.02), xycoords=("data", "axes fraction"),
                              rotation=25, fontsize=9)  # fmt: skip
        axes.axvspan(at[OUTAGE], at[BACK], color=_GREY, alpha=0.2)
        axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=3)
        axes.grid(axis="y", alpha=0.3)
    times.set_xlabel(f"seconds (a cluster's time passes {FACTOR:g} times as fast)")
    failed, count = len(result.rows.failures), len(result.rows.due_s)
    retried = int((result.rows.retried > 0).sum())
    figure.suptitle(f"{count:,} requests, {failed} failed, {retried} sent more than once")
    figure.savefig(path, dpi=110)


def _rate(axes: Axes, result: Result) -> None:
    due = result.rows.due_s - result.began_s
    edges = np.arange(0, result.world.seconds + BIN_S, BIN_S)
    counts, _ = np.histogram(due, edges)
    axes.stairs(counts / BIN_S, edges, color=_BLUE, label="requests/s that came")
    axes.set_ylim(0, counts.max() / BIN_S * 1.35)


def _pods(axes: Axes, result: Result, simulated: Simulated) -> None:
    record, seconds = result.record, np.arange(simulated.replicas.shape[1])
    at = record.column("at_s")
    axes.fill_between(
        seconds, simulated.replicas.min(axis=0), simulated.replicas.max(axis=0), step="post",
        color=_ORANGE, alpha=0.25, label="wanted, in five simulations",
    )  # fmt: skip
    axes.step(at, record.column("held"), where="post", color=_GREY, label="pods there are")
    axes.step(at, record.column("replicas"), where="post", color=_RED, label="wanted")
    axes.step(at, record.column("ready"), where="post", color=_BLUE, label="ready")
    axes.set_ylim(0, record.column("held").max() * 1.3)


def _queue(axes: Axes, result: Result) -> None:
    at = result.record.column("at_s")
    axes.plot(at, result.record.column("waiting"), color=_BLUE, label="requests waiting")
    axes.plot(
        at, result.record.column("load"), color=_RED, label="the autoscaler's load (1: a full pod)"
    )
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)


def _times(axes: Axes, result: Result, simulated: Simulated) -> None:
    due = result.rows.due_s - result.began_s
    seconds = result.world.seconds
    for share, color, label in ((0.5, _BLUE, "median"), (0.95, _RED, "95th percentile")):
        middle, values = by_bin(due, result.rows.took_s, seconds, share)
        axes.plot(middle, values, color=color, label=label)
    axes.fill_between(
        middle, np.nanmin(simulated.p95_s, axis=0), np.nanmax(simulated.p95_s, axis=0),
        color=_ORANGE, alpha=0.25, label="95th percentile, simulated",
    )  # fmt: skip
    again = result.rows.retried > 0
    axes.plot(due[again], result.rows.took_s[again], "x", color="black", markersize=5,
              label="sent more than once")  # fmt: skip
    axes.axhline(SLO_P95_S, color=_GREEN, linestyle="--", label="objective")
    axes.set_yscale("log")
    axes.set_ylim(top=axes.get_ylim()[1] * 3)  # for the legend
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("seconds to answer")
