"""A run's figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from emoserve_gpu.measurement import Record, Trial
from emoserve_gpu.plan import GOAL
from emoserve_gpu.works import NETWORKS, PIPELINES


def markdown(record: Record) -> str:
    """Return the whole report."""
    machine, plan = record.machine, record.plan
    where = f"GPU: {machine['gpu']}" if machine["cuda_in_torch"] else "CPU: no GPU was there"
    head = [
        f"# Served against plain torch ({where})",
        "",
        f"Networks by {record.backend}, torch {machine['torch']}, ONNX Runtime "
        f"{machine['onnxruntime']}. p99 bounds: {plan.network_bound_ms:g} ms for a network, "
        f"{plan.pipeline_bound_ms:g} ms for a pipeline. {plan.rounds} interleaved rounds of "
        f"{plan.window_s:g} s; the server was ready after {record.startup_s:.0f} s.",
    ]
    parts = {
        "Best rate within the bound, against plain torch": _ratios(record),
        "Pipelines": _pipelines(record),
        "Every load": _trials(record.trials),
        "Plain torch": _raw(record),
    }
    for title, lines in parts.items():
        head += ["", f"## {title}", "", *lines]
    return "\n".join(head) + "\n"


def _table(columns: str, rows: Iterable[Iterable[object]]) -> list[str]:
    names = columns.split("|")
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def _ratios(record: Record) -> list[str]:
    columns = ("network|served items/s|p99 ms|items x callers|mean batch|torch items/s (batch)|"
               "ratio|ratio to torch from host memory|goal|answers differ by")  # fmt: skip
    return _table(columns, _ratio_rows(record))


def _ratio_rows(record: Record) -> Iterator[list[str]]:
    for name in NETWORKS:
        best, ratio = record.best(name), record.ratio(name)
        if best is None or ratio is None:
            if any(trial.model == name for trial in record.trials):
                yield [name, "no load kept the bound", *[""] * 8]
            continue
        met = record.met(ratio)
        goal = "-" if met is None else f"{GOAL:g}: {'met' if met else 'missed'}"
        yield [name, f"{best.items_per_s:.0f}", _ms(best.p99_ms), f"{best.batch} x {best.callers}",
               f"{best.mean_batch:.1f}", f"{ratio.raw:.0f} ({ratio.raw_batch})",
               f"{ratio.to_raw:.2f}", f"{ratio.to_host:.2f}", goal,
               f"{record.differences[name]:.1g}"]  # fmt: skip


def _pipelines(record: Record) -> list[str]:
    columns = ("pipeline|best requests/s|p50 ms|p99 ms|callers|network|its items/s|mean batch|"
               "share of torch|GPU|server cores")  # fmt: skip
    return _table(columns, _pipeline_rows(record))


def _pipeline_rows(record: Record) -> Iterator[list[str]]:
    for name, network in PIPELINES.items():
        best = record.best(name)
        if best is None:
            if any(trial.model == name for trial in record.trials):
                yield [name, "no load kept the bound", *[""] * 9]
            continue
        ratio = record.ratio(network)
        yield [name, f"{best.items_per_s:.1f}", _ms(best.p50_ms), _ms(best.p99_ms),
               _load(best), network, f"{best.passes_per_s:.1f}", f"{best.mean_batch:.1f}",
               f"{best.passes_per_s / ratio.raw:.3f}" if ratio else "-",
               _share(best.usage.gpu_share), f"{best.usage.server_cores:.1f}"]  # fmt: skip


def _trials(trials: Iterable[Trial]) -> list[str]:
    columns = ("model|load|items each|items/s|p50 ms|p99 ms|mean batch|queue ms|compute ms|GPU|"
               "GPU MiB|server cores|generator cores|errors")  # fmt: skip
    return _table(
        columns,
        (
            [one.model, _load(one), one.batch, f"{one.items_per_s:.0f}", _ms(one.p50_ms),
             _ms(one.p99_ms), f"{one.mean_batch:.1f}", f"{one.queue_ms:.2f}",
             f"{one.compute_ms:.2f}", _share(one.usage.gpu_share),
             "-" if one.usage.gpu_memory_mib is None else f"{one.usage.gpu_memory_mib:.0f}",
             f"{one.usage.server_cores:.1f}", f"{one.usage.generator_cores:.1f}",
             ", ".join(f"{count} {kind}" for kind, count in one.errors.items()) or "-"]
            for one in trials
        ),
    )  # fmt: skip


def _raw(record: Record) -> list[str]:
    return _table(
        "network|batch|tensors|items/s|p50 ms of a batch|p99 ms of a batch",
        (
            [one.network, one.batch, "on the device" if one.resident else "from host memory",
             f"{one.items_per_s:.0f}", _ms(one.p50_ms), _ms(one.p99_ms)]
            for one in record.raw
        ),
    )  # fmt: skip


def _load(trial: Trial) -> str:
    if trial.loop == "open":
        return f"Poisson {trial.offered_per_s:.0f}/s"
    return f"{trial.callers} callers"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
