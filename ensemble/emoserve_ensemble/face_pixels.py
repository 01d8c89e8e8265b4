"""A cut-out face to the face network's input: version `face_pixels_v1`.

Training reads FER2013's 48x48 pictures through `face_pixels` too, where it only divides by 255.
"""

from functools import lru_cache
from typing import Final

import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels

VERSION: Final = "face_pixels_v1"
SIDE: Final = 48


def face_pixels(crop: Pixels) -> Floats:
    """Return float32 [1, 48, 48], grey in [0, 1]: the crop, resized and divided by 255.

    A side that shrinks is averaged over the area each new pixel covers (no aliasing); one that
    grows is interpolated linearly between pixel centres.

    Args:
        crop: uint8 [height, width], grey.

    Raises:
        ValueError: not uint8, not two axes, or without pixels.
    """
    if crop.dtype != np.uint8 or crop.ndim != 2 or crop.size == 0:
        raise ValueError(
            f"crop is {crop.dtype} {list(crop.shape)}; "
            "uint8 [height, width] with pixels is accepted"
        )
    grey = crop.astype(np.float32) / np.float32(255)
    height, width = grey.shape
    if (height, width) != (SIDE, SIDE):
        grey = _resizing(height) @ grey @ _resizing(width).T  # [48, 48]
    return np.ascontiguousarray(grey[None], np.float32)


@lru_cache(maxsize=256)
def _resizing(size: int) -> Floats:
    """Return float32 [48, size]: how much each old pixel gives to each new one; rows sum to 1."""
    scale = size / SIDE
    if scale >= 1:
        start = np.arange(SIDE)[:, None] * scale  # where each new pixel begins, in old ones
        old = np.arange(size)[None]
        covered = np.minimum(start + scale, old + 1) - np.maximum(start, old)
        weights = np.clip(covered, 0, None)
    else:
        centre = np.clip((np.arange(SIDE)[:, None] + 0.5) * scale - 0.5, 0, size - 1)
        weights = np.clip(1 - np.abs(centre - np.arange(size)[None]), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
