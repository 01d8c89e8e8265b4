"""Pictures analysed in a process of their own, networks and all.

A picture that crashes its decoder, or whatever comes after, loses itself only; and several such
processes work at the same time for one instance of a step, however large its batches are.
"""

import contextlib
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeAlias

from emoserve_ensemble.child import Child, ChildError, StalledError
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.faces import Faces, unpacked
from emoserve_ensemble.images import Picture, at_once, checked
from emoserve_ensemble.limits import Limits

START_S = 120.0  # a process that has not loaded its networks by then hangs
STALL_S = 30.0  # so does one that has worked on a portion for so long
_JOB_ROOM_BYTES = 3 * 24 * 10**6  # for the pixels of pictures that are handed over at once
_KEPT_BYTES = 32 * 2**20  # of memory shared with the child, from one portion to the next

_Part: TypeAlias = Callable[[], "list[Faces | InputError]"]  # unpacks some answers


class _Order:
    """Pictures, checked and in jobs: all that is done before a process is taken for them."""

    def __init__(self, images: Sequence[bytes], limits: Limits) -> None:
        self._pictures = checked(images, limits)
        self.jobs = _jobs([each for each in self._pictures if isinstance(each, Picture)])

    def answers(self, parts: Sequence[_Part]) -> list[Faces | InputError]:
        """Return one answer for each picture, in order, from those for the jobs."""
        analyzed = iter([item for part in parts for item in part()])
        return [next(analyzed) if isinstance(each, Picture) else each for each in self._pictures]


class FaceProcess:
    """One such process, warm; for one thread at a time.

    Args:
        repository: the model repository that the networks are in.
        threads: of each network.
        stall_s: how long a portion may take before the process is killed.
    """

    def __init__(self, repository: Path, threads: int, limits: Limits, stall_s: float) -> None:
        self._arguments = (str(repository), str(threads))
        self._limits_json = asdict(limits)
        self._stall_s = stall_s
        self._child = self._started()
        self._handed: Child | None = None  # the process, while it owes an answer
        self._versions: dict[str, str] | None = None

    @property
    def versions(self) -> Mapping[str, str]:
        """Version of each network; waits until all are loaded.

        Raises:
            ChildError: one cannot be loaded; why is in the process's own output.
        """
        self._living()
        assert self._versions is not None
        return self._versions

    @contextlib.contextmanager
    def at_work(self, jobs: Sequence[Sequence[bytes]]) -> Iterator[Callable[[], list[_Part]]]:
        """Have encoded pictures analysed while the caller does something else.

        Gives what waits for the answers to all jobs, to be called once, in the block. Both may
        raise:

        Raises:
            ChildError: a new process does not start.
            RuntimeError: a fault of ours; says which.
        """
        self._hand_over(jobs[0])
        try:
            yield lambda: [part for job in jobs for part in self._found(job)]
        finally:
            if self._handed is not None:  # its answer would be taken for that to the next
                self._handed.kill()
                self._handed = None

    def _found(self, images: Sequence[bytes], *, again: bool = False) -> list[_Part]:
        try:
            if self._handed is None:
                self._hand_over(images)
            return [self._answer()]
        except ChildError as error:
            stalled = isinstance(error, StalledError)
            if not again and (len(images) > 1 or not stalled):  # which was it, or was it any?
                return [part for image in images for part in self._found([image], again=True)]
            if stalled:
                lost = InputError("timeout", f"image: its decoder or detector: {error}")
            else:
                lost = InputError("undecodable", "image: the decoder crashed on it")
            return [lambda: [lost]]

    def _hand_over(self, images: Sequence[bytes]) -> None:
        child = self._living()
        job = {"limits": self._limits_json, "images": [len(image) for image in images]}
        self._handed = child
        with contextlib.suppress(ChildError):  # `_answer` finds it dead
            memory = child.start_shared(job, *images, room_bytes=0)
            if len(memory) > _KEPT_BYTES:
                child.forget_shared()

    def _answer(self) -> _Part:
        assert self._handed is not None
        child, self._handed = self._handed, None
        header, numbers = child.receive(self._stall_s)
        if header["kind"] == "failed":
            raise RuntimeError(header["message"])
        return partial(unpacked, header["pictures"], bytes(numbers))

    def _started(self) -> Child:
        return Child("emoserve_ensemble.face_worker", *self._arguments)

    def _living(self) -> Child:
        """Return the child once it is loaded, a new one where the last has died."""
        if self._versions is not None and self._child.alive:
            return self._child
        if not self._child.alive:
            self._child = self._started()
        header, _ = self._child.receive(START_S)
        self._versions = header["versions"]
        return self._child

    def close(self) -> None:
        """End the process."""
        self._child.kill()


def _jobs(pictures: Sequence[Picture]) -> list[list[bytes]]:
    """Return the pictures in groups that are analysed together."""
    jobs: list[list[bytes]] = []
    while pictures:
        some = at_once(pictures, _JOB_ROOM_BYTES)
        jobs.append([each.encoded for each in some])
        pictures = pictures[len(some) :]
    return jobs


class FaceProcesses:
    """Several of them, for threads that each take a free one.

    Args:
        count: of processes.
        repository, threads, limits, stall_s: as a `FaceProcess` takes them.
    """

    def __init__(
        self, count: int, repository: Path, threads: int, limits: Limits, stall_s: float = STALL_S
    ) -> None:
        self._limits = limits
        self._all = [FaceProcess(repository, threads, limits, stall_s) for _ in range(count)]
        self._free: queue.SimpleQueue[FaceProcess] = queue.SimpleQueue()
        for process in self._all:
            self._free.put(process)

    def loaded(self) -> Mapping[str, str]:
        """Wait until all have loaded their networks; return the version of each.

        Raises:
            ChildError: one cannot be loaded; why is in the process's own output.
        """
        *_, versions = [process.versions for process in self._all]
        return versions

    @contextlib.contextmanager
    def ahead(self, images: Sequence[bytes]) -> Iterator[Callable[[], list[Faces | InputError]]]:
        """Have encoded pictures analysed by a free one; waits for one where that is needed.

        Gives what waits for the faces of each, or why it cannot be used, in order: to be called
        once, in the block. Raises what `FaceProcess.at_work` does.
        """
        order = _Order(images, self._limits)
        if not order.jobs:
            yield lambda: order.answers([])
            return
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(self._taken())
            found = stack.enter_context(process.at_work(order.jobs))

            def answers() -> list[Faces | InputError]:
                parts = found()
                stack.close()  # before they are unpacked: the process is to have the next at once
                return order.answers(parts)

            yield answers

    @contextlib.contextmanager
    def _taken(self) -> Iterator[FaceProcess]:
        process = self._free.get()
        try:
            yield process
        finally:
            self._free.put(process)

    def analyze(self, images: Sequence[bytes]) -> list[Faces | InputError]:
        """Return what `ahead` gives, at once."""
        with self.ahead(images) as found:
            return found()

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.close()
