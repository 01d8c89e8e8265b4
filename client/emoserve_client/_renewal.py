"""A connection that is made anew when its ground has changed: in a forked child, with new
certificates."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

C = TypeVar("C")


class _Lease(Generic[C]):
    def __init__(self, connection: C, stamp: Hashable) -> None:
        self.connection = connection
        self.stamp = stamp
        self.users = 0


class Renewal(Generic[C]):
    """Lends a connection, thread-safe and fork-safe.

    `stamp` says what a connection stands on: when it changes, the next caller gets a new one and
    the old one is retired with its last user. In a forked child the parent's connection is left
    alone: its sockets and threads belong to the parent.
    """

    def __init__(
        self, make: Callable[[], C], close: Callable[[C], None], stamp: Callable[[], Hashable]
    ) -> None:
        self._make, self._close, self._stamp = make, close, stamp
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._current: _Lease[C] | None = None

    @contextmanager
    def lend(self) -> Iterator[C]:
        """The connection, held open while the block runs."""
        lease = self._take()
        try:
            yield lease.connection
        finally:
            self._give(lease)

    def retire(self) -> C | None:
        """Takes the connection away, for the owner to close."""
        with self._guard():
            lease, self._current = self._current, None
        return lease.connection if lease else None

    def close(self) -> None:
        if (connection := self.retire()) is not None:
            self._close(connection)

    def _guard(self) -> threading.Lock:
        if os.getpid() != self._process:
            # Another thread of the parent may have held the lock when the child was made.
            self._process = os.getpid()
            self._lock = threading.Lock()
            self._current = None
        return self._lock

    def _take(self) -> _Lease[C]:
        stamp, old = self._stamp(), None
        with self._guard():
            lease = self._current
            if lease is None or lease.stamp != stamp:
                old, lease = lease, _Lease(self._make(), stamp)
                self._current = lease
            lease.users += 1
            idle = old is not None and old.users == 0
        if old is not None and idle:
            self._close(old.connection)
        return lease

    def _give(self, lease: _Lease[C]) -> None:
        with self._guard():
            lease.users -= 1
            over = lease.users == 0 and lease is not self._current and self._current is not None
        if over:
            self._close(lease.connection)
