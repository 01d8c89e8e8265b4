"""Moments made of three data sets: a face, a voice and a sentence of one emotion.

No data set here has all three for one moment, so they are paired by canonical label. True moments
agree less than that: a part of the embeddings is therefore exchanged for those of any other
example, so that the fusion network does not learn to trust one modality blindly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from emoserve_ensemble.labels import EMOTIONS, MODALITIES, SENTIMENTS
from emoserve_training.loop import TrainingError

_SENTIMENT_OF = {"joy": "positive", "neutral": "neutral"}  # others negative; surprise: the text's
_SUBSETS = torch.tensor(
    [[(number >> place) & 1 for place in range(3)] for number in range(1, 8)]
).float()  # [7, 3]


@dataclass(frozen=True)
class Examples:
    """One modality: `embeddings` float32 [n, 128]; `labels` int64 [n], canonical emotions."""

    embeddings: Tensor
    labels: Tensor
    sentiments: Tensor | None = None


@dataclass(frozen=True)
class Moments:
    """`embeddings` float32 [n, 3, 128], `presence` float32 [n, 3], labels int64 [n]."""

    embeddings: Tensor
    presence: Tensor
    emotions: Tensor
    sentiments: Tensor

    def __len__(self) -> int:
        return len(self.emotions)


class Pairing:
    """Draws moments from three modalities' examples of one split.

    Args:
        examples: by modality; `text` has sentiments.
        shares: float32 [7], how often each emotion is drawn.

    Raises:
        TrainingError: a modality has no example of an emotion that is to be drawn.
    """

    def __init__(self, examples: Mapping[str, Examples], shares: Tensor) -> None:
        self._examples = [examples[name] for name in MODALITIES]
        self._shares = shares
        self._of_label = [
            [torch.nonzero(e.labels == label).squeeze(1) for label in range(len(EMOTIONS))]
            for e in self._examples
        ]
        for name, places in zip(MODALITIES, self._of_label, strict=True):
            lacking = [
                emotion
                for emotion, rows, share in zip(EMOTIONS, places, shares.tolist(), strict=True)
                if share > 0 and not len(rows)
            ]
            if lacking:
                raise TrainingError(f"no examples of {', '.join(lacking)} for {name}")
        self._sentiment_of = torch.tensor(
            [SENTIMENTS.index(_SENTIMENT_OF.get(name, "negative")) for name in EMOTIONS]
        )

    def draw(
        self, count: int, generator: torch.Generator, presence: Tensor | None = None
    ) -> Moments:
        """Returns `count` moments; `presence` float32 [3] for all, or each subset as often."""
        emotions = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        rows = [self._rows(place, emotions, generator) for place in range(len(MODALITIES))]
        embeddings = torch.stack(
            [e.embeddings[r] for e, r in zip(self._examples, rows, strict=True)], dim=1
        )  # [count, 3, 128]
        if presence is None:
            there = _SUBSETS[torch.randint(len(_SUBSETS), (count,), generator=generator)]
        else:
            there = presence.expand(count, -1).clone()
        return Moments(embeddings, there, emotions, self._sentiments(emotions, there, rows[2]))

    def _rows(self, place: int, emotions: Tensor, generator: torch.Generator) -> Tensor:
        """Returns for each emotion a random example of it, int64 [count]."""
        draw = torch.rand(len(emotions), generator=generator)
        rows = torch.empty_like(emotions)
        for label, candidates in enumerate(self._of_label[place]):
            chosen = emotions == label
            if bool(chosen.any()):
                rows[chosen] = candidates[(draw[chosen] * len(candidates)).long()]
        return rows

    def _sentiments(self, emotions: Tensor, there: Tensor, text_rows: Tensor) -> Tensor:
        sentiments = self._examples[2].sentiments
        assert sentiments is not None
        of_text = sentiments[text_rows]
        from_text = (there[:, 2] > 0) | (emotions == EMOTIONS.index("surprise"))
        return torch.where(from_text, of_text, self._sentiment_of[emotions])


def disagreeing(moments: Moments, odds: Tensor, generator: torch.Generator) -> Moments:
    """Returns the moments with some embeddings exchanged for another moment's, and noise.

    Args:
        moments: from `Pairing.draw`.
        odds: float32 [3], how often each modality's embedding is exchanged.
        generator: draws everything.
    """
    count = len(moments)
    embeddings = moments.embeddings.clone()
    for place in range(len(MODALITIES)):
        exchanged = torch.rand(count, generator=generator) < odds[place]
        other = torch.randperm(count, generator=generator)
        embeddings[exchanged, place] = moments.embeddings[other[exchanged], place]
    spread = moments.embeddings.std(dim=0, keepdim=True)  # [1, 3, 128]
    noise = torch.randn(embeddings.shape, generator=generator) * spread * 0.3
    scale = torch.exp(torch.randn(count, 3, 1, generator=generator) * 0.15)
    return Moments(
        embeddings * scale + noise, moments.presence, moments.emotions, moments.sentiments
    )
