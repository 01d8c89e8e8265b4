"""A run's figures as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, LogFormatter, MaxNLocator

from emoserve_gpu.measurement import Record, Trial
from emoserve_gpu.plan import GOAL
from emoserve_gpu.works import NETWORKS, PIPELINES

_DPI = 110
_SERVED, _OPEN, _RAW, _HOST = "#1b6ca8", "#e9a23b", "#444444", "#a0a0a0"


class _Plain(LogFormatter):
    """Labels of a logarithmic axis without exponents: 0.6, 20."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def draw(record: Record, folder: Path) -> list[Path]:
    """Return the pictures that the record has figures for, written into `folder`."""
    makers = {"networks": _networks, "pipelines": _pipelines, "batches": _batches, "ratio": _ratio}
    made = []
    for name, maker in makers.items():
        figure = maker(record)
        if figure is None:
            continue
        figure.suptitle(f"{figure.get_suptitle()} ({_where(record)})", fontsize=11)
        made.append(folder / f"{name}.png")
        figure.savefig(made[-1], dpi=_DPI)
        plt.close(figure)
    return made


def _where(record: Record) -> str:
    return str(record.machine["gpu"]) if record.machine["cuda_in_torch"] else "CPU, no GPU"


def _panels(record: Record, names: Any, title: str) -> Any:
    """Return a figure with a panel for each name that was measured, or None."""
    seen = [name for name in names if any(one.model == name for one in record.trials)]
    if not seen:
        return None, {}
    columns = min(3, len(seen)) if len(seen) != 4 else 2
    lines = -(-len(seen) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(4.3 * columns, 3.3 * lines + 0.9),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(title)
    panels = dict(zip(seen, axes.flat, strict=False))
    for axis in list(axes.flat)[len(seen) :]:
        axis.remove()
    return figure, panels


def _networks(record: Record) -> Any:
    title = "Latency against throughput: served, and plain torch"
    figure, panels = _panels(record, NETWORKS, title)
    for name, axis in panels.items():
        for resident, colour, label in (
            (True, _RAW, "torch, batch on the device"),
            (False, _HOST, "torch, batch from host memory"),
        ):
            points = [p for p in record.raw if p.network == name and p.resident == resident]
            axis.plot([p.items_per_s for p in points], [p.p99_ms for p in points], "s-",
                      color=colour, ms=4, lw=1, label=label)  # fmt: skip
        _served(axis, record, name, "items per second")
    _legend(figure, panels, "numbers at the points: items in a request x callers, or arrivals/s")
    return figure


def _pipelines(record: Record) -> Any:
    figure, panels = _panels(record, PIPELINES, "Latency against throughput of the pipelines")
    for name, axis in panels.items():
        _served(axis, record, name, "requests per second")
    _legend(figure, panels, "numbers at the points: callers, or arrivals/s")
    return figure


def _legend(figure: Any, panels: dict[str, Any], title: str) -> None:
    """One legend for all panels, below them."""
    if panels:
        handles, labels = next(iter(panels.values())).get_legend_handles_labels()
        figure.legend(handles, labels, title=title, loc="outside lower center", ncols=3,
                      fontsize=8, title_fontsize=8)  # fmt: skip


def _served(axis: Any, record: Record, name: str, unit: str) -> None:
    """Add the served loads of one model; numbers at the points say the load."""
    for loop, colour, marker, label in (
        ("closed", _SERVED, "o", "served, closed loop"),
        ("open", _OPEN, "^", "served, Poisson arrivals"),
    ):
        points = [
            one
            for one in record.trials
            if one.model == name and one.loop == loop and one.p99_ms is not None
        ]
        axis.plot([p.items_per_s for p in points], [p.p99_ms for p in points], marker, ms=6,
                  color=colour, label=label)  # fmt: skip
        for point in points:
            axis.annotate(_mark(point), (point.items_per_s, point.p99_ms), fontsize=7,
                          textcoords="offset points", xytext=(4, 5))  # fmt: skip
    bound_ms = record.bound_ms(name)
    axis.axhline(bound_ms, color="#d1495b", lw=1, ls="--", label=f"bound {bound_ms:g} ms")
    axis.set(title=name, xlabel=unit, ylabel="p99, ms", yscale="log")
    axis.margins(x=0.15, y=0.12)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
    for which in ("major", "minor"):
        getattr(axis.yaxis, f"set_{which}_formatter")(_Plain(minor_thresholds=(2, 0.5)))
    axis.tick_params(axis="y", which="minor", labelsize=7)
    axis.grid(alpha=0.25)


def _mark(trial: Trial) -> str:
    if trial.loop == "open":
        return f"{trial.offered_per_s:.0f}/s"
    return f"{trial.batch}x{trial.callers}" if trial.model in NETWORKS else f"{trial.callers}"


def _batches(record: Record) -> Any:
    """Mean batch, and how busy the device was, load by load."""
    trials = [one for one in record.trials if one.loop == "closed" and one.model in NETWORKS]
    if not trials:
        return None
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 6), sharex=True, layout="constrained")
    at = range(len(trials))
    colours = [f"C{list(NETWORKS).index(one.model)}" for one in trials]
    upper.bar(at, [one.mean_batch for one in trials], color=colours)
    upper.set(ylabel="items in an execution", title="mean batch, by Triton's statistics")
    busy = [one.usage.gpu_share for one in trials]
    if any(share is not None for share in busy):
        lower.bar(at, [100 * (share or 0) for share in busy], color=colours)
        lower.set(ylabel="%", ylim=(0, 100), title="GPU utilisation, by NVML")
    else:
        lower.bar(at, [one.usage.server_cores for one in trials], color=colours)
        lower.set(ylabel="cores", title="processor of the server (there was no GPU)")
    labels = [f"{one.model.removesuffix('_net')} {one.batch}x{one.callers}" for one in trials]
    lower.set_xticks(at, labels, rotation=60, ha="right", fontsize=7)
    lower.set_xlabel("items in a request x callers")
    figure.suptitle("How requests became batches")
    return figure


def _ratio(record: Record) -> Any:
    if not record.ratios:
        return None
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for at, one in enumerate(record.ratios):
        rounds = [a / b for a, b in zip(one.served_per_s, one.raw_per_s, strict=True)]
        axis.bar(
            at - 0.2,
            one.to_raw,
            0.38,
            color=_SERVED,
            label="" if at else "to torch, batch on the device",
        )
        axis.bar(
            at + 0.2,
            one.to_host,
            0.38,
            color=_HOST,
            label="" if at else "to torch, batch from host memory",
        )
        axis.plot([at - 0.2] * len(rounds), rounds, "o", color="#222222", ms=3)
    axis.axhline(GOAL, color="#d1495b", ls="--", lw=1, label=f"goal {GOAL:g}")
    axis.set_xticks(range(len(record.ratios)), [one.network for one in record.ratios])
    axis.set_ylabel("served items/s over torch's")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    axis.grid(axis="y", alpha=0.25)
    figure.suptitle("Served over plain torch, p99 kept; dots: rounds")
    return figure
