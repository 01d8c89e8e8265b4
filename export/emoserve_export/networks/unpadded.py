"""BERT without its padding: what goes token by token is computed for the tokens that are there.

Texts of a batch are padded to the longest. Linear layers, normalisation and GELU do not look at
other tokens, so here they see one row per token of all texts, one after the other; only attention
sees them as [batch, tokens], behind the mask that hides padding anyway. The idea is that of
ByteDance's Effective Transformer (2020) and of FlashAttention's `unpad_input`. For serving on CPUs
only: the number of rows depends on the data, which engines for GPUs plan badly
(docs/decisions.md 25).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from emoserve_export.networks.bert import Bert, Layer, SelfAttention, score_mask


class Places(NamedTuple):
    """Where the tokens of a batch are.

    Attributes:
        there: int64 [present], the place in [batch * tokens] of each token that is there.
        positions: int64 [present], of each of them in its text.
        rows: int64 [batch, tokens], the row of a place among those; any row where it is padding.
    """

    there: Tensor
    positions: Tensor
    rows: Tensor


def places_of(attention_mask: Tensor) -> Places:
    """Returns `Places` for a mask, int64 [batch, tokens]. Each text's first token is kept, masked
    or not: a text without any would leave attention nothing."""
    kept = torch.cat([torch.ones_like(attention_mask[:, :1]), attention_mask[:, 1:]], dim=1)
    text, position = torch.nonzero(kept, as_tuple=True)
    rows = (torch.cumsum(kept.flatten(), dim=0) - 1).reshape(attention_mask.shape)
    return Places(text * attention_mask.shape[1] + position, position, rows)


class UnpaddedAttention(nn.Module):
    """`SelfAttention` for rows; query, key and value are one product."""

    def __init__(self, plain: SelfAttention) -> None:
        super().__init__()
        width = plain.query.in_features
        self.heads = plain.heads
        self.all = nn.Linear(width, 3 * width)
        parts = (plain.query, plain.key, plain.value)
        with torch.no_grad():
            self.all.weight.copy_(torch.cat([part.weight for part in parts]))
            self.all.bias.copy_(torch.cat([part.bias for part in parts]))
            for parameter in (self.all.weight, self.all.bias):
                parameter[:width] /= math.sqrt(width // plain.heads)  # of the scores

    def forward(self, x: Tensor, mask: Tensor, places: Places) -> Tensor:
        """Returns float32 [present, width] for float32 [present, width]."""
        batch, tokens = places.rows.shape
        width = x.shape[1]
        spread = self.all(x)[places.rows]  # [batch, tokens, 3 * width]
        split = spread.reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # [batch, heads, tokens, ...]
        share = torch.softmax(query @ key.transpose(2, 3) + mask, dim=3)
        mixed = (share @ value).transpose(1, 2).reshape(batch * tokens, width)
        present: Tensor = mixed[places.there]
        return present


class UnpaddedBert(nn.Module):
    """A `Bert`, with its adapters merged, for serving; takes its layers over.

    The same vectors for the same inputs, but where there is padding: there it gives the vector of
    some token.
    """

    def __init__(self, plain: Bert) -> None:
        super().__init__()
        self.embeddings = plain.embeddings
        layers: list[Layer] = [*plain.encoder["layer"]]  # type: ignore[misc]
        for layer in layers:
            attention = layer.attention["self"]
            assert isinstance(attention, SelfAttention)
            layer.attention["self"] = UnpaddedAttention(attention)
        self.layers = nn.ModuleList(layers)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns the last layer's vectors, float32 [batch, tokens, width]."""
        places = places_of(attention_mask)
        mask = score_mask(attention_mask)
        vectors = self.embeddings(input_ids.flatten()[places.there], places.positions)
        for layer in self.layers:
            vectors = layer(vectors, mask, places)
        spread: Tensor = vectors[places.rows]
        return spread
