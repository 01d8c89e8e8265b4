"""The speech network: 3 s of log-mel spectrogram in, eight emotions and an embedding out.

Residual convolutions over mels and time, then attentive statistics pooling (Okabe, Koshinaka and
Shinoda 2018, arXiv:1803.10963): the network learns which frames speak of the emotion and takes
their mean and deviation, so pauses and padding weigh little.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from emoserve_export.networks.face import ResidualBlock

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""RAVDESS's own order (codes 01 to 08)."""

MELS = 64
FRAMES = 300
EMBEDDING = 128
_CENTRE_DB = -30.0
_SPREAD_DB = 20.0
_SILENCE_DB = -60.0
_PADDED_FRAMES = 304
"""A multiple of 16: the stem takes four frames together, two stages halve, none leaves a rest."""
_STRIDES: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 1))
"""Of mels and frames, stage by stage."""


class SpeechOutput(NamedTuple):
    """`emotion` float32 [batch, 8] probabilities; `embedding` float32 [batch, 128]."""

    emotion: Tensor
    embedding: Tensor


class AttentiveStatistics(nn.Module):
    """Weighted mean and deviation over time: [batch, channels, time] -> [batch, 2 * channels]."""

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.attend = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.Tanh(), nn.Conv1d(hidden, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns float32 [batch, 2 * channels]: means, then deviations."""
        weight = torch.softmax(self.attend(x), dim=2)
        mean = (weight * x).sum(dim=2)
        variance = (weight * x * x).sum(dim=2) - mean * mean
        return torch.cat([mean, torch.sqrt(variance.clamp_min(1e-5))], dim=1)


class SpeechNet(nn.Module):
    """`log_mel` float32 [batch, 64, 300], decibels from the sound's level -> `SpeechOutput`."""

    labels = LABELS

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96), dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels[0], (5, 7), (2, 4), (2, 3), bias=False),
            nn.BatchNorm2d(channels[0]),
        )
        self.stages = nn.Sequential(
            *(
                ResidualBlock(before, width, stride)
                for before, width, stride in zip(channels[:-1], channels[1:], _STRIDES, strict=True)
            )
        )
        rows = MELS // 2 ** len(channels)
        self.pool = AttentiveStatistics(channels[-1] * rows)
        self.embed = nn.Linear(2 * channels[-1] * rows, EMBEDDING)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(EMBEDDING, len(LABELS))

    def scores(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits float32 [batch, 8] and the embedding float32 [batch, 128]."""
        x = functional.pad(log_mel, (0, _PADDED_FRAMES - FRAMES), value=_SILENCE_DB)
        x = (x.unsqueeze(1) - _CENTRE_DB) / _SPREAD_DB  # [batch, 1, 64, 304]
        x = self.stages(torch.relu(self.stem(x)))  # [batch, 96, 4, 19]
        x = self.pool(x.flatten(1, 2))  # [batch, 2 * 96 * 4]
        embedding = torch.relu(self.embed(self.dropout(x)))
        return self.head(self.dropout(embedding)), embedding

    def forward(self, log_mel: Tensor) -> SpeechOutput:
        """Returns `SpeechOutput` for `log_mel` float32 [batch, 64, 300], decibels."""
        logits, embedding = self.scores(log_mel)
        return SpeechOutput(torch.softmax(logits, dim=1), embedding)
