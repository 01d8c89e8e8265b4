"""The child of `DecoderProcess`: decodes clips and pictures in a process that may die without harm.

python -m emoserve_ensemble.decoder_worker SOCKET
"""

import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, BinaryIO

import cv2
import numpy as np

from emoserve_ensemble.arrays import Pixels
from emoserve_ensemble.child import Data, confine, serve
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Sampling, Sound
from emoserve_ensemble.wire import send

_MAX_MEMORY_BYTES = 4 * 2**30


def main(argv: list[str]) -> int:
    """Decode one input after the other until the parent closes the socket."""
    confine()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    os.nice(1)
    cv2.setNumThreads(1)
    serve(argv[0], _answer)
    return 0


def _answer(parent: socket.socket, job: dict[str, Any], data: Data) -> None:
    limits = Limits(**job["limits"])
    if isinstance(data, mmap.mmap):
        _answer_pictures(parent, job["pictures"], data, limits)
    else:
        sampling = Sampling(**job["sampling"])
        _send_or_refuse(parent, partial(_send_clip, parent, data, limits, sampling))


def _send_or_refuse(parent: socket.socket, work: Callable[[], None]) -> None:
    try:
        work()
    except InputError as error:
        send(parent, {"kind": "error", "reason": error.reason, "message": error.message})
    except MemoryError:
        message = f"media: decoding it takes over {_MAX_MEMORY_BYTES} bytes"
        send(parent, {"kind": "error", "reason": "too_large", "message": message})


def _answer_pictures(
    parent: socket.socket, sizes: Sequence[tuple[int, int]], memory: mmap.mmap, limits: Limits
) -> None:
    """Put each picture's pixels into its room: no bytes go through the socket.

    Args:
        sizes: bytes of each picture, and of its room; the rooms come after all pictures.
    """
    start, room = 0, sum(size for size, _ in sizes)
    for size, room_bytes in sizes:
        image = memory[start : start + size]
        place = np.frombuffer(memory, np.uint8, room_bytes, room)
        _send_or_refuse(parent, partial(_place, parent, image, place, limits))
        start, room = start + size, room + room_bytes


def _place(parent: socket.socket, image: bytes, place: Pixels, limits: Limits) -> None:
    pixels = decode_image(image, limits)
    if pixels.size > place.size:
        raise InputError("undecodable", "image: larger than its header says")
    place[: pixels.size] = pixels.reshape(-1)
    send(parent, {"kind": "picture", "shape": list(pixels.shape)})


def _send_clip(parent: socket.socket, media: BinaryIO, limits: Limits, sampling: Sampling) -> None:
    from emoserve_ensemble.media_reader import MediaReader  # not for pictures: 16 MB

    with MediaReader(media, limits, sampling) as reader:
        send(parent, {"kind": "info", "info": asdict(reader.info)})
        for event in reader.events():
            if isinstance(event, Sound):
                header = {"kind": "sound", "time_s": event.start_s}
                send(parent, header, event.samples.tobytes())
            else:
                shape = list(event.pixels.shape)
                header = {"kind": "frame", "time_s": event.time_s, "shape": shape}
                send(parent, header, event.pixels.tobytes())
    send(parent, {"kind": "end"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
