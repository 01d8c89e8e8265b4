"""When to send again, and when not to: retries, their budget, the circuit breaker.

Sources: full jitter: M. Brooker, «Exponential Backoff And Jitter» (AWS Architecture Blog, 2015);
the budget: Finagle's RetryBudget (a share of the calls, and a small allowance by time); pushback:
gRPC proposal A6.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from emoserve_client.errors import InputError


@dataclass(frozen=True)
class Retry:
    """How often and how soon a call is sent again when no answer came.

    `attempts` counts the first one too: 1 means never again. Before the n-th retry the client
    waits a random time up to `first_s` x `factor`^n, at most `cap_s`; a server that says how long
    to wait is obeyed up to `pushback_cap_s`. All calls of a client together may retry
    `budget_ratio` of their number, and `budget_per_s` by time, saved up to `budget_reserve`.
    """

    attempts: int = 4
    first_s: float = 0.2
    factor: float = 2.0
    cap_s: float = 5.0
    pushback_cap_s: float = 60.0
    budget_ratio: float = 0.2
    budget_per_s: float = 1.0
    budget_reserve: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InputError(
                f"a call has at least 1 attempt, not {self.attempts}", reason="bad_option"
            )

    def backoff_s(self, retries: int, uniform: Callable[[float, float], float]) -> float:
        """The wait before retry number `retries`, counted from 0."""
        return uniform(0.0, min(self.cap_s, self.first_s * self.factor**retries))


@dataclass(frozen=True)
class Breaker:
    """Stops sending for `open_s` after `failures` calls in a row without an answer."""

    failures: int = 5
    open_s: float = 5.0


class Budget:
    """What is left of a client's retries; thread-safe."""

    def __init__(self, retry: Retry, clock: Callable[[], float]) -> None:
        self._retry, self._clock = retry, clock
        self._lock = threading.Lock()
        self._balance = retry.budget_reserve
        self._then = clock()

    def deposit(self) -> None:
        """To be called once for each call."""
        with self._lock:
            self._add(self._retry.budget_ratio)

    def withdraw(self) -> bool:
        """True when one more retry may be made, and counts it."""
        with self._lock:
            now = self._clock()
            self._add((now - self._then) * self._retry.budget_per_s)
            self._then = now
            if self._balance < 1:
                return False
            self._balance -= 1
            return True

    def _add(self, amount: float) -> None:
        self._balance = min(self._retry.budget_reserve, self._balance + amount)


class Circuit:
    """The state of a breaker; thread-safe. Half open it lets a single call through."""

    def __init__(self, breaker: Breaker, clock: Callable[[], float]) -> None:
        self._breaker, self._clock = breaker, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until_probe = 0.0

    def wait_s(self) -> float:
        """0 when a call may go out now, else how long it is shut."""
        with self._lock:
            if self._failures < self._breaker.failures:
                return 0.0
            left = self._closed_until_probe - self._clock()
            if left <= 0:
                # This one is the probe; the others wait for how it ends.
                self._closed_until_probe = self._clock() + self._breaker.open_s
            return max(0.0, left)

    def report(self, *, answered: bool) -> None:
        """To be called with how each call ended."""
        with self._lock:
            self._failures = 0 if answered else self._failures + 1
            if self._failures >= self._breaker.failures:
                self._closed_until_probe = self._clock() + self._breaker.open_s
