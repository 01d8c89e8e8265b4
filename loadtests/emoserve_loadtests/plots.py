"""The report's pictures, as PNG bytes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogFormatter, MaxNLocator

from emoserve_loadtests.capacity import Curve
from emoserve_loadtests.quantiles import PERCENTILES

_WIDE, _SQUARE, _DPI = (11.0, 7.5), (7.0, 4.4), 110
_COLOURS = {"p50": "#2a9d8f", "p95": "#e9a23b", "p99": "#d1495b"}
_MODELS = 8  # of how many models a picture shows the sizes of batches
_TINY_SHARE = 1e-4


def all_plots(content: dict[str, Any]) -> dict[str, bytes]:
    """Return each picture that the run has the figures for, by its title."""
    makers = {
        "Latency against throughput": latency_throughput,
        "Timeline": run_timeline,
        "How many were slower": slower_than,
        "Queue against compute": queue_compute,
        "Sizes of batches": batch_sizes,
    }
    made = {title: maker(content) for title, maker in makers.items()}
    return {title: png(figure) for title, figure in made.items() if figure is not None}


def png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=_DPI, bbox_inches="tight")
    plt.close(figure)
    return file.getvalue()


def _clean(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _milliseconds(axis: Any) -> None:
    """A logarithmic axis with plain numbers on it."""
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.2, 0.6)))


def latency_throughput(content: dict[str, Any]) -> Any:
    """One point for each stage, with the intervals of its percentiles."""
    stages = [stage for stage in content["stages"] if stage["total"]["mean_ms"] is not None]
    if len(stages) < 2:
        return None
    figure, axis = plt.subplots(figsize=_SQUARE)
    for name, colour in _COLOURS.items():
        points = [
            (stage["total"]["throughput_per_s"], stage["total"]["latency_ms"][name])
            for stage in stages
        ]
        points = [(x, one) for x, one in points if one["value"] is not None]
        values = [one["value"] for _, one in points]
        lows = [one["value"] - (one["low"] or one["value"]) for _, one in points]
        highs = [(one["high"] or one["value"]) - one["value"] for _, one in points]
        axis.errorbar([x for x, _ in points], values, yerr=[lows, highs], marker="o", capsize=3,
                      color=colour, label=name)  # fmt: skip
    for stage in stages:
        top = stage["total"]["latency_ms"]["p99"]["value"]
        if top is not None:
            at = (stage["total"]["throughput_per_s"], top)
            axis.annotate(f"{stage['level']:g}", at, textcoords="offset points", xytext=(0, 9),
                          ha="center", fontsize=8)  # fmt: skip
    unit = "requests/s offered" if content["run"]["loop"] == "open" else "callers"
    axis.set(xlabel="answers per second", ylabel="latency, ms")
    _milliseconds(axis)
    axis.set_title(f"numbers at the points: {unit}", fontsize=9, loc="left")
    axis.legend(frameon=False)
    _clean(axis)
    return figure


def run_timeline(content: dict[str, Any]) -> Any:
    """Requests, latency, and the server's load, second by second."""
    seconds = content["timeline"]
    if not seconds:
        return None
    figure, axes = plt.subplots(4, 1, figsize=_WIDE, sharex=True)
    at = [one["second"] + 0.5 for one in seconds]
    for name, colour in (("offered", "#999999"), ("answered", "#2a9d8f"), ("failed", "#d1495b")):
        axes[0].plot(at, [one[name] for one in seconds], color=colour, label=f"{name} per s")
    for name in ("p50", "p99"):
        values = [one[f"{name}_ms"] for one in seconds]
        axes[1].plot(at, [float("nan") if v is None else v for v in values], color=_COLOURS[name],
                     label=f"{name}, ms")  # fmt: skip
    if any(one["p50_ms"] for one in seconds):
        _milliseconds(axes[1])
    _server_lines(axes[2], axes[3], content["server"]["samples"])
    axes[3].set_xlabel("seconds since the start (latency: of the requests due in that second)")
    for axis in axes:
        if axis.get_legend_handles_labels()[0]:  # the server may have been out of sight
            axis.legend(frameon=False, ncols=5, loc="upper left", fontsize=8)
        _clean(axis)
    return figure


def _server_lines(waiting: Any, busy: Any, samples: list[dict[str, Any]]) -> None:
    at = [sample["at_s"] for sample in samples]
    pending = [sum(m.get("pending", 0) for m in sample["models"].values()) for sample in samples]
    waiting.plot(at, pending, color="#5b5f97", label="pending requests")
    colours = {"machine": "#cccccc", "server": "#2a9d8f", "generator": "#e9a23b"}
    for who, colour in colours.items():
        cores = _rates([(s["at_s"], s[who]["cpu_s"]) for s in samples if s.get(who)])
        if cores:
            busy.plot(*zip(*cores, strict=True), color=colour, label=f"{who}, cores busy")
    for gpu in sorted({name for sample in samples for name in sample["gpus"]}):
        used = [s["gpus"].get(gpu, {}).get("gpu_utilisation", 0) for s in samples]
        busy.plot(at, used, linestyle="--", label=f"GPU {gpu[:8]}, share used")


