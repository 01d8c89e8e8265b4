"""From measured points to replicas and cost, and to the file that the autoscaler's target reads."""

import json
from pathlib import Path

import pytest

from emoserve_loadtests.capacity import (
    Curve,
    Point,
    Prices,
    _point,
    need,
    read_curves,
    write_capacity,
)
from emoserve_loadtests.cli import main
from emoserve_server.scaling import read_capacity

FACE = Curve(
    "face",
    0.3,
    (
        Point(10, 0.020, 0.030, 0),
        Point(20, 0.025, 0.060, 0),
        Point(30, 0.060, 0.250, 0),
        Point(33, 0.300, 0.900, 0),
        Point(25, 0.020, 0.040, 2),
    ),
)
TEXT = Curve("text", 0.2, (Point(60, 0.01, 0.02, 0),))
PRICES = Prices(per_unit_hour=0.05, units=2, load=0.5, min_replicas=2)


def test_limit_and_knee() -> None:
    assert FACE.limit().rate_per_s == 30, "33/s broke the objective, 25/s had failures"
    assert FACE.knee().rate_per_s == 25  # the most answers per second of latency: 25 / 0.02
    with pytest.raises(ValueError, match=r"no rate kept p95 within 0\.01 s"):
        Curve("face", 0.01, FACE.points).limit()


def test_replicas_for_a_traffic() -> None:
    # a request takes 0.5 / 30 + 0.5 / 60 = 1/40 of a replica's second; kept half full: 20/s each
    found = need([FACE, TEXT], 86_400 * 100, 3, PRICES, {"face": 0.5, "text": 0.5})
    assert found.peak_per_s == 300
    assert found.peak_replicas == 15
    assert found.mean_replicas == pytest.approx(5)
    assert found.month_at_peak == pytest.approx(15 * 2 * 0.05 * 730)
    assert found.month_scaled == pytest.approx(5 * 2 * 0.05 * 730)


def test_little_traffic_still_has_the_fewest_replicas() -> None:
    found = need([FACE, TEXT], 100, 3, PRICES, {"face": 1.0})
    assert (found.peak_replicas, found.mean_replicas) == (2, 2)
    with pytest.raises(ValueError, match="not measured: video"):
        need([FACE], 100, 3, PRICES, {"video": 1.0})


def test_the_file_is_what_the_autoscalers_target_reads(tmp_path: Path) -> None:
    path = tmp_path / "capacity" / "cpu.json"
    write_capacity([FACE, TEXT], "here", 12.5, path)
    assert read_curves(path) == (FACE, TEXT)
    known = read_capacity(path)
    assert (known.measured, known.startup_s) == ("here", 12.5)
    assert known.pipelines[0].knee().rate_per_s == FACE.limit().rate_per_s
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a capacity file"):
        read_curves(path)


def test_a_stage_without_a_95th_percentile_is_no_point() -> None:
    total = {"latency_ms": {"p95": {"value": 50.0}}, "mean_ms": 20.0, "throughput_per_s": 9.876_54,
             "errors": {"Deadline": 1}}  # fmt: skip
    assert _point({"total": total}) == Point(9.877, 0.02, 0.05, 1)
    assert _point({"total": {**total, "latency_ms": {"p95": {"value": None}}}}) is None
    assert _point({"total": {**total, "latency_ms": {}}}) is None


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cpu.json"
    curves = [
        Curve(name, 1.0, (Point(10, 0.1, 0.2, 0),))
        for name in ("face", "speech", "text", "emotion", "video")
    ]
    write_capacity(curves, "here", 10, path)
    given = ["capacity", "--capacity", str(path), "--out", str(tmp_path), "--per-day", "1728000"]
    assert main([*given, "--load", "0.5", "--peak-factor", "2"]) == 0
    assert "1,728,000" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "capacity.json").read_text())
    assert (row["peak_per_s"], row["peak_replicas"], row["mean_replicas"]) == (40, 8, 4)
    assert main(["capacity", "--capacity", str(tmp_path / "none.json")]) == 2
