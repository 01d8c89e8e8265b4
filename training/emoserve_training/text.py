"""Training of the text network on MELD: adapters in MiniLM, an embedding and two heads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from emoserve_ensemble.tokens import Tokenizer, plain_text
from emoserve_export.networks.text import TextNet, TextOutput
from emoserve_training.data.meld import Utterances
from emoserve_training.figures import rarity, weighted_f1
from emoserve_training.loop import Settings

SETTINGS = Settings(
    epochs=4, batch=32, peak_rate=1e-3, weight_decay=0.01, ema_decay=0.998, patience=3, threads=1
)
_SPOKEN_SHARE = 0.3
_SENTIMENT_SHARE = 0.5
_SMOOTHING = 0.05
_RARITY_POWER = 0.25
_BUCKET_BATCHES = 40
_MARKS = re.compile(r"[^\w\s']")


@dataclass(frozen=True)
class TextBatch:
    """`lower` float32 [batch, tokens, 384], mask int64 [batch, tokens], labels int64 [batch]."""

    lower: Tensor
    attention_mask: Tensor
    emotions: Tensor
    sentiments: Tensor


class TextTask:
    """`TextNet` on MELD; the score is the mean weighted F1 of emotion and sentiment on dev."""

    def __init__(
        self,
        splits: Mapping[str, Utterances],
        tokenizer: Tokenizer,
        encoder: Mapping[str, Tensor],
        settings: Settings = SETTINGS,
        network: TextNet | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.network = network or TextNet()
        self.network.load_state_dict(dict(encoder), strict=False)
        self._tokenizer = tokenizer
        self._train, self._val = splits["train"], splits["val"]
        texts = self._train.texts
        self._written = lower_vectors(self.network, tokenizer, texts)
        self._spoken = lower_vectors(self.network, tokenizer, [as_spoken(t) for t in texts])
        self._lengths = np.array([len(vectors) for vectors in self._written])
        self._batch = min(settings.batch, len(self._train))
        self.steps_per_epoch = len(self._train) // self._batch
        self._emotion_weight = rarity(self._train.emotions, len(TextNet.labels), _RARITY_POWER)
        self._sentiment_weight = rarity(
            self._train.sentiments, len(TextNet.sentiment_labels), _RARITY_POWER
        )

    def batches(self, generator: torch.Generator) -> Iterator[TextBatch]:
        """Yields batches of texts of like length; some as a recogniser would write them."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        order = rng.permutation(len(self._train))[: self.steps_per_epoch * self._batch]
        buckets = np.array_split(order, max(1, self.steps_per_epoch // _BUCKET_BATCHES))
        like = np.concatenate([rows[np.argsort(self._lengths[rows])] for rows in buckets])
        for step in rng.permutation(self.steps_per_epoch):
            rows = like[step * self._batch : (step + 1) * self._batch]
            spoken = rng.random(len(rows)) < _SPOKEN_SHARE
            vectors = [
                (self._spoken if said else self._written)[row]
                for row, said in zip(rows, spoken, strict=True)
            ]
            lower = pad_sequence(vectors, batch_first=True).float()  # [batch, tokens, 384]
            counts = torch.tensor([len(each) for each in vectors])
            mask = (torch.arange(lower.shape[1]) < counts.unsqueeze(1)).long()
            yield TextBatch(
                lower,
                mask,
                torch.tensor([self._train.emotions[row] for row in rows]),
                torch.tensor([self._train.sentiments[row] for row in rows]),
            )

    def loss(self, batch: TextBatch) -> Tensor:
        """Returns weighted cross entropy of emotion, and half of sentiment's."""
        emotion, sentiment, _ = self.network.scores_from(batch.lower, batch.attention_mask)
        return functional.cross_entropy(
            emotion, batch.emotions, self._emotion_weight, label_smoothing=_SMOOTHING
        ) + _SENTIMENT_SHARE * functional.cross_entropy(
            sentiment, batch.sentiments, self._sentiment_weight, label_smoothing=_SMOOTHING
        )

    def score(self, network: nn.Module) -> Mapping[str, float]:
        """Returns weighted F1 for emotion and for sentiment, and their mean."""
        answer = predict(network, self._tokenizer, self._val.texts)
        emotion = weighted_f1(torch.tensor(self._val.emotions), answer.emotion)
        sentiment = weighted_f1(torch.tensor(self._val.sentiments), answer.sentiment)
        return {"score": (emotion + sentiment) / 2, "emotion": emotion, "sentiment": sentiment}


@torch.no_grad()
def predict(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], batch: int = 64
) -> TextOutput:
    """Returns the network's answers in the order of the texts."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    parts: list[Any] = []
    for start in range(0, len(order), batch):
        tokens = tokenizer.encode([texts[row] for row in order[start : start + batch]])
        parts.append(
            network(torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask))
        )
    back = torch.from_numpy(np.argsort(order))
    return TextOutput(*(torch.cat(field)[back] for field in zip(*parts, strict=True)))


@torch.no_grad()
def lower_vectors(
    network: TextNet, tokenizer: Tokenizer, texts: Sequence[str], batch: int = 128
) -> list[Tensor]:
    """Returns for each text what the frozen layers say, float16 [tokens, 384]: computed once."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        tokens = tokenizer.encode([texts[row] for row in rows])
        mask = torch.from_numpy(tokens.attention_mask)
        vectors = network.bert.lower(torch.from_numpy(tokens.input_ids), mask).half()
        for row, each, count in zip(rows, vectors, mask.sum(dim=1).tolist(), strict=True):
            found[row] = each[:count].clone()
    return found


def as_spoken(text: str) -> str:
    """Returns the text as a speech recogniser writes it: lower case, no marks but apostrophes."""
    words = _MARKS.sub(" ", plain_text(text).lower())
    return " ".join(words.split()) or text
