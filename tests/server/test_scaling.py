"""The autoscaler's targets and the size of /dev/shm, computed by hand beside the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emoserve_server.scaling import (
    Capacity,
    Pipeline,
    Point,
    Policy,
    plan,
    read_capacity,
    read_configs,
    shared_memory_bytes,
)
from emoserve_server.scaling.cli import main

MIB = 2**20
FACE = """
backend: "python"
max_batch_size: 8
input { name: "image" data_type: TYPE_STRING dims: 1 }
output { name: "boxes" data_type: TYPE_FP32 dims: -1 dims: 4 }
instance_group { count: 2 kind: KIND_CPU }
dynamic_batching { max_queue_delay_microseconds: 2000 }
"""
NET = """
backend: "onnxruntime"
max_batch_size: 64
input { name: "x" data_type: TYPE_FP32 dims: 1000 }
output { name: "y" data_type: TYPE_FP32 dims: 7 }
instance_group { count: 1 kind: KIND_CPU }
"""
TEXT = """
platform: "ensemble"
max_batch_size: 8
input { name: "text" data_type: TYPE_STRING dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 7 }
ensemble_scheduling {
  step { model_name: "face" model_version: -1 }
  step { model_name: "net" model_version: -1 }
}
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    for name, config in (("face", FACE), ("net", NET), ("text", TEXT)):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(config)
    return tmp_path


def capacity(name: str, *points: Point, startup_s: float = 45) -> Capacity:
    return Capacity("by hand", startup_s, (Pipeline(name, 0.2, points),))


def test_the_target_is_the_knee_by_littles_law(repository):
    runs = (
        Point(10, 0.05, 0.06),
        Point(20, 0.08, 0.15),
        Point(25, 0.10, 0.19, failures=3),  # failed: does not count
        Point(30, 0.40, 0.90),  # too slow
    )
    made = plan(read_configs(repository), capacity("face", *runs), Policy())
    assert made.in_flight == {"face": 1.204}  # 20/s x the mean at 0.67 of it, 60.2 ms
    assert made.rules.load == 0.67  # 1 / (1 + 0.25 a minute x 2 minutes)
    assert made.rules.down.window_s == 600  # 5 x (75 + 45)
    words = " ".join(made.reasons)
    assert "20 requests/s was the most that kept p95 (150 ms) within 200 ms" in words
    assert "batching delay of 2000 us holds 0.04 of them" in words


def test_an_ensemble_is_counted_by_its_steps(repository):
    made = plan(read_configs(repository), capacity("text", Point(10, 0.3, 0.2)), Policy())
    assert made.in_flight == {"face": 3.0, "net": 3.0}
    assert "text is an ensemble" in " ".join(made.reasons)


@pytest.mark.parametrize(
    ("growth", "startup_s", "load"), [(0.0, 45, 1.0), (1.0, 45, 0.33), (0.25, 525, 0.29)]
)
def test_faster_growth_and_slower_starts_need_more_headroom(repository, growth, startup_s, load):
    measured = capacity("face", Point(10, 0.1, 0.1), startup_s=startup_s)
    assert plan(read_configs(repository), measured, Policy(growth)).rules.load == load


def test_what_cannot_be_planned_says_why(repository):
    configs = read_configs(repository)
    with pytest.raises(ValueError, match=r"face: no run kept p95 within 0\.2 s"):
        plan(configs, capacity("face", Point(10, 0.3, 0.5)), Policy())
    with pytest.raises(ValueError, match="'video' was measured, but the repository has face, net"):
        plan(configs, capacity("video", Point(10, 0.1, 0.1)), Policy())


def test_shared_memory_holds_the_largest_request_of_every_python_instance(repository):
    configs = read_configs(repository)
    # Two instances of `face` of 1 + 64 MiB, a quarter more, in steps of 64: 162.5 -> 192 MiB.
    assert shared_memory_bytes(configs, 64 * MIB) == 192 * MIB
    # Media of one byte: a batch of 8 x 64 boxes x 4 x 4 bytes is more, and still under 64 MiB.
    assert shared_memory_bytes(configs, 1) == 64 * MIB


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a capacity file"),
        ('{"format": 2}', "format 2, accepted is 1"),
        ('{"format": 1, "measured": "x", "startup_s": 0, "pipelines": {}}', "must be positive"),
        ('{"format": 1, "measured": "x", "startup_s": 1}', "'pipelines' is missing"),
    ],
)
def test_a_file_that_is_no_capacity(tmp_path, content, message):
    (tmp_path / "capacity.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_capacity(tmp_path / "capacity.json")


def test_the_command_writes_once_and_checks(repository, tmp_path, capsys):
    measured = tmp_path / "capacity.json"
    point = {"rate_per_s": 20, "mean_s": 0.08, "p95_s": 0.15, "failures": 0}
    pipelines = {"face": {"slo_p95_s": 0.2, "points": [point]}}
    content = {"format": 1, "measured": "here", "startup_s": 45, "pipelines": pipelines}
    measured.write_text(json.dumps(content))
    out = tmp_path / "k8s"
    arguments = ["target", "--repository", str(repository), "--capacity", str(measured)]
    arguments += ["--manifests", str(out)]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("up to date")
    assert "averageValue: 670m" in (out / "base/scaling/autoscaler.yaml").read_text()
    assert 'threshold: "0.67"' in (out / "components/keda/scaled-object.yaml").read_text()
    assert "expr: vector(1.6)" in (out / "base/scaling/targets.yaml").read_text()
    assert main([*arguments, "--max-replicas", "5", "--check"]) == 1


def test_the_command_says_what_is_wrong(repository, tmp_path, capsys):
    assert main(["shm", "--repository", str(tmp_path / "nowhere")]) == 2
    assert "no model repository" in capsys.readouterr().err
    (repository / "net/config.pbtxt").write_text("max_batch_size: many")
    assert main(["shm", "--repository", str(repository)]) == 2
    assert "net/config.pbtxt" in capsys.readouterr().err
