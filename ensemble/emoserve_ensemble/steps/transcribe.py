"""`transcribe`: sound to words with their times."""

from collections.abc import Callable, Sequence
from typing import Any

from emoserve_ensemble import transcript
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import Cancelled, InputError
from emoserve_ensemble.steps._step import Step, StepConfig, rows_of
from emoserve_ensemble.transcript import Transcript


class Transcribe(Step[bytes, Transcript]):
    """Encoded sounds to utterances with their words."""

    networks_needed = ("voice_net",)
    cancelled: Cancelled

    def load(self, config: StepConfig) -> None:
        super().load(config)
        self.transcriber = config.transcriber()

    def finalize(self) -> None:
        """End what the step started; Triton calls this once."""
        super().finalize()
        self.transcriber.close()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer one request after the other: a batch gains nothing, and each may be cancelled."""
        responses = []
        for request in requests:
            self.cancelled = request.is_cancelled
            responses += super().execute([request])
        return responses

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "audio") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[Transcript | InputError]:
        return [
            transcript.transcribe(member, self.tools, self.transcriber, self.cancelled)
            for member in members
        ]

    def encode(self, members: Sequence[Transcript | InputError]) -> dict[str, Callable[[], Tensor]]:
        return {"answer": lambda: self.answer_tensor(members, Transcript.to_json)}
