"""The child of `RecogniserProcess`: recognises words in a process that may be killed at any time.

python -m emoserve_ensemble.recogniser_worker SOCKET
"""

import socket
import sys
from dataclasses import astuple
from typing import Any

import numpy as np

from emoserve_ensemble.child import Data, confine, serve
from emoserve_ensemble.recogniser import Recogniser
from emoserve_ensemble.transcription import Transcriber
from emoserve_ensemble.wire import send


class _Worker:
    """Keeps the recogniser that the first job named."""

    def __init__(self) -> None:
        self._transcriber: Transcriber | None = None

    def answer(self, parent: socket.socket, job: dict[str, Any], sound: Data) -> None:
        """Send the words of one utterance."""
        try:
            if self._transcriber is None:
                self._transcriber = Recogniser(**job).load()
            words = self._transcriber.words(np.frombuffer(sound.read(), np.float32))
        except Exception as error:  # noqa: BLE001  the process boundary: the parent raises it again
            send(parent, {"kind": "failed", "message": str(error)})
        else:
            send(parent, {"kind": "words", "words": [astuple(word) for word in words]})


def main(argv: list[str]) -> int:
    """Recognise one utterance after the other until the parent closes the socket."""
    confine()
    serve(argv[0], _Worker().answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
