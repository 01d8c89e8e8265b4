"""The forecast as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from emoserve_server.scaling.simulation._forecast import Case, Choice, Floats

_BLUE, _GREY, _RED, _GREEN = "#1d4ed8", "#94a3b8", "#b91c1c", "#15803d"


def draw_cases(cases: Sequence[Case], slo_s: float, path: Path) -> None:
    """Write one column for each case: the rate, the pods, the time to answer."""
    figure = Figure(figsize=(4.6 * len(cases), 8), layout="constrained")
    rows = figure.subplots(3, len(cases), sharex=True, squeeze=False)
    for column, case in enumerate(cases):
        hours = np.arange(len(case.rate)) / 60
        top, middle, bottom = (row[column] for row in rows)
        top.set_title(f"{case.demand}, {case.rate_per_s:,.0f} requests/s")
        top.plot(hours, case.rate, color=_BLUE)
        top.yaxis.set_major_formatter("{x:,.0f}")
        _pods(middle, hours, case)
        _times(bottom, case, slo_s)
        top.set_ylim(bottom=0)
    for axes, label in zip(rows[:, 0], ("requests/s", "pods", "seconds to answer"), strict=True):
        axes.set_ylabel(label)
    for axes in rows[1]:
        axes.set_ylim(0, axes.get_ylim()[1] * 1.2)
    for axes in rows[2]:
        axes.set_ylim(top=axes.get_ylim()[1] * 2)
    for axes in (*rows[1], *rows[2]):
        axes.legend(loc="upper left", frameon=False, fontsize=8, ncols=3)
    figure.savefig(path, dpi=110)


def _pods(axes: Axes, hours: Floats, case: Case) -> None:
    axes.fill_between(hours, case.need, color=_GREY, alpha=0.5, label="that the rate fills")
    axes.plot(hours, case.replicas, color=_RED, linewidth=1, label="wanted")
    axes.plot(hours, case.ready, color=_BLUE, label="ready")


def _times(axes: Axes, case: Case, slo_s: float) -> None:
    hours = np.arange(len(case.p99_s)) / 60
    axes.plot(hours, case.p99_s, color=_RED, linewidth=1, label="99th percentile")
    axes.plot(hours, case.p50_s, color=_BLUE, label="median")
    axes.axhline(slo_s, color=_GREEN, linestyle="--", label="objective")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("hours")


def draw_choices(choices: Sequence[Choice], plan_load: float, path: Path) -> None:
    """Write what more headroom costs and gains, one line for each start-up delay."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    late, over = figure.subplots(1, 2)
    for startup_s in sorted({choice.startup_s for choice in choices}):
        line = [choice for choice in choices if choice.startup_s == startup_s]
        loads = [choice.load for choice in line]
        label = f"a pod starts in {startup_s:.0f} s"
        late.plot(loads, [100 * choice.late for choice in line], marker="o", label=label)
        over.plot(loads, [100 * choice.over for choice in line], marker="o", label=label)
    late.set_ylabel("% of requests late or refused")
    late.set_ylim(bottom=0)
    over.set_ylabel("% pod-hours beyond the ideal")
    for axes in (late, over):
        axes.axvline(plan_load, color=_GREY, linestyle="--")
        axes.annotate(" the plan", (plan_load, axes.get_ylim()[1]), va="top", color=_GREY)
        axes.set_xlabel("load to keep")
    over.legend(frameon=False)
    figure.suptitle("An hour in which the rate trebles within a minute")
    figure.savefig(path, dpi=110)
