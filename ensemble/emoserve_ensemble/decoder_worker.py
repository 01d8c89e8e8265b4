"""The child of `DecoderProcess`: decodes clips in a process that may die without harm.

python -m emoserve_ensemble.decoder_worker SOCKET
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import MediaReader, Sampling, Sound
from emoserve_ensemble.wire import send

_PR_SET_PDEATHSIG = 1
_MAX_MEMORY_BYTES = 4 * 2**30
_JOB_BYTES = 1024


def main(argv: list[str]) -> int:
    """Decode one clip after the other until the parent closes the socket."""
    _confine()
    parent = socket.socket(fileno=int(argv[0]))
    while True:
        message, files, _, _ = socket.recv_fds(parent, _JOB_BYTES, 1)
        if not message or not files:
            return 0
        with os.fdopen(files[0], "rb") as media:
            _answer(parent, media, json.loads(message))


def _confine() -> None:
    """Die with the parent, own little memory, write no files, leave no core."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(1)


def _answer(parent: socket.socket, media: Any, job: dict[str, Any]) -> None:
    try:
        media.seek(0)
        reader = MediaReader(media, Limits(**job["limits"]), Sampling(**job["sampling"]))
        with reader:
            send(parent, {"kind": "info", "info": asdict(reader.info)})
            for event in reader.events():
                if isinstance(event, Sound):
                    header = {"kind": "sound", "time_s": event.start_s}
                    send(parent, header, event.samples.tobytes())
                else:
                    header = {
                        "kind": "frame",
                        "time_s": event.time_s,
                        "shape": list(event.pixels.shape),
                    }
                    send(parent, header, event.pixels.tobytes())
        send(parent, {"kind": "end"})
    except InputError as error:
        send(parent, {"kind": "error", "reason": error.reason, "message": error.message})
    except MemoryError:
        message = f"media: decoding it takes over {_MAX_MEMORY_BYTES} bytes"
        send(parent, {"kind": "error", "reason": "too_large", "message": message})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
