"""Which server gets the next send: in turn, past those that do not answer.

A server that failed several sends in a row is left out for a while, longer each time; then one
send tries it again. When all are left out, the one whose time is up first is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from emoserve_client._endpoint import Endpoint, Target

_RESOLVE_AGAIN_S = 1.0


@dataclass(frozen=True)
class Ejection:
    """After `failures` in a row a server is left out for `first_s`, doubling up to `cap_s`."""

    failures: int = 2
    first_s: float = 1.0
    cap_s: float = 30.0


@dataclass
class _Health:
    failures: int = 0
    ejections: int = 0
    out_until: float = 0.0
    running: int = 0


class Pool:
    """The servers of one client; thread-safe."""

    def __init__(
        self,
        targets: Sequence[Target],
        clock: Callable[[], float],
        ejection: Ejection | None = None,
        lookup_s: float = 30.0,
    ) -> None:
        self._targets, self._clock = tuple(targets), clock
        self._ejection, self._lookup_s = ejection or Ejection(), lookup_s
        self._lock = threading.Lock()
        self._turn = 0
        self._health: dict[Endpoint, _Health] = {}
        self._resolves = any(one.resolve for one in targets)
        self._resolved_at: float | None = None
        if not self._resolves:
            self.update([endpoint for one in targets for endpoint in one.endpoints()])

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All servers known now."""
        with self._lock:
            return tuple(self._health)

    @property
    def stale(self) -> bool:
        """True when names must be looked up (again)."""
        if not self._resolves:
            return False
        if self._resolved_at is None or not self._health:
            return True
        return self._clock() - self._resolved_at > self._lookup_s

    def look_up(self) -> list[Endpoint]:
        """Where the targets lead now. Blocks; the result is for `update`."""
        self._resolved_at = self._clock()
        return [endpoint for one in self._targets for endpoint in one.endpoints()]

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """Takes these servers; what is known of those that stay is kept."""
        with self._lock:
            self._health = {one: self._health.get(one, _Health()) for one in endpoints}

    def take(self, tried: Collection[Endpoint] = ()) -> Endpoint:
        """The next server: in, not tried yet, least busy; `done` must follow."""
        with self._lock:
            now, all_of_them = self._clock(), list(self._health)
            into = [one for one in all_of_them if self._health[one].out_until <= now]
            fresh = [one for one in into if one not in tried]
            candidates = fresh or into or [min(all_of_them, key=self._out_until)]
            self._turn += 1
            start = self._turn % len(candidates)
            in_turn = candidates[start:] + candidates[:start]
            chosen = min(in_turn, key=lambda one: self._health[one].running)
            self._health[chosen].running += 1
            if self._health[chosen].ejections and self._health[chosen].failures:
                # Its time is up: this send finds out; the others wait for how that ends.
                self._health[chosen].out_until = now + self._ejection.first_s
            return chosen

    def has_fresh(self, tried: Collection[Endpoint]) -> bool:
        """True when there is a server that is in and not tried yet."""
        with self._lock:
            now = self._clock()
            return any(
                one not in tried and health.out_until <= now for one, health in self._health.items()
            )

    def done(self, endpoint: Endpoint, *, answered: bool | None) -> None:
        """How a send ended; None when that says nothing about the server."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is None:  # no longer one of ours
                return
            health.running -= 1
            if answered:
                health.failures = health.ejections = 0
                health.out_until = 0.0
            elif answered is False:
                self._count_failure(health)

    def _count_failure(self, health: _Health) -> None:
        health.failures += 1
        if self._resolved_at is not None and self._clock() - self._resolved_at > _RESOLVE_AGAIN_S:
            self._resolved_at = None  # where a server was, there may be another name for it now
        if health.failures >= self._ejection.failures:
            wait = self._ejection.first_s * 2**health.ejections
            health.ejections = min(health.ejections + 1, 16)
            health.out_until = self._clock() + min(wait, self._ejection.cap_s)

    def _out_until(self, endpoint: Endpoint) -> float:
        return self._health[endpoint].out_until
