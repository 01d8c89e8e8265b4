"""Sound to emotions: where somebody speaks, log-mel windows of it, the speech network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats, parts
from emoserve_ensemble.decoder import decode_sound
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Absent, Evidence, pooled
from emoserve_ensemble.labels import to_canonical
from emoserve_ensemble.log_mel import windows
from emoserve_ensemble.media import RATE_HZ
from emoserve_ensemble.networks import Networks, Question, Tensors, ask_many
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.voice import Utterance, find_utterances

NETWORKS = ("voice_net", "speech_net")
TOGETHER = 60 * RATE_HZ
"""Samples of a batch's sounds that wait decoded for the next stage; one sound may have more."""


@dataclass(frozen=True)
class Windows:
    """Windows of the speech in a sound.

    Attributes:
        duration_s: of the whole sound, silence included.
        spans: float32 [windows, 2], start and end in seconds of the sound.
        log_mel: float32 [windows, 64, 300].
    """

    duration_s: float
    spans: Floats
    log_mel: Floats


@dataclass(frozen=True)
class Speech:
    """What the speech in a sound expresses; no windows where nobody speaks.

    Attributes:
        spans: float32 [windows, 2], seconds.
        emotion: float32 [windows, 7], canonical order.
        embedding: float32 [windows, 128].
    """

    duration_s: float
    spans: Floats
    emotion: Floats
    embedding: Floats

    def __len__(self) -> int:
        return len(self.spans)

    def evidence(self) -> Evidence | Absent:
        """Return it as a modality: windows count by their length."""
        if not len(self):
            return Absent("no speech")
        shares = self.spans[:, 1] - self.spans[:, 0]
        details = {
            "windows": len(self),
            "seconds": round(float(self.spans.max() - self.spans.min()), 3),
        }
        return Evidence(pooled(self.emotion, shares), pooled(self.embedding, shares), details)

    def to_json(self) -> answers.Json:
        evidence = self.evidence()
        overall = answers.emotions(evidence.emotion) if isinstance(evidence, Evidence) else []
        rows = zip(self.spans, self.emotion, strict=True)
        return {
            "duration": round(self.duration_s, 3),
            "speech": bool(len(self)),
            "emotions": overall,
            "windows": [
                {
                    "start_time": round(float(start), 3),
                    "end_time": round(float(end), 3),
                    "emotions": answers.emotions(emotion),
                }
                for (start, end), emotion in rows
            ],
        }


def speech_windows(utterances: Sequence[Utterance], duration_s: float) -> Windows:
    """Return the windows of utterances, none crossing from one into the next."""
    mels, spans = [], []
    for utterance in utterances:
        cut = windows(utterance.samples)
        mels.append(cut.log_mel)
        spans.append(cut.times + np.float32(utterance.start_s))
    if not mels:
        return Windows(duration_s, np.zeros((0, 2), np.float32), np.zeros((0, 64, 300), np.float32))
    return Windows(duration_s, np.concatenate(spans), np.concatenate(mels))


def cut_sounds(sounds: Sequence[bytes], tools: Tools) -> list[Windows | InputError]:
    """Return the windows of the speech in each encoded sound, or why it cannot be used; in order.

    All sounds (up to `TOGETHER`) take one stage after the other, so that what a stage reads stays
    in the core's cache: 0.88 of the time of one sound after the other (docs/decisions.md 26).
    """
    cut: dict[int, Windows | InputError] = {}
    waiting: dict[int, Floats] = {}
    for index, sound in enumerate(sounds):
        try:
            waiting[index] = decode_sound(sound, tools.decoder, tools.limits)
        except InputError as error:
            cut[index] = error
        if sum(map(len, waiting.values())) >= TOGETHER:
            cut |= _cut(waiting, tools.networks)
            waiting = {}
    cut |= _cut(waiting, tools.networks)
    return [cut[index] for index in range(len(sounds))]


def _cut(decoded: Mapping[int, Floats], networks: Networks) -> dict[int, Windows]:
    found = {index: find_utterances(samples, networks) for index, samples in decoded.items()}
    return {
        index: speech_windows(utterances, len(decoded[index]) / RATE_HZ)
        for index, utterances in found.items()
    }


def speech_questions(sounds: Sequence[Windows]) -> list[Question]:
    """Return the question to `speech_net` for several sounds; none without windows."""
    log_mel = [sound.log_mel for sound in sounds if len(sound.log_mel)]
    return [Question("speech_net", {"log_mel": np.concatenate(log_mel)})] if log_mel else []


def spoken(sounds: Sequence[Windows], got: Sequence[Tensors], networks: Networks) -> list[Speech]:
    """Return what each sound expresses, from the answers to `speech_questions`."""
    emotion, embedding = np.zeros((0, 7), np.float32), np.zeros((0, 128), np.float32)
    for answer in got:
        emotion = to_canonical(answer["emotion"], networks.labels("speech_net", "emotion"))
        embedding = answer["embedding"]
    lengths = [len(sound.spans) for sound in sounds]
    rows = zip(sounds, parts(emotion, lengths), parts(embedding, lengths), strict=True)
    return [Speech(sound.duration_s, sound.spans, own, embedded) for sound, own, embedded in rows]


def analyze_windows(sounds: Sequence[Windows], networks: Networks) -> list[Speech]:
    """Return what each sound expresses."""
    return spoken(sounds, ask_many(networks, speech_questions(sounds)), networks)


def analyze_sounds(sounds: Sequence[bytes], tools: Tools) -> list[Speech | InputError]:
    """Return what each encoded sound expresses, or why it cannot be used; in order."""
    cut = cut_sounds(sounds, tools)
    good = [item for item in cut if isinstance(item, Windows)]
    analyzed = iter(analyze_windows(good, tools.networks) if good else [])
    return [item if isinstance(item, InputError) else next(analyzed) for item in cut]
