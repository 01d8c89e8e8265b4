"""The simulation against what is known of queues, and against itself at full size."""

from __future__ import annotations

import heapq
import json
from dataclasses import replace

import numpy as np
import pytest

from emoserve_server.scaling import Direction, Limit, Pipeline, Point, Rules, cli
from emoserve_server.scaling._target import full
from emoserve_server.scaling.simulation import (
    Scenario,
    Service,
    Timing,
    day,
    fitted,
    outcome,
    ramp,
    simulate,
    spike,
)

UP = Direction(0, (Limit("Percent", 100, 60), Limit("Pods", 4, 60)))
DOWN = Direction(600, (Limit("Percent", 20, 60), Limit("Pods", 1, 60)))
RULES = Rules(load=0.6, min_replicas=2, max_replicas=400, up=UP, down=DOWN)
SERVICE = Service(limit_per_s=20.0, slack_s=0.05, mean_s=0.1, sigma=0.5)  # two slots
NEED_PER_S = 14.0


def scenario(demand, rules: Rules = RULES, startup_s: float = 30.0) -> Scenario:
    kept = SERVICE.answered(rules.load * NEED_PER_S, np.random.default_rng(0))
    in_flight = NEED_PER_S * float(kept.mean())
    return Scenario(demand, SERVICE, rules, Timing(startup_s), in_flight, NEED_PER_S)


def test_one_slot_waits_as_pollaczek_and_khinchine_say() -> None:
    service = Service(limit_per_s=10.0, slack_s=0.0, mean_s=0.1, sigma=0.5)
    took = service.answered(7.0, np.random.default_rng(3))
    variation = np.exp(service.sigma**2) - 1  # squared, of a log-normal distribution
    wait_s = 0.7 / (1 - 0.7) * (1 + variation) / 2 * 0.1
    assert took.mean() == pytest.approx(0.1 + wait_s, rel=0.1)


@pytest.mark.parametrize("rate_per_s", [4.0, 10.0, 14.0, 17.0])
def test_slack_stands_for_slots(rate_per_s: float) -> None:
    """Two slots, request by request, beside the work of one request that does not wait."""
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, 20_000))
    times = 0.1 * SERVICE.sizes(rng, 20_000)
    free, exact = [0.0, 0.0], []
    for arrival, time_s in zip(arrivals.tolist(), times.tolist(), strict=True):
        end = max(arrival, free[0]) + time_s
        heapq.heapreplace(free, end)
        exact.append(end - arrival)
    found = SERVICE.answered(rate_per_s, np.random.default_rng(6))
    assert found.mean() == pytest.approx(np.mean(exact), rel=0.12)
    assert np.quantile(found, 0.95) == pytest.approx(np.quantile(exact, 0.95), rel=0.12)


def test_a_pod_is_found_again_from_its_measurements() -> None:
    truth = Service(limit_per_s=60.0, slack_s=0.033, mean_s=0.05, sigma=0.4)
    points = []
    for rate in (2.0, 20.0, 40.0, 52.0):
        took = truth.answered(rate, np.random.default_rng(7))
        points.append(Point(rate, float(took.mean()), float(np.quantile(took, 0.95))))
    found = fitted(Pipeline("text", 0.5, (*points, Point(90.0, 4.0, 9.0))))
    assert found.limit_per_s == pytest.approx(truth.limit_per_s, rel=0.1)
    assert found.mean_s == pytest.approx(truth.mean_s, rel=0.05)
    assert found.sigma == pytest.approx(truth.sigma, rel=0.1)


def test_demands() -> None:
    course = day(100.0)
    rates = [course.rate(at) for at in range(0, 86_400, 60)]
    assert np.mean(rates) == pytest.approx(100.0)
    assert (min(rates), max(rates)) == pytest.approx((20.0, 180.0), rel=1e-3)
    assert np.argmin(rates) == 4 * 60
    course = spike(10.0)
    assert [course.rate(at) for at in (0, 900, 930, 960, 1800, 3000)] == [10, 10, 20, 30, 30, 10]


