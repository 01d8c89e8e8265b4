"""Random changes of 48x48 faces, a whole batch at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment_faces(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Returns changed faces, float32 [batch, 1, 48, 48] in [0, 1]: as a camera might see them.

    Mirrored, turned by up to 12 degrees, scaled by 0.85 to 1.15, moved by up to 4 pixels; gamma;
    some blurred as a small face in a large picture is; noise; a rectangle hidden.
    """
    faces = _moved(faces, generator)
    faces = _blurred(faces, generator)
    gamma = torch.exp(_uniform(faces, generator, -0.4, 0.4))
    faces = faces.clamp_min(1e-4) ** gamma
    noise = torch.randn(faces.shape, generator=generator) * _uniform(faces, generator, 0, 0.03)
    return _hidden(faces + noise, generator)


def _uniform(like: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """Returns one number per picture, float32 [batch, 1, 1, 1]."""
    return torch.rand(len(like), 1, 1, 1, generator=generator) * (high - low) + low


def _moved(faces: Tensor, generator: torch.Generator) -> Tensor:
    count = len(faces)
    draw = torch.rand(5, count, generator=generator) * 2 - 1  # [-1, 1]
    angle = draw[0] * math.radians(12)
    scale = 1 + draw[1] * 0.15
    mirror = torch.where(draw[2] < 0, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift = draw[3:] * (4 / 24)  # of half a side
    matrix = torch.stack(
        [
            torch.stack([cos * mirror, -sin, shift[0]], dim=1),
            torch.stack([sin * mirror, cos, shift[1]], dim=1),
        ],
        dim=1,
    )  # [batch, 2, 3]
    grid = functional.affine_grid(matrix, list(faces.shape), align_corners=False)
    return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def _blurred(faces: Tensor, generator: torch.Generator) -> Tensor:
    """A tenth of the pictures loses its detail: halved and enlarged again."""
    small = functional.avg_pool2d(faces, 2)
    soft = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    chosen = torch.rand(len(faces), 1, 1, 1, generator=generator) < 0.1
    return torch.where(chosen, soft, faces)


def _hidden(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures gets one grey rectangle (Zhong et al. 2017, arXiv:1708.04896)."""
    count, _, height, width = faces.shape
    draw = torch.rand(5, count, 1, 1, 1, generator=generator)
    sides = 6 + draw[:2] * 14  # pixels
    top, left = draw[2] * (height - sides[0]), draw[3] * (width - sides[1])
    rows = torch.arange(height).reshape(1, 1, height, 1)
    columns = torch.arange(width).reshape(1, 1, 1, width)
    inside = (rows >= top) & (rows < top + sides[0])
    inside = inside & (columns >= left) & (columns < left + sides[1])
    grey = faces.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(inside & (draw[4] < 0.5), grey, faces)
