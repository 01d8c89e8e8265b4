"""`emotion`: any subset of pictures, sound and text to one answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emoserve_ensemble import emotion, faces
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Fused
from emoserve_ensemble.steps._hands import Toolbox
from emoserve_ensemble.steps._pictures import PictureStep
from emoserve_ensemble.steps._step import StepConfig, rows_of, stacked


class Emotion(PictureStep[emotion.Given, Fused]):
    """Moments to fused answers. In a batch, empty bytes stand for «absent».

    With the networks in process, pictures go to processes like those of `face`, one for each core,
    while this one's hands listen and read (docs/decisions.md 23).
    """

    networks_needed = emotion.NETWORKS
    reads_text = True

    def load_beside(self, config: StepConfig) -> Mapping[str, str]:
        own = [name for name in self.networks_needed if name not in faces.NETWORKS]
        tools = replace(config.tools(own, reads_text=True), finder=self.processes)
        self._toolbox = Toolbox(tools)
        return tools.networks.versions

    def finalize(self) -> None:
        super().finalize()
        if self.processes is not None:
            self._toolbox.close()

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
        answers = self._analyzed(members)
        for answer in answers:
            if isinstance(answer, Fused):
                self.metrics.counted(answer.moment)
        return answers

    def _analyzed(self, members: Sequence[emotion.Given]) -> Sequence[Fused | InputError]:
        if self.processes is None:
            return emotion.analyze_moments(members, self.tools)
        with self._toolbox.taken() as tools:
            return emotion.analyze_moments(members, tools)

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
