"""Timed subtitles that a caller gives instead of a transcript: SRT and WebVTT.

Sources: the W3C recommendation «WebVTT: The Web Video Text Tracks Format», section 4; SubRip has no
standard, this is what its files have in common.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.media import RATE_HZ
from emoserve_ensemble.voice import Utterance

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^>]{0,200}>|\{\\[^}]{0,200}\}")
MAX_CUES = 20_000


@dataclass(frozen=True)
class Cue:
    """One subtitle: what is shown from when to when, seconds."""

    start_s: float
    end_s: float
    text: str


def is_timed(text: str) -> bool:
    """Tell subtitles from a plain transcript: some line is a timing line."""
    return any(_TIMING.match(line) for line in text.splitlines())


def read_cues(text: str) -> list[Cue]:
    """Return the cues of SRT or WebVTT in order of time, without markup.

    Raises:
        InputError: no cue has any text, one ends before it starts, or there are too many.
    """
    cues = sorted(_cues(text), key=lambda cue: cue.start_s)
    if not cues:
        raise InputError("empty", "transcript: timed subtitles without any text in them")
    if len(cues) > MAX_CUES:
        raise InputError(
            "too_large", f"transcript: {len(cues)} subtitles; at most {MAX_CUES} are accepted"
        )
    return cues


def _cues(text: str) -> Iterator[Cue]:
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.split("\n")
        for index, line in enumerate(lines):
            timing = _TIMING.match(line)
            if timing is None:
                continue
            start_s, end_s = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
            if end_s < start_s:
                raise InputError(
                    "undecodable", f"transcript: a subtitle ends before it starts: {line!r}"
                )
            words = " ".join(html.unescape(_TAG.sub("", row)) for row in lines[index + 1 :]).split()
            if words:
                yield Cue(start_s, end_s, " ".join(words))
            break


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000


class CueSegmenter:
    """Cuts sound where the subtitles say, with the methods of `VoiceDetector`."""

    def __init__(self, cues: Sequence[Cue]) -> None:
        self._cues = list(cues)
        self._kept = np.zeros(0, np.float32)
        self._kept_from = 0  # sample index of _kept[0]

    @property
    def settled_s(self) -> float:
        """Time up to which no further utterance will begin."""
        return self._cues[0].start_s if self._cues else float("inf")

    def feed(self, samples: Floats) -> Iterator[Utterance]:
        """Yield the cues that these samples complete: float32 [samples], 16 000 Hz mono."""
        self._kept = np.concatenate([self._kept, samples])
        heard_s = (self._kept_from + len(self._kept)) / RATE_HZ
        while self._cues and self._cues[0].end_s <= heard_s:
            yield self._cut(self._cues.pop(0))
        needed = (
            round(self.settled_s * RATE_HZ) if self._cues else self._kept_from + len(self._kept)
        )
        drop = min(max(0, needed - self._kept_from), len(self._kept))
        self._kept = self._kept[drop:]
        self._kept_from += drop

    def finish(self) -> Iterator[Utterance]:
        """Yield the remaining cues, with what sound there is."""
        while self._cues:
            yield self._cut(self._cues.pop(0))

    def _cut(self, cue: Cue) -> Utterance:
        begin = max(round(cue.start_s * RATE_HZ) - self._kept_from, 0)
        end = max(round(cue.end_s * RATE_HZ) - self._kept_from, 0)
        return Utterance(cue.start_s, cue.end_s, self._kept[begin:end])
