"""A sound's utterances, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from emoserve_ensemble import answers
from emoserve_ensemble.decoder import decode_sound
from emoserve_ensemble.errors import Cancelled, InputError, never
from emoserve_ensemble.media import RATE_HZ
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.transcription import Transcriber, Word
from emoserve_ensemble.voice import Utterance, find_utterances


@dataclass(frozen=True)
class Transcript:
    """What is said in a sound; no utterances where nobody speaks.

    Attributes:
        spoken: each utterance's start and end, and its words; seconds from the sound's start.
    """

    duration_s: float
    transcriber: str
    spoken: Sequence[tuple[float, float, Sequence[Word]]]

    def to_json(self) -> answers.Json:
        return {
            "duration": round(self.duration_s, 3),
            "source": self.transcriber,
            "text": " ".join(word.text for _, _, words in self.spoken for word in words),
            "utterances": [
                {
                    "start_time": round(start_s, 3),
                    "end_time": round(end_s, 3),
                    "text": " ".join(word.text for word in words),
                    "words": [_word(word) for word in words],
                }
                for start_s, end_s, words in self.spoken
            ],
        }


def _word(word: Word) -> answers.Json:
    times = {"start_time": round(word.start_s, 3), "end_time": round(word.end_s, 3)}
    return {"text": word.text} | times


def transcribe(
    data: bytes, tools: Tools, transcriber: Transcriber, cancelled: Cancelled = never
) -> Transcript | InputError:
    """Return what is said in an encoded sound, or why it cannot be used.

    Raises:
        CallerGoneError: `cancelled()` became true; the work has been stopped.
    """
    try:
        samples = decode_sound(data, tools.decoder, tools.limits, cancelled)
    except InputError as error:
        return error
    utterances = find_utterances(samples, tools.networks)
    spoken = [(u.start_s, u.end_s, _timed(u, transcriber, cancelled)) for u in utterances]
    return Transcript(len(samples) / RATE_HZ, transcriber.name, spoken)


def _timed(utterance: Utterance, transcriber: Transcriber, cancelled: Cancelled) -> list[Word]:
    """Return an utterance's words with times from the sound's start."""
    shift_s = utterance.start_s
    words = transcriber.words(utterance.samples, cancelled)
    return [Word(word.text, word.start_s + shift_s, word.end_s + shift_s) for word in words]
