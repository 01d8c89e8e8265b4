"""A child of `FaceProcesses`: analyses pictures in a process that may die without harm.

python -m emoserve_ensemble.face_worker SOCKET JOBS REPOSITORY THREADS LIMITS START_S STALL_S
"""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from emoserve_ensemble.child import JOB_BYTES, confine
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face import analyze_images
from emoserve_ensemble.faces import NETWORKS, Faces, packed
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.wire import send

_MAX_MEMORY_BYTES = 6 * 2**30
_NICE = 5  # those who bring the next pictures need little, but at once


def main(argv: list[str]) -> int:
    """Load the networks, say so, and take jobs until the parent closes their socket."""
    number, jobs, repository, threads, limits, start_s, stall_s = argv
    # The kernel ends a process that hangs, wherever that is: no handler would get its turn.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    confine()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    os.nice(_NICE)
    cv2.setNumThreads(1)
    with _for_at_most(float(start_s)):
        networks = LocalNetworks(Path(repository), NETWORKS, int(threads))
        networks.check()
    with socket.socket(fileno=int(number)) as parent:
        send(parent, {"kind": "ready", "versions": dict(networks.versions)})
        tools = Tools(networks, limits=Limits(**json.loads(limits)))
        _work(socket.socket(fileno=int(jobs)), tools, float(stall_s))
    return 0


@contextlib.contextmanager
def _for_at_most(seconds: float) -> Iterator[None]:
    """End the process where the block takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _work(jobs: socket.socket, tools: Tools, stall_s: float) -> None:
    while True:
        message, files, _, _ = socket.recv_fds(jobs, JOB_BYTES, 2)
        if not message:
            return
        file, answer_to = files
        with os.fdopen(file, "rb") as data, socket.socket(fileno=answer_to) as caller:
            if _gone(caller):
                continue
            with _for_at_most(stall_s):
                data.seek(0)
                images = [data.read(size_bytes) for size_bytes in json.loads(message)]
                answer = _answer(images, tools)
            with contextlib.suppress(OSError):  # the caller did not wait
                send(caller, *answer)


def _gone(caller: socket.socket) -> bool:
    try:
        return not caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:  # it says nothing, but it is there
        return False


def _answer(images: Sequence[bytes], tools: Tools) -> tuple[dict[str, Any], bytes]:
    try:
        about, numbers = packed(_analyzed(images, tools))
    except Exception as error:  # noqa: BLE001  the process boundary: the parent tells Triton
        return {"kind": "failed", "message": f"{type(error).__name__}: {error}"}, b""
    return {"kind": "faces", "pictures": about}, numbers


def _analyzed(images: Sequence[bytes], tools: Tools) -> list[Faces | InputError]:
    try:
        return analyze_images(images, tools)
    except MemoryError:
        if len(images) > 1:
            return [item for image in images for item in _analyzed([image], tools)]
        message = f"image: analysing it takes over {_MAX_MEMORY_BYTES} bytes"
        return [InputError("too_large", message)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
