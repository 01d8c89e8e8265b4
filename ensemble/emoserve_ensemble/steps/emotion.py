"""`emotion`: any subset of pictures, sound and text to one answer."""

from collections.abc import Callable, Sequence
from typing import Any

from emoserve_ensemble import emotion
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Fused
from emoserve_ensemble.steps._step import Step, rows_of, stacked


class Emotion(Step[emotion.Given, Fused]):
    """Moments to fused answers. In a batch, empty bytes stand for «absent»."""

    networks_needed = emotion.NETWORKS
    reads_text = True

    def decode(self, request: Any) -> list[emotion.Given]:
        inputs = {name: rows_of(request, name) for name in ("images", "audio", "text")}
        size = max(len(rows) for rows in inputs.values() if rows is not None)
        images = inputs["images"] or [[]] * size
        audio = inputs["audio"] or [[b""]] * size
        texts = inputs["text"] or [[b""]] * size
        return [
            emotion.Given(tuple(pictures), sound[0], words[0])
            for pictures, sound, words in zip(images, audio, texts, strict=True)
        ]

    def predict(self, members: Sequence[emotion.Given]) -> Sequence[Fused | InputError]:
        answers = emotion.analyze_moments(members, self.tools)
        for answer in answers:
            if isinstance(answer, Fused):
                self.metrics.counted(answer.moment)
        return answers

    def encode(self, members: Sequence[Fused | InputError]) -> dict[str, Callable[[], Tensor]]:
        fused = [None if isinstance(item, InputError) else item for item in members]
        return {
            "answer": lambda: self.answer_tensor(members, Fused.to_json),
            "emotion": lambda: stacked([item.emotion if item else None for item in fused], 7),
            "sentiment": lambda: stacked([item.sentiment if item else None for item in fused], 3),
            "presence": lambda: stacked(
                [item.moment.presence if item else None for item in fused], 3
            ),
        }
