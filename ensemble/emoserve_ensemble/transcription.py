"""Speech to words without a network connection: PocketSphinx and its package's English model.

A real recogniser, if a weak one: the answer always says that a text was recognised, not given.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import CallerGoneError, Cancelled, never


@dataclass(frozen=True)
class Word:
    """One recognised word and when it was said, seconds from the start of the sound given."""

    text: str
    start_s: float
    end_s: float


class Transcriber(Protocol):
    """Turns an utterance's sound into words."""

    @property
    def name(self) -> str: ...

    @property
    def ways(self) -> int:
        """How many utterances it recognises at the same time, for as many threads."""
        ...

    def words(self, samples: Floats, cancelled: Cancelled = never) -> list[Word]:
        """Return the words said; `samples` is float32 [samples], 16 000 Hz mono.

        Raises:
            CallerGoneError: it saw `cancelled()`; each recogniser says when it looks.
        """
        ...


class PocketSphinx:
    """The embedded default. Loading takes about a second; an utterance begun is finished."""

    name = "pocketsphinx"
    ways = 1
    _FRAME_S = 0.01
    _MOST_HYPOTHESES = 6_000  # in a frame; its default is 30 000 (docs/decisions.md 6)

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        # Cepstral means of each utterance alone, not adapted from one to the next.
        self._decoder = Decoder(
            samprate=16000.0, cmn="batch", maxhmmpf=self._MOST_HYPOTHESES, loglevel="FATAL"
        )

    def words(self, samples: Floats, cancelled: Cancelled = never) -> list[Word]:
        if cancelled():
            raise CallerGoneError
        if len(samples) < 1600:
            return []
        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        # Forget the noise level too: one caller's sound must not colour the next's.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        segments = self._decoder.seg() or []
        return [
            Word(
                _spelled(segment.word),
                segment.start_frame * self._FRAME_S,
                (segment.end_frame + 1) * self._FRAME_S,
            )
            for segment in segments
            if _is_word(segment.word)
        ]


def _is_word(token: str) -> bool:
    """Tell words from the recogniser's fillers: `<s>`, `<sil>`, `[NOISE]`."""
    return not token.startswith(("<", "[", "+"))


def _spelled(token: str) -> str:
    """Return a word without the mark of its pronunciation variant: `the(2)` -> `the`."""
    return token.split("(", 1)[0]
