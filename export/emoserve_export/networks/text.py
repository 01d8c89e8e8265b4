"""The text network: MiniLM's tokens in, seven emotions, three sentiments and an embedding out.

The body is MiniLM-L6 (`all-MiniLM-L6-v2`), frozen, from its own package. Ours are the adapters in
its last three layers, and what follows it: mean, first token and maximum of the last layer, a
linear layer to the embedding, and one head per task.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emoserve_export.networks.bert import Bert, BertSize, mean_pool
from emoserve_export.networks.unpadded import UnpaddedBert

EMOTION_LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENT_LABELS = ("negative", "neutral", "positive")
EMBEDDING = 128
RANK = 12
PLAIN_LAYERS = 3
"""MiniLM's first layers stay as they are; adapters sit in the others."""
BODY = "bert."
"""Parameters whose names start so, adapters aside, are MiniLM's and not in our checkpoint."""


class TextOutput(NamedTuple):
    """`emotion` float32 [batch, 7], `sentiment` float32 [batch, 3]: probabilities; `embedding`
    float32 [batch, 128]."""

    emotion: Tensor
    sentiment: Tensor
    embedding: Tensor


class TextNet(nn.Module):
    """`input_ids`, `attention_mask` int64 [batch, tokens], at most 128 tokens -> `TextOutput`."""

    labels = EMOTION_LABELS
    sentiment_labels = SENTIMENT_LABELS

    def __init__(
        self,
        size: BertSize | None = None,
        rank: int = RANK,
        plain_layers: int = PLAIN_LAYERS,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        size = size or BertSize()
        self.bert = Bert(size, rank, plain_layers)
        self.embed = nn.Linear(3 * size.hidden, EMBEDDING)
        self.dropout = nn.Dropout(dropout)
        self.emotion_head = nn.Linear(EMBEDDING, len(EMOTION_LABELS))
        self.sentiment_head = nn.Linear(EMBEDDING, len(SENTIMENT_LABELS))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(is_ours(name))

    def scores(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns logits [batch, 7] and [batch, 3], and the embedding [batch, 128], float32."""
        return self._scores_of(self.bert(input_ids, attention_mask), attention_mask)

    def scores_from(self, lower: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what `scores` does, from what `bert.lower` returned."""
        return self._scores_of(self.bert.upper(lower, attention_mask), attention_mask)

    def _scores_of(self, vectors: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = (1 - attention_mask.unsqueeze(2).float()) * -10_000.0
        largest = (vectors + hidden).amax(dim=1)
        pooled = torch.cat([mean_pool(vectors, attention_mask), vectors[:, 0], largest], dim=1)
        embedding = torch.relu(self.embed(self.dropout(pooled)))
        dropped = self.dropout(embedding)
        return self.emotion_head(dropped), self.sentiment_head(dropped), embedding

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> TextOutput:
        """Returns `TextOutput`; `attention_mask` is 1 where there is a token, 0 for padding."""
        emotion, sentiment, embedding = self.scores(input_ids, attention_mask)
        return TextOutput(torch.softmax(emotion, dim=1), torch.softmax(sentiment, dim=1), embedding)

    def merge_adapters(self) -> None:
        """Adds the adapters to MiniLM's weights, for export: same answers, fewer steps."""
        self.bert.merge_adapters()

    def leave_out_padding(self) -> None:
        """Computes nothing for padding any more; not for training."""
        self.bert = UnpaddedBert(self.bert)  # type: ignore[assignment]


def is_ours(name: str) -> bool:
    """Returns whether a parameter of `TextNet` is trained here (and not MiniLM's own)."""
    return not name.startswith(BODY) or "lora_" in name
