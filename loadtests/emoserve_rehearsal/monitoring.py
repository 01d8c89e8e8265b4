"""A real Prometheus with the manifests' rules; it can be stopped and started again."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from emoserve_rehearsal.timing import FACTOR, ROOT, manifest, manifests
from emoserve_server.scaling import Plan, targets_rule

_START_S = 30.0
_ASK_S = 1.0
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def duration(text: str) -> str:
    """Return a duration such as `5m` divided by FACTOR."""
    return f"{int(text[:-1]) * _UNITS_S[text[-1]] * 1000 / FACTOR:.0f}ms"


def windows(expression: str) -> str:
    """Return PromQL with the window of every range divided by FACTOR."""
    return re.sub(r"\[(\d+[smh])\]", lambda match: f"[{duration(match[1])}]", expression)


def rules(plan: Plan) -> list[dict[str, object]]:
    """Return the rule groups of the manifests, with the targets of this plan."""
    (targets,) = yaml.safe_load_all(targets_rule(plan))
    specs = [targets["spec"]] + [
        item["spec"]
        for item in manifests()
        if item["kind"] == "PrometheusRule" and item["metadata"]["name"] != "emoserve-targets"
    ]
    groups = [group for spec in specs for group in spec["groups"]]
    for group in groups:
        if "interval" in group:
            group["interval"] = duration(group["interval"])
        for rule in group["rules"]:
            rule["expr"] = windows(rule["expr"])
            if "for" in rule:
                rule["for"] = duration(rule["for"])
    return groups


def autoscaler_query() -> str:
    """Return what prometheus-adapter asks for the HorizontalPodAutoscaler's metric."""
    values = yaml.safe_load((ROOT / "k8s/prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["external"]
    query: str = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"])
    return query.replace("<<.LabelMatchers>>", 'namespace="emoserve"')


class Prometheus:
    """Scrapes what `targets` names, while it runs."""

    def __init__(self, folder: Path, targets: Path, plan: Plan, port: int) -> None:
        if not shutil.which("prometheus"):
            raise FileNotFoundError("the rehearsal needs prometheus: apt-get install prometheus")
        self._url, self._folder = f"http://127.0.0.1:{port}", folder
        folder.mkdir(parents=True, exist_ok=True)
        (endpoint,) = manifest("PodMonitor")["podMetricsEndpoints"]
        interval = duration(endpoint["interval"])
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": rules(plan)}))
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "rule_files": [f"{folder}/rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "emoserve/emoserve",
                    "metrics_path": endpoint["path"],
                    "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            # A value is forgotten after five minutes, of a cluster's time.
            f"--query.lookback-delta={duration('5m')}",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        until = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Prometheus did not start: see {self._folder / 'log'}")
            time.sleep(0.1)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def value(self, expression: str) -> float | None:
        """Return the value of a single series, None without an answer or without a series."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=_ASK_S) as got:
                found = json.load(got)["data"]["result"]
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None
        return float(found[0]["value"][1]) if found else None

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError),
            urllib.request.urlopen(f"{self._url}/-/ready", timeout=_ASK_S),
        ):
            return True
        return False

    def __enter__(self) -> Prometheus:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