def test_every_request_is_counted_and_the_same_seed_gives_the_same() -> None:
    asked = scenario(ramp("steady", [(0, 50.0), (600, 50.0)]))
    one, two, other = simulate(asked, 1), simulate(asked, 1), simulate(asked, 2)
    assert len(one.took) == pytest.approx(50 * 600, rel=0.03)
    assert np.array_equal(one.took, two.took)
    assert not np.array_equal(one.took, other.took)
    # Little's law: what the metric counts is rate x time.
    held = one.load[300:].mean() * asked.in_flight
    assert held == pytest.approx(50 * one.took.mean(), rel=0.1)


def test_a_sample_of_the_pods_says_what_all_of_them_do() -> None:
    asked = scenario(spike(300.0))
    full = outcome(simulate(asked, sample=10_000), 0.5, 0.2)
    part = outcome(simulate(asked, sample=8), 0.5, 0.2)
    assert full.most > 60
    for name in ("requests", "most", "mean", "pod_hours", "p50_s", "cost"):
        assert getattr(part, name) == pytest.approx(getattr(full, name), rel=0.1), name
    assert part.p99_s == pytest.approx(full.p99_s, rel=0.3)  # few pods' worst moments


def test_pods_that_start_late_make_answers_late_and_headroom_pays_for_it() -> None:
    quick = outcome(simulate(scenario(spike(300.0), startup_s=10.0)), 0.5, 0.2)
    slow = outcome(simulate(scenario(spike(300.0), startup_s=240.0)), 0.5, 0.2)
    assert slow.late > 5 * quick.late
    assert slow.under > quick.under
    rules = replace(RULES, load=0.3)
    roomy = outcome(simulate(scenario(spike(300.0), rules, 240.0)), 0.5, 0.2)
    assert roomy.late < slow.late / 5


def test_pods_that_a_steady_rate_needs_are_not_given_up() -> None:
    """A pod of the rehearsal: its mean time trebles between half of its rate and all of it."""
    runs = ((6.0, 0.0142, 0.0218), (18.56, 0.0163, 0.0481), (26.67, 0.0402, 0.167))
    measured = Pipeline("text", 0.25, tuple(Point(*run) for run in runs))
    demand = ramp("up", [(0, 20.0), (300, 20.0), (700, 80.0), (3600, 80.0)])
    knee = measured.knee()
    wanted = {}
    for name, in_flight in (
        ("waiting counted twice", knee.rate_per_s * knee.mean_s),
        ("as planned", full(measured, RULES.load)),
    ):
        asked = Scenario(demand, fitted(measured), RULES, Timing(30.0), in_flight, knee.rate_per_s)
        wanted[name] = simulate(asked).replicas[1500:].min()
    needed = np.ceil(80 / knee.rate_per_s / RULES.load)
    assert wanted["as planned"] >= needed
    assert wanted["waiting counted twice"] < needed


def test_a_full_queue_refuses() -> None:
    rules = replace(RULES, min_replicas=2, max_replicas=2)
    found = outcome(simulate(scenario(ramp("flood", [(0, 100.0), (300, 100.0)]), rules)), 0.5, 0.2)
    assert found.refused == pytest.approx(1 - 40 / 100 - 2 * 256 / 30_000, abs=0.02)


def test_the_command(repository, tmp_path, capsys) -> None:
    points = [
        {"rate_per_s": 1, "mean_s": 0.1, "p95_s": 0.2},
        {"rate_per_s": 14, "mean_s": 0.16, "p95_s": 0.35},
    ]
    content = {
        "format": 1,
        "measured": "here",
        "startup_s": 20,
        "pipelines": {"text": {"slo_p95_s": 0.4, "points": points}},
    }
    file = tmp_path / "capacity.json"
    file.write_text(json.dumps(content))
    arguments = ["plan", "--repository", str(repository), "--capacity", str(file)]
    arguments += ["--output", str(tmp_path / "out"), "--rates", "5"]
    assert cli.main([*arguments, "--pipeline", "text"]) == 0
    said = capsys.readouterr().out
    assert "| day | 5 | 2 to 2 | 48 |" in said
    found = json.loads((tmp_path / "out" / "forecast.json").read_text())
    assert [(one["demand"], one["rate_per_s"]) for one in found["cases"]] == [
        ("day", 5),
        ("spike", 5),
    ]
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "scaling_day.png", "scaling_spike.png", "scaling_choices.png"
    }  # fmt: skip
    assert cli.main([*arguments, "--pipeline", "video"]) == 2
    assert "'video' was not measured; --pipeline can be: text" in capsys.readouterr().err
