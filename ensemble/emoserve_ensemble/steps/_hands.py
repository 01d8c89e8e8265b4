"""Work off several portions at the same time, in a step that is one instance to Triton."""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from emoserve_ensemble.decoder import DecoderProcess
from emoserve_ensemble.tools import Tools

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


class Toolbox:
    """The same tools for all hands, but a decoder for each of those that work at the same time.

    Args:
        tools: the first one's; the last used are the first taken: their decoder runs already.
    """

    def __init__(self, tools: Tools) -> None:
        self.shared = tools
        self._free: queue.LifoQueue[Tools] = queue.LifoQueue()
        self._free.put(tools)

    @contextlib.contextmanager
    def taken(self) -> Iterator[Tools]:
        """Give tools that nobody else uses during the block."""
        try:
            tools = self._free.get_nowait()
        except queue.Empty:
            tools = replace(self.shared, decoder=DecoderProcess())
        try:
            yield tools
        finally:
            self._free.put(tools)

    def close(self) -> None:
        """End the decoders; nobody uses them any more."""
        while not self._free.empty():
            self._free.get().decoder.close()
