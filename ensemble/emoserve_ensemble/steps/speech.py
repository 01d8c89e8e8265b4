"""`speech` and `speech_features`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emoserve_ensemble import speech
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Evidence
from emoserve_ensemble.steps._step import Step, padded, rows_of, stacked


class Speech(Step[bytes, speech.Speech]):
    """Encoded sounds to the emotion of the speech in them."""

    networks_needed = speech.NETWORKS

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "audio") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[speech.Speech | InputError]:
        answers = speech.analyze_sounds(members, self.tools)
        self.metrics.heard(sum(a.duration_s for a in answers if isinstance(a, speech.Speech)))
        return answers

    def encode(
        self, members: Sequence[speech.Speech | InputError]
    ) -> dict[str, Callable[[], Tensor]]:
        heard = [_evidence(item) for item in members]
        return {
            "answer": lambda: self.answer_tensor(members, speech.Speech.to_json),
            "emotion": lambda: stacked([item.emotion if item else None for item in heard], 7),
            "embedding": lambda: stacked([item.embedding if item else None for item in heard], 128),
        }


def _evidence(item: speech.Speech | InputError) -> Evidence | None:
    if isinstance(item, InputError):
        return None
    evidence = item.evidence()
    return evidence if isinstance(evidence, Evidence) else None


class SpeechFeatures(Step[bytes, speech.Windows]):
    """Encoded sounds to windows as the speech network takes them."""

    networks_needed = ("voice_net",)

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "audio") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[speech.Windows | InputError]:
        return speech.cut_sounds(members, self.tools)

    def encode(
        self, members: Sequence[speech.Windows | InputError]
    ) -> dict[str, Callable[[], Tensor]]:
        nothing = speech.speech_windows([], 0.0)
        parts = [nothing if isinstance(item, InputError) else item for item in members]
        counts = [-1 if isinstance(item, InputError) else len(item.spans) for item in members]
        return {
            "count": lambda: np.asarray(counts, np.int32).reshape(-1, 1),
            "windows": lambda: padded([part.spans for part in parts]),
            "log_mel": lambda: padded([part.log_mel for part in parts]),
        }
