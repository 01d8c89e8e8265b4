"""How far a face's answer can be trusted, from its pixels and landmarks alone."""

from collections.abc import Sequence

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.faces import FoundFaces

FULL_SIDE_PX = 48.0  # the network's own input: a larger face tells it nothing more
SHARP = 0.004  # variance of the Laplacian of a face in focus, grey in [0, 1], at 48x48
DARK, BRIGHT = 0.12, 0.9  # mean grey beyond which features drown


def face_quality(found: Sequence[FoundFaces], crops: Floats) -> Floats:
    """Return float32 [faces], 0 to 1: the geometric mean of size, sharpness, light and frontality.

    Args:
        found: the faces of each picture.
        crops: float32 [faces, 1, 48, 48], grey in [0, 1].
    """
    if not len(crops):
        return np.zeros(0, np.float32)
    boxes = np.concatenate([faces.boxes for faces in found])
    landmarks = np.concatenate([faces.landmarks for faces in found])
    size = np.clip((boxes[:, 2:] - boxes[:, :2]).max(axis=1) / FULL_SIDE_PX, 0, 1)
    grey = crops[:, 0]
    parts = np.stack([size, _sharpness(grey), _light(grey), _frontality(landmarks)])
    return np.asarray(np.exp(np.log(np.clip(parts, 1e-3, 1)).mean(axis=0)), np.float32)


def _sharpness(crops: Floats) -> Floats:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000), 1 where a face is in focus."""
    inner = crops[:, 1:-1, 1:-1]
    around = crops[:, :-2, 1:-1] + crops[:, 2:, 1:-1] + crops[:, 1:-1, :-2] + crops[:, 1:-1, 2:]
    return np.asarray(np.clip((around - 4 * inner).var(axis=(1, 2)) / SHARP, 0, 1), np.float32)


def _light(crops: Floats) -> Floats:
    mean = crops.mean(axis=(1, 2))
    return np.asarray(np.clip(np.minimum(mean / DARK, (1 - mean) / (1 - BRIGHT)), 0, 1), np.float32)


def _frontality(landmarks: Floats) -> Floats:
    """1 where the nose lies midway between the eyes, 0 where it reaches one of them."""
    left, right, nose = (landmarks[:, index] for index in range(3))
    eyes = right - left  # [faces, 2]
    length = np.maximum((eyes**2).sum(axis=1), 1e-6)
    along = ((nose - left) * eyes).sum(axis=1) / length  # 0 at the left eye, 1 at the right
    return np.asarray(np.clip(1 - np.abs(2 * along - 1), 0, 1), np.float32)
