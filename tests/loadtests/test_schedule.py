"""Levels over time, and Poisson arrivals that follow them."""

import numpy as np
import pytest

from emoserve_loadtests.schedule import Schedule, Stage, arrivals, make_schedule


@pytest.mark.parametrize(
    ("shape", "levels", "stages"),
    [
        ("steps", [10, 20], [(10, 10), (20, 20)]),
        ("ramp", [10, 40], [(10, 40)]),
        ("ramp", [40], [(0, 40)]),
        ("spike", [5, 50], [(5, 5), (50, 50), (5, 5)]),
        ("soak", [1, 30], [(30, 30)]),
    ],
)
def test_shapes_are_rows_of_stages(
    shape: str, levels: list[float], stages: list[tuple[float, float]]
) -> None:
    made = make_schedule(shape, levels, 60)
    assert [(stage.first, stage.last) for stage in made.stages] == stages
    assert made.seconds == 60 * len(stages)


def test_the_level_follows_the_stages() -> None:
    schedule = Schedule((Stage(10, 0, 20), Stage(5, 40, 40)))
    assert [schedule.level(at) for at in (0, 5, 10, 14.9, 15)] == [0, 10, 40, 40, 0]
    assert schedule.find(12) == (1, 2)
    assert schedule.find(15)[0] == -1


@pytest.mark.parametrize(("levels", "seconds"), [([], 10), ([-1], 10), ([0], 10), ([5], 0)])
def test_a_schedule_without_load_is_refused(levels: list[float], seconds: float) -> None:
    with pytest.raises(ValueError, match="--levels"):
        make_schedule("steps", levels, seconds)


def test_arrivals_are_poisson_at_the_rate() -> None:
    times = arrivals(make_schedule("steps", [200], 100), seed=7)
    assert abs(len(times) - 20_000) < 4 * np.sqrt(20_000)
    assert (np.diff(times) >= 0).all()
    gaps = np.diff(times)
    # exponential gaps: mean = deviation = 1 / rate, and no memory from one to the next
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03


def test_arrivals_follow_a_ramp() -> None:
    times = arrivals(make_schedule("ramp", [0, 400], 100), seed=3)
    halves = np.histogram(times, [0, 50, 100])[0]
    # the mass of a straight line from 0: a quarter of it lies in the first half
    assert halves[0] / halves.sum() == pytest.approx(0.25, abs=0.02)
    assert len(times) == pytest.approx(20_000, rel=0.03)


def test_streams_share_the_rate_and_differ() -> None:
    schedule = make_schedule("steps", [100], 100)
    one, other = (arrivals(schedule, 1, stream, streams=2) for stream in (0, 1))
    assert len(one) + len(other) == pytest.approx(10_000, rel=0.05)
    assert not set(one) & set(other)
    assert (one == arrivals(schedule, 1, 0, streams=2)).all()
    assert len(one) != len(arrivals(schedule, 2, 0, streams=2))
