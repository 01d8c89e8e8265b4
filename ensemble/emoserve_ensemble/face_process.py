"""Pictures analysed in processes of their own, networks and all.

A picture that crashes its decoder, or whatever comes after, loses itself only; and several such
processes work at the same time for one instance of a step, however large its batches are.

All of them take their jobs from one socket, so the kernel gives the next job to whoever is free, at
once. A job brings the socket for its answer along: nobody else holds that end, so it closes when
the process that took the job dies, and only then.
"""

import contextlib
import itertools
import json
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from emoserve_ensemble.child import LOOK_S, Child, memory_file
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.faces import Faces, unpacked
from emoserve_ensemble.images import Picture, at_once, checked
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.wire import receive

START_S = 120.0  # a process that has not loaded its networks by then ends itself
STALL_S = 30.0  # so does one that has worked on a job for so long
_RESTART_S = 1.0  # between two starts of a process that does not live
_STARTS = 5  # of each process without one answer: they do not live
_JOBS_AHEAD = 2  # for each process: what a caller has handed over and not yet got back
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
        given = json.dumps(asdict(limits))
        self._arguments = (str(repository), str(threads), given, str(START_S), str(stall_s))
        self._limits, self._stall_s = limits, stall_s
        self._lock = threading.Lock()
        self._all = [self._started() for _ in range(count)]
        self._started_s = [time.monotonic()] * count
        self._fruitless = 0  # starts since the last answer

    def loaded(self) -> Mapping[str, str]:
        """Wait until all have loaded their networks; return the version of each. Called once.

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
        once, in the block. Both may raise:

        Raises:
            OSError: no memory or no sockets are left.
            RuntimeError: a fault of ours; says which.
        """
        pictures = checked(images, self._limits)
        waiting = iter(_groups([each for each in pictures if isinstance(each, Picture)]))
        with contextlib.ExitStack() as stack:
            handed: deque[_Job] = deque()

            def hand_over(count: int) -> None:
                for group in itertools.islice(waiting, count):
                    handed.append(stack.enter_context(contextlib.closing(_Job(group, self._jobs))))

            def answers() -> list[Faces | InputError]:
                done = []
                while handed:
                    job = handed.popleft()
                    done.append((job.images, self._answer(job)))
                    hand_over(1)
                # Of those that a process died on each picture alone: which was it, or was it any?
                whole = [map(self._alone, lost) if got is None else got for lost, got in done]
                analyzed = itertools.chain.from_iterable(whole)
                return [next(analyzed) if isinstance(each, Picture) else each for each in pictures]

            hand_over(_JOBS_AHEAD * len(self._all))
            yield answers

    def analyze(self, images: Sequence[bytes]) -> list[Faces | InputError]:
        """Return what `ahead` gives, at once."""
        with self.ahead(images) as found:
            return found()

    def _answer(self, job: "_Job") -> list[Faces | InputError] | None:
        """Return the answer to a job; None where its process died."""
        starts = self._fruitless
        self._tend()
        while not job.arrives():
            self._tend()
            if self._fruitless - starts > _STARTS * len(self._all):
                raise RuntimeError("the processes for pictures do not start: see the log")
        try:
            answer = job.answer()
        except EOFError:
            return None
        self._fruitless = 0
        return answer

    def _alone(self, image: bytes) -> Faces | InputError:
        with contextlib.closing(_Job([image], self._jobs)) as job:
            answer = self._answer(job)
            if answer is not None:
                return answer[0]
            if time.monotonic() - job.handed_s < self._stall_s:
                return InputError("undecodable", "image: the decoder crashed on it")
            message = f"image: its decoder or detector gave nothing for {self._stall_s:g} s"
            return InputError("timeout", message)

    def _tend(self) -> None:
        """Start those again that have died."""
        with self._lock:
            now_s = time.monotonic()
            for index, child in enumerate(self._all):
                if not child.alive and now_s - self._started_s[index] >= _RESTART_S:
                    child.kill()
                    self._all[index], self._started_s[index] = self._started(), now_s
                    self._fruitless += 1

    def _started(self) -> Child:
        return Child("emoserve_ensemble.face_worker", *self._arguments, jobs=self._theirs)

    def close(self) -> None:
        """End the processes."""
        for child in self._all:
            child.kill()
        self._jobs.close()
        self._theirs.close()


class _Job:
    """Encoded pictures that are handed over together, and where their answer comes.

    Attributes:
        handed_s: when, by the monotonic clock.
    """

    def __init__(self, images: Sequence[bytes], to: socket.socket) -> None:
        self.images = images
        self.handed_s = time.monotonic()
        sizes = json.dumps([len(image) for image in images]).encode()
        with contextlib.ExitStack() as stack:
            self._caller, theirs = socket.socketpair()
            stack.callback(self.close)
            with theirs, memory_file(*images) as file:
                socket.send_fds(to, [sizes], [file, theirs.fileno()])
            stack.pop_all()

    def arrives(self) -> bool:
        """Wait a little; tell whether the answer is there, or will not come."""
        arrival = select.poll()
        arrival.register(self._caller, select.POLLIN)
        return bool(arrival.poll(1000 * LOOK_S))

    def answer(self) -> list[Faces | InputError]:
        """Return the faces of each picture, or why it cannot be used.

        Raises:
            EOFError: the process died.
            RuntimeError: a fault of ours; says which.
        """
        with self._caller:
            header, numbers = receive(self._caller)
        if header["kind"] == "failed":
            raise RuntimeError(header["message"])
        return unpacked(header["pictures"], bytes(numbers))

    def close(self) -> None:
        """Let go of the answer; a process that has not begun with it will not."""
        self._caller.close()


def _groups(pictures: Sequence[Picture]) -> list[list[bytes]]:
    """Return the pictures in groups that are analysed together."""
    groups: list[list[bytes]] = []
    while pictures:
        some = at_once(pictures, _JOB_ROOM_BYTES)
        groups.append([each.encoded for each in some])
        pictures = pictures[len(some) :]
    return groups
