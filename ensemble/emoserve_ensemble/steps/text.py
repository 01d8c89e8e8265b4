"""`text`, and the two steps around `text_net` that make the ensemble of the profile `gpu`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from emoserve_ensemble import answers, text
from emoserve_ensemble.arrays import Floats, Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.labels import SENTIMENTS, read_labels, to_canonical
from emoserve_ensemble.networks import newest_version
from emoserve_ensemble.steps._step import Step, StepConfig, column, refused, rows_of, stacked


class Text(Step[bytes, text.Sentence]):
    """Sentences to emotions and sentiments."""

    networks_needed = text.NETWORKS
    reads_text = True

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "text") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[text.Sentence | InputError]:
        return text.analyze_texts(members, self.tools)

    def encode(
        self, members: Sequence[text.Sentence | InputError]
    ) -> dict[str, Callable[[], Tensor]]:
        read = [None if isinstance(item, InputError) else item for item in members]
        return {
            "answer": lambda: self.answer_tensor(members, text.Sentence.to_json),
            "emotion": lambda: stacked([item.emotion if item else None for item in read], 7),
            "sentiment": lambda: stacked([item.sentiment if item else None for item in read], 3),
            "embedding": lambda: stacked([item.embedding if item else None for item in read], 128),
        }


class TextTokens(Step[bytes, str]):
    """Sentences to token ids, padded to the longest of the whole batch so that they batch again."""

    reads_text = True

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        decoded = [self._texts(request) for request in requests]
        texts = [item for row in decoded if isinstance(row, list) for item in row]
        tokens = self.tools.words.encode(texts) if texts else None
        responses, start = [], 0
        for request, row in zip(requests, decoded, strict=True):
            if isinstance(row, InputError):
                self._note(request, row)
                responses.append(refused(row))
                continue
            assert tokens is not None
            part = slice(start, start + len(row))
            start += len(row)
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor("input_ids", tokens.input_ids[part]),
                        pb_utils.Tensor("attention_mask", tokens.attention_mask[part]),
                    ]
                )
            )
        return responses

    def _texts(self, request: Any) -> list[str] | InputError:
        try:
            rows = rows_of(request, "text") or []
            return [text.decode_text(row[0], self.tools.limits) for row in rows]
        except InputError as error:
            return error


class TextAnswer(Step[tuple[Floats, Floats], tuple[Floats, Floats]]):
    """The text network's probabilities to the answer that callers read, and to canonical order."""

    def load(self, config: StepConfig) -> None:
        super().load(config)
        folder = config.repository / "text_net"
        self.emotions = read_labels(folder / "emotion.labels.txt")
        self.sentiments = read_labels(folder / "sentiment.labels.txt")
        self.models = {"text_net": newest_version(folder, "model.*").name}

    def decode(self, request: Any) -> list[tuple[Floats, Floats]]:
        emotion = pb_utils.get_input_tensor_by_name(request, "emotion").as_numpy()
        sentiment = pb_utils.get_input_tensor_by_name(request, "sentiment").as_numpy()
        return list(zip(emotion, sentiment, strict=True))

    def predict(self, members: Sequence[tuple[Floats, Floats]]) -> Sequence[tuple[Floats, Floats]]:
        felt = to_canonical(np.stack([pair[0] for pair in members]), self.emotions)
        meant = to_canonical(np.stack([pair[1] for pair in members]), self.sentiments, SENTIMENTS)
        return list(zip(felt, meant, strict=True))

    def encode(
        self, members: Sequence[tuple[Floats, Floats] | InputError]
    ) -> dict[str, Callable[[], Tensor]]:
        rows = [item for item in members if not isinstance(item, InputError)]
        return {
            "answer": lambda: column([answers.encoded(self._json(*row)) for row in rows]),
            "emotion": lambda: stacked([felt for felt, _ in rows], 7),
            "sentiment": lambda: stacked([meant for _, meant in rows], 3),
        }

    def _json(self, felt: Floats, meant: Floats) -> answers.Json:
        emotions, sentiments = answers.emotions(felt), answers.sentiments(meant)
        return {"emotions": emotions, "sentiments": sentiments, "models": self.models}
