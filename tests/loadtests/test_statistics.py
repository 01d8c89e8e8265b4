"""Intervals of percentiles, and MLPerf's early stopping."""

import math

import numpy as np
import pytest

from emoserve_loadtests.early_stopping import (
    Verdict,
    judge,
    needed_within,
    proved_percentile,
    requests_to_decide,
)
from emoserve_loadtests.quantiles import binomial_cdf, interval_ranks, quantile


def test_the_binomial_distribution_is_exact() -> None:
    exact = [
        sum(math.comb(50, i) * 0.3**i * 0.7 ** (50 - i) for i in range(k + 1)) for k in range(51)
    ]
    np.testing.assert_allclose(binomial_cdf(50, 0.3), exact, rtol=1e-9)
    assert binomial_cdf(1_000_000, 0.999)[999_000] == pytest.approx(0.508, abs=0.01)


def test_the_median_of_a_hundred_lies_between_known_ranks() -> None:
    # Conover, «Practical Nonparametric Statistics», 3rd edition, 3.2: 40th and 61st of 100
    assert interval_ranks(100, 0.5, 0.95) == (40, 61)


def test_too_few_values_give_no_upper_bound() -> None:
    found = quantile(np.arange(1.0, 101.0), 0.99)
    assert found.value_s == 99
    assert found.low_s == 97
    assert found.high_s is None


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_intervals_cover_the_true_quantile(p: float) -> None:
    chance, inside = np.random.default_rng(11), 0
    true = -math.log(1 - p)  # of the exponential distribution
    for _ in range(400):
        found = quantile(np.sort(chance.exponential(size=700)), p)
        assert found.low_s is not None
        inside += found.low_s <= true <= (math.inf if found.high_s is None else found.high_s)
    assert inside / 400 >= 0.93


def test_failed_requests_are_the_slowest() -> None:
    assert quantile(np.array([1.0, 2.0, math.inf, math.inf]), 0.75).value_s == math.inf


@pytest.mark.parametrize(
    ("p", "over", "queries"),
    # MLPerf Inference Rules, «Early Stopping Criterion»: at least 64 queries in single stream (p90)
    # and 662 for multi stream (p99), each with one over the bound; 459 = log(0.01) / log(0.99)
    [(0.9, 1, 64), (0.99, 1, 662), (0.99, 0, 459), (0.9, 0, 44)],
)
def test_early_stopping_needs_the_published_numbers(p: float, over: int, queries: int) -> None:
    assert needed_within(over, p) + over == queries


def test_a_bound_is_proved_only_by_enough_requests() -> None:
    fast = np.full(458, 0.1)
    assert not judge(fast, 0.2, 0.99).passed
    assert judge(np.append(fast, 0.1), 0.2, 0.99).passed
    assert not judge(np.append(np.full(600, 0.1), np.inf), 0.2, 0.99).passed
    verdict = judge(np.append(np.full(661, 0.1), 0.3), 0.2, 0.99)
    assert (verdict.within, verdict.over, verdict.needed, verdict.passed) == (661, 1, 661, True)


def test_the_proved_percentile_leaves_out_what_early_stopping_allows() -> None:
    values = np.arange(1.0, 65.0)
    assert proved_percentile(values[:63], 0.9) is None
    assert proved_percentile(values, 0.9) == 63
    assert proved_percentile(np.arange(1.0, 82.0), 0.9) == 79


def test_what_is_left_open_is_decided_by_more_requests() -> None:
    """5 of 1,077 over the bound: likely within 1 %, not proved. 18 of 1,297 are no such case."""
    open_still = Verdict(1072, 5, needed_within(5, 0.99))
    assert not open_still.passed
    count = requests_to_decide(open_still, 0.99, most=8_000)
    assert count is not None
    over = math.ceil(count * 6 / 1077)
    assert Verdict(count - over, over, needed_within(over, 0.99)).passed
    assert requests_to_decide(open_still, 0.99, most=1_100) is None
    assert requests_to_decide(Verdict(1279, 18, 3034), 0.99, most=8_000) is None
