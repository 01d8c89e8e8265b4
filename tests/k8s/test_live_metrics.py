"""Every expression on live series: a real Prometheus scrapes a real Triton, idle, busy and stuck.

The windows of the rules are shortened (one minute to 15 s), and the scrape interval with them.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton_http
import yaml

from emoserve_server import EmbeddedTriton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="needs Debian's package prometheus"),
]

# The idle server that NVIDIA's formula takes for a busy one: a batching delay of a millisecond.
CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ kind: KIND_CPU }]
dynamic_batching { max_queue_delay_microseconds: 1000 }
"""
SLEEPER = """
import pathlib
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.blocked = pathlib.Path(args["model_repository"]) / "blocked"

    def execute(self, requests):
        time.sleep(0.04)
        while self.blocked.exists():
            time.sleep(0.1)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", request.inputs()[0].as_numpy())])
            for request in requests
        ]
"""
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
ensemble_scheduling { step [{
  model_name: "face" model_version: -1
  input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }
}] }
"""
# deploy/k8s-onprem of Triton's repository; scales up above 50.
NVIDIA = """
avg by (pod) (
    delta(nv_inference_queue_duration_us[15s]) / (1 + delta(nv_inference_request_success[15s]))
)
"""
NVIDIA_TARGET = 50


@pytest.fixture(scope="module")
def triton(tmp_path_factory) -> Iterator[EmbeddedTriton]:
    repository = tmp_path_factory.mktemp("models")
    for name, config in (("face", CONFIG), ("wrapped", ENSEMBLE)):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(config)
    (repository / "face/1/model.py").write_text(SLEEPER)
    with EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        yield server


class Prometheus:
    """A running Prometheus with the rules of k8s/."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query?"

    def ask(self, expression: str) -> list[dict]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(self._url + query, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def value(self, expression: str) -> float:
        (sample,) = self.ask(expression)
        return float(sample["value"][1])


@pytest.fixture(scope="module")
def rules() -> list[dict]:
    text = (Path(__file__).parents[2] / "k8s/rendered/cpu.yaml").read_text()
    text = (
        text.replace("[1m]", "[15s]")
        .replace("[5m]", "[15s]")
        .replace("interval: 15s", "interval: 1s")
    )
    text = text.replace("interval: 30s", "interval: 1s")
    return [item["spec"] for item in yaml.safe_load_all(text) if item["kind"] == "PrometheusRule"]


@pytest.fixture(scope="module")
def prometheus(triton, rules, tmp_path_factory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    for number, spec in enumerate(rules):
        (folder / f"{number}.rules.yaml").write_text(yaml.safe_dump(spec))
    host = triton.metrics_url.removeprefix("http://").removesuffix("/metrics")
    target = {"targets": [host], "labels": {"namespace": "emoserve", "pod": "a"}}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/*.rules.yaml"],
        "scrape_configs": [{"job_name": "emoserve/emoserve", "static_configs": [target]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        running = Prometheus(port)
        try:
            wait_for(lambda: running.ask("emoserve:load:sum"), 60)
            yield running
        finally:
            process.terminate()


def wait_for(condition: Callable[[], object], within_s: float) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {within_s} s")


class Callers:
    """Threads that ask one after the other, with a pause between."""

    def __init__(self, triton: EmbeddedTriton, count: int, pause_s: float, model: str) -> None:
        self._triton, self._pause_s, self._model = triton, pause_s, model
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self) -> None:
        wire = triton_http.InferInput("x", [1, 2], "FP32")
        wire.set_data_from_numpy(np.zeros((1, 2), np.float32))
        host = self._triton.http_url.removeprefix("http://")
        with triton_http.InferenceServerClient(host, network_timeout=60) as client:
            while not self._ended.wait(self._pause_s):
                client.infer(self._model, [wire])

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def replicas(load: float, objects) -> int:
    """Return what the autoscaler asks for: an external metric with an average value."""
    spec = objects("cpu").one("HorizontalPodAutoscaler")["spec"]
    wanted = spec["metrics"][0]["external"]["target"]["averageValue"]
    return max(1, math.ceil(load / (int(wanted.removesuffix("m")) / 1000)))


def test_an_idle_server_asks_for_one_replica(triton, prometheus, objects, capsys):
    with Callers(triton, 1, pause_s=0.45, model="wrapped"):  # two requests a second
        time.sleep(20)
        load = prometheus.value("emoserve:load:sum")
        theirs = prometheus.value(NVIDIA)
    with capsys.disabled():
        print(f"\nidle, 2 requests/s: our load {load:.3f} (1 is full), NVIDIA's formula "
              f"{theirs:.0f} us (target {NVIDIA_TARGET})", end=" ")  # fmt: skip
    assert 0 < load < 0.2
    assert replicas(load, objects) == 1
    assert theirs > NVIDIA_TARGET, "NVIDIA's formula would have been right"


def test_an_overloaded_server_asks_for_more(triton, prometheus, objects, capsys):
    with Callers(triton, 24, pause_s=0, model="wrapped"):
        time.sleep(20)
        load = prometheus.value("emoserve:load:sum")
        theirs = prometheus.value(NVIDIA)
        in_flight = prometheus.value('emoserve:in_flight{model="face"}')
    with capsys.disabled():
        print(f"\nbusy, 24 callers: our load {load:.1f}, NVIDIA's formula {theirs:.0f} us", end=" ")
    # Little's law, checked: 24 callers that never pause are 24 requests in flight. The ensemble's
    # own series would make it 48.
    assert in_flight == pytest.approx(24, rel=0.25)
    target = prometheus.value('emoserve:in_flight_target{model="face"}')
    assert load == pytest.approx(in_flight / target, rel=0.1)
    assert replicas(load, objects) > 10


def test_every_recording_rule_gives_series_and_no_alert_expression_fails(prometheus, rules):
    for spec in rules:
        for group in spec["groups"]:
            for rule in group["rules"]:
                answer = prometheus.ask(rule["expr"])
                if "record" in rule and "failure" not in rule["record"]:
                    assert answer, rule["record"]
                if "record" in rule:
                    continue
                if rule["alert"] in ("EmoserveMetricsMissing", "EmoservePodDown"):
                    assert answer == []


def test_the_dashboard_shows_live_series(prometheus, objects):
    board = json.loads(
        objects("cpu").one("ConfigMap", "emoserve-dashboard")["data"]["emoserve.json"]
    )
    outside = ("kube_", "container_", "_histogram_ms_bucket")  # other exporters; Triton 2.65
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$namespace", "emoserve").replace("[5m]", "[15s]")
            answer = prometheus.ask(expression)
            if not any(word in expression for word in outside):
                assert answer, panel["title"]


def test_a_stuck_server_cannot_hide(triton, prometheus, objects):
    """Its counters stand still, and it looks idle to every rate; the gauge tells."""
    blocked = triton.model_repository / "face" / "blocked"
    blocked.touch()
    try:
        with Callers(triton, 12, pause_s=0.1, model="face"):
            wait_for(lambda: prometheus.value("emoserve:stuck") == 1, 60)
            time.sleep(2)
            executing = prometheus.value("sum(emoserve:executing)")
            load = prometheus.value("emoserve:load:sum")
            blocked.unlink()
    finally:
        blocked.unlink(missing_ok=True)
    assert executing == 0
    assert load > 1
    assert replicas(load, objects) > 1
