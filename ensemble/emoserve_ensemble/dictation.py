"""Recognising an utterance's words while the rest of the clip is decoded and looked at."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.child import LOOK_S
from emoserve_ensemble.errors import CallerGoneError, Cancelled
from emoserve_ensemble.transcription import Transcriber

MOST_AHEAD = 4  # utterances whose sound waits for the recogniser: at most a minute of it


@dataclass(frozen=True)
class Said:
    """An utterance's words, and where they come from: `given`, or the recogniser's name."""

    words: str
    source: str


def known(words: str) -> "Future[Said]":
    """Return words that the caller gives, as if they had been waited for."""
    future: Future[Said] = Future()
    future.set_result(Said(words, "given"))
    return future


def awaited(said: "Future[Said]", cancelled: Cancelled) -> Said:
    """Return the words, once they are there.

    Raises:
        CallerGoneError: `cancelled()` became true.
        ChildError: the recogniser crashed or hung.
    """
    while not wait([said], LOOK_S).done:
        if cancelled():
            raise CallerGoneError
    return said.result()


class Dictation:
    """Hands utterances to a recogniser, in order, without waiting for the words."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._stop = Event()
        self._threads = ThreadPoolExecutor(transcriber.ways, "dictation")
        self._begun: deque[Future[Said]] = deque()

    def begin(self, samples: Floats, cancelled: Cancelled) -> "Future[Said]":
        """Return the words to come; waits while `MOST_AHEAD` utterances do.

        Args:
            samples: float32 [samples], 16 000 Hz mono.

        Raises:
            CallerGoneError, ChildError: as `awaited`.
        """
        while len(self._begun) >= MOST_AHEAD:
            awaited(self._begun.popleft(), cancelled)
        self._begun.append(self._threads.submit(self._said, samples))
        return self._begun[-1]

    def _said(self, samples: Floats) -> Said:
        words = self._transcriber.words(samples, self._stop.is_set)
        return Said(" ".join(word.text for word in words), self._transcriber.name)

    def __enter__(self) -> "Dictation":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()  # the rest is not wanted
        self._threads.shutdown(cancel_futures=True)
