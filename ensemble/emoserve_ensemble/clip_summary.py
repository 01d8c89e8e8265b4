"""What a whole clip comes to."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.fusion import Fused
from emoserve_ensemble.labels import EMOTIONS, MODALITIES
from emoserve_ensemble.persons import Person
from emoserve_ensemble.timeline import UNCERTAIN, Segment, dominant


class ClipSummary:
    """Adds up utterances: means by their length, and how often each emotion was dominant.

    Args:
        threshold: confidence under which a dominant emotion is «uncertain».
    """

    def __init__(self, threshold: float) -> None:
        self.utterances = 0
        self._threshold = threshold
        self._seconds = 0.0
        self._emotion = np.zeros(7, np.float32)
        self._sentiment = np.zeros(3, np.float32)
        self._presence = np.zeros(3, np.float32)
        self._counts: Counter[str] = Counter()
        self._segments: list[Segment] = []

    def add(self, start_s: float, end_s: float, fused: Fused) -> None:
        """Take the next utterance."""
        seconds = max(end_s - start_s, 0.01)
        self.utterances += 1
        self._seconds += seconds
        self._emotion += seconds * fused.emotion
        self._sentiment += seconds * fused.sentiment
        self._presence += fused.moment.presence
        label = dominant(fused.emotion, self._threshold)
        self._counts[label] += 1
        if self._segments and self._segments[-1].label == label:
            self._segments[-1].end_s = end_s
        else:
            self._segments.append(Segment(start_s, end_s, label))

    def to_json(self, duration_s: float, persons: Sequence[Person]) -> answers.Json:
        emotion = self._mean(self._emotion)
        return {
            "duration": round(duration_s, 3),
            "utterances": self.utterances,
            "dominant": dominant(emotion, self._threshold),
            "emotions": answers.emotions(emotion),
            "sentiments": answers.sentiments(self._mean(self._sentiment)),
            "counts": {label: self._counts[label] for label in (*EMOTIONS, UNCERTAIN)},
            "timeline": [segment.to_json() for segment in self._segments],
            "modalities": {
                name: int(count) for name, count in zip(MODALITIES, self._presence, strict=True)
            },
            "persons": [self._person(person) for person in persons],
        }

    def _mean(self, total: Floats) -> Floats:
        return np.asarray(total / self._seconds, np.float32)

    def _person(self, person: Person) -> answers.Json:
        return {
            "person": person.number,
            "start_time": round(person.first_s, 3),
            "end_time": round(person.last_s, 3),
            "frames": person.frames,
            "dominant": dominant(person.emotion, self._threshold),
            "emotions": answers.emotions(person.emotion),
            "timeline": [segment.to_json() for segment in person.segments],
        }
