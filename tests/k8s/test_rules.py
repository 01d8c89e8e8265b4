"""The Prometheus rules: valid, and each alert fires when it should and only then (promtool)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool (Debian: apt-get install prometheus)"
)
MINUTE = 4  # samples at the scrape interval of 15 s


@pytest.fixture
def rule_files(objects, tmp_path) -> list[Path]:
    """The rules as Prometheus reads them, without Kubernetes around them."""
    files = []
    for rule in objects("cpu").of("PrometheusRule"):
        path = tmp_path / f"{rule['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(rule["spec"]))
        files.append(path)
    return files


@needs_promtool
def test_rules_are_valid(rule_files):
    ran = subprocess.run(
        ["promtool", "check", "rules", *rule_files], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("SUCCESS") == 3


def pod(name: str) -> str:
    return f'namespace="emoserve", pod="{name}"'


def triton(name: str, *, answers: str, waiting: str, busy_us: str = "0x80") -> list[dict]:
    """Series of one pod's `face`, with what Triton would expose."""
    labels = f'{pod(name)}, model="face", version="1"'
    series = {
        f"nv_inference_request_success{{{labels}}}": answers,
        f"nv_inference_pending_request_count{{{labels}}}": waiting,
        f"nv_inference_compute_input_duration_us{{{labels}}}": "0x80",
        f"nv_inference_compute_infer_duration_us{{{labels}}}": busy_us,
        f"nv_inference_compute_output_duration_us{{{labels}}}": "0x80",
        f"nv_inference_request_duration_us{{{labels}}}": busy_us,
        f'up{{{pod(name)}, job="emoserve/emoserve"}}': "1x80",
    }
    return [{"series": key, "values": values} for key, values in series.items()]


def counter(series: str, values: str) -> dict:
    return {"series": series, "values": values}


HPA = 'namespace="emoserve", horizontalpodautoscaler="emoserve"'
HEALTHY = triton("a", answers="0+150x80", waiting="0x80", busy_us="0+15000000x80")
SCENES = {
    # 10 answers/s that take 100 ms each: one request in flight, of 1.8 that fill a pod.
    "healthy": (HEALTHY, set()),
    "idle": (triton("a", answers="0x80", waiting="0x80"), set()),
    "no metrics at all": ([counter("other", "1x80")], {"EmoserveMetricsMissing"}),
    "stuck": (
        triton("a", answers="0x80", waiting="3x80"),
        {"EmoservePodStuck", "EmoserveOverloaded"},
    ),
    "busy, not stuck": (triton("a", answers="0+1x80", waiting="1x80"), set()),
    "overloaded": (
        triton("a", answers="0+150x80", waiting="9x80", busy_us="0+15000000x80"),
        {"EmoserveOverloaded"},
    ),
    "a pod does not answer": (
        [*HEALTHY, counter(f'up{{{pod("b")}, job="emoserve/emoserve"}}', "0x80")],
        {"EmoservePodDown"},
    ),
    "one in ten fails": (
        [
            *HEALTHY,
            counter(
                f'nv_inference_request_failure{{{pod("a")}, model="face", reason="BACKEND"}}',
                "0+16x80",
            ),
        ],
        {"EmoserveFailing"},
    ),
    "one in ten meets a fault of a step": (
        [*HEALTHY, counter(f'emoserve_failed_total{{{pod("a")}, model="face"}}', "0+16x80")],
        {"EmoserveFailing"},
    ),
    "callers send broken pictures to a later Triton": (
        [
            *HEALTHY,
            counter(f'emoserve_failed_total{{{pod("a")}, model="face"}}', "0x80"),
            counter(
                f'nv_inference_request_failure{{{pod("a")}, model="face", reason="BACKEND"}}',
                "0+16x80",
            ),
        ],
        set(),
    ),
    "callers leave": (
        [
            *HEALTHY,
            counter(
                f'nv_inference_request_failure{{{pod("a")}, model="face", reason="CANCELED"}}',
                "0+50x80",
            ),
        ],
        set(),
    ),
    "a queue is full now and then": (
        [
            *HEALTHY,
            counter(
                f'nv_inference_request_failure{{{pod("a")}, model="face", reason="REJECTED"}}',
                "0+1x80",
            ),
        ],
        {"EmoserveRejecting"},
    ),
    "at the maximum": (
        [
            *HEALTHY,
            counter(f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}", "20x80"),
            counter(f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}", "20x80"),
        ],
        {"EmoserveAtMaximum"},
    ),
    "restarts again and again": (
        [
            *HEALTHY,
            counter(
                f'kube_pod_container_status_restarts_total{{{pod("a")}, container="triton"}}',
                "0x20 1x20 3x40",
            ),
        ],
        {"EmoserveRestarting"},
    ),
    "almost out of memory": (
        [
            *HEALTHY,
            counter(
                f'container_memory_working_set_bytes{{{pod("a")}, container="triton"}}', "95x80"
            ),
            counter(
                f'kube_pod_container_resource_limits{{{pod("a")}, container="triton", '
                'resource="memory"}',
                "100x80",
            ),
        ],
        {"EmoserveMemory"},
    ),
    "a rollout hangs": (
        [
            *HEALTHY,
            counter(
                'kube_deployment_status_condition{namespace="emoserve", deployment="emoserve", '
                'condition="Progressing", status="false"}',
                "1x80",
            ),
        ],
        {"EmoserveRolloutStalled"},
    ),
}


@needs_promtool
@pytest.mark.parametrize("scene", SCENES)
def test_alerts_fire_when_they_should_and_only_then(rule_files, tmp_path, scene):
    series, expected = SCENES[scene]
    names = [alert["alert"] for alert in _alerts(rule_files)]
    assert expected <= set(names)
    queries = [
        {
            "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)',
            "eval_time": "20m",
            "exp_samples": [{"labels": "{}", "value": 1 if name in expected else 0}],
        }
        for name in names
    ]
    tests = {"interval": "15s", "input_series": series, "promql_expr_test": queries}
    path = tmp_path / "scene.test.yaml"
    content = {
        "rule_files": [str(file) for file in rule_files],
        "evaluation_interval": "15s",
        "tests": [tests],
    }
    path.write_text(yaml.safe_dump(content))
    ran = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_its_scene_and_its_page(rule_files, root):
    alerts = _alerts(rule_files)
    shown = set().union(*(expected for _, expected in SCENES.values()))
    assert {alert["alert"] for alert in alerts} == shown
    page = (root / "docs/operations.md").read_text()
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        anchor = alert["annotations"]["runbook_url"].partition("#")[2]
        assert anchor == alert["alert"].lower()
        assert f"### {alert['alert']}\n" in page


def test_the_dashboard_asks_for_what_is_recorded_or_exposed(objects, rule_files):
    dashboard = json.loads(
        objects("cpu").one("ConfigMap", "emoserve-dashboard")["data"]["emoserve.json"]
    )
    recorded = {
        rule["record"]
        for file in rule_files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 10
    for expression in expressions:
        words = expression.replace("{", " ").replace("(", " ").split()
        ours = {word for word in words if word.startswith("emoserve:")}
        assert ours <= recorded, expression


def _alerts(rule_files: list[Path]) -> list[dict]:
    return [
        rule
        for file in rule_files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
