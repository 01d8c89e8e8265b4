"""The child of `FaceProcess`: analyses pictures in a process that may die without harm.

python -m emoserve_ensemble.face_worker SOCKET REPOSITORY THREADS
"""

import mmap
import os
import resource
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from emoserve_ensemble.child import Data, confine, serve
from emoserve_ensemble.decoder import LocalDecoder
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face import analyze_images
from emoserve_ensemble.faces import NETWORKS, Faces, packed
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks, Networks
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.wire import send

_MAX_MEMORY_BYTES = 6 * 2**30
_NICE = 5  # those who bring the next pictures need little, but at once


def main(argv: list[str]) -> int:
    """Load the networks, say so, and work until the parent closes the socket."""
    number, repository, threads = argv
    confine()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    os.nice(_NICE)
    cv2.setNumThreads(1)
    networks = LocalNetworks(Path(repository), NETWORKS, int(threads))
    networks.check()
    ready = {"kind": "ready", "versions": dict(networks.versions)}
    serve(number, partial(_answer, networks), ready)
    return 0


def _answer(networks: Networks, parent: socket.socket, job: dict[str, Any], data: Data) -> None:
    assert isinstance(data, mmap.mmap)
    tools = Tools(networks, decoder=LocalDecoder(), limits=Limits(**job["limits"]))
    images, start = [], 0
    for size_bytes in job["images"]:
        images.append(data[start : start + size_bytes])
        start += size_bytes
    try:
        about, numbers = packed(_analyzed(images, tools))
    except Exception as error:  # noqa: BLE001  the process boundary: the parent tells Triton
        send(parent, {"kind": "failed", "message": f"{type(error).__name__}: {error}"})
    else:
        send(parent, {"kind": "faces", "pictures": about}, numbers)


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
