"""Pictures analysed in processes of their own, networks and all.

A picture that crashes its decoder, or whatever comes after, loses itself only; and several such
processes work at the same time for one instance of a step, however large its batches are.

All of them take their jobs from one socket, so the kernel gives the next job to whoever is free, at
once. A job brings the socket for its answer along: nobody else holds that end, so it closes when
the process that took the job dies, and only then.
"""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from emoserve_ensemble.child import LOOK_S, Child, memory_file
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.faces import Faces, unpacked
from emoserve_ensemble.images import Picture, at_once, checked
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.wire import receive

START_S = 120.0  # a process that has not loaded its networks by then hangs
STALL_S = 30.0  # one that has worked on a job for so long ends itself
_GIVEN_UP_S = START_S + 5 * STALL_S  # nobody takes the job: no process lives any more
_RESTART_S = 1.0  # between two starts of a process that does not live
_JOB_ROOM_BYTES = 3 * 24 * 10**6  # for the pixels of pictures that are handed over at once


class FaceProcesses:
    """Several of them, for threads that each hand over pictures and wait for the faces.

    Args:
        count: of processes.
        repository: the model repository that the networks are in.
        threads: of each network.
        stall_s: how long a job may take before its process ends.
    """

    def __init__(
        self, count: int, repository: Path, threads: int, limits: Limits, stall_s: float = STALL_S
    ) -> None:
        self._jobs, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._arguments = (str(repository), str(threads), str(stall_s))
        self._limits, self._stall_s = limits, stall_s
        self._lock = threading.Lock()
        self._all = [self._started() for _ in range(count)]
        self._started_s = [time.monotonic()] * count

    def loaded(self) -> Mapping[str, str]:
        """Wait until all have loaded their networks; return the version of each.

        Raises:
            ChildError: one cannot be loaded; why is in the process's own output.
        """
        *_, (header, _) = [child.receive(START_S) for child in self._all]
        versions: dict[str, str] = header["versions"]
        return versions

    @contextlib.contextmanager
    def ahead(self, images: Sequence[bytes]) -> Iterator[Callable[[], list[Faces | InputError]]]:
        """Have encoded pictures analysed while the caller does something else.

        Gives what waits for the faces of each, or why it cannot be used, in order: to be called
        once, in the block. It may raise:

        Raises:
            RuntimeError: a fault of ours; says which.
        """
        pictures = checked(images, self._limits)
        groups = _groups([each for each in pictures if isinstance(each, Picture)])
        with contextlib.ExitStack() as stack:
            jobs = [stack.enter_context(_Job(group, self._jobs, self._limits)) for group in groups]

            def answers() -> list[Faces | InputError]:
                analyzed = iter([item for job in jobs for item in self._found(job)])
                return [next(analyzed) if isinstance(each, Picture) else each for each in pictures]

            yield answers

    def analyze(self, images: Sequence[bytes]) -> list[Faces | InputError]:
        """Return what `ahead` gives, at once."""
        with self.ahead(images) as found:
            return found()

    def _found(self, job: "_Job", *, again: bool = False) -> list[Faces | InputError]:
        try:
            return job.answer(self._tend)
        except EOFError:
            stalled = time.monotonic() - job.handed_s >= self._stall_s
            if not again and (len(job.images) > 1 or not stalled):  # which was it, or was it any?
                return [item for image in job.images for item in self._alone(image)]
            if stalled:
                message = f"image: its decoder or detector gave nothing for {self._stall_s:g} s"
                return [InputError("timeout", message)]
            return [InputError("undecodable", "image: the decoder crashed on it")]

    def _alone(self, image: bytes) -> list[Faces | InputError]:
        with _Job([image], self._jobs, self._limits) as job:
            return self._found(job, again=True)

    def _tend(self) -> None:
        """Start those again that have died."""
        with self._lock:
            now_s = time.monotonic()
            for index, child in enumerate(self._all):
                if not child.alive and now_s - self._started_s[index] >= _RESTART_S:
                    child.kill()
                    self._all[index], self._started_s[index] = self._started(), now_s

    def _started(self) -> Child:
        return Child("emoserve_ensemble.face_worker", *self._arguments, shared=self._theirs)

    def close(self) -> None:
        """End the processes."""
        for child in self._all:
            child.kill()
        self._jobs.close()
        self._theirs.close()


class _Job:
    """Encoded pictures that are handed over together, and where the answer comes.

    Attributes:
        handed_s: when, by the monotonic clock.
    """

    def __init__(self, images: Sequence[bytes], to: socket.socket, limits: Limits) -> None:
        self.images = images
        self.handed_s = time.monotonic()
        self._answer, theirs = socket.socketpair()
        job = {"limits": asdict(limits), "images": [len(image) for image in images]}
        with theirs, memory_file() as file:
            os.writev(file, images)
            socket.send_fds(to, [json.dumps(job).encode()], [file, theirs.fileno()])

    def answer(self, tend: Callable[[], None]) -> list[Faces | InputError]:
        """Return the faces of each picture, or why it cannot be used.

        Args:
            tend: called from time to time: somebody must live to take the job.

        Raises:
            EOFError: the process died.
            RuntimeError: a fault of ours; says which.
        """
        arrival = select.poll()
        arrival.register(self._answer, select.POLLIN)
        while not arrival.poll(1000 * LOOK_S):
            tend()
            if time.monotonic() - self.handed_s > _GIVEN_UP_S:
                raise RuntimeError(f"no process took the pictures in {_GIVEN_UP_S:g} s")
        header, numbers = receive(self._answer)
        if header["kind"] == "failed":
            raise RuntimeError(header["message"])
        return unpacked(header["pictures"], bytes(numbers))

    def __enter__(self) -> "_Job":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answer.close()


def _groups(pictures: Sequence[Picture]) -> list[list[bytes]]:
    """Return the pictures in groups that are analysed together."""
    groups: list[list[bytes]] = []
    while pictures:
        some = at_once(pictures, _JOB_ROOM_BYTES)
        groups.append([each.encoded for each in some])
        pictures = pictures[len(some) :]
    return groups
