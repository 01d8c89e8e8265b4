"""MLPerf's scenarios on our pipelines: server (latency-bounded throughput), offline, single stream.

Source: MLCommons, «MLPerf Inference Rules», 5 and appendix «Early Stopping Criterion». As there:
Poisson arrivals, latency from the scheduled arrival, result the scheduled rate; caches off; task
quality held against the reference's. Not as there: runs last as long as early stopping needs, not
600 s, and the payloads are ours. So these are no MLPerf results.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emoserve_loadtests.accuracy import QUALITY, accuracy, reference_answers
from emoserve_loadtests.calls import connect
from emoserve_loadtests.early_stopping import (
    Verdict,
    judge,
    needed_within,
    proved_percentile,
    requests_to_decide,
)
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.rows import Rows, latency_s
from emoserve_loadtests.served import Server
from emoserve_loadtests.trial import Recording, Trial, run_quiet

_SPARE = 3  # so many requests may be over the bound before a trial of the usual length fails
_LARGEST = 2.0**20
_MOST_TIMES = 8  # so many times as many requests may decide what the usual number leaves open


@dataclass(frozen=True)
class Tried:
    """One trial of a search."""

    rate_per_s: float
    verdict: Verdict
    percentile_ms: float | None
    throughput_per_s: float
    sent_late_p99_ms: float | None
    cores_of_others: float = 0.0

    @property
    def passed(self) -> bool:
        return self.verdict.passed


def highest_rate(
    attempt: Callable[[float], Tried], start: float, resolution: float
) -> tuple[Tried | None, list[Tried]]:
    """Return the trial of the highest rate that passed, and all trials in order.

    Doubling (or halving) from `start` until one rate passes and twice it fails, then bisection
    until they are within `resolution` of each other, a share.
    """
    tried = [attempt(start)]
    low, high = (start, None) if tried[0].passed else (None, start)
    while low is None or high is None:
        rate = 2 * low if low is not None else (high or start) / 2
        if not start / _LARGEST < rate < start * _LARGEST:
            return None, tried
        tried.append(attempt(rate))
        low, high = (rate, high) if tried[-1].passed else (low, rate)
    while high / low > 1 + resolution:
        rate = (low + high) / 2
        tried.append(attempt(rate))
        low, high = (rate, high) if tried[-1].passed else (low, rate)
    return next(one for one in tried if one.passed and one.rate_per_s == low), tried


def server_scenario(
    trial: Trial, server: Server, out: Path, bound_s: float, p: float, resolution: float
) -> dict[str, Any]:
    """Return the highest Poisson rate whose p-percentile is proved to stay within the bound.

    A trial that neither proves nor refutes it is taken again, long enough to decide.
    """
    reference, capacity_per_s = _reference(trial, server)
    usual = needed_within(_SPARE, p) + _SPARE
    recordings: list[Recording] = []

    def measured(rate: float, requests: int) -> Tried:
        stage_s = max(trial.stage_s, 1.1 * requests / rate) + trial.settle_s
        recording = run_quiet(trial.at(rate, stage_s), server, out / f"rate-{rate:.3g}")
        recordings.append(recording)
        return _tried(rate, recording, bound_s, p)

    def attempt(rate: float) -> Tried:
        tried = measured(rate, usual)
        if not tried.passed:
            longer = requests_to_decide(tried.verdict, p, _MOST_TIMES * usual)
            if longer:
                recordings.pop()
                tried = measured(rate, longer)
        return tried

    best, tried = highest_rate(attempt, 0.5 * capacity_per_s, resolution)
    won = recordings[tried.index(best)] if best else None
    return {
        "scenario": "server",
        "percentile": p,
        "bound_ms": bound_s * 1000,
        "rate_per_s": best.rate_per_s if best else None,
        "trials": [
            {**asdict(one), "passed": one.passed}
            for one in sorted(tried, key=lambda one: one.rate_per_s)
        ],
        **(_checks(won, trial, reference) if won else {}),
    }


def _tried(rate: float, recording: Recording, bound_s: float, p: float) -> Tried:
    total = recording.report["total"]
    due_s = np.sort(latency_s(_counted(recording.rows)))
    at_ms = float(due_s[max(0, int(np.ceil(len(due_s) * p)) - 1)]) * 1000
    return Tried(
        rate_per_s=rate,
        verdict=judge(due_s, bound_s, p),
        percentile_ms=at_ms if np.isfinite(at_ms) else None,
        throughput_per_s=total["throughput_per_s"],
        sent_late_p99_ms=total["sent_late_p99_ms"],
        cores_of_others=recording.cores_of_others,
    )


def offline_scenario(trial: Trial, server: Server, out: Path, callers: int) -> dict[str, Any]:
    """Return the throughput when there is always more to do: `callers` at a time."""
    reference, _ = _reference(trial, server)
    recording = run_quiet(
        trial.at(callers, trial.stage_s + trial.settle_s), server, out / "offline"
    )
    total = recording.report["total"]
    return {
        "scenario": "offline",
        "callers": callers,
        "throughput_per_s": total["throughput_per_s"],
        **_checks(recording, trial, reference),
    }


def single_stream_scenario(trial: Trial, server: Server, out: Path, p: float) -> dict[str, Any]:
    """Return the latency that is proved to hold the p-percentile for one caller."""
    reference, _ = _reference(trial, server)
    recording = run_quiet(
        trial.at(1, trial.stage_s + trial.settle_s), server, out / "single-stream"
    )
    rows = _counted(recording.rows)
    proved_s = proved_percentile(latency_s(rows), p)
    return {
        "scenario": "single-stream",
        "percentile": p,
        "requests": len(rows),
        "proved_ms": None if proved_s is None else proved_s * 1000,
        "latency_ms": recording.report["total"]["latency_ms"],
        **_checks(recording, trial, reference),
    }


def _reference(trial: Trial, server: Server) -> tuple[dict[int, str], float]:
    """What the idle server says to each item, and how many it answers a second by the way."""
    with connect(server.url(trial.protocol), trial.timeout_s) as client:
        corpus = read_corpus(trial.media)
        began = time.monotonic()
        answers = reference_answers(client, corpus, trial.pipeline)
        return answers, len(answers) / (time.monotonic() - began)


def _counted(rows: Rows) -> Rows:
    return rows[rows["stage"] >= 0]


def _checks(recording: Recording, trial: Trial, reference: dict[int, str]) -> dict[str, Any]:
    """The quality of the answers under load, and that no cache gave them."""
    found = accuracy(_counted(recording.rows), read_corpus(trial.media), reference)
    models = recording.report["server"]["models"].values()
    return {
        "accuracy": found,
        "accurate": all(_accurate(one) for one in found.values()),
        "cache_hits": sum(model["cache_hits"] for model in models),
    }


def _accurate(one: dict[str, Any]) -> bool:
    """Whether as many labels were met as by the idle server, and as many of its answers given."""
    wanted = QUALITY * (one["reference_label_accuracy"] or 0.0)
    return bool((one["label_accuracy"] or 0.0) >= wanted and one["agreement"] >= QUALITY)
