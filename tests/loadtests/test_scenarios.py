"""The search for the highest rate that holds."""

import pytest

from emoserve_loadtests.early_stopping import Verdict
from emoserve_loadtests.scenarios import Tried, highest_rate


def server_of(limit: float):
    """A server that holds every rate up to a limit."""

    def attempt(rate: float) -> Tried:
        verdict = Verdict(within=1000 if rate <= limit else 0, over=0, needed=459)
        return Tried(rate, verdict, 10.0, rate, 0.1)

    return attempt


@pytest.mark.parametrize(("limit", "start"), [(100, 3), (100, 99), (100, 1000), (0.2, 10)])
def test_the_limit_is_found_within_the_resolution(limit: float, start: float) -> None:
    best, tried = highest_rate(server_of(limit), start, resolution=0.02)
    assert best is not None
    assert limit / 1.02 <= best.rate_per_s <= limit
    assert len({one.rate_per_s for one in tried}) == len(tried) <= 25
    # every rate that was found too high is above the result
    assert all(one.rate_per_s > best.rate_per_s for one in tried if not one.passed)


def test_a_server_that_holds_no_rate_is_told() -> None:
    best, tried = highest_rate(server_of(0), 10, resolution=0.05)
    assert best is None
    assert tried
