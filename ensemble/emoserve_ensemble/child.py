"""A child process that works on what it is given: it may crash, hang or be stopped without harm.

The child is a module whose first argument is the number of its end of a socket (`serve` is its
loop).
Data goes over as a memory file, or lies in memory that both share, with room for what comes of it;
messages come back over the socket: no pickle, no temporary files.
"""

import contextlib
import ctypes
import fcntl
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
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

from emoserve_ensemble.errors import CallerGoneError, Cancelled, never
from emoserve_ensemble.wire import receive

LOOK_S = 0.1  # how often a wait looks whether the caller has gone, and who lives

Data: TypeAlias = BinaryIO | mmap.mmap  # an open file, or memory that both processes share

_PR_SET_PDEATHSIG = 1
JOB_BYTES = 4096


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
        arguments: what it gets after the numbers of its sockets.
        jobs: another socket that it gets, and its brothers too.
    """

    def __init__(self, module: str, *arguments: str, jobs: socket.socket | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        self._shared: mmap.mmap | None = None
        python = sys.executable or shutil.which("python3") or "python3"
        numbers = [each.fileno() for each in (theirs, jobs) if each is not None]
        self._process = subprocess.Popen(
            [python, "-m", module, *map(str, numbers), *arguments],
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, job: Mapping[str, object], *data: bytes | memoryview) -> None:
        """Hand over a job and its data, which the child finds in one file.

        Raises:
            ChildError: the child is dead.
        """
        with self._alive(), memory_file(*data) as file:
            self._send(job, file)

    def start_shared(self, job: Mapping[str, object], *data: bytes, room_bytes: int) -> mmap.mmap:
        """Hand over a job whose data lies in memory that the child shares, with room behind it.

        Returns:
            The memory. It serves every such job, so what the child puts there must be taken out
            before the next: new memory for each would be a page fault for every 4 kB.

        Raises:
            ChildError: the child is dead.
        """
        with self._alive():
            needed = sum(map(len, data)) + room_bytes
            if self._shared is None or len(self._shared) < needed:
                with memory_file() as file:
                    os.ftruncate(file, needed)
                    # Else a child that a hostile file has taken over could cut it off under us.
                    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
                    self._shared = mmap.mmap(file, 0)
                    self._send({"memory": needed}, file)
            start = 0
            for piece in data:
                self._shared[start : start + len(piece)] = piece
                start += len(piece)
            self._send(job)
            return self._shared

    def forget_shared(self) -> None:
        """Let go of the shared memory; the child does so with the next one."""
        self._shared = None

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.kill()
            raise ChildError(str(error)) from error

    def _send(self, job: Mapping[str, object], *files: int) -> None:
        socket.send_fds(self._socket, [json.dumps(job).encode().ljust(JOB_BYTES)], files)

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


@contextlib.contextmanager
def memory_file(*data: bytes | memoryview) -> Iterator[int]:
    """Give the number of a file in memory that holds the data, for the block."""
    file = os.memfd_create("emoserve", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in data:
            view = memoryview(piece)
            while view:
                view = view[os.write(file, view) :]
        yield file
    finally:
        os.close(file)


def serve(
    number: str,
    work: Callable[[socket.socket, dict[str, Any], Data], None],
) -> None:
    """Do one job after the other until the parent closes the socket; for the child's `main`.

    Args:
        number: of the socket, as the command line has it.
        work: gets the socket for its answers, the job, and the data.
    """
    parent = socket.socket(fileno=int(number))
    shared: mmap.mmap | None = None
    while True:
        message, files, _, _ = socket.recv_fds(parent, JOB_BYTES, 1)
        if not message:
            return
        job = json.loads(message)
        if "memory" in job:
            shared = mmap.mmap(files[0], job["memory"])
            os.close(files[0])
        elif files:
            with os.fdopen(files[0], "rb") as data:
                data.seek(0)
                work(parent, job, data)
        elif shared is not None:
            work(parent, job, shared)


def confine() -> None:
    """Die with the parent, write no files, leave no core; for the child's `main`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
