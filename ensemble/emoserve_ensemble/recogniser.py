"""Recognising words in a place of its own: it can be stopped in the middle of an utterance.

Neither PocketSphinx nor CTranslate2 can be interrupted while it works, so each runs in a child
that is kept warm, is killed when the caller has gone, and is started again at once.
"""

import queue
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.child import LOOK_S, Child, ChildError
from emoserve_ensemble.errors import CallerGoneError, Cancelled, never
from emoserve_ensemble.transcription import PocketSphinx, Transcriber, Word
from emoserve_ensemble.whisper import Whisper

STALL_S = 600.0  # a large Whisper on one thread may take minutes for an utterance, or to load


@dataclass(frozen=True)
class Recogniser:
    """Which recogniser, and with what.

    Attributes:
        name: `pocketsphinx`, or `whisper`.
        folder: of Whisper's model.
        language: two letters, or None to let Whisper find out.
    """

    name: str = "pocketsphinx"
    folder: str = ""
    language: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ("pocketsphinx", "whisper"):
            raise ValueError(f"transcriber is {self.name!r}; pocketsphinx and whisper are known")

    def load(self) -> Transcriber:
        """Return the recogniser, loaded in this process.

        Raises:
            FileNotFoundError, ImportError: it cannot be; says how to help it.
        """
        if self.name == "whisper":
            return Whisper(Path(self.folder), self.language)
        return PocketSphinx()


class RecogniserProcess:
    """Recognises in a child process, one utterance at a time."""

    ways = 1

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._start()

    def loaded(self) -> "RecogniserProcess":
        """Wait until the recogniser is loaded, and return it.

        Raises:
            ChildError: it cannot be; says why.
        """
        self._skip(never)
        return self

    @property
    def name(self) -> str:
        return self._recogniser.name

    def words(self, samples: Floats, cancelled: Cancelled = never) -> list[Word]:
        """Return the words said; `samples` is float32 [samples], 16 000 Hz mono.

        Raises:
            CallerGoneError: `cancelled()` became true; the work has been stopped.
            ChildError: the recogniser crashed or hung; the next utterance finds a new one.
        """
        if cancelled():
            raise CallerGoneError
        try:
            self._skip(cancelled)
            self._ask(samples)
            return self._answer(cancelled)
        finally:
            if not self._child.alive:
                self._start()

    def close(self) -> None:
        """End the child."""
        self._child.kill()

    def _start(self) -> None:
        """Start a child that loads the recogniser, and do not wait for it."""
        self._child = Child("emoserve_ensemble.recogniser_worker")
        self._ask(np.zeros(0, np.float32))  # no sound, no words: an answer says that it is loaded
        self._loading = True

    def _skip(self, cancelled: Cancelled) -> None:
        """Wait until the recogniser is loaded."""
        if self._loading:
            self._answer(cancelled)
            self._loading = False

    def _ask(self, samples: Floats) -> None:
        self._child.start(asdict(self._recogniser), np.ascontiguousarray(samples).data.cast("B"))

    def _answer(self, cancelled: Cancelled) -> list[Word]:
        try:
            header, _ = self._child.receive(STALL_S, cancelled)
        except ChildError as error:
            raise ChildError(f"the recogniser {self.name}: {error}") from error
        if header["kind"] == "failed":
            self._child.kill()
            raise ChildError(f"the recogniser {self.name}: {header['message']}")
        return [Word(*word) for word in header["words"]]


class Recognisers:
    """Several such processes, for threads that each take a free one.

    Args:
        count: of processes.

    Raises:
        ChildError: the recogniser cannot be loaded; says why.
    """

    def __init__(self, recogniser: Recogniser, count: int) -> None:
        self._all = [RecogniserProcess(recogniser) for _ in range(count)]
        self._free: queue.SimpleQueue[RecogniserProcess] = queue.SimpleQueue()
        for process in self._all:
            self._free.put(process.loaded())

    @property
    def name(self) -> str:
        return self._all[0].name

    @property
    def ways(self) -> int:
        return len(self._all)

    def words(self, samples: Floats, cancelled: Cancelled = never) -> list[Word]:
        """Return what a free one's `words` does; raises as it does."""
        process = self._taken(cancelled)
        try:
            return process.words(samples, cancelled)
        finally:
            self._free.put(process)

    def _taken(self, cancelled: Cancelled) -> RecogniserProcess:
        while True:
            try:
                return self._free.get(timeout=LOOK_S)
            except queue.Empty:
                if cancelled():
                    raise CallerGoneError from None

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.close()
