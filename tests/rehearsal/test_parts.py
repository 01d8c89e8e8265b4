"""The rehearsal's own parts: what stands in for a cluster must do what the cluster does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from emoserve_rehearsal import monitoring
from emoserve_rehearsal.deployment import Deployment
from emoserve_rehearsal.pods import GOING, GONE, READY, STARTING, Drain
from emoserve_rehearsal.throttle import Throttle
from emoserve_rehearsal.timing import FACTOR
from emoserve_server.scaling import Direction, Limit, Plan, Rules

UP, DOWN = Direction(0, (Limit("Pods", 4, 60),)), Direction(300, (Limit("Pods", 1, 60),))
PLAN = Plan({"speech": 2.5}, Rules(0.6, 2, 6, UP, DOWN), ())


def test_a_throttled_group_gets_its_share_and_is_let_go() -> None:
    code = "import time\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as busy:
        clock = (~busy.pid << 3) | 2  # clock_getcpuclockid(3)
        with Throttle(0.2) as throttle:
            throttle.add(busy.pid)
            time.sleep(0.3)
            began, used = time.monotonic(), time.clock_gettime(clock)
            time.sleep(2.0)
            share = (time.clock_gettime(clock) - used) / (time.monotonic() - began)
        state = Path(f"/proc/{busy.pid}/stat").read_text().rsplit(") ", 1)[1][0]
        busy.send_signal(signal.SIGKILL)
    assert share < 0.4
    assert state != "T", "still stopped"


def test_periods_pass_faster_and_names_stay() -> None:
    assert monitoring.duration("15s") == "1500ms"
    expression = "rate(a[1m]) / emoserve:failure_share:5m + max_over_time(b[5m])"
    assert monitoring.windows(expression) == (
        "rate(a[6000ms]) / emoserve:failure_share:5m + max_over_time(b[30000ms])"
    )
    assert monitoring.autoscaler_query() == 'sum(emoserve:load:sum{namespace="emoserve"})'
    assert Drain.of_manifest() == Drain(20 / FACTOR, 60 / FACTOR)


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs Debian's package prometheus")
def test_the_rules_of_a_plan_are_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": monitoring.rules(PLAN)}))
    ran = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "vector(2.5)" in file.read_text()


class Bare:
    """A pod as the controller sees it: a state that others change."""

    def __init__(self, name: str, number: int, repository: Path) -> None:
        self.name, self.host, self.repository = name, f"127.0.0.{number}", repository
        self.metrics_address, self.state = f"{self.host}:1", STARTING
        self.born_s, self.ready_s = time.monotonic(), 0.0

    def remove(self) -> None:
        self.state = GOING

    def join(self) -> None: ...

    def become_ready(self) -> None:
        self.state, self.ready_s = READY, time.monotonic() - 60


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    files = (tmp_path / "endpoints.json", tmp_path / "targets.json")
    return Deployment(3, Path("one"), Bare, *files)  # type: ignore[arg-type]


def step(deployment: Deployment) -> list[Bare]:
    deployment._reconcile()
    deployment._write()
    return deployment.pods  # type: ignore[return-value]


def test_a_rollout_takes_a_pod_only_after_its_successor_answers(deployment: Deployment) -> None:
    for pod in step(deployment):
        pod.become_ready()
    deployment.repository = Path("two")
    for _ in range(20):
        pods = step(deployment)
        assert len(deployment.ready) >= 3
        assert len([pod for pod in pods if pod.state in (STARTING, READY)]) <= 4
        for pod in pods:
            if pod.state == STARTING:
                pod.become_ready()
            elif pod.state == GOING:
                pod.state = GONE
    assert [pod.repository for pod in deployment.pods] == [Path("two")] * 3
    assert deployment.settled


def test_what_is_not_ready_goes_first_then_the_youngest(
    deployment: Deployment, tmp_path: Path
) -> None:
    first, second, third = step(deployment)
    first.become_ready()
    third.become_ready()
    deployment.replicas = 2
    step(deployment)
    assert [first.state, second.state, third.state] == [READY, GOING, READY]
    deployment.replicas = 1
    step(deployment)
    assert [first.state, third.state] == [READY, GOING]
    assert json.loads((tmp_path / "endpoints.json").read_text()) == [first.host]
    scraped = json.loads((tmp_path / "targets.json").read_text())
    assert [one["labels"]["pod"] for one in scraped] == [first.name, second.name, third.name]
