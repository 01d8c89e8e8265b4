"""The server's own figures while a run lasts: Triton's metrics and statistics, processes, GPU.

A thread samples once a second. What cannot be had (a remote server's processes, a GPU that is not
there, an address that does not answer) is left out, and the report says so.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import psutil
from prometheus_client.parser import text_string_to_metric_families

from emoserve_loadtests.session import now_s

PERIOD_S = 1.0
_PATIENCE_S = 2.0
# Triton's names (docs/user_guide/metrics.md of triton-inference-server/server) to ours.
_COUNTERS = {
    "nv_inference_request_success_total": "answered",
    "nv_inference_request_failure_total": "failed",
    "nv_inference_count_total": "inferences",
    "nv_inference_exec_count_total": "executions",
    "nv_inference_queue_duration_us_total": "queue_us",
    "nv_inference_compute_infer_duration_us_total": "compute_us",
    "nv_inference_request_duration_us_total": "request_us",
    "nv_cache_num_hits_per_model_total": "cache_hits",
}
_GAUGES = {"nv_inference_pending_request_count": "pending"}
_GPU = {
    "nv_gpu_utilization": "gpu_utilisation",
    "nv_gpu_memory_used_bytes": "gpu_memory_bytes",
    "nv_gpu_power_usage": "gpu_power_w",
}
_NOT_THERE = (OSError, urllib.error.URLError, ValueError)


class Telemetry:
    """Samples a server from `start` to `stop`."""

    def __init__(self, metrics_url: str, stats_url: str) -> None:
        self._metrics_url, self._stats_url = metrics_url, stats_url
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._samples: list[dict[str, Any]] = []
        self._problems: dict[str, str] = {}
        self._batches_before: dict[str, dict[int, int]] = {}
        self._server = _Processes(_listener(metrics_url))
        self._generator = _Processes(psutil.Process())

    def start(self) -> None:
        self._batches_before = self._batches()
        self._sample()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Return the samples, batch sizes by model, and what could not be had."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._sample()
        before, after = self._batches_before, self._batches()
        return {
            "samples": self._samples,
            "batches": {
                name: more
                for name, sizes in after.items()
                if (more := _more(sizes, before.get(name, {})))
            },
            "missing": self._problems,
        }

    def _watch(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        sample: dict[str, Any] = {"at_s": now_s(), "models": {}, "gpus": {}}
        if text := self._get(self._metrics_url, "metrics"):
            _read_metrics(text, sample)
        sample["server"] = self._server.read()
        sample["generator"] = self._generator.read()
        sample["machine"] = _machine()
        self._samples.append(sample)

    def _batches(self) -> dict[str, dict[int, int]]:
        """How often each model has executed each batch size, from the statistics extension."""
        text = self._get(f"{self._stats_url}/v2/models/stats", "statistics")
        models = json.loads(text)["model_stats"] if text else []
        return {
            one["name"]: {
                batch["batch_size"]: batch["compute_infer"]["count"]
                for batch in one.get("batch_stats", ())
            }
            for one in models
        }

    def _get(self, url: str, what: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
                return str(answer.read().decode())
        except _NOT_THERE as error:
            self._problems[what] = f"{url}: {error}"
            return ""


def _read_metrics(text: str, sample: dict[str, Any]) -> None:
    """Add what Triton exports to a sample; counters of a model's versions add up."""
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            full = name if name.endswith("_total") else f"{name}_total"
            key = _COUNTERS.get(full) or _GAUGES.get(name)
            if key is not None:
                model = sample["models"].setdefault(labels["model"], {})
                model[key] = model.get(key, 0.0) + value
            elif name in _GPU:
                sample["gpus"].setdefault(labels.get("gpu_uuid", "gpu"), {})[_GPU[name]] = value


def _more(after: dict[int, int], before: dict[int, int]) -> dict[int, int]:
    grown = {size: count - before.get(size, 0) for size, count in after.items()}
    return {size: count for size, count in sorted(grown.items()) if count > 0}


class _Processes:
    """A process with all its children: CPU seconds and private memory."""

    def __init__(self, root: psutil.Process | None) -> None:
        self._root = root

    def read(self) -> dict[str, float] | None:
        """CPU seconds so far, and bytes that no other process shares; None if it is gone."""
        if self._root is None:
            return None
        cpu_s, memory_bytes = 0.0, 0
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return None
        for process in family:
            try:
                times, memory = process.cpu_times(), process.memory_info()
            except psutil.NoSuchProcess:
                continue
            cpu_s += times.user + times.system
            memory_bytes += memory.rss - getattr(memory, "shared", 0)
        return {"cpu_s": cpu_s, "memory_bytes": float(memory_bytes)}


def _machine() -> dict[str, float]:
    """CPU seconds that this machine's cores were busy so far, and those that its host took away."""
    times = psutil.cpu_times()._asdict()
    busy = ("user", "nice", "system", "irq", "softirq")
    return {"cpu_s": sum(times.get(one, 0.0) for one in busy), "stolen_s": times.get("steal", 0.0)}


def _listener(url: str) -> psutil.Process | None:
    """The process of this machine that listens at a loopback address, if there is one."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    try:
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == parts.port and one.pid:
                return psutil.Process(one.pid)
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None
    return None
