"""The child of `DecoderProcess`: decodes clips and pictures in a process that may die without harm.

python -m emoserve_ensemble.decoder_worker SOCKET
"""

import os
import resource
import socket
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import cv2

from emoserve_ensemble.child import confine, serve
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import MediaReader, Sampling, Sound
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


def _answer(parent: socket.socket, job: dict[str, Any], media: BinaryIO) -> None:
    limits = Limits(**job["limits"])
    try:
        if "picture" in job:
            pixels = decode_image(media.read(), limits)
            send(parent, {"kind": "picture", "shape": list(pixels.shape)}, pixels.data.cast("B"))
        else:
            _send_clip(parent, MediaReader(media, limits, Sampling(**job["sampling"])))
    except InputError as error:
        send(parent, {"kind": "error", "reason": error.reason, "message": error.message})
    except MemoryError:
        message = f"media: decoding it takes over {_MAX_MEMORY_BYTES} bytes"
        send(parent, {"kind": "error", "reason": "too_large", "message": message})


def _send_clip(parent: socket.socket, reader: MediaReader) -> None:
    with reader:
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