def _rates(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The slope between neighbouring points, at their middle."""
    pairs = itertools.pairwise(points)
    return [((a + b) / 2, (y - x) / (b - a)) for (a, x), (b, y) in pairs if b > a]


def slower_than(content: dict[str, Any]) -> Any:
    """The share of requests that took longer, for each pipeline, down to one in a thousand."""
    pipelines = {n: one for n, one in content["pipelines"].items() if one["histogram"]["count"]}
    if not pipelines:
        return None
    figure, axis = plt.subplots(figsize=_SQUARE)
    for name, group in pipelines.items():
        counts, total, left = group["histogram"]["count"], group["requests"], []
        remaining = total
        for count in counts:
            remaining -= count
            left.append(max(remaining / total, _TINY_SHARE / 10))
        axis.step(group["histogram"]["upper_ms"], left, where="post", label=name)
    for name, p in PERCENTILES.items():
        axis.axhline(1 - p, color="#cccccc", linewidth=0.7)
        axis.text(1.0, 1 - p, f" {name}", transform=axis.get_yaxis_transform(), fontsize=8,
                  va="center")  # fmt: skip
    axis.set(xscale="log", yscale="log", ylim=(_TINY_SHARE, 1.2), xlabel="latency, ms",
             ylabel="share of requests slower than that")  # fmt: skip
    axis.legend(frameon=False)
    _clean(axis)
    return figure


def queue_compute(content: dict[str, Any]) -> Any:
    """For each model, how long a request waited and how long it was computed, on average."""
    shares = content["server"].get("models", {})
    if not shares:
        return None
    names = sorted(shares, key=lambda name: -shares[name]["queue_ms"] - shares[name]["compute_ms"])
    figure, axis = plt.subplots(figsize=(_SQUARE[0], 0.9 + 0.36 * len(names)))
    queue = [shares[name]["queue_ms"] for name in names]
    compute = [shares[name]["compute_ms"] for name in names]
    axis.barh(names, queue, color="#e9a23b", label="queue")
    axis.barh(names, compute, left=queue, color="#2a9d8f", label="compute")
    axis.invert_yaxis()
    axis.set_xlabel("mean per request of the model, ms")
    axis.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    _clean(axis)
    return figure


def batch_sizes(content: dict[str, Any]) -> Any:
    """How often each model executed each size of batch."""
    batches = content["server"]["batches"]
    names = sorted(batches, key=lambda name: -sum(batches[name].values()))[:_MODELS]
    if not names:
        return None
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.8 * columns, 2.2 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        sizes = {int(size): count for size, count in batches[name].items()}
        axis.bar(list(sizes), list(sizes.values()), color="#5b5f97")
        axis.set_xlim(0.4, max(sizes) + 0.6)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.locator_params(axis="y", nbins=4)
        _clean(axis)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.supylabel("executions", fontsize=9)
    figure.supxlabel("batch size", fontsize=9)
    figure.tight_layout()
    return figure


def capacity_curves(curves: Sequence[Curve]) -> Any:
    """For each pipeline mean and p95 against the rate, its objective, its limit and its knee."""
    figure, axes = plt.subplots(1, len(curves), figsize=(3.0 * len(curves), 3.2), squeeze=False)
    for axis, curve in zip(axes.flat, curves, strict=True):
        points = sorted(curve.points, key=lambda point: point.rate_per_s)
        rates = [point.rate_per_s for point in points]
        for name, colour in (("mean", "#2a9d8f"), ("p95", "#e9a23b")):
            times = [1000 * (point.mean_s if name == "mean" else point.p95_s) for point in points]
            axis.plot(rates, times, marker="o", markersize=3, color=colour, label=name)
        axis.axhline(
            curve.slo_p95_s * 1000, color="#d1495b", linestyle="--", label="objective, p95"
        )
        axis.axvline(curve.limit().rate_per_s, color="#5b5f97", label="limit")
        axis.axvline(curve.knee().rate_per_s, color="#5b5f97", linestyle=":", label="knee")
        axis.set(xlim=(0, None), xlabel="answers per second")
        _milliseconds(axis)
        axis.set_title(curve.pipeline, fontsize=10)
        _clean(axis)
    axes.flat[0].set_ylabel("latency, ms")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=5, loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure
