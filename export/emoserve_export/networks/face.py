"""The face network: one grey 48x48 face in, seven emotions and an embedding out.

A residual network after He et al. 2015 (arXiv:1512.03385), made for two CPU cores: the first
convolution halves the picture at once, four stages double the channels as they halve the sides,
and the shortcut of a halving block averages before its 1x1 convolution (He et al. 2018,
arXiv:1812.01187, "ResNet-D") so that no pixel is skipped.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's own order (codes 0 to 6)."""

SIDE = 48
EMBEDDING = 128
_LEAST_STD = 0.02
"""A flat picture is not blown up to noise: about 5 grey levels of 255."""


class FaceOutput(NamedTuple):
    """`emotion` float32 [batch, 7] probabilities; `embedding` float32 [batch, 128]."""

    emotion: Tensor
    embedding: Tensor


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; `stride` 2 halves the sides, or one of them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int | tuple[int, int]) -> None:
        super().__init__()
        self.first = _convolution(channels_in, channels_out, 3, stride)
        self.second = _convolution(channels_out, channels_out, 3, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            pool = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, _convolution(channels_in, channels_out, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Returns float32 [batch, channels_out, height / stride, width / stride]."""
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.shortcut(x))


class FaceNet(nn.Module):
    """`face` float32 [batch, 1, 48, 48], grey in [0, 1] -> `FaceOutput`.

    Each picture is standardised inside the graph (its own mean and deviation), so that the light
    of the scene does not matter.
    """

    labels = LABELS

    def __init__(
        self,
        channels: tuple[int, ...] = (24, 48, 96, 192),
        blocks: tuple[int, ...] = (1, 1, 2, 1),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = _convolution(1, channels[0], 5, 2)
        stages: list[nn.Module] = []
        before = channels[0]
        for stage, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(ResidualBlock(before, width, stride))
                before = width
        self.stages = nn.Sequential(*stages)
        self.embed = nn.Linear(before, EMBEDDING)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(EMBEDDING, len(LABELS))

    def scores(self, face: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits float32 [batch, 7] and the embedding float32 [batch, 128]."""
        x = torch.relu(self.stem(standardise(face)))  # [batch, 24, 24, 24]
        x = self.stages(x).mean(dim=(2, 3))  # [batch, 192]
        embedding = torch.relu(self.embed(self.dropout(x)))
        return self.head(self.dropout(embedding)), embedding

    def forward(self, face: Tensor) -> FaceOutput:
        """Returns `FaceOutput` for `face` float32 [batch, 1, 48, 48], grey in [0, 1]."""
        logits, embedding = self.scores(face)
        return FaceOutput(torch.softmax(logits, dim=1), embedding)


def standardise(face: Tensor) -> Tensor:
    """Returns each picture with mean 0 and deviation 1, float32 [batch, 1, height, width]."""
    centred = face - face.mean(dim=(1, 2, 3), keepdim=True)
    variance = (centred * centred).mean(dim=(1, 2, 3), keepdim=True)
    return centred / torch.sqrt(variance + _LEAST_STD**2)


def _convolution(
    channels_in: int, channels_out: int, side: int, stride: int | tuple[int, int]
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
