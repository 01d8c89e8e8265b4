"""Three modalities' answers to one: any non-empty subset, and the answer says which counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.labels import MODALITIES, SENTIMENTS, to_canonical
from emoserve_ensemble.networks import Networks, ask

NETWORKS = ("fusion_net",)


@dataclass(frozen=True)
class Evidence:
    """What one modality says of a moment.

    Attributes:
        emotion: float32 [7], canonical order.
        embedding: float32 [128], what the fusion network was trained on.
        details: what the answer tells beside it (number of faces, the text, ...).
    """

    emotion: Floats
    embedding: Floats
    details: answers.Json = field(default_factory=dict)

    def to_json(self, weight: float) -> answers.Json:
        own = {
            "present": True,
            "weight": round(weight, 6),
            "emotions": answers.emotions(self.emotion),
        }
        return own | self.details


@dataclass(frozen=True)
class Absent:
    """A modality that does not count, and why: «not given», «no face», «no speech», ..."""

    reason: str
    details: answers.Json = field(default_factory=dict)

    def to_json(self, weight: float) -> answers.Json:
        return {"present": False, "weight": round(weight, 6), "reason": self.reason} | self.details


@dataclass(frozen=True)
class Moment:
    """What is known of one moment: a picture and its sound, an utterance of a clip, ..."""

    face: Evidence | Absent
    speech: Evidence | Absent
    text: Evidence | Absent

    @property
    def parts(self) -> tuple[Evidence | Absent, ...]:
        return (self.face, self.speech, self.text)  # the order of MODALITIES

    @property
    def presence(self) -> Floats:
        """float32 [3]: 1 where a modality counts."""
        return np.asarray([isinstance(part, Evidence) for part in self.parts], np.float32)

    @property
    def nothing(self) -> bool:
        return not self.presence.any()

    def why_nothing(self) -> str:
        """Return why each modality is missing, in words."""
        return ", ".join(
            f"{name}: {part.reason}"
            for name, part in zip(MODALITIES, self.parts, strict=True)
            if isinstance(part, Absent)
        )


@dataclass(frozen=True)
class Fused:
    """A moment and the fusion network's answer.

    Attributes:
        emotion: float32 [7]; sentiment: float32 [3]; weight: float32 [3], of the modalities.
    """

    moment: Moment
    emotion: Floats
    sentiment: Floats
    weight: Floats

    def to_json(self) -> answers.Json:
        return {
            "emotions": answers.emotions(self.emotion),
            "sentiments": answers.sentiments(self.sentiment),
            "modalities": {
                name: part.to_json(float(weight))
                for name, part, weight in zip(
                    MODALITIES, self.moment.parts, self.weight, strict=True
                )
            },
        }


def fuse(moments: Sequence[Moment], networks: Networks) -> list[Fused]:
    """Return the fused answer of each moment, none of which may be empty."""
    if not moments:
        return []
    embeddings = np.zeros((len(moments), len(MODALITIES), 128), np.float32)
    for row, moment in enumerate(moments):
        for column, part in enumerate(moment.parts):
            if isinstance(part, Evidence):
                embeddings[row, column] = part.embedding
    presence = np.stack([moment.presence for moment in moments])  # [moments, 3]
    answer = ask(networks, "fusion_net", embeddings=embeddings, presence=presence)
    emotion = to_canonical(answer["emotion"], networks.labels("fusion_net", "emotion"))
    sentiment = to_canonical(
        answer["sentiment"], networks.labels("fusion_net", "sentiment"), SENTIMENTS
    )
    rows = zip(moments, emotion, sentiment, answer["weight"], strict=True)
    return [Fused(*row) for row in rows]


def pooled(values: Floats, shares: Floats) -> Floats:
    """Return the mean of float32 [n, width], weighted by float32 [n]: float32 [width]."""
    return np.asarray(np.average(values, axis=0, weights=shares), np.float32)
