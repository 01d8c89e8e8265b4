"""`transcribe`: sound to words with their times."""

from collections.abc import Callable, Sequence
from typing import Any

from emoserve_ensemble import transcript
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.steps._step import Step, StepConfig, rows_of
from emoserve_ensemble.transcript import Transcript


class Transcribe(Step[bytes, Transcript]):
    """Encoded sounds to utterances with their words."""

    networks_needed = ("voice_net",)

    def load(self, config: StepConfig) -> None:
        self.transcriber = config.transcriber()

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "audio") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[Transcript | InputError]:
        return [transcript.transcribe(member, self.tools, self.transcriber) for member in members]

    def encode(self, members: Sequence[Transcript | InputError]) -> dict[str, Callable[[], Tensor]]:
        return {"answer": lambda: self.answer_tensor(members, Transcript.to_json)}
