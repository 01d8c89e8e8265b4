"""From rows to figures: throughput, percentiles and errors, by pipeline, stage and second."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from emoserve_loadtests.quantiles import PERCENTILES, quantile
from emoserve_loadtests.rows import Rows, latency_s
from emoserve_loadtests.schedule import Schedule

_BINS_PER_DECADE = 20
_FIRST_BIN_S, _LAST_BIN_S = 1e-4, 1e3


def summarise(due: Rows, answered: int, seconds: float) -> dict[str, Any]:
    """Return the figures of the requests that were due in a time.

    Args:
        due: their rows.
        answered: how many answers came in that time, to whichever requests.
        seconds: its length.
    """
    ordered = np.sort(latency_s(due))
    held = ordered[np.isfinite(ordered)]
    failed = Counter(one.decode() for one in due["error"] if one)
    return {
        "requests": len(due),
        "offered_per_s": len(due) / seconds,
        "throughput_per_s": answered / seconds,
        "error_ratio": sum(failed.values()) / len(due) if len(due) else 0.0,
        "errors": dict(failed.most_common()),
        "mean_ms": _ms(float(held.mean())) if len(held) else None,
        "max_ms": _ms(float(held[-1])) if len(held) else None,
        "latency_ms": _percentiles(ordered) if len(due) else {},
        "histogram": _histogram(held),
        "bytes": int(due["bytes"].sum()),
        # how late the generator itself was: where this is not small, it was the limit
        "sent_late_p99_ms": _ms(float(np.quantile(due["sent_s"] - due["scheduled_s"], 0.99)))
        if len(due)
        else None,
    }


def _percentiles(ordered: Any) -> dict[str, dict[str, float | None]]:
    found = {name: quantile(ordered, p) for name, p in PERCENTILES.items()}
    return {
        name: {"value": _ms(one.value_s), "low": _ms(one.low_s), "high": _ms(one.high_s)}
        for name, one in found.items()
    }


def _ms(seconds: float | None) -> float | None:
    """Milliseconds; None for what is not known, and for the infinite time of a failed request."""
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000, 3)


def _histogram(held: Any) -> dict[str, list[float]]:
    """Counts between edges that grow by 12 %, as HdrHistogram keeps them; only where there are."""
    decades = round(math.log10(_LAST_BIN_S / _FIRST_BIN_S))
    edges = np.geomspace(_FIRST_BIN_S, _LAST_BIN_S, decades * _BINS_PER_DECADE + 1)
    counts, _ = np.histogram(np.clip(held, _FIRST_BIN_S, _LAST_BIN_S), edges)
    used = np.flatnonzero(counts)
    return {
        "upper_ms": np.round(edges[used + 1] * 1000, 3).tolist(),
        "count": counts[used].tolist(),
    }


def figures(rows: Rows, schedule: Schedule, settle_s: float) -> dict[str, Any]:
    """Return the figures of a run: in total, and for each stage, pipeline and modality."""
    stages, seconds = [], 0.0
    ended_offset_s = rows["offset_s"] + (rows["ended_s"] - rows["scheduled_s"])
    stage_of_end = np.full(len(rows), -1)
    began_s = 0.0
    for index, stage in enumerate(schedule.stages):
        inside = (ended_offset_s >= began_s + settle_s) & (ended_offset_s < began_s + stage.seconds)
        stage_of_end[inside] = index
        length_s = stage.seconds - settle_s
        stages.append(
            {
                "level": stage.level(stage.seconds / 2),
                "began_s": began_s,
                "seconds": length_s,
                **_groups(rows, rows["stage"] == index, inside, length_s),
            }
        )
        began_s, seconds = began_s + stage.seconds, seconds + length_s
    return {**_groups(rows, rows["stage"] >= 0, stage_of_end >= 0, seconds), "stages": stages}


def _groups(rows: Rows, due: Any, ended: Any, seconds: float) -> dict[str, Any]:
    """The figures in total, by pipeline, and by modality where a pipeline takes several."""
    good = ended & (rows["error"] == b"")

    def of(mask: Any) -> dict[str, Any]:
        return summarise(rows[due & mask], int(np.count_nonzero(good & mask)), seconds)

    pipelines = sorted({one.decode() for one in rows["pipeline"][due]})
    modalities = sorted({one.decode() for one in rows["modality"][due]})
    return {
        "total": of(np.ones(len(rows), bool)),
        "pipelines": {name: of(rows["pipeline"] == name.encode()) for name in pipelines},
        "modalities": {name: of(rows["modality"] == name.encode()) for name in modalities},
    }


def timeline(rows: Rows, seconds: float) -> list[dict[str, float | None]]:
    """Return each second of a run: offered, answered, failed, and the latency of those due then."""
    ended = rows["offset_s"] + (rows["ended_s"] - rows["scheduled_s"])
    good, held = rows["error"] == b"", latency_s(rows)
    made = []
    for second in range(math.ceil(seconds)):
        due = (rows["offset_s"] >= second) & (rows["offset_s"] < second + 1)
        done = (ended >= second) & (ended < second + 1)
        times = np.sort(held[due])
        made.append(
            {
                "second": second,
                "offered": int(due.sum()),
                "answered": int((done & good).sum()),
                "failed": int((done & ~good).sum()),
                "p50_ms": _ms(quantile(times, 0.5).value_s) if len(times) else None,
                "p99_ms": _ms(quantile(times, 0.99).value_s) if len(times) else None,
            }
        )
    return made
