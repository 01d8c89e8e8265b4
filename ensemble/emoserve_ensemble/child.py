"""A child process that works on what it is given: it may crash, hang or be stopped without harm.

The child is a module with one argument, the number of its end of a socket (`serve` is its loop).
Data goes over as a memory file, which may have room for what comes of it; messages come back over
the socket: no pickle, no temporary files.
"""

import ctypes
import json
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from emoserve_ensemble.errors import CallerGoneError, Cancelled, never
from emoserve_ensemble.wire import receive

LOOK_S = 0.1  # how often a wait looks whether the caller has gone

_PR_SET_PDEATHSIG = 1
_JOB_BYTES = 4096


class ChildError(Exception):
    """The child died.

    ChildError
    └── StalledError      it gave nothing for too long, and was killed
    """


class StalledError(ChildError):
    """The child gave nothing for too long, and was killed."""


class Child:
    """A process that runs a module, and the socket to it.

    Args:
        module: what `python -m` runs.
    """

    def __init__(self, module: str) -> None:
        self._socket, theirs = socket.socketpair()
        python = sys.executable or shutil.which("python3") or "python3"
        self._process = subprocess.Popen(
            [python, "-m", module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(
        self, job: Mapping[str, object], *data: bytes | memoryview, room_bytes: int = 0
    ) -> mmap.mmap | None:
        """Hand over a job and its data, which the child finds in one file.

        Args:
            room_bytes: how much the child may put behind the data.

        Returns:
            The file's memory where there is room in it.

        Raises:
            ChildError: the child is dead.
        """
        file = os.memfd_create("emoserve")
        try:
            for piece in data:
                view = memoryview(piece)
                while view:
                    view = view[os.write(file, view) :]
            memory = _with_room(file, room_bytes) if room_bytes else None
            socket.send_fds(self._socket, [json.dumps(job).encode().ljust(_JOB_BYTES)], [file])
        except OSError as error:
            self.kill()
            raise ChildError(str(error)) from error
        finally:
            os.close(file)
        return memory

    def receive(
        self, stall_s: float, cancelled: Cancelled = never
    ) -> tuple[dict[str, Any], bytearray]:
        """Return the next message: a header and its payload.

        Raises:
            StalledError: nothing came for `stall_s`; the child has been killed.
            ChildError: the child died.
            CallerGoneError: `cancelled()` became true; the child has been killed.
        """
        try:
            self._wait(stall_s, cancelled)
            self._socket.settimeout(stall_s)
            return receive(self._socket)
        except TimeoutError as error:
            self.kill()
            raise StalledError(f"it gave nothing for {stall_s:g} s") from error
        except (EOFError, OSError) as error:
            self.kill()
            raise ChildError("it crashed") from error

    def _wait(self, stall_s: float, cancelled: Cancelled) -> None:
        """Return when a message begins."""
        end_s = time.monotonic() + stall_s
        arrival = select.poll()
        arrival.register(self._socket, select.POLLIN)
        while not arrival.poll(1000 * min(LOOK_S, stall_s)):
            if cancelled():
                self.kill()
                raise CallerGoneError
            if time.monotonic() > end_s:
                raise TimeoutError

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _with_room(file: int, room_bytes: int) -> mmap.mmap:
    os.ftruncate(file, os.lseek(file, 0, os.SEEK_CUR) + room_bytes)
    return mmap.mmap(file, 0)


def serve(number: str, work: Callable[[socket.socket, dict[str, Any], BinaryIO], None]) -> None:
    """Do one job after the other until the parent closes the socket; for the child's `main`.

    Args:
        number: of the socket, as the command line has it.
        work: gets the socket for its answers, the job, and the data as an open file.
    """
    parent = socket.socket(fileno=int(number))
    while True:
        message, files, _, _ = socket.recv_fds(parent, _JOB_BYTES, 1)
        if not message or not files:
            return
        with os.fdopen(files[0], "rb") as data:
            data.seek(0)
            work(parent, json.loads(message), data)


def confine() -> None:
    """Die with the parent, write no files, leave no core; for the child's `main`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
