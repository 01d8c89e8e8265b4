"""Where somebody speaks: Silero's voice-activity network, and utterances cut from its answer.

The network (MIT licence, in the `silero-vad` package) gives a speech probability for every 512
samples at 16 000 Hz; it sees 64 samples before each window and carries an LSTM state along. The
rules that turn probabilities into stretches are those of the package's `get_speech_timestamps`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.media import RATE_HZ
from emoserve_ensemble.networks import Networks, ask

WINDOW = 512  # samples
CONTEXT = 64  # samples
WINDOW_S = WINDOW / RATE_HZ


@dataclass(frozen=True)
class VoiceSettings:
    """How probabilities become utterances.

    Attributes:
        threshold: a window at or above it is speech; it stays speech down to `threshold - 0.15`.
        min_speech_s: shorter stretches are noise.
        pause_s: a pause this long ends an utterance.
        max_utterance_s: a longer one is cut at its quietest moment.
        pad_s: added on both sides.
    """

    threshold: float = 0.5
    min_speech_s: float = 0.25
    pause_s: float = 0.6
    max_utterance_s: float = 15.0
    pad_s: float = 0.1


@dataclass(frozen=True)
class Utterance:
    """A stretch of speech and its sound: float32 [samples], 16 000 Hz mono."""

    start_s: float
    end_s: float
    samples: Floats


class VoiceDetector:
    """Turns a stream of sound into utterances, keeping only the utterance in progress in memory.

    Args:
        networks: asked for `voice_net`.
        start_s: time of the first sample.
    """

    def __init__(
        self, networks: Networks, settings: VoiceSettings | None = None, *, start_s: float = 0.0
    ) -> None:
        self._networks = networks
        self._settings = settings or VoiceSettings()
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._waiting = np.zeros(0, np.float32)  # samples not yet a whole window
        self._kept = np.zeros(0, np.float32)  # samples an utterance may still need
        self._kept_from = 0  # sample index of _kept[0]
        self._given = 0  # samples of the sound so far
        self._seen = 0  # windows seen
        self._first: int | None = None  # first window of the utterance in progress
        self._last = 0  # its last speech window
        self._speech: list[float] = []  # probabilities since _first
        self._start_s = start_s

    @property
    def settled_s(self) -> float:
        """Time up to which no further utterance will begin: all earlier ones have been given."""
        window = self._first if self._first is not None else self._seen
        return self._start_s + window * WINDOW_S - self._settings.pad_s

    def feed(self, samples: Floats) -> Iterator[Utterance]:
        """Yield the utterances that these samples complete: float32 [samples], 16 000 Hz mono."""
        self._given += len(samples)
        yield from self._take(samples)

    def whole(self, samples: Floats) -> Iterator[Utterance]:
        """Yield the utterances of a whole sound: `feed` and `finish` with one question less."""
        self._given += len(samples)
        missing = -len(samples) % WINDOW
        yield from self._take(np.pad(samples, (0, missing)) if missing else samples)
        yield from self.finish()

    def _take(self, samples: Floats) -> Iterator[Utterance]:
        self._kept = np.concatenate([self._kept, samples])
        self._waiting = np.concatenate([self._waiting, samples])
        count = len(self._waiting) // WINDOW
        if count:
            windows, self._waiting = np.split(self._waiting, [count * WINDOW])
            for probability in self._probabilities(windows).tolist():
                if utterance := self._step(probability):
                    yield utterance
        self._forget()

    def finish(self) -> Iterator[Utterance]:
        """Yield what the end of the sound completes."""
        if len(self._waiting):
            missing = np.zeros(WINDOW - len(self._waiting), np.float32)
            yield from self._take(missing)  # not part of the sound: no utterance reaches into it
        if self._first is not None and (utterance := self._close()):
            yield utterance

    def _probabilities(self, samples: Floats) -> Floats:
        # [windows * 512] -> [windows, 64 + 512]
        stream = np.concatenate([self._context, samples])
        rows = np.lib.stride_tricks.sliding_window_view(stream, CONTEXT + WINDOW)[::WINDOW]
        self._context = stream[-CONTEXT:].copy()
        answer = ask(
            self._networks, "voice_net", windows=np.ascontiguousarray(rows), h=self._h, c=self._c
        )
        self._h, self._c = answer["hn"], answer["cn"]
        return answer["speech"].reshape(-1)

    def _step(self, probability: float) -> Utterance | None:
        """Take the next window; return the utterance that it completes."""
        settings = self._settings
        window = self._seen
        self._seen += 1
        if self._first is None:
            if probability >= settings.threshold:
                self._first = self._last = window
                self._speech = [probability]
            return None
        self._speech.append(probability)
        if probability >= settings.threshold - 0.15:
            self._last = window
        if (window - self._last) * WINDOW_S >= settings.pause_s:
            return self._close()
        if (window - self._first) * WINDOW_S >= settings.max_utterance_s:
            return self._split()
        return None

    def _close(self) -> Utterance | None:
        """Return the utterance in progress, unless it is too short for one."""
        first = self._first
        self._first = None
        if first is None or (self._last + 1 - first) * WINDOW_S < self._settings.min_speech_s:
            return None
        return self._cut(first, self._last + 1)

    def _split(self) -> Utterance:
        """Cut an endless utterance at the least likely window of its second half."""
        assert self._first is not None
        half = len(self._speech) // 2
        first, cut = self._first, self._first + half + int(np.argmin(self._speech[half:]))
        self._speech = self._speech[cut - first :]
        self._first = cut
        return self._cut(first, cut)

    def _cut(self, first: int, stop: int) -> Utterance:
        pad = int(self._settings.pad_s * RATE_HZ)
        begin = max(first * WINDOW - pad, self._kept_from)
        end = min(stop * WINDOW + pad, self._given)
        samples = self._kept[begin - self._kept_from : end - self._kept_from]
        start_s = self._start_s + begin / RATE_HZ
        return Utterance(start_s, start_s + len(samples) / RATE_HZ, samples)

    def _forget(self) -> None:
        """Drop samples that no utterance can need any more."""
        first = self._first if self._first is not None else self._seen
        needed = max(self._kept_from, first * WINDOW - int(self._settings.pad_s * RATE_HZ))
        self._kept = self._kept[needed - self._kept_from :]
        self._kept_from = needed


def find_utterances(
    samples: Floats, networks: Networks, settings: VoiceSettings | None = None
) -> list[Utterance]:
    """Return the utterances of a whole sound, none in silence: float32 [samples], 16 000 Hz."""
    return list(VoiceDetector(networks, settings).whole(samples))
