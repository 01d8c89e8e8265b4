"""Work off several portions at the same time, in a step that is one instance to Triton."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_SWITCH_S: Final = 1e-4  # who waits for the next portion does not wait for Python's 5 ms


class Hands:
    """Threads of which each works off one portion at a time, in the order they were given.

    Triton's instances take what waits whenever one of them is free, so a batch of large pictures
    waits behind one instance while the next one works on later requests. Hands take one portion
    each: nobody is overtaken (docs/decisions.md 19).

    Args:
        count: how many portions are worked off at the same time.
    """

    def __init__(self, count: int) -> None:
        sys.setswitchinterval(_SWITCH_S)
        self._free = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, "hand")

    def give(self, work: Callable[[], None]) -> None:
        """Let a free hand do the work; wait for one."""
        self._free.acquire()
        self._pool.submit(self._do, work)

    def wait(self) -> None:
        """Return when a hand is free."""
        self._free.acquire()
        self._free.release()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._free.release()

    def close(self) -> None:
        """Return when all work is done."""
        self._pool.shutdown()
