"""MiniLM's encoder as a plain module, with low-rank adapters where they are asked for.

The architecture is BERT (Devlin et al. 2018, arXiv:1810.04805) in the size of MiniLM-L6 (Wang et
al. 2020, arXiv:2002.10957). The parameters have Hugging Face's names, so that its safetensors file
loads as it is. Adapters are LoRA (Hu et al. 2021, arXiv:2106.09685): W x + B A x, with B zero at
the start; `merge_adapters` adds B A to W, after which the graph is that of the plain encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

_MASKED = -10_000.0
"""BERT's own value for «do not look here»; float16 holds it too."""


@dataclass(frozen=True)
class BertSize:
    """MiniLM-L6: what `config.json` of the encoder says."""

    vocabulary: int = 30_522
    positions: int = 512
    types: int = 2
    hidden: int = 384
    heads: int = 12
    layers: int = 6
    intermediate: int = 1_536
    norm_epsilon: float = 1e-12
    dropout: float = 0.1


class AdaptedLinear(nn.Linear):
    """A linear layer with a low-rank adapter of `rank`; 0 is none."""

    def __init__(self, width_in: int, width_out: int, rank: int) -> None:
        super().__init__(width_in, width_out)
        self.rank = rank
        if rank:
            self.lora_a = nn.Parameter(torch.randn(rank, width_in) / math.sqrt(width_in))
            self.lora_b = nn.Parameter(torch.zeros(width_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Returns float32 [..., width_out]."""
        y = super().forward(x)
        if self.rank:
            y = y + functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        return y

    @torch.no_grad()
    def merge(self) -> None:
        """Adds the adapter to the weight and drops it."""
        if self.rank:
            self.weight += self.lora_b @ self.lora_a
            del self.lora_a, self.lora_b
            self.rank = 0


class Embeddings(nn.Module):
    """Words and their positions as vectors."""

    def __init__(self, size: BertSize) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(size.vocabulary, size.hidden)
        self.position_embeddings = nn.Embedding(size.positions, size.hidden)
        self.token_type_embeddings = nn.Embedding(size.types, size.hidden)
        self.LayerNorm = nn.LayerNorm(size.hidden, eps=size.norm_epsilon)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Returns float32 [..., 384] for int64 [...] twice; all tokens are of type 0."""
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        normalised: Tensor = self.LayerNorm(x + self.token_type_embeddings.weight[0])
        dropped: Tensor = self.dropout(normalised)
        return dropped


class SelfAttention(nn.Module):
    """Hugging Face's `attention.self`."""

    def __init__(self, size: BertSize, rank: int) -> None:
        super().__init__()
        self.heads = size.heads
        self.query = AdaptedLinear(size.hidden, size.hidden, rank)
        self.key = AdaptedLinear(size.hidden, size.hidden, rank)
        self.value = AdaptedLinear(size.hidden, size.hidden, rank)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns float32 [batch, tokens, 384]; `mask` is added to the scores."""
        query, key, value = self._split(self.query(x)), self._split(self.key(x)), self.value(x)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3]) + mask
        share = self.dropout(torch.softmax(scores, dim=3))  # [batch, heads, tokens, tokens]
        mixed: Tensor = share @ self._split(value)
        return mixed.transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        """Returns float32 [batch, heads, tokens, width]."""
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


class Residual(nn.Module):
    """A linear layer back to 384, added to what came in, normalised."""

    def __init__(self, width_in: int, size: BertSize, rank: int) -> None:
        super().__init__()
        self.dense = AdaptedLinear(width_in, size.hidden, rank)
        self.LayerNorm = nn.LayerNorm(size.hidden, eps=size.norm_epsilon)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Returns float32 [batch, tokens, 384]."""
        normalised: Tensor = self.LayerNorm(before + self.dropout(self.dense(x)))
        return normalised


class Layer(nn.Module):
    """One transformer layer: attention, then two linear layers with GELU between."""

    def __init__(self, size: BertSize, rank: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(size, rank), "output": Residual(size.hidden, size, rank)}
        )
        self.intermediate = nn.ModuleDict(
            {"dense": AdaptedLinear(size.hidden, size.intermediate, rank)}
        )
        self.output = Residual(size.intermediate, size, rank)

    def forward(self, x: Tensor, *where: Tensor) -> Tensor:
        """Returns float32 [..., 384]; `where` is what attention takes beside the vectors."""
        x = self.attention["output"](self.attention["self"](x, *where), x)
        wide = functional.gelu(self.intermediate["dense"](x))
        narrow: Tensor = self.output(wide, x)
        return narrow


class Bert(nn.Module):
    """`input_ids`, `attention_mask` int64 [batch, tokens] -> float32 [batch, tokens, 384].

    Args:
        size: of the encoder.
        rank: of the adapters; 0 is none.
        plain_layers: how many layers, from the first, have no adapters and no dropout: their
            answer to a text never changes, so training can keep it (`lower`, `upper`).
    """

    def __init__(self, size: BertSize | None = None, rank: int = 0, plain_layers: int = 0) -> None:
        super().__init__()
        size = size or BertSize()
        still = replace(size, dropout=0.0)
        self.plain_layers = plain_layers
        self.embeddings = Embeddings(still if plain_layers else size)
        self.encoder = nn.ModuleDict(
            {
                "layer": nn.ModuleList(
                    Layer(still, 0) if number < plain_layers else Layer(size, rank)
                    for number in range(size.layers)
                )
            }
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns the last layer's vectors, float32 [batch, tokens, 384]."""
        return self.upper(self.lower(input_ids, attention_mask), attention_mask)

    def lower(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns the vectors after the layers without adapters."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        vectors = self.embeddings(input_ids, positions)
        return self._through(slice(self.plain_layers), vectors, attention_mask)

    def upper(self, vectors: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns the last layer's vectors, from what `lower` returned."""
        return self._through(slice(self.plain_layers, None), vectors, attention_mask)

    def _through(self, part: slice, vectors: Tensor, attention_mask: Tensor) -> Tensor:
        mask = score_mask(attention_mask)
        for layer in self.encoder["layer"][part]:  # type: ignore[index]
            vectors = layer(vectors, mask)
        return vectors

    def merge_adapters(self) -> None:
        """Adds all adapters to their weights: same answers, fewer steps."""
        for module in self.modules():
            if isinstance(module, AdaptedLinear):
                module.merge()


def score_mask(attention_mask: Tensor) -> Tensor:
    """Returns what is added to scores, float32 [batch, 1, 1, tokens]."""
    return (1 - attention_mask[:, None, None, :].float()) * _MASKED


def mean_pool(vectors: Tensor, attention_mask: Tensor) -> Tensor:
    """Returns the mean over the tokens that are there, float32 [batch, 384]."""
    mask = attention_mask.unsqueeze(2).float()
    return (vectors * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1.0)
