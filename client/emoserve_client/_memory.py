"""System shared memory of this process: stretches of it, kept for the next call.

Source: a key of Triton's is a name for shm_open(3), which on Linux is a file in /dev/shm.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import uuid
import weakref
from dataclasses import replace
from pathlib import Path

from emoserve_client._request import Region, Tensor

SHM = Path("/dev/shm")


class Stretch:
    """A piece of shared memory; removed with the object, or with the process."""

    def __init__(self, size_bytes: int) -> None:
        self.name = f"emoserve-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.size_bytes = size_bytes
        path = SHM / self.name
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        weakref.finalize(self, _remove, path, os.getpid())
        try:
            os.ftruncate(file, size_bytes)
            self._map = mmap.mmap(file, size_bytes)
        finally:
            os.close(file)

    def put(self, tensor: Tensor, offset: int) -> Tensor:
        """The tensor, its bytes now at `offset` here."""
        assert not isinstance(tensor.content, Region)
        at = offset
        for piece in tensor.content:
            self._map[at : at + len(piece)] = piece
            at += len(piece)
        return replace(tensor, content=Region(self.name, tensor.size_bytes, offset))


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child must not take it from its parent
        with contextlib.suppress(OSError):
            path.unlink()


class Memory:
    """The stretches of one client; thread-safe and fork-safe."""

    def __init__(self) -> None:
        self._lock, self._process = threading.Lock(), os.getpid()
        self._free: list[Stretch] = []
        self.off = False

    def take(self, size_bytes: int) -> Stretch | None:
        """A free, registered stretch that is large enough, if there is one."""
        with self._guard():
            for one in self._free:
                if one.size_bytes >= size_bytes:
                    self._free.remove(one)
                    return one
        return None

    def give(self, stretch: Stretch) -> None:
        """Keeps a registered stretch for the next call."""
        with self._guard():
            self._free.append(stretch)

    def drain(self) -> list[Stretch]:
        """All free stretches, to be unregistered."""
        with self._guard():
            free, self._free = self._free, []
        return free

    def _guard(self) -> threading.Lock:
        if os.getpid() != self._process:
            self._process, self._lock, self._free = os.getpid(), threading.Lock(), []
        return self._lock
