"""The run's own metrics for Prometheus, so that a long run can be watched beside the server's."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from emoserve_loadtests.rows import Rows

_BUCKETS_S = tuple(round(0.001 * 10 ** (step / 5), 6) for step in range(24))  # 1 ms to 40 s


class Exposition:
    """Counts what has ended; `rows` come from all workers."""

    def __init__(self, port: int) -> None:
        self.registry = CollectorRegistry()
        names = ("pipeline", "modality")
        self._requests = Counter(
            "emoserve_load_requests", "Requests that have ended; error is empty for an answer",
            (*names, "error"), registry=self.registry,
        )  # fmt: skip
        self._latency = Histogram(
            "emoserve_load_latency_seconds", "From when a request was due until its answer", names,
            buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._late = Histogram(
            "emoserve_load_sent_late_seconds", "From when a request was due until it was sent",
            buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._reported = Gauge(
            "emoserve_load_reported_timestamp_seconds", "When rows came last",
            registry=self.registry,
        )  # fmt: skip
        if port:
            start_http_server(port, registry=self.registry)

    def add(self, rows: Rows) -> None:
        for row in rows:
            pipeline, modality = row["pipeline"].decode(), row["modality"].decode()
            self._requests.labels(pipeline, modality, row["error"].decode()).inc()
            self._late.observe(max(0.0, row["sent_s"] - row["scheduled_s"]))
            if not row["error"]:
                seconds: Any = row["ended_s"] - row["scheduled_s"]
                self._latency.labels(pipeline, modality).observe(seconds)
        self._reported.set(time.time())
