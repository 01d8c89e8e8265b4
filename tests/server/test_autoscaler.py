"""The autoscaler's algorithm, on the cases that Kubernetes' documentation gives or implies."""

from __future__ import annotations

import itertools

import pytest
import yaml

from emoserve_server.scaling import (
    Autoscaler,
    Direction,
    Limit,
    Rules,
    plan,
    read_capacity,
    read_configs,
)
from emoserve_server.scaling import _manifests as manifests

UP = Direction(0, (Limit("Percent", 100, 60), Limit("Pods", 4, 60)))
DOWN = Direction(600, (Limit("Percent", 20, 60), Limit("Pods", 1, 60)))
RULES = Rules(load=0.5, min_replicas=2, max_replicas=50, up=UP, down=DOWN)


@pytest.mark.parametrize(
    ("replicas", "load", "wanted"),
    [
        (4, 2.0, 4),
        (4, 2.19, 4),  # within a tenth of the target
        (4, 2.21, 5),  # ceil(2.21 / 0.5)
        (4, 1.85, 4),
        (4, 0.0, 4),  # fewer only after the window
        (4, 40.0, 8),  # twofold, or four more
        (10, 400.0, 20),
        (2, 40.0, 6),
        (40, 1000.0, 50),
    ],
)
def test_one_decision(replicas: int, load: float, wanted: int) -> None:
    scaler = Autoscaler(RULES)
    scaler.decide(0.0, replicas, replicas * 0.5)  # what it sees as it starts
    assert scaler.decide(15.0, replicas, load) == wanted


def test_without_a_metric_nothing_changes() -> None:
    scaler = Autoscaler(RULES)
    assert scaler.decide(0.0, 7, None) == 7
    assert scaler.decide(15.0, 60, None) == 60


def test_growth_is_counted_over_the_limits_period() -> None:
    scaler, replicas, seen = Autoscaler(RULES), 4, []
    for step in range(9):
        replicas = scaler.decide(15.0 * step, replicas, 1000.0)
        seen.append(replicas)
    assert seen == [8, 8, 8, 8, 16, 16, 16, 16, 32]


def test_pods_are_given_back_after_the_window_by_a_fifth_a_minute() -> None:
    scaler, replicas, seen = Autoscaler(RULES), 20, []
    scaler.decide(0.0, 20, 10.0)
    for step in range(1, 60):
        replicas = scaler.decide(15.0 * step, replicas, 1.0)
        seen.append((15 * step, replicas))
    first = next(at for at, pods in seen if pods < 20)
    assert first == 600
    fewer = [pods for (_, before), (_, pods) in itertools.pairwise(seen) if pods < before]
    # floor(0.8 n), at least one fewer, down to the least
    assert fewer[:4] == [16, 12, 9, 7]


def test_one_peak_within_the_window_keeps_the_pods() -> None:
    scaler = Autoscaler(RULES)
    assert scaler.decide(0.0, 10, 5.0) == 10
    assert all(scaler.decide(float(at), 10, 0.5) == 10 for at in range(15, 600, 15))
    assert scaler.decide(600.0, 10, 0.5) == 8


def test_bounds_hold_also_against_what_was_there() -> None:
    assert Autoscaler(RULES).decide(0.0, 60, 30.0) == 50
    assert Autoscaler(RULES).decide(0.0, 1, 0.5) == 2


def test_a_faster_world_decides_the_same_earlier() -> None:
    slow, fast = Autoscaler(RULES), Autoscaler(RULES.faster(10))
    loads = [5.0, 20.0, 20.0, 40.0, *[1.0] * 60]
    one = two = 10
    for step, load in enumerate(loads):
        one = slow.decide(15.0 * step, one, load)
        two = fast.decide(1.5 * step, two, load)
        assert one == two


def test_the_manifest_says_what_the_algorithm_is_given(repository, tmp_path) -> None:
    file = tmp_path / "capacity.json"
    file.write_text(
        '{"format": 1, "measured": "x", "startup_s": 45, "pipelines": {"text": {"slo_p95_s": 1,'
        '"points": [{"rate_per_s": 100, "mean_s": 0.02, "p95_s": 0.04}]}}}'
    )
    made = plan(read_configs(repository), read_capacity(file))
    spec = yaml.safe_load(manifests.autoscaler(made))["spec"]
    target = spec["metrics"][0]["external"]["target"]["averageValue"]
    assert target == f"{made.rules.load * 1000:.0f}m"
    for name, direction in (("scaleUp", made.rules.up), ("scaleDown", made.rules.down)):
        said = spec["behavior"][name]
        assert said["stabilizationWindowSeconds"] == direction.window_s
        assert said["selectPolicy"] == "Max"
        assert [(one["type"], one["value"], one["periodSeconds"]) for one in said["policies"]] == [
            (limit.type, limit.value, limit.period_s) for limit in direction.limits
        ]
