"""The fusion network: three embeddings and which of them are there, in; emotion, sentiment out.

A gate looks at the embeddings that are present and gives each a weight; the weights sum to 1 over
the present ones and scale them before 384 -> 256 -> 7 and 3 (gated multimodal units, Arevalo et
al. 2017, arXiv:1702.01992). Absent modalities reach nothing: whatever stands in their place is
replaced by zeros first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

EMOTION_LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENT_LABELS = ("negative", "neutral", "positive")
MODALITIES = ("face", "speech", "text")
EMBEDDING = 128
HIDDEN = 256
_ABSENT = -10_000.0
_LARGEST = 6.0
"""Deviations from the mean beyond which an embedding is held back."""


class FusionOutput(NamedTuple):
    """`emotion` float32 [batch, 7], `sentiment` float32 [batch, 3]: probabilities; `weight`
    float32 [batch, 3], sums to 1 over the modalities that are present."""

    emotion: Tensor
    sentiment: Tensor
    weight: Tensor


class FusionNet(nn.Module):
    """`embeddings` float32 [batch, 3, 128]; `presence` float32 [batch, 3], 1 or 0; at least one."""

    labels = EMOTION_LABELS
    centre: Tensor
    spread: Tensor
    sentiment_labels = SENTIMENT_LABELS

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        # Set from the training embeddings. A LayerNorm would lose how sure a network is, which
        # shows in the length of its embedding.
        self.register_buffer("centre", torch.zeros(len(MODALITIES), EMBEDDING))
        self.register_buffer("spread", torch.ones(len(MODALITIES), EMBEDDING))
        width = len(MODALITIES) * EMBEDDING
        self.gate = nn.Sequential(
            nn.Linear(width + len(MODALITIES), 64), nn.Tanh(), nn.Linear(64, len(MODALITIES))
        )
        self.hidden = nn.Linear(width, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.emotion_head = nn.Linear(HIDDEN, len(EMOTION_LABELS))
        self.sentiment_head = nn.Linear(HIDDEN, len(SENTIMENT_LABELS))

    def scores(self, embeddings: Tensor, presence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns logits [batch, 7] and [batch, 3], and the weights [batch, 3], float32."""
        there = presence > 0.5  # [batch, 3]
        normed = ((embeddings - self.centre) / self.spread).clamp(-_LARGEST, _LARGEST)
        normed = torch.where(there.unsqueeze(2), normed, 0.0)  # [batch, 3, 128]
        seen = torch.cat([normed.flatten(1), there.float()], dim=1)
        weight = torch.softmax(torch.where(there, self.gate(seen), _ABSENT), dim=1) * there
        x = (normed * weight.unsqueeze(2)).flatten(1)  # [batch, 384]
        x = self.dropout(torch.relu(self.hidden(self.dropout(x))))
        return self.emotion_head(x), self.sentiment_head(x), weight

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusionOutput:
        """Returns `FusionOutput`; modalities are in the order face, speech, text."""
        emotion, sentiment, weight = self.scores(embeddings, presence)
        return FusionOutput(torch.softmax(emotion, dim=1), torch.softmax(sentiment, dim=1), weight)
