"""A CPU limit for a group of processes, as a pod's: so many milliseconds of each 100.

Linux's CFS quota stops a group that has used up its share until the next period begins
(https://docs.kernel.org/scheduler/sched-bwc.html). Control groups need root and differ between
machines, so SIGSTOP and SIGCONT do it here, which any user may send to what is theirs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

PERIOD_S = 0.1
_TICK_S = 0.005
_LOOK_AGAIN_S = 1.0  # for processes that have come


class Throttle:
    """One thread that holds all groups to `cores` each, inside a `with` block."""

    def __init__(self, cores: float) -> None:
        self._quota_s = cores * PERIOD_S
        self._groups: dict[int, _Group] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="throttle", daemon=True)

    def add(self, group: int) -> None:
        """Hold a process group from now on, until it is gone."""
        with self._lock:
            self._groups[group] = _Group(group)

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._each(_Group.begin)
            while (left := began + PERIOD_S - time.monotonic()) > 0:
                self._each(lambda group: group.stop_beyond(self._quota_s))
                self._ended.wait(min(left, _TICK_S))
        self._each(_Group.resume)

    def _each(self, do: Callable[[_Group], None]) -> None:
        with self._lock:
            groups = list(self._groups.values())
        for group in groups:
            try:
                do(group)
            except ProcessLookupError:
                with self._lock:
                    self._groups.pop(group.number, None)

    def __enter__(self) -> Throttle:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class _Group:
    def __init__(self, number: int) -> None:
        self.number, self._stopped = number, False
        self._clocks: list[int] = []
        self._looked_at = 0.0
        self._begin_s = 0.0

    def begin(self) -> None:
        """A new period: what was stopped goes on."""
        if time.monotonic() - self._looked_at > _LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            self._clocks = [_clock(pid) for pid in _members(self.number)]
        self._begin_s = self._used_s()
        self.resume()

    def stop_beyond(self, quota_s: float) -> None:
        if not self._stopped and self._used_s() - self._begin_s >= quota_s:
            os.killpg(self.number, signal.SIGSTOP)
            self._stopped = True

    def resume(self) -> None:
        os.killpg(self.number, signal.SIGCONT)
        self._stopped = False

    def _used_s(self) -> float:
        used = 0.0
        for clock in self._clocks:
            with contextlib.suppress(OSError):  # this one has ended
                used += time.clock_gettime(clock)
        return used


def _clock(pid: int) -> int:
    """The clock of a process' CPU time (clock_getcpuclockid(3): CPUCLOCK_SCHED)."""
    return (~pid << 3) | 2


def _members(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
    return found
